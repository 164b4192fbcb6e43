package controller_test

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"covey.dev/covey/scheduler/controller"
)

type owners = map[types.UID]controller.OwnerState

func ownedBy(p *corev1.Pod, block bool, uids ...types.UID) *corev1.Pod {
	p.OwnerReferences = nil
	for _, uid := range uids {
		p.OwnerReferences = append(p.OwnerReferences, metav1.OwnerReference{UID: uid, BlockOwnerDeletion: &block})
	}
	return p
}

func finalized(name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		unbound(p)
		p.Finalizers, p.DeletionTimestamp, p.DeletionGracePeriodSeconds, p.UID = []string{name}, new(metav1.NewTime(epoch)), new(int64), "self"
	}
}

func TestGarbage(t *testing.T) {
	for _, tc := range []struct {
		name       string
		object     *corev1.Pod
		owners     owners
		dependents []*corev1.Pod
		want       []string
	}{
		{name: "without owners it stays", object: aPod("a", orphan)},
		{name: "with its owner it stays", object: ownedBy(aPod("a"), true, "x"), owners: owners{"x": controller.OwnerThere}},
		{name: "without its owner it goes", object: ownedBy(aPod("a"), true, "x"), want: []string{"update pods a stop in 30s owners 1"}},
		{name: "what is on no node goes at once", object: ownedBy(aPod("a", unbound), true, "x"), want: []string{"delete pods a"}},
		{name: "what is going is left to go", object: ownedBy(aPod("a", stopping), true, "x")},
		{name: "one owner of two is enough", object: ownedBy(aPod("a"), true, "x", "y"), owners: owners{"y": controller.OwnerThere},
			want: []string{"update pods a owners 1"}},
		{name: "an owner waits for it", object: ownedBy(aPod("a", unbound), true, "x"), owners: owners{"x": controller.OwnerWaits},
			want: []string{"delete pods a"}},
		{name: "an owner waits, and it has dependents", object: ownedBy(aPod("a", unbound), true, "x"), owners: owners{"x": controller.OwnerWaits},
			dependents: []*corev1.Pod{aPod("d")}, want: []string{"update pods a stop in 0s owners 1 finalizers [foregroundDeletion]"}},
		{name: "an owner waits, but not for it", object: ownedBy(aPod("a"), false, "x"), owners: owners{"x": controller.OwnerWaits}},
		{name: "an owner waits, but not for it, and another is gone", object: ownedBy(aPod("a"), false, "x", "y"), owners: owners{"x": controller.OwnerWaits},
			want: []string{"update pods a owners 1"}},
		{name: "an owner waits for it, and another is there", object: ownedBy(aPod("a"), true, "x", "y"), owners: owners{"x": controller.OwnerWaits, "y": controller.OwnerThere},
			want: []string{"update pods a owners 1"}},
		{name: "foreground: waits for who blocks", object: aPod("a", finalized("foregroundDeletion")),
			dependents: []*corev1.Pod{ownedBy(aPod("d"), true, "self")}},
		{name: "foreground: not for others", object: aPod("a", finalized("foregroundDeletion")),
			dependents: []*corev1.Pod{ownedBy(aPod("d"), false, "self")}, want: []string{"delete pods a"}},
		{name: "orphan: lets go of them", object: aPod("a", finalized("orphan")),
			dependents: []*corev1.Pod{ownedBy(aPod("d"), true, "self", "y")}, want: []string{"update pods d owners 1", "delete pods a"}},
		{name: "another finalizer still holds", object: aPod("a", finalized("orphan"), func(p *corev1.Pod) { p.Finalizers = append(p.Finalizers, "mine") }),
			want: []string{"update pods a stop in 0s owners 1 finalizers [mine]"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := controller.GarbageInput{Ref: controller.Ref{Resource: controller.Pods, Namespace: "default", Name: tc.object.Name}, Object: tc.object, Owners: tc.owners}
			for _, d := range tc.dependents {
				in.Dependents = append(in.Dependents, controller.Dependent{Ref: controller.Ref{Resource: controller.Pods, Namespace: "default", Name: d.Name}, Object: d})
			}
			if got := tell(controller.Garbage(in, newEnv())); !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func held(p *corev1.Pod) { p.Finalizers = []string{"mine"} }

func TestLostPod(t *testing.T) {
	long, now := epoch.Add(-time.Minute), epoch.Add(-10*time.Second)
	for _, tc := range []struct {
		name    string
		pod     *corev1.Pod
		missing time.Time
		want    []string
		due     time.Time
	}{
		{name: "its node is there", pod: aPod("a", stopping)},
		{name: "its node has been missing for long", pod: aPod("a"), missing: long, want: []string{"delete pods a"}},
		{name: "its node is missing since a moment ago", pod: aPod("a"), missing: now, due: now.Add(controller.NodeQuarantine)},
		{name: "on no node, and deleted", pod: aPod("a", unbound, stopping), want: []string{"delete pods a"}},
		{name: "a finalizer holds it", pod: aPod("a", unbound, finalized("mine")), missing: long},
		{name: "its node is missing, and a finalizer holds it", pod: aPod("a", held), missing: long,
			want: []string{"update pods a stop in 0s owners 1 finalizers [mine]"}},
		{name: "it is stopping, and a finalizer holds it", pod: aPod("a", held, stopping), missing: long,
			want: []string{"update pods a stop in 0s owners 1 finalizers [mine]"}},
		{name: "it waits for a finalizer alone", pod: aPod("a", finalized("mine"), func(p *corev1.Pod) { p.Spec.NodeName = "n" }), missing: long},
		{name: "a finalizer holds it, and its node is missing since a moment ago", pod: aPod("a", held), missing: now, due: now.Add(controller.NodeQuarantine)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := controller.LostPod(tc.pod, tc.missing, newEnv())
			if !slices.Equal(tell(got), tc.want) || !got.Due.Equal(tc.due) {
				t.Errorf("got %q due %v, want %q due %v", tell(got), got.Due, tc.want, tc.due)
			}
		})
	}
}
