package probe

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// frozenTimeout is the probe's. The test has that long to freeze the process once it checks.
const frozenTimeout = 30 * time.Second

// TestAFrozenProcessJudgesNothing freezes a process in the middle of a check, for longer than the probe's time: the check is made again.
func TestAFrozenProcessJudgesNothing(t *testing.T) {
	if os.Getenv("COVEY_TEST_CHECKS") != "" {
		checkOnce()
		return
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestAFrozenProcessJudgesNothing$") //nolint:gosec // this test
	cmd.Env = append(os.Environ(), "COVEY_TEST_CHECKS=yes")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "checking" {
		t.Fatalf("the process says %q", lines.Text())
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(frozenTimeout + 2*standstill)
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "verdict") {
	}
	if lines.Text() != "verdict true" {
		t.Errorf("the process says %q, want verdict true", lines.Text())
	}
}

// checkOnce prints the verdict of a probe whose first check is not answered.
func checkOnce() {
	asked := false
	target := Target{Exec: func(ctx context.Context, _ []string) (int, string, error) {
		fmt.Println("checking")
		if !asked {
			asked = true
			<-ctx.Done()
		}
		return 0, "", ctx.Err()
	}}
	probe := &corev1.Probe{
		ProbeHandler:     corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"true"}}},
		TimeoutSeconds:   int32(frozenTimeout / time.Second),
		FailureThreshold: 1,
	}
	Loop(context.Background(), probe, time.Now(), target, func(v Verdict) bool {
		fmt.Println("verdict", v.OK)
		return false
	})
}
