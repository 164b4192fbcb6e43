package main

import (
	"slices"
	"strings"
	"testing"
)

// TestTheOnlyServerKeepsItsPods when it is told to leave, which it may not.
func TestTheOnlyServerKeepsItsPods(t *testing.T) {
	for _, others := range []string{
		``,
		`,{"name":"b","role":"worker","alive":true}`,
		`,{"name":"b","role":"voter","alive":false}`,
		`,{"name":"b","role":"witness","witness":true,"alive":true}`,
	} {
		api := serve(t)
		api.reply("GET /covey/status", 200, `{"node":"a","members":[{"name":"a","role":"leader","alive":true}`+others+`]}`)
		covey(t, "", "leave").want(t, 1, "",
			"error: node a: it is the only server that is alive and may lead, and the state would be lost; covey uninstall takes it off this machine\n")
		if !slices.Equal(api.requests, []string{"GET /covey/status"}) {
			t.Errorf("beside %s: %v", others, api.requests)
		}
	}
}

func TestAWorkerOfOneServerLeaves(t *testing.T) {
	api := serve(t)
	api.reply("GET /covey/status", 200, `{"node":"b","members":[{"name":"a","role":"leader","alive":true},{"name":"b","role":"worker","alive":true}]}`)
	api.reply("POST /covey/leave", 200, `{}`)
	if got := covey(t, "", "leave", "--no-drain"); got.status != 0 || !strings.HasPrefix(got.out, "node/b left the cluster") {
		t.Errorf("%+v", got)
	}
}
