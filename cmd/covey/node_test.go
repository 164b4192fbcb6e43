package main

import (
	"fmt"
	"io"
	"net/http"
	"testing"
)

// TestADeadNodeIsRemovedByItsID, whether its Node object is there or somebody has deleted it.
func TestADeadNodeIsRemovedByItsID(t *testing.T) {
	for name, said := range map[string]string{"node-3": "node/node-3 removed\n", "": "node/b3 removed\n"} {
		api := serve(t)
		removed := name == "" // the leader is at it, and is asked for nothing
		asked := 0
		api.handle("GET /covey/status", func(w http.ResponseWriter, _ *http.Request) {
			members := fmt.Sprintf(`{"name":%q,"id":"b3"}`, name)
			if asked++; removed && asked > 1 {
				members = ""
			}
			fmt.Fprintf(w, `{"node":"node-1","members":[%s]}`, members)
		})
		api.handle("DELETE /api/v1/nodes/node-3", func(w http.ResponseWriter, _ *http.Request) {
			removed = true
			_, _ = io.WriteString(w, `{"kind":"Node","metadata":{"uid":"u1"}}`)
		})
		covey(t, "", "node", "remove", "--timeout=30s", "b3").want(t, 0, said, "")
	}
}
