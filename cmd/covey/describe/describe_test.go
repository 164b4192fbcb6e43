package describe

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

func text(t *testing.T, write func(*Writer)) string {
	t.Helper()
	var out strings.Builder
	w := NewWriter(&out, now)
	write(w)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPod(t *testing.T) {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-0", Namespace: "shop", Labels: map[string]string{"app": "web", "a": "b"}},
		Spec: corev1.PodSpec{
			NodeName: "n1", ServiceAccountName: "default",
			Containers: []corev1.Container{{
				Name: "web", Image: "web:1", Args: []string{"-v"}, Ports: []corev1.ContainerPort{{ContainerPort: 80, Protocol: "TCP", Name: "http"}},
				LivenessProbe: &corev1.Probe{
					ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/up", Port: intstr.FromInt32(80)}},
					PeriodSeconds: 30, TimeoutSeconds: 5, SuccessThreshold: 1, FailureThreshold: 3, InitialDelaySeconds: 10,
				},
				Env: []corev1.EnvVar{{Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
					LocalObjectReference: corev1.LocalObjectReference{Name: "s"}, Key: "k",
				}}}},
				VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data", ReadOnly: true}},
			}},
			Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, HostIP: "10.0.0.1", PodIP: "10.42.0.2", PodIPs: []corev1.PodIP{{IP: "10.42.0.2"}},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "web", RestartCount: 2,
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
					Reason: "OOMKilled", ExitCode: 137, StartedAt: ago(time.Minute), FinishedAt: ago(time.Second),
				}},
			}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}},
		},
	}
	got := text(t, func(w *Writer) {
		w.Pod(p)
		w.Events([]corev1.Event{
			{Type: "Warning", Reason: "BackOff", Message: "restarting", Count: 4, FirstTimestamp: ago(5 * time.Minute), LastTimestamp: ago(time.Minute)},
			{Type: "Normal", Reason: "Scheduled", Message: "assigned", Count: 1, LastTimestamp: ago(6 * time.Minute), Source: corev1.EventSource{Component: "scheduler"}},
		})
	})
	for _, want := range []string{
		"Name:             web-0\nNamespace:        shop\n", "Node:             n1/10.0.0.1\n", "Labels:           a=b\n                  app=web\n",
		"    Port:          80/TCP (http)\n    Host Port:     0/TCP\n    Args:\n      -v\n",
		"    State:         Waiting\n      Reason:      CrashLoopBackOff\n    Last State:    Terminated\n      Reason:      OOMKilled\n      Exit Code:   137\n",
		"    Restart Count:  2\n", "http-get http://:80/up delay=10s timeout=5s period=30s #success=1 #failure=3\n",
		"TOKEN:  <set to the key 'k' in secret 's'>  Optional: false\n", "/data from data (ro)\n",
		"Conditions:\n  Type    Status\n  Ready   False \n", "EmptyDir (a temporary directory",
		"Events:\n  Type     Reason     Age               From       Message\n",
		"  Normal   Scheduled  6m                scheduler  assigned\n  Warning  BackOff    60s (x4 over 5m)             restarting\n",
	} {
		if !strings.Contains(squeeze(got), squeeze(want)) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}

// squeeze makes the comparison independent of the width of columns.
func squeeze(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

func TestSecretKeepsItsValues(t *testing.T) {
	s := &corev1.Secret{Data: map[string][]byte{"password": []byte("hunter2")}}
	got := text(t, func(w *Writer) { w.Secret(s) })
	if strings.Contains(got, "hunter2") || !strings.Contains(got, "password:  7 bytes") {
		t.Errorf("described as:\n%s", got)
	}
}

func TestAny(t *testing.T) {
	got := text(t, func(w *Writer) {
		w.Any(map[string]any{
			"kind": "Gadget", "metadata": map[string]any{"name": "g", "managedFields": []any{"x"}},
			"spec": map[string]any{"podCIDR": "10.0.0.0/8", "list": []any{map[string]any{"a": 1}, "b"}, "evil": "\x1b[2J"},
		})
	})
	want := "Name:  g\nKind:  Gadget\nMetadata:\nSpec:\n  Evil:  ^[[2J\n  List:\n    A:       1\n    b\n  Pod CIDR:  10.0.0.0/8"
	if squeeze(got) != squeeze(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
