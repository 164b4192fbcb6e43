package main

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// passwd lets an image name its user.
const passwd = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n"

// layer makes the one layer of the image: an uncompressed tar, with fixed owners and times.
func (o *options) layer() ([]byte, error) {
	var buf bytes.Buffer
	w := &layerWriter{tar: tar.NewWriter(&buf), dirs: map[string]bool{".": true, "/": true}}
	err := w.base()
	for _, arg := range o.files {
		if err == nil {
			err = w.add(arg)
		}
	}
	for _, arg := range o.links {
		if err == nil {
			err = w.link(arg)
		}
	}
	if err != nil {
		return nil, err
	}
	return buf.Bytes(), w.tar.Close()
}

type layerWriter struct {
	tar  *tar.Writer
	dirs map[string]bool
}

func (w *layerWriter) base() error {
	if err := w.dir("tmp", 0o1777); err != nil {
		return err
	}
	return w.file("etc/passwd", 0o644, []byte(passwd))
}

// add copies a file or a folder.
func (w *layerWriter) add(arg string) error {
	from, to, err := split(arg, ":")
	if err != nil {
		return err
	}
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		return w.entry(name, path.Join(to, filepath.ToSlash(rel)), d)
	})
}

func (w *layerWriter) entry(from, to string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	switch {
	case d.IsDir():
		return w.dir(clean(to), info.Mode().Perm())
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return w.symlink(to, target)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return w.file(clean(to), info.Mode().Perm(), data)
}

func (w *layerWriter) link(arg string) error {
	name, target, err := split(arg, "=")
	if err != nil {
		return err
	}
	return w.symlink(name, target)
}

func (w *layerWriter) symlink(name, target string) error {
	if err := w.parents(clean(name)); err != nil {
		return err
	}
	return w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: clean(name), Linkname: target, Mode: 0o777})
}

func (w *layerWriter) file(name string, mode fs.FileMode, data []byte) error {
	if err := w.parents(name); err != nil {
		return err
	}
	if err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(mode), Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := io.Copy(w.tar, bytes.NewReader(data))
	return err
}

func (w *layerWriter) dir(name string, mode fs.FileMode) error {
	if w.dirs[name] {
		return nil
	}
	if err := w.parents(name); err != nil {
		return err
	}
	w.dirs[name] = true
	return w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: int64(mode)})
}

func (w *layerWriter) parents(name string) error { return w.dir(path.Dir(name), 0o755) }

func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }
