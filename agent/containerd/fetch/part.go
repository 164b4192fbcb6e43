package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// nodePatience is how long a node may send nothing before the next one is asked.
	nodePatience = 10 * time.Second
	// busyWait is how long to wait, about, before nodes are asked again that send to enough others already, and mostBusy how long in
	// all before the registry is asked.
	busyWait = time.Second
	mostBusy = 5 * time.Minute
)

var (
	errBusy   = errors.New("it sends to enough others")
	errSilent = errors.New("it sends nothing")
)

// part reads a part of the image, wherever it can be had.
type part struct {
	image  *Image
	ctx    context.Context
	desc   ocispec.Descriptor
	failed map[string]bool // nodes that do not have it
	why    error           // the last that a node failed with

	rc     io.ReadCloser // nil when it is not open
	node   string        // that rc reads from; "" for another source
	source string        // to be told of; "" for this machine
	offset int64
	closed bool
}

func (p *part) Read(b []byte) (int, error) {
	for {
		if p.closed || p.offset >= p.desc.Size {
			return 0, io.EOF
		}
		if p.rc == nil {
			if err := p.open(); err != nil {
				return 0, err
			}
		}
		n, err := p.rc.Read(b[:min(int64(len(b)), p.desc.Size-p.offset)])
		p.offset += int64(n)
		p.image.count(p.source, n)
		if p.node == "" {
			return n, err
		}
		if err != nil {
			p.shut()
			if p.offset < p.desc.Size {
				p.image.leave(p.node)
				p.why = fmt.Errorf("node %s: %w", p.node, err)
			}
		}
		if n > 0 {
			return n, nil
		}
	}
}

// Seek implements io.Seeker, by which a part that is there goes on.
func (p *part) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += p.offset
	case io.SeekEnd:
		offset += p.desc.Size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d: %w", offset, errdefs.ErrInvalidArgument)
	}
	if offset != p.offset {
		p.shut()
		p.offset = offset
	}
	return offset, nil
}

func (p *part) Close() error {
	p.closed = true
	p.shut()
	return nil
}

func (p *part) shut() {
	if p.rc != nil {
		_ = p.rc.Close()
		p.rc = nil
	}
}

// open finds somebody who has the part.
func (p *part) open() error {
	if here, err := p.image.find.Here(p.ctx, p.desc); err == nil {
		p.rc, p.node, p.source = section{io.NewSectionReader(here, p.offset, p.desc.Size-p.offset), here}, "", ""
		return nil
	}
	for waited := time.Duration(0); ; {
		busy, err := p.openNode()
		if err != nil || p.rc != nil {
			return err
		}
		if !busy || waited >= mostBusy {
			break
		}
		wait := busyWait/2 + rand.N(busyWait)
		waited += wait
		select {
		case <-p.ctx.Done():
			return p.ctx.Err()
		case <-time.After(wait):
		}
	}
	rc, err := p.image.fromRegistry(p.ctx, p.desc, p.offset)
	if err != nil {
		return errors.Join(err, p.why)
	}
	p.rc, p.node, p.source = rc, "", p.image.domain()
	return nil
}

// section reads a part that is on this machine.
type section struct {
	io.Reader
	io.Closer
}

// openNode asks the nodes one after the other. busy says that one has it, and is to be asked again.
func (p *part) openNode() (busy bool, err error) {
	for _, node := range p.image.candidates(p.failed) {
		rc, err := p.ask(node)
		switch {
		case err == nil:
			p.rc, p.node, p.source = rc, node, node
			return false, nil
		case p.ctx.Err() != nil:
			return false, p.ctx.Err()
		case errors.Is(err, errBusy):
			busy = true
		case errdefs.IsNotFound(err) && !p.image.isTarget(p.desc.Digest):
			p.failed[node] = true
		default:
			p.image.leave(node)
			p.why = fmt.Errorf("node %s: %w", node, err)
		}
	}
	return busy, nil
}

// ask asks one node for the part from the offset on.
func (p *part) ask(node string) (io.ReadCloser, error) {
	kind := "blobs"
	if images.IsManifestType(p.desc.MediaType) || images.IsIndexType(p.desc.MediaType) {
		kind = "manifests"
	}
	ctx, cancel := context.WithCancelCause(p.ctx)
	req, err := p.image.find.request(ctx, http.MethodGet, node, kind, p.desc.Digest.String())
	if err != nil {
		cancel(nil)
		return nil, err
	}
	if p.offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", p.offset))
	}
	stream := &stream{ctx: ctx, cancel: cancel, timer: time.AfterFunc(nodePatience, func() { cancel(errSilent) })}
	resp, err := p.image.find.client.Do(req)
	stream.timer.Stop()
	if err != nil {
		cancel(nil)
		return nil, err
	}
	stream.ReadCloser = resp.Body
	if err := p.check(resp); err != nil {
		_ = stream.Close()
		return nil, err
	}
	return stream, nil
}

// check says why an answer is not the part from the offset on.
func (p *part) check(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return errdefs.ErrNotFound
	case resp.StatusCode == http.StatusServiceUnavailable:
		return errBusy
	case p.offset == 0 && resp.StatusCode == http.StatusOK, p.offset > 0 && resp.StatusCode == http.StatusPartialContent:
		if resp.ContentLength == p.desc.Size-p.offset {
			return nil
		}
		return fmt.Errorf("it sends %d bytes, want %d", resp.ContentLength, p.desc.Size-p.offset)
	}
	return fmt.Errorf("unexpected status %s", resp.Status)
}

// stream is a body that ends when nothing comes for too long.
type stream struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func (s *stream) Read(b []byte) (int, error) {
	s.timer.Reset(nodePatience)
	n, err := s.ReadCloser.Read(b)
	s.timer.Stop()
	if cause := context.Cause(s.ctx); errors.Is(cause, errSilent) {
		err = cause
	}
	return n, err
}

func (s *stream) Close() error {
	s.timer.Stop()
	s.cancel(nil)
	return s.ReadCloser.Close()
}
