package agent

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// defaultProfiles are the AppArmor profiles that container runtimes load for their containers. Covey uses one that is there.
var defaultProfiles = []string{"cri-containerd.apparmor.d", "docker-default"}

// needsAppArmor says that the pod asks for a profile, so that a kernel without AppArmor must not run it.
func needsAppArmor(pod *corev1.Pod) bool {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers, ephemeral(pod)} {
		for i := range list {
			p := securityContext(pod, &list[i]).AppArmorProfile
			if p != nil && p.Type != corev1.AppArmorProfileTypeUnconfined {
				return true
			}
		}
	}
	return false
}

// hasAppArmor is whether the kernel below sys has AppArmor and it is switched on.
func hasAppArmor(sys string) bool {
	content, err := os.ReadFile(filepath.Join(sys, "module/apparmor/parameters/enabled"))
	return err == nil && strings.HasPrefix(string(content), "Y")
}

// appArmorProfile is the name of the profile that a container runs with; empty for none. Where nothing is said, none is set.
func appArmorProfile(sys string, sc *corev1.SecurityContext) (string, error) {
	p := sc.AppArmorProfile
	privileged := sc.Privileged != nil && *sc.Privileged
	if p == nil || p.Type == corev1.AppArmorProfileTypeUnconfined || p.Type == corev1.AppArmorProfileTypeRuntimeDefault && privileged {
		return "", nil
	}
	loaded, err := loadedProfiles(sys)
	if err != nil {
		return "", fmt.Errorf("appArmorProfile: read what the kernel has loaded: %w", err)
	}
	wanted := defaultProfiles
	if p.Type == corev1.AppArmorProfileTypeLocalhost && p.LocalhostProfile != nil {
		wanted = []string{*p.LocalhostProfile}
	}
	for _, name := range wanted {
		if loaded[name] {
			return name, nil
		}
	}
	return "", fmt.Errorf("appArmorProfile: the node has not loaded the profile %s", strings.Join(wanted, " or "))
}

// loadedProfiles are the names in lines such as "docker-default (enforce)".
func loadedProfiles(sys string) (map[string]bool, error) {
	f, err := os.Open(filepath.Join(sys, "kernel/security/apparmor/profiles"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	names := map[string]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, _, _ := strings.Cut(lines.Text(), " (")
		names[name] = true
	}
	return names, lines.Err()
}
