package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestATailKeepsTheEnd(t *testing.T) {
	for _, size := range []int{1, 2, 3, 4, 5, 9, 26} {
		end := tail{most: 4}
		const all = "abcdefghijklmnopqrstuvwxyz"
		for i := 0; i < len(all); i += size {
			piece := all[i:min(i+size, len(all))]
			if n, err := end.Write([]byte(piece)); n != len(piece) || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
			until := i + len(piece)
			if want := all[max(0, until-4):until]; string(end.kept) != want {
				t.Errorf("after %d bytes, %d at once: %q, want %q", until, size, end.kept, want)
			}
		}
	}
}

// TestLastWordsFromALogWithoutLines has a container that printed much and no newline.
func TestLastWordsFromALogWithoutLines(t *testing.T) {
	const pieces, size = 512, 16 << 10
	path := filepath.Join(t.TempDir(), "0.log")
	piece := fmt.Sprintf("2026-11-23T12:00:00Z stdout P %s\n", strings.Repeat("x", size))
	if err := os.WriteFile(path, []byte(strings.Repeat(piece, pieces)+"2026-11-23T12:00:01Z stdout P the end\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &worker{Agent: &Agent{Config: Config{DataDir: t.TempDir()}}}
	spec := &corev1.Container{TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	words := w.readMessage(spec, &Container{LogPath: path, ExitCode: 1})
	runtime.ReadMemStats(&after)
	if len(words) != maxLogMessage || !strings.HasSuffix(words, "xthe end") {
		t.Errorf("%d bytes: %q", len(words), words[max(0, len(words)-20):])
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 2*pieces*size { // it is read in pieces, from the end and to the end
		t.Errorf("%d bytes of memory for a log of %d", used, pieces*size)
	}
}
