package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// measureMembers simulates 1,000 members of the gossip.
func measureMembers(ctx context.Context, _ options) error {
	fmt.Print("\n| 1,000 members of the gossip | measured |\n| --- | --- |\n")
	return printRows(ctx, "..", "./node/gossip", "Scale$", "COVEY_SCALE=1000")
}

// measureFaults counts what is lost of the acknowledged writes under random faults.
func measureFaults(ctx context.Context, opts options) error {
	fmt.Printf("\n| %v of random faults: to go | faults | operations | acknowledged writes, all found again | without an answer | watches that expired |\n", opts.faults)
	fmt.Print("| --- | --- | --- | --- | --- | --- |\n")
	return printRows(ctx, ".", ".", "ConsistencyUnderFaults", "COVEY_SOAK="+opts.faults.String())
}

// printRows runs a test that measures, and prints the rows that it logs as it goes; the test fails where something was lost.
func printRows(ctx context.Context, dir, pkg, name, env string) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout", "0", "-run", name, "-v", pkg)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return err
	}
	var rest strings.Builder
	for lines := bufio.NewReader(out); err == nil; { // until the test ends
		var line string
		line, err = lines.ReadString('\n')
		if _, row, ok := strings.Cut(line, ": | "); ok {
			fmt.Print("| ", row)
			continue
		}
		rest.WriteString(line)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go test -run %s %s: %w\n%s", name, pkg, err, rest.String())
	}
	return nil
}
