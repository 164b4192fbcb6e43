package runtimetest

import (
	"testing"

	"covey.dev/covey/agent"
	"covey.dev/covey/agent/runtimetest/imagetest"
)

func TestFake(t *testing.T) {
	const image = "docker.io/library/test:1"
	archive, err := imagetest.Image(image, []byte("the fake's programs are built in"), nil, imagetest.Config())
	if err != nil {
		t.Fatal(err)
	}
	Run(t, func(t *testing.T) Harness {
		fake := NewFake()
		t.Cleanup(fake.Close)
		return Harness{
			Runtime: fake, Archive: archive, Image: image, CountsMemory: true,
			Reopen: func(*testing.T) agent.Runtime { return fake },
		}
	})
}
