package controller

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/validation"
)

// The notes that kubectl rollout reads, and that Kubernetes' controller leaves on replica sets.
const (
	revisionNote = "deployment.kubernetes.io/revision"
	historyNote  = "deployment.kubernetes.io/revision-history"
	desiredNote  = "deployment.kubernetes.io/desired-replicas"
	maximumNote  = "deployment.kubernetes.io/max-replicas"

	maxHistory = 2000 // characters of the history note
)

// notInherited are the annotations of a deployment that its replica sets do not get.
var notInherited = map[string]bool{
	corev1.LastAppliedConfigAnnotation: true, revisionNote: true, historyNote: true, desiredNote: true, maximumNote: true,
	appsv1.DeprecatedRollbackTo: true,
}

// findNext is the replica set of the deployment's template; the oldest when there are several.
func (o *rollout) findNext() *replicaSet {
	for _, s := range o.sets {
		if sameTemplate(&s.Spec.Template, &o.d.Spec.Template) {
			return s
		}
	}
	return nil
}

// sameTemplate compares templates apart from the hash label.
func sameTemplate(a, b *corev1.PodTemplateSpec) bool {
	return apiequality.Semantic.DeepEqual(a.Spec, b.Spec) && apiequality.Semantic.DeepEqual(bare(a), bare(b))
}

