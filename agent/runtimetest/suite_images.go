package runtimetest

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"covey.dev/covey/agent"
)

func testImages(t *testing.T, m *machine) {
	if list, err := m.Runtime.ListImages(t.Context()); err != nil || len(list) != 0 {
		t.Fatalf("at first: %v, %v", list, err)
	}
	if _, err := m.Runtime.Image(t.Context(), m.Image); !errors.Is(err, agent.ErrNotFound) {
		t.Errorf("an image that is not there: %v", err)
	}
	if _, err := m.Runtime.Load(t.Context(), strings.NewReader("no archive")); err == nil {
		t.Error("something that is no archive was loaded")
	}
	loaded, err := m.Runtime.Load(t.Context(), bytes.NewReader(m.Archive))
	if err != nil || len(loaded) != 1 || loaded[0].Ref != m.Image {
		t.Fatalf("Load: %+v, %v", loaded, err)
	}
	found, err := m.Runtime.Image(t.Context(), m.Image)
	if err != nil || found != loaded[0] || !strings.HasPrefix(found.Digest, "sha256:") || found.SizeBytes == 0 {
		t.Errorf("Image: %+v, %v", found, err)
	}
	if byDigest, err := m.Runtime.Image(t.Context(), found.Digest); err != nil || byDigest.Digest != found.Digest {
		t.Errorf("Image by digest: %+v, %v", byDigest, err)
	}
	if _, err := m.Runtime.Load(t.Context(), bytes.NewReader(m.Archive)); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if list, err := m.Runtime.ListImages(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("ListImages: %v, %v", list, err)
	}
	id := m.run(m.spec("sleep"))
	if err := m.Runtime.RemoveImage(t.Context(), m.Image); err != nil {
		t.Error(err)
	}
	if err := m.Runtime.RemoveImage(t.Context(), m.Image); !errors.Is(err, agent.ErrNotFound) {
		t.Errorf("RemoveImage again: %v", err)
	}
	if c, _ := m.get(id); c.State != agent.StateRunning {
		t.Errorf("a container after its image's removal: %+v", c)
	}
}
