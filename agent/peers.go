package agent

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// Peers are the other nodes of the cluster.
type Peers interface {
	// Alive gives the names of those that can be reached, as far as is known. The caller may change the list.
	Alive() []string
	Roles
	// RoundTripper sends a request to the agent of the node that the host of its URL names: https://NODE/v2/...
	http.RoundTripper
}

// Roles tells the nodes that hold the state from workers, whose word counts less.
type Roles interface {
	// Servers gives the names of those that can be reached, have images, and say that they are servers. The caller may change the list.
	Servers() []string
	// OfServer reports whether a server gave an answer of RoundTrip, by the certificate that it has shown.
	OfServer(answer *http.Response) bool
}

// Holders is where an image can be had within the cluster.
type Holders interface {
	// Holders gives the names of nodes to ask for an image by its full name ("docker.io/library/busybox:1.36") or the digest
	// of its manifest or index, in the order in which to ask them. They may not have it.
	Holders(image string) []string
	Roles
	// RoundTripper asks one of them: https://NODE/v2/... is its images as a registry.
	http.RoundTripper
}

// strangers is how many nodes are asked for an image that none is known to have: it came just now, or to a node that cannot tell the
// others because the cluster has no leader.
const strangers = 8

// holders knows who has which image from what the nodes say of themselves.
type holders struct {
	Peers
	self string // this node's name

	mu    sync.Mutex
	nodes map[string]*corev1.Node // the others
}

// follow takes in what the nodes say, and gives the names of images that one of them has and did not have before.
func (h *holders) follow(nodes []*corev1.Node) (arrived map[string]bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.nodes
	h.nodes, arrived = make(map[string]*corev1.Node, len(nodes)), map[string]bool{}
	for _, node := range nodes {
		if node.Name == h.self {
			continue
		}
		h.nodes[node.Name] = node
		was := before[node.Name]
		if was == node {
			continue // most of them, each time
		}
		for name := range imageNames(node) {
			if was == nil || !hasImage(was, name) {
				arrived[name] = true
			}
		}
	}
	return arrived
}

// imageNames are the names of the images that a node says it has.
func imageNames(node *corev1.Node) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range node.Status.Images {
			for _, name := range node.Status.Images[i].Names {
				if !yield(name) {
					return
				}
			}
		}
	}
}

// hasImage says whether a node says that it has an image, by its name or digest.
func hasImage(node *corev1.Node, image string) bool {
	for name := range imageNames(node) {
		if name == image || strings.HasSuffix(name, "@"+image) {
			return true
		}
	}
	return false
}

// Holders implements Holders. The order is by chance, so that one node does not have to serve all others.
func (h *holders) Holders(image string) []string {
	alive := h.Alive()
	rand.Shuffle(len(alive), func(i, j int) { alive[i], alive[j] = alive[j], alive[i] })
	h.mu.Lock()
	defer h.mu.Unlock()
	have := slices.DeleteFunc(slices.Clone(alive), func(name string) bool { return h.nodes[name] == nil || !hasImage(h.nodes[name], image) })
	if len(have) > 0 {
		return have
	}
	return alive[:min(len(alive), strangers)]
}

// whereElse adds to why an image could not be pulled where in the cluster it is.
func (h *holders) whereElse(image string, err error) error {
	alive := h.Alive()
	h.mu.Lock()
	defer h.mu.Unlock()
	var away []string
	for name, node := range h.nodes {
		switch {
		case !hasImage(node, image):
		case slices.Contains(alive, name):
			return err
		default:
			away = append(away, name)
		}
	}
	slices.Sort(away)
	switch {
	case len(away) > 0:
		return fmt.Errorf("%w; of the nodes %s has it, and cannot be reached", err, strings.Join(away, ", "))
	case len(h.nodes) > 0:
		return fmt.Errorf("%w; no other node has it", err)
	}
	return err
}

// mostImages is how many of its images a node tells the others of.
const mostImages = 100

// imageStatus is what a node says of its images, in the form that the kubelet has: the largest first. Of very many it tells of those
// that cannot be had from a registry, and the newest.
func imageStatus(images []Image) []corev1.ContainerImage {
	images = slices.Clone(images)
	slices.SortStableFunc(images, func(a, b Image) int {
		if a.Loaded != b.Loaded {
			if a.Loaded {
				return -1
			}
			return 1
		}
		return b.CreatedAt.Compare(a.CreatedAt)
	})
	byDigest := map[string]*corev1.ContainerImage{}
	var order []*corev1.ContainerImage
	for i := range images[:min(len(images), mostImages)] {
		image := &images[i]
		told := byDigest[image.Digest]
		if told == nil {
			told = &corev1.ContainerImage{SizeBytes: image.SizeBytes}
			byDigest[image.Digest] = told
			order = append(order, told)
		}
		for _, name := range []string{repository(image.Ref) + "@" + image.Digest, image.Ref} {
			if !slices.Contains(told.Names, name) {
				told.Names = append(told.Names, name)
			}
		}
	}
	status := make([]corev1.ContainerImage, 0, len(order))
	for _, told := range order {
		slices.Sort(told.Names)
		status = append(status, *told)
	}
	slices.SortFunc(status, func(a, b corev1.ContainerImage) int {
		if a.SizeBytes != b.SizeBytes {
			return int(min(max(b.SizeBytes-a.SizeBytes, -1), 1))
		}
		return strings.Compare(a.Names[0], b.Names[0])
	})
	return status
}
