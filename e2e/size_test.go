package e2e

import (
	"os"
	"testing"

	"covey.dev/covey/e2e/harness"
)

// TestBinarySize fails when the linker keeps every method of every type, which is some 9 MB: the program then calls
// reflect.Value.Method, MethodByName or text/template's Execute somewhere. `go build -tags grpcnotrace -ldflags -dumpdep
// ./cmd/covey` names who with <ReflectMethod>.
func TestBinarySize(t *testing.T) {
	const most = 58_000_000
	info, err := os.Stat(harness.Bin("covey"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() >= most {
		t.Errorf("covey has %d bytes; it is to be below %d", info.Size(), most)
	}
}
