package containerd

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/containerd/cgroup"
)

// run runs one program in a running container and gives its output.
func run(t *testing.T, r agent.Runtime, id string, command ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	code, err := r.Exec(t.Context(), id, &agent.ExecSpec{Command: command, Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), code
}

// status is a field of /proc/self/status in the container.
func status(t *testing.T, r agent.Runtime, id, field string) string {
	t.Helper()
	out, _ := run(t, r, id, "cat", "/proc/self/status")
	for line := range strings.Lines(out) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// TestSpec looks at containers from the inside.
func TestSpec(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	r := m.openLoaded(t)
	volume := filepath.Join(m.dir, "volume")
	if err := os.Mkdir(volume, 0o777); err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	user, group := int64(1000), int64(3000)
	unmasked := corev1.UnmaskedProcMount
	const defaultCaps = "00000000a80425fb"
	for name, c := range map[string]struct {
		change func(*agent.ContainerSpec)
		check  func(t *testing.T, id string)
	}{
		"nothing said": {
			func(s *agent.ContainerSpec) { s.Hostname = "pod-name" },
			func(t *testing.T, id string) {
				for field, want := range map[string]string{"CapEff": defaultCaps, "NoNewPrivs": "0", "Seccomp": "2"} {
					if got := status(t, r, id, field); got != want {
						t.Errorf("%s is %s, want %s", field, got, want)
					}
				}
				if out, _ := run(t, r, id, "id"); out != "0 0 [0]\n" {
					t.Errorf("user: %q", out)
				}
				if out, _ := run(t, r, id, "cat", "/proc/sys/kernel/hostname"); out != "pod-name\n" {
					t.Errorf("its host name is %q", out)
				}
				if _, code := run(t, r, id, "write", "/proc/sys/kernel/sysrq"); code == 0 {
					t.Error("/proc/sys is writable")
				}
				mounts, _ := run(t, r, id, "cat", "/proc/mounts")
				if !strings.Contains(mounts, " /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=65536k") {
					t.Errorf("/dev/shm is not 64 MiB:\n%s", mounts)
				}
			},
		},
		"user and groups": {
			func(s *agent.ContainerSpec) {
				s.Security = &corev1.SecurityContext{RunAsUser: &user, RunAsGroup: &group, RunAsNonRoot: &yes}
				s.SupplementalGroups = []int64{4000}
			},
			func(t *testing.T, id string) {
				if out, _ := run(t, r, id, "id"); out != "1000 3000 [2000 3000 4000]\n" {
					t.Errorf("user: %q", out)
				}
			},
		},
		"restricted": {
			func(s *agent.ContainerSpec) {
				s.Security = &corev1.SecurityContext{
					AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
					Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_BIND_SERVICE"}},
					SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined},
				}
			},
			func(t *testing.T, id string) {
				for field, want := range map[string]string{"CapEff": "0000000000000400", "CapBnd": "0000000000000400", "NoNewPrivs": "1", "Seccomp": "0"} {
					if got := status(t, r, id, field); got != want {
						t.Errorf("%s is %s, want %s", field, got, want)
					}
				}
				if _, code := run(t, r, id, "write", "/tmp/file"); code == 0 {
					t.Error("the root file system is writable")
				}
			},
		},
		"capabilities": {
			func(s *agent.ContainerSpec) {
				s.Security = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{
					Add: []corev1.Capability{"SYS_TIME"}, Drop: []corev1.Capability{"CAP_CHOWN"},
				}}
			},
			func(t *testing.T, id string) {
				if got := status(t, r, id, "CapBnd"); got != "00000000aa0425fa" {
					t.Errorf("CapBnd is %s", got)
				}
			},
		},
		"privileged": {
			func(s *agent.ContainerSpec) { s.Security = &corev1.SecurityContext{Privileged: &yes} },
			func(t *testing.T, id string) {
				if got := status(t, r, id, "Seccomp"); got != "0" {
					t.Errorf("Seccomp is %s", got)
				}
				if got := status(t, r, id, "CapEff"); len(got) != 16 || got == defaultCaps {
					t.Errorf("CapEff is %s", got)
				}
				if _, code := run(t, r, id, "cat", "/proc/sys/kernel/hostname"); code != 0 {
					t.Error("/proc is masked")
				}
			},
		},
		"unmasked /proc": {
			func(s *agent.ContainerSpec) { s.Security = &corev1.SecurityContext{ProcMount: &unmasked} },
			func(t *testing.T, id string) {
				if mounts, _ := run(t, r, id, "cat", "/proc/mounts"); strings.Contains(mounts, " /proc/sys ") {
					t.Errorf("/proc/sys is still a mount:\n%s", mounts)
				}
			},
		},
		"mounts": {
			func(s *agent.ContainerSpec) {
				s.Mounts = []agent.Mount{
					{Source: volume, Target: "/data/sub", ReadOnly: true},
					{Target: "/data", Options: []string{"size=64k"}},
					{Source: volume, Target: "/rw"},
				}
			},
			func(t *testing.T, id string) {
				if _, code := run(t, r, id, "write", "/rw/file"); code != 0 {
					t.Error("a volume is not writable")
				}
				if out, _ := run(t, r, id, "cat", "/data/sub/file"); out != "x" {
					t.Errorf("through another mount it reads %q", out)
				}
				if _, code := run(t, r, id, "write", "/data/sub/file"); code == 0 {
					t.Error("a read-only volume is writable")
				}
				if mounts, _ := run(t, r, id, "cat", "/proc/mounts"); !strings.Contains(mounts, "tmpfs /data tmpfs rw,nosuid,nodev,relatime,size=64k") {
					t.Errorf("no tmpfs of 64 KiB:\n%s", mounts)
				}
			},
		},
		"resources": {
			func(s *agent.ContainerSpec) {
				s.Resources = agent.Resources{
					CPUShares: 512, CPUQuota: 50_000, CPUPeriod: 100_000, MemoryLimit: 64 << 20, PidsLimit: 77, OOMScoreAdj: 900,
				}
			},
			func(t *testing.T, id string) {
				want := map[string]string{
					"cpu/cpu.shares": "512", "cpu/cpu.cfs_quota_us": "50000", "memory/memory.limit_in_bytes": "67108864", "pids/pids.max": "77",
				}
				if cgroup.Unified() {
					want = map[string]string{"cpu.max": "50000 100000", "memory.max": "67108864", "pids.max": "77"}
				}
				for file, value := range want {
					controller, base := filepath.Split(file)
					got, err := os.ReadFile(filepath.Join(cgroup.Root, controller, m.cgroup, id, base))
					if err != nil || strings.TrimSpace(string(got)) != value {
						t.Errorf("%s is %q (%v), want %s", file, got, err, value)
					}
				}
				if out, _ := run(t, r, id, "cat", "/proc/1/oom_score_adj"); out != "900\n" {
					t.Errorf("oom_score_adj is %q", out)
				}
			},
		},
		"the machine's namespaces": {
			func(s *agent.ContainerSpec) {
				s.HostPID, s.Namespaces = true, map[string]string{"network": "host", "uts": "host"}
			},
			func(t *testing.T, id string) {
				if out, _ := run(t, r, id, "cat", "/proc/sys/kernel/hostname"); out != hostname(t)+"\n" {
					t.Errorf("the host name is %q", out)
				}
				ours, err := os.ReadFile("/proc/self/net/route")
				if err != nil {
					t.Fatal(err)
				}
				if out, _ := run(t, r, id, "cat", "/proc/self/net/route"); out != string(ours) {
					t.Errorf("the routes are %q", out)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec := m.spec("spec", "sleep")
			c.change(spec)
			if err := errors.Join(r.Create(t.Context(), spec), r.Start(t.Context(), spec.ID)); err != nil {
				t.Fatal(err)
			}
			defer remove(t, r, spec.ID)
			c.check(t, spec.ID)
		})
	}
}

func hostname(t *testing.T) string {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// TestRefusedSpecs creates containers that cannot be as asked.
func TestRefusedSpecs(t *testing.T) {
	needRoot(t)
	m := newMachine(t)
	r := m.openLoaded(t)
	yes, negative := true, int64(-1)
	for want, security := range map[string]*corev1.SecurityContext{
		"runAsNonRoot is set and image":    {RunAsNonRoot: &yes},
		"unknown capability \"FLY\"":       {Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"FLY"}}},
		"localhostProfile: is missing":     {SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeLocalhost}},
		"\"../x.json\"":                    {SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeLocalhost, LocalhostProfile: new("../x.json")}},
		"user or group -1 is out of range": {RunAsUser: &negative},
	} {
		spec := m.spec("refused", "sleep")
		spec.Security, spec.SeccompDir = security, t.TempDir()
		err := r.Create(t.Context(), spec)
		if !errors.Is(err, agent.ErrInvalidSpec) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	// Nothing of them is in the way.
	if err := r.Create(t.Context(), m.spec("refused", "sleep")); err != nil {
		t.Error(err)
	}
	remove(t, r, "refused")
}
