package memory

import "testing"

// TestRelease shows that a program goes on with its pages given back.
func TestRelease(t *testing.T) {
	kept := make(map[int]string)
	for i := range 1000 {
		kept[i] = "kept"
	}
	if err := Release(); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if kept[i] != "kept" {
			t.Fatalf("%d is %q", i, kept[i])
		}
	}
}
