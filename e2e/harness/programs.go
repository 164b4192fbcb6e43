package harness

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
)

// Bin is the path of what make built into the repository's folder bin, or of what is in COVEY_E2E_BIN.
func Bin(name string) string {
	if dir := os.Getenv("COVEY_E2E_BIN"); dir != "" {
		return filepath.Join(dir, name)
	}
	return filepath.Join(Repository(), "bin", name)
}

// Repository is the folder that the sources are in.
func Repository() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Check says what is missing for the tests to run.
func Check() error {
	for _, name := range []string{"covey", "kubectl", "hello.tar", "busybox.tar"} {
		if _, err := os.Stat(Bin(name)); err != nil {
			return fmt.Errorf("%w: run the tests with make e2e", err)
		}
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("the end-to-end tests run containers and need root")
	}
	return nil
}

func lines(r io.Reader) iter.Seq[string] {
	return func(yield func(string) bool) {
		scanner := bufio.NewScanner(r)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			if !yield(scanner.Text()) {
				return
			}
		}
	}
}
