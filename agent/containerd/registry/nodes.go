package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"covey.dev/covey/agent"
)

// What nodes say to each other in headers, beside what the specification has.
const (
	// HeaderCredential names, in a request, the credential that the image would be pulled from its registry with; in an answer, the
	// one that it was pulled with. See Credential.
	HeaderCredential = "Covey-Credential"
	// HeaderLoaded says that the image did not come from a registry.
	HeaderLoaded = "Covey-Loaded"
	// HeaderDigest is the digest of what is answered with.
	HeaderDigest = "Docker-Content-Digest"
)

// Labels on images that say how they came.
const (
	LabelLoaded     = "covey.dev/loaded"     // by hand, "true"
	LabelCredential = "covey.dev/credential" // the name of the credential that its registry wanted to see
)

// ForNodes serves images to other nodes, read-only. A node learns what a name or digest stands for (HEAD, and GET of a tag) only of
// images that no registry wanted a credential for, or if it has the same credential. Content whose digest it knows it is given.
func (g *Registry) ForNodes() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(g.In(r.Context()))
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		if r.URL.Path == "/v2/" {
			_, _ = io.WriteString(w, "{}")
			return
		}
		err := g.forNodes(w, r)
		if err != nil {
			g.refuse(w, r, err)
		}
	})
}

func (g *Registry) forNodes(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return &failure{http.StatusMethodNotAllowed, "UNSUPPORTED", "images are only read here"}
	}
	asked, ok := parse(r.URL.Path)
	if !ok {
		return &failure{http.StatusNotFound, "NAME_UNKNOWN", "no such path"}
	}
	d, err := digest.Parse(asked.id)
	if err == nil && (asked.kind == "blobs" || r.Method == http.MethodGet) {
		return g.sendLimited(w, r, asked.kind, d)
	}
	if asked.kind != "manifests" {
		return &failure{http.StatusNotFound, "NAME_UNKNOWN", "no such path"}
	}
	if r.URL.Query().Get("ns") == agent.LocalRegistry { // of which this node may have run an older image
		if err := g.pushedFor(w, r, asked); !errdefs.IsNotFound(err) {
			return err
		}
	}
	image, err := g.imageFor(r, asked)
	if errdefs.IsNotFound(err) {
		return g.pushedFor(w, r, asked)
	}
	if err != nil {
		return err
	}
	if image.Labels[LabelLoaded] != "" {
		w.Header().Set(HeaderLoaded, image.Labels[LabelLoaded])
	}
	if image.Labels[LabelCredential] != "" {
		w.Header().Set(HeaderCredential, image.Labels[LabelCredential])
	}
	w.Header().Set("Last-Modified", image.UpdatedAt.UTC().Format(http.TimeFormat))
	return g.send(w, r, "manifests", image.Target.Digest)
}

// pushedFor says what a name stands for that was pushed to the cluster, wherever its content is.
func (g *Registry) pushedFor(w http.ResponseWriter, r *http.Request, asked request) error {
	desc, err := g.Resolve(r.Context(), joinName(r.URL.Query().Get("ns")+"/"+asked.name, asked.id))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", desc.MediaType)
	w.Header().Set("Content-Length", strconv.FormatInt(desc.Size, 10))
	w.Header().Set(HeaderDigest, desc.Digest.String())
	w.Header().Set(HeaderLoaded, "true")
	w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat)) // it holds now
	if r.Method == http.MethodGet {
		return g.send(w, r, "manifests", desc.Digest)
	}
	return nil
}

// imageFor finds an image by its name or digest that the node may know of.
func (g *Registry) imageFor(r *http.Request, asked request) (images.Image, error) {
	name := joinName(r.URL.Query().Get("ns")+"/"+asked.name, asked.id)
	var found []images.Image
	if d, err := digest.Parse(asked.id); err == nil {
		if found, err = g.Images.List(r.Context(), "target.digest=="+d.String()); err != nil {
			return images.Image{}, err
		}
	} else {
		image, err := g.Images.Get(r.Context(), name)
		if err != nil && !errdefs.IsNotFound(err) {
			return images.Image{}, err
		}
		if err == nil {
			found = append(found, image)
		}
	}
	for _, image := range found {
		if with := image.Labels[LabelCredential]; with == "" || slices.Contains(r.Header.Values(HeaderCredential), with) {
			return image, nil
		}
	}
	return images.Image{}, fmt.Errorf("image %s: %w", name, errdefs.ErrNotFound)
}

// sendLimited sends content unless too many nodes are being sent to already.
func (g *Registry) sendLimited(w http.ResponseWriter, r *http.Request, kind string, d digest.Digest) error {
	if r.Method == http.MethodGet && kind == "blobs" {
		select {
		case g.sending <- struct{}{}:
			defer func() { <-g.sending }()
		default:
			w.Header().Set("Retry-After", "1")
			return &failure{http.StatusServiceUnavailable, "TOOMANYREQUESTS", "enough nodes are being sent to"}
		}
	}
	return g.send(w, r, kind, d)
}

// send answers with content, or a part of it if a range is asked for.
func (g *Registry) send(w http.ResponseWriter, r *http.Request, kind string, d digest.Digest) error {
	media := "application/octet-stream"
	if kind == "manifests" {
		ctx, info, err := g.locate(r.Context(), d)
		if err != nil {
			return err
		}
		if media, err = mediaType(ctx, g.Content, info); err != nil {
			return err
		}
	}
	return g.sendAs(w, r, media, d)
}

// locate finds content among the images of pods and what was pushed.
func (g *Registry) locate(ctx context.Context, d digest.Digest) (context.Context, content.Info, error) {
	in := g.In(ctx)
	info, err := g.Content.Info(in, d)
	if errdefs.IsNotFound(err) {
		in = g.InPushed(ctx)
		info, err = g.Content.Info(in, d)
	}
	return in, info, err
}

func (g *Registry) sendAs(w http.ResponseWriter, r *http.Request, media string, d digest.Digest) error {
	ctx, info, err := g.locate(r.Context(), d)
	if err != nil {
		return err
	}
	reader, err := g.Content.ReaderAt(ctx, ocispec.Descriptor{Digest: d, Size: info.Size})
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close() }()
	header := w.Header()
	header.Set("Content-Type", media)
	header.Set(HeaderDigest, d.String())
	header.Set("ETag", strconv.Quote(d.String()))
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(reader, 0, info.Size))
	return nil
}