func bare(t *corev1.PodTemplateSpec) metav1.ObjectMeta {
	meta := t.ObjectMeta
	meta.Labels = maps.Clone(meta.Labels)
	delete(meta.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return meta
}

// old are all replica sets but the new one.
func (o *rollout) old() []*replicaSet {
	return slices.DeleteFunc(slices.Clone(o.sets), func(s *replicaSet) bool { return s == o.next })
}

func (o *rollout) sortOldestFirst() {
	slices.SortStableFunc(o.sets, func(a, b *replicaSet) int {
		if n := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); n != 0 {
			return n
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// syncRevision gives the new replica set, if it is there, the highest revision and the deployment's annotations, and
// the deployment its revision.
func (o *rollout) syncRevision() {
	if o.next == nil {
		return
	}
	s := o.next
	if inherit(o.d, s.ReplicaSet, o.newRevision()) {
		s.changed = true
	}
	if s.Spec.MinReadySeconds != o.d.Spec.MinReadySeconds {
		s.Spec.MinReadySeconds = o.d.Spec.MinReadySeconds
		s.changed, s.changedSpec = true, true
	}
	o.setRevision(s.Annotations[revisionNote])
	if o.hasDeadline() && findCondition(&o.d.Status, appsv1.DeploymentProgressing) == nil {
		o.setCondition(&o.d.Status, appsv1.DeploymentProgressing, corev1.ConditionTrue, "FoundNewReplicaSet",
			fmt.Sprintf("Found new replica set %q", s.Name))
	}
}

func (o *rollout) setRevision(revision string) {
	if o.d.Annotations[revisionNote] != revision {
		metav1.SetMetaDataAnnotation(&o.d.ObjectMeta, revisionNote, revision)
	}
}

func (o *rollout) newRevision() int64 {
	highest := int64(0)
	for _, s := range o.old() {
		highest = max(highest, revisionOf(s))
	}
	return highest + 1
}

func revisionOf(s *replicaSet) int64 {
	n, _ := strconv.ParseInt(s.Annotations[revisionNote], 10, 64) // none or nonsense is the lowest
	return n
}

// inherit copies the deployment's annotations to the replica set and raises its revision; an earlier one goes into its
// history. It reports whether anything changed.
func inherit(d *appsv1.Deployment, rs *appsv1.ReplicaSet, revision int64) bool {
	was := maps.Clone(rs.Annotations)
	if rs.Annotations == nil {
		rs.Annotations = map[string]string{}
	}
	for k, v := range d.Annotations {
		if !notInherited[k] {
			rs.Annotations[k] = v
		}
	}
	earlier, err := strconv.ParseInt(rs.Annotations[revisionNote], 10, 64)
	if text := rs.Annotations[revisionNote]; err != nil && text != "" {
		return !maps.Equal(was, rs.Annotations)
	}
	if earlier < revision {
		rs.Annotations[revisionNote] = strconv.FormatInt(revision, 10)
		if earlier > 0 {
			rs.Annotations[historyNote] = longerHistory(rs.Annotations[historyNote], earlier)
		}
	}
	return !maps.Equal(was, rs.Annotations)
}

func longerHistory(history string, revision int64) string {
	if history == "" {
		return strconv.FormatInt(revision, 10)
	}
	history += "," + strconv.FormatInt(revision, 10)
	for len(history) > maxHistory {
		_, history, _ = strings.Cut(history, ",")
	}
	return history
}

// createNext makes the replica set of the template unless it is there. When another object has its name, the collision
// is counted, which gives another name in the next decision, and false is returned.
func (o *rollout) createNext() bool {
	if o.next != nil {
		return true
	}
	hash := hashTemplate(&o.d.Spec.Template, o.d.Status.CollisionCount)
	name := replicaSetName(o.d.Name, hash)
	if o.in.NameTaken != nil && o.in.NameTaken(name) {
		count := int32(1)
		if o.d.Status.CollisionCount != nil {
			count = *o.d.Status.CollisionCount + 1
		}
		o.d.Status.CollisionCount = &count
		return false
	}
	rs := &appsv1.ReplicaSet{ObjectMeta: o.env.meta(o.d.Namespace, name)}
	rs.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(o.d, deploymentKind)}
	rs.Spec.Template = *o.d.Spec.Template.DeepCopy()
	metav1.SetMetaDataLabel(&rs.Spec.Template.ObjectMeta, appsv1.DefaultDeploymentUniqueLabelKey, hash)
	rs.Labels = maps.Clone(rs.Spec.Template.Labels)
	rs.Spec.Selector = metav1.AddLabelToSelector(o.d.Spec.Selector.DeepCopy(), appsv1.DefaultDeploymentUniqueLabelKey, hash)
	rs.Spec.MinReadySeconds = o.d.Spec.MinReadySeconds
	size, revision := o.nextSize(), o.newRevision()
	rs.Spec.Replicas = &size
	inherit(o.d, rs, revision)
	o.next = &replicaSet{ReplicaSet: rs, isNew: true}
	o.noteSize(o.next)
	o.sets = append(o.sets, o.next)
	if size > 0 {
		o.tell("ScalingReplicaSet", fmt.Sprintf("Scaled up replica set %s from 0 to %d", rs.Name, size))
	}
	o.setRevision(strconv.FormatInt(revision, 10))
	if o.hasDeadline() {
		o.setCondition(&o.d.Status, appsv1.DeploymentProgressing, corev1.ConditionTrue, "NewReplicaSetCreated",
			fmt.Sprintf("Created new replica set %q", rs.Name))
	}
	return true
}

// hashTemplate gives the pod-template-hash: equal for equal templates, different after each collision. Replica sets
// are found by their template, so the hash may be any.
func hashTemplate(t *corev1.PodTemplateSpec, collisions *int32) string {
	h := fnv.New32a()
	_ = json.NewEncoder(h).Encode(t) // a template always encodes, and a hash takes every write
	if collisions != nil {
		fmt.Fprint(h, *collisions)
	}
	return rand.SafeEncodeString(fmt.Sprint(h.Sum32()))
}

func replicaSetName(deployment, hash string) string {
	return deployment[:min(len(deployment), validation.DNS1123SubdomainMaxLength-1-len(hash))] + "-" + hash
}

// cleanUp deletes the oldest replica sets beyond revisionHistoryLimit.
func (o *rollout) cleanUp() {
	limit := o.d.Spec.RevisionHistoryLimit
	if limit == nil {
		return
	}
	var idle []*replicaSet
	for _, s := range o.old() {
		if s.DeletionTimestamp == nil {
			idle = append(idle, s)
		}
	}
	slices.SortStableFunc(idle, func(a, b *replicaSet) int { return int(revisionOf(a) - revisionOf(b)) })
	for _, s := range idle[:max(len(idle)-int(*limit), 0)] {
		s.deleted = s.size() == 0 && s.Status.Replicas == 0 && s.Generation <= s.Status.ObservedGeneration
	}
}
