// Command image packs files into an OCI image archive, without Docker and without a registry:
//
//	go run ./examples/image -o hello.tar -name hello:1.0 -entrypoint /hello hello:/hello
//
// Each argument is FILE:PATH, a file or folder and where it goes. The same input gives the same archive.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"strings"
)

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.output, "o", "image.tar", "archive to write")
	flag.StringVar(&o.name, "name", "", "name of the image, such as hello:1.0")
	flag.StringVar(&o.arch, "arch", runtime.GOARCH, "architecture of the files")
	flag.StringVar(&o.user, "user", "", "user that the image runs as")
	flag.Func("entrypoint", "first word of the command; repeat for more", func(s string) error { o.entrypoint = append(o.entrypoint, s); return nil })
	flag.Func("env", "KEY=value; may be repeated", func(s string) error { o.env = append(o.env, s); return nil })
	flag.Func("symlink", "PATH=TARGET; may be repeated", func(s string) error { o.links = append(o.links, s); return nil })
	flag.Parse()
	o.files = flag.Args()
	if err := o.run(); err != nil {
		log.Fatal(err)
	}
}

type options struct {
	output, name, arch, user string
	entrypoint, env          []string
	links, files             []string
}

func (o *options) run() (err error) {
	if o.name == "" {
		return errors.New("-name is missing: what is the image to be called?")
	}
	l, err := o.layer()
	if err != nil {
		return err
	}
	f, err := os.Create(o.output)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	return o.writeArchive(f, l)
}

// split cuts "a:b" at the last colon.
func split(arg, sep string) (string, string, error) {
	i := strings.LastIndex(arg, sep)
	if i <= 0 || i == len(arg)-1 {
		return "", "", fmt.Errorf("%q: want two paths with %q between them", arg, sep)
	}
	return arg[:i], arg[i+1:], nil
}
