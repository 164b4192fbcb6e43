// Command generate trims Kubernetes' OpenAPI documents to what covey serves.
//
// Its argument is the directory to write v2.json.gz, v2.pb.gz and v3/*.json.gz to. The source is the module
// k8s.io/kubernetes at the version in go.mod.
package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"covey.dev/covey/api/kind"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: generate DIRECTORY")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(to string) error {
	from, err := source()
	if err != nil {
		return err
	}
	docs, err := generate(from, served(kind.All()))
	if err != nil {
		return err
	}
	for name, content := range docs {
		name = filepath.Join(to, name+".gz")
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		packed, err := pack(content)
		if err != nil {
			return err
		}
		if err := os.WriteFile(name, packed, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// source is the directory of Kubernetes' documents.
func source() (string, error) {
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find the module k8s.io/kubernetes: %w: %s", err, stderr.String())
	}
	return filepath.Join(strings.TrimSpace(string(out)), "api", "openapi-spec"), nil
}

// pack compresses without a name or a time, so that the same content gives the same file.
func pack(content []byte) ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(content); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
