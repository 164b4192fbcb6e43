package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// aSys is a /sys with AppArmor and these profiles.
func aSys(t *testing.T, profiles string) string {
	t.Helper()
	sys := t.TempDir()
	for file, content := range map[string]string{"module/apparmor/parameters/enabled": "Y\n", "kernel/security/apparmor/profiles": profiles} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(sys, file)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sys, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return sys
}

func TestAppArmorProfiles(t *testing.T) {
	yes := true
	with := func(kind corev1.AppArmorProfileType, name string) *corev1.SecurityContext {
		p := &corev1.AppArmorProfile{Type: kind}
		if name != "" {
			p.LocalhostProfile = &name
		}
		return &corev1.SecurityContext{AppArmorProfile: p}
	}
	privileged := with(corev1.AppArmorProfileTypeRuntimeDefault, "")
	privileged.Privileged = &yes
	sys := aSys(t, "/usr/bin/man (enforce)\ndocker-default (enforce)\nmine (complain)\n")
	for _, c := range []struct {
		sc         *corev1.SecurityContext
		name, fail string
	}{
		{sc: &corev1.SecurityContext{}},
		{sc: with(corev1.AppArmorProfileTypeUnconfined, "")},
		{sc: with(corev1.AppArmorProfileTypeRuntimeDefault, ""), name: "docker-default"},
		{sc: privileged},
		{sc: with(corev1.AppArmorProfileTypeLocalhost, "mine"), name: "mine"},
		{sc: with(corev1.AppArmorProfileTypeLocalhost, "yours"), fail: "the node has not loaded the profile yours"},
	} {
		name, err := appArmorProfile(sys, c.sc)
		if name != c.name || (err == nil) != (c.fail == "") || err != nil && !strings.Contains(err.Error(), c.fail) {
			t.Errorf("%+v: %q, %v, want %q %q", c.sc.AppArmorProfile, name, err, c.name, c.fail)
		}
	}
	if _, err := appArmorProfile(aSys(t, ""), with(corev1.AppArmorProfileTypeRuntimeDefault, "")); err == nil || !strings.Contains(err.Error(), "cri-containerd.apparmor.d or docker-default") {
		t.Errorf("without a default profile: %v", err)
	}
}

func TestPodsThatNeedAppArmor(t *testing.T) {
	localhost := &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost}
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}
	for _, c := range []struct {
		sys  string
		pod  *corev1.AppArmorProfile
		want string
	}{
		{sys: t.TempDir()},
		{sys: t.TempDir(), pod: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}},
		{sys: t.TempDir(), pod: localhost, want: "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host"},
		{sys: aSys(t, ""), pod: localhost},
	} {
		pod.Spec.SecurityContext = &corev1.PodSecurityContext{AppArmorProfile: c.pod}
		got := (&Config{sys: c.sys}).admit(pod)
		if (got == nil) != (c.want == "") || got != nil && (got.message != c.want || got.reason != "AppArmor") {
			t.Errorf("%+v: %+v, want %q", c.pod, got, c.want)
		}
	}
}
