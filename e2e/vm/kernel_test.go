package vm

import (
	"strings"
	"testing"
)

// demanding are pods that ask for what the machine that tests may not have: an AppArmor profile, and users of their own on cgroup v2.
const demanding = `
apiVersion: v1
kind: Pod
metadata: {name: confined}
spec:
  restartPolicy: Never
  securityContext: {appArmorProfile: {type: Localhost, localhostProfile: no-secrets}}
  containers:
  - name: c
    image: busybox:1
    command: [sh, -c, "cat /proc/self/attr/current; touch /allowed && ! touch /secret"]
    resources: {requests: {memory: 1Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: nobody}
spec:
  restartPolicy: Never
  hostUsers: false
  containers:
  - name: c
    image: busybox:1
    command: [sh, -c, "cat /proc/self/uid_map; cat /sys/fs/cgroup/memory.max; echo mine > /scratch/f && stat -c %u /scratch/f"]
    resources: {limits: {memory: 48Mi}}
    volumeMounts: [{name: scratch, mountPath: /scratch}]
  volumes: [{name: scratch, emptyDir: {}}]
`

const profile = `
profile no-secrets flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  network,
  signal,
  umount,
  deny /secret w,
}
`

// askTheKernel applies what is demanding, and looks what becomes of it.
func askTheKernel(t *testing.T, m *Machine) {
	t.Helper()
	m.Write("/etc/apparmor.d/no-secrets", profile)
	m.Run("apparmor_parser -r /etc/apparmor.d/no-secrets")
	m.Write("/root/demanding.yaml", demanding)
	m.Run("covey apply -f /root/demanding.yaml")
	for _, name := range []string{"confined", "nobody"} {
		m.Eventually("covey get pod "+name+" -o jsonpath='{.status.phase}'", func(out string) bool {
			return strings.Contains(out, "Succeeded") || strings.Contains(out, "Failed")
		})
	}
	if out := m.Run("covey logs confined"); !strings.Contains(out, "no-secrets (enforce)") || !strings.Contains(out, "/secret: Permission denied") {
		t.Errorf("the AppArmor profile has no effect:\n%s", out)
	}
	users := strings.Fields(m.Run("covey logs nobody"))
	if len(users) != 5 || users[0] != "0" || users[1] == "0" || users[2] != "65536" || users[3] != "50331648" || users[4] != "0" {
		t.Errorf("the pod with users of its own says %q", users)
	}
	m.Run("covey delete -f /root/demanding.yaml && rm /etc/apparmor.d/no-secrets")
}
