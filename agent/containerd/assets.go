package containerd

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

// ErrNoRuntime is returned by Open of a covey that was compiled without the programs it runs containers with.
var ErrNoRuntime = errors.New("this covey was built without its container runtime: build it with make")

// programs are the paths of the unpacked programs.
type programs struct {
	shim, runc string
	version    string // a hash over both, to tell those of another covey
}

// unpackPrograms puts the embedded programs into a folder of their own below dir, if they are not there yet whole.
func unpackPrograms(dir string) (programs, error) {
	names := [2]string{"containerd-shim-runc-v2", "runc"}
	var packed [2][]byte
	sum := sha256.New()
	for i, name := range names {
		content, err := assets.ReadFile(path.Join("assets", runtime.GOARCH, name+".zst"))
		if errors.Is(err, fs.ErrNotExist) {
			return programs{}, ErrNoRuntime
		}
		if err != nil {
			return programs{}, err
		}
		packed[i] = content
		sum.Write(content)
	}
	p := programs{version: hex.EncodeToString(sum.Sum(nil))[:12]}
	dir = filepath.Join(dir, p.version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return programs{}, fmt.Errorf("unpack container runtime: %w", err)
	}
	p.shim, p.runc = filepath.Join(dir, names[0]), filepath.Join(dir, names[1])
	for i, path := range []string{p.shim, p.runc} {
		if err := unpack(packed[i], path); err != nil {
			return programs{}, fmt.Errorf("unpack container runtime to %s: %w", path, err)
		}
	}
	return p, nil
}

// unpack writes one program. It appears whole or not at all; one that is there but not whole (the machine lost power) is
// written again.
func unpack(packed []byte, path string) error {
	mark := path + ".size" // written last; reading 25 MB at each start to hash them would cost more than it tells
	if whole(path, mark) {
		return nil
	}
	dec, err := newDecoder(packed)
	if err != nil {
		return err
	}
	defer dec.Close()
	part, err := os.CreateTemp(filepath.Dir(path), ".part-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(part.Name()) }() // gone when all went well
	defer part.Close()
	size, err := io.Copy(part, dec)
	if err != nil {
		return err
	}
	if err := errors.Join(part.Chmod(0o755), part.Sync(), part.Close()); err != nil {
		return err
	}
	if err := os.Rename(part.Name(), path); err != nil {
		return err
	}
	return os.WriteFile(mark, fmt.Appendf(nil, "%d\n", size), 0o644)
}

func whole(path, mark string) bool {
	var size int64
	content, err := os.ReadFile(mark)
	if err != nil {
		return false
	}
	if _, err := fmt.Sscan(string(content), &size); err != nil {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Size() == size && info.Mode().Perm() == 0o755
}

func newDecoder(packed []byte) (*zstd.Decoder, error) {
	return zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
}
