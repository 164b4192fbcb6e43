// Package fetch finds out what an image's name stands for and fetches its parts: from other nodes first, then from its registry. What
// workers say that a name stands for counts last.
//
// What comes in: a name, the nodes that may have it, a resolver for its registry. What goes out: an Image, which is the resolver that
// containerd pulls with. A node that does not answer, breaks off, is slow or has not all of it is left out; the next one, or the
// registry, goes on where it stopped. Package containerd calls it.
package fetch
