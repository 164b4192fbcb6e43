package main

import (
	"os"
	"testing"

	"covey.dev/covey/api/kind"
)

func TestThePageIsCurrent(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/fields.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != document(kind.All()) {
		t.Error("docs/fields.md is not what the tables say: run go generate ./api/kind/support")
	}
}
