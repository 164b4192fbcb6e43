package fetch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"covey.dev/covey/agent/containerd/registry"
)

const (
	// mostAsked nodes are asked at the same time what a name stands for, and mostServers of them because they are servers.
	mostAsked   = 8
	mostServers = 4
)

// askTime is how long they have to answer, and othersTime how long the others have once one has that is sure. Tests have more.
var (
	askTime    = 2 * time.Second
	othersTime = 200 * time.Millisecond
)

// answer is what a node says a name stands for.
type answer struct {
	node   string
	target ocispec.Descriptor
	labels map[string]string
	since  time.Time
	sure   bool // it cannot be wrong, or is that of a server
}

// askNodes finds the image on other nodes; nil where none has it. If they do not agree, servers are believed before workers, and then
// the image that came last counts.
func (f *finder) askNodes(ctx context.Context) (image *Image, sure bool) {
	if f.Holders == nil {
		return nil, false
	}
	answers := f.ask(ctx, f.toAsk())
	if len(answers) == 0 {
		return nil, false
	}
	newest := answers[0]
	for _, a := range answers {
		if a.sure == newest.sure && a.since.After(newest.since) || a.sure && !newest.sure {
			newest = a
		}
	}
	image = f.image(newest.target, nil)
	image.Labels = newest.labels
	for _, a := range answers {
		if a.target.Digest == newest.target.Digest {
			image.nodes = append(image.nodes, a.node)
		}
	}
	return image, newest.sure
}

// toAsk are the nodes to ask in their order: some servers, which also know what was pushed to others, and those that may have the image.
func (f *finder) toAsk() []string {
	servers, holders := f.Holders.Servers(), f.Holders.Holders(f.key())
	rand.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	have := func(node string) bool { return slices.Contains(holders, node) }
	asked := append(slices.DeleteFunc(slices.Clone(servers), func(node string) bool { return !have(node) }), slices.DeleteFunc(servers, have)...)
	asked = asked[:min(len(asked), mostServers)]
	for _, node := range holders {
		if !slices.Contains(asked, node) {
			asked = append(asked, node)
		}
	}
	return asked
}

// key is by what holders know the image.
func (f *finder) key() string {
	if digested, ok := f.named.(reference.Digested); ok {
		return digested.Digest().String()
	}
	return f.Ref
}

// ask asks nodes at the same time.
func (f *finder) ask(ctx context.Context, nodes []string) []answer {
	nodes = nodes[:min(len(nodes), mostAsked)]
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	said := make(chan *answer, len(nodes))
	for _, node := range nodes {
		asking.Go(func() { said <- f.askOne(ctx, node) })
	}
	var answers []answer
	var enough <-chan time.Time
	for range nodes {
		select {
		case a := <-said:
			if a == nil {
				continue
			}
			answers = append(answers, *a)
			if enough == nil && a.sure {
				enough = time.After(othersTime)
			}
		case <-enough:
			return answers
		case <-ctx.Done():
			return answers
		}
	}
	return answers
}

// askOne asks one node; nil if it does not have the image or does not say so.
func (f *finder) askOne(ctx context.Context, node string) *answer {
	id := "latest"
	switch ref := f.named.(type) {
	case reference.Digested:
		id = ref.Digest().String()
	case reference.Tagged:
		id = ref.Tag()
	}
	req, err := f.request(ctx, http.MethodHead, node, "manifests", id)
	if err != nil {
		return nil
	}
	if f.credential != "" {
		req.Header.Set(registry.HeaderCredential, f.credential)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil
	}
	_ = resp.Body.Close()
	target := ocispec.Descriptor{
		MediaType: resp.Header.Get("Content-Type"), Digest: digest.Digest(resp.Header.Get(registry.HeaderDigest)), Size: resp.ContentLength,
	}
	if resp.StatusCode != http.StatusOK || target.Digest.Validate() != nil || target.Size <= 0 || target.Size > registry.MostManifest {
		return nil
	}
	digested, byDigest := f.named.(reference.Digested)
	if byDigest && digested.Digest() != target.Digest {
		return nil
	}
	a := &answer{node: node, target: target, labels: map[string]string{}, sure: byDigest || f.Holders.OfServer(resp)}
	for label, header := range map[string]string{registry.LabelLoaded: registry.HeaderLoaded, registry.LabelCredential: registry.HeaderCredential} {
		if value := resp.Header.Get(header); value != "" {
			a.labels[label] = value
		}
	}
	a.since, _ = http.ParseTime(resp.Header.Get("Last-Modified"))
	return a
}

// request is one to a node, about the image's repository.
func (f *finder) request(ctx context.Context, method, node, kind, id string) (*http.Request, error) {
	u := url.URL{
		Scheme: "https", Host: node,
		Path:     strings.Join([]string{"/v2", reference.Path(f.named), kind, id}, "/"),
		RawQuery: url.Values{"ns": {reference.Domain(f.named)}}.Encode(),
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask node %s for image %s: %w", node, f.Ref, err)
	}
	return req, nil
}
