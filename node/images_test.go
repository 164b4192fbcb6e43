package node

import (
	"context"
	"net/http"
	"testing"

	"golang.org/x/sync/errgroup"

	"covey.dev/covey/node/identity"
	"covey.dev/covey/node/link"
	"covey.dev/covey/node/peer"
	"covey.dev/covey/node/port"
)

// at knows one address of all nodes.
type at string

func (a at) Locate(string) []string { return []string{string(a)} }
func (at) Reached(string, string)   {}

// TestAnAnswerIsAServersByItsCertificate asks a server and a worker as for an image.
func TestAnAnswerIsAServersByItsCertificate(t *testing.T) {
	c := newCluster(t)
	own := c.ca.NewServer("n1")
	for id, server := range map[*identity.Identity]bool{c.ca: true, c.joined(t.TempDir(), "w1"): false} {
		p, err := port.Listen("127.0.0.1:0", quiet)
		if err != nil {
			t.Fatal(err)
		}
		cert := id.NewServer("n2")
		l := link.New(cert, nowhere{}, quiet).Listener(p.Listener(peer.Protocol))
		ctx, end := context.WithCancel(context.Background())
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return p.Run(ctx, cert.TLSConfig(p.Protocols()...)) })
		g.Go(func() error { return serve(ctx, l, http.NotFoundHandler(), quiet) })

		peers := peer.New(link.New(own, at(p.Addr().String()), quiet))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, "https://n2/v2/app/manifests/1", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := peers.ToAgent(id.NodeID(), req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := (others{&base{serverCert: own}}).OfServer(resp); got != server {
			t.Errorf("an answer of a server: %v, taken for one: %v", server, got)
		}
		peers.Close()
		end()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	}
}
