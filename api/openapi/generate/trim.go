package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	"google.golang.org/protobuf/proto"
)

type object = map[string]any

// generate reads the documents in dir and returns those of covey by file name, uncompressed.
func generate(dir string, served paths) (map[string][]byte, error) {
	out := map[string][]byte{}
	v2, err := read(filepath.Join(dir, "swagger.json"))
	if err != nil {
		return nil, err
	}
	trimV2(v2, served)
	if out["v2.json"], err = encode(v2); err != nil {
		return nil, err
	}
	if out["v2.pb"], err = toProtobuf(out["v2.json"]); err != nil {
		return nil, err
	}
	for _, gv := range served.groupVersions() {
		name := strings.ReplaceAll(gv, "/", "__")
		doc, err := read(filepath.Join(dir, "v3", name+"_openapi.json"))
		if err != nil {
			return nil, err
		}
		trimV3(doc, served)
		if out["v3/"+name+".json"], err = encode(doc); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// groupVersions are "api/v1", "apis/apps/v1" and so on: the paths that end with a slash.
func (p paths) groupVersions() []string {
	var out []string
	for path := range p {
		if gv, ok := strings.CutSuffix(path, "/"); ok {
			out = append(out, strings.TrimPrefix(gv, "/"))
		}
	}
	return out
}

func read(name string) (object, error) {
	content, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("kubernetes has no such document: %w", err)
	}
	if err != nil {
		return nil, err
	}
	var doc object
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	return doc, decoder.Decode(&doc)
}

func encode(doc object) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(doc)
	return out.Bytes(), err
}

func toProtobuf(doc []byte) ([]byte, error) {
	parsed, err := openapi_v2.ParseDocument(doc)
	if err != nil {
		return nil, fmt.Errorf("parse the trimmed v2 document: %w", err)
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(parsed)
}

func trimV2(doc object, served paths) {
	trimPaths(doc, served)
	// Parameters refer to definitions, never the other way.
	pruneRefs(doc, "parameters", "#/parameters/")
	pruneRefs(doc, "definitions", "#/definitions/")
}

func trimV3(doc object, served paths) {
	trimPaths(doc, served)
	components, _ := doc["components"].(object)
	wrapped := object{"paths": doc["paths"], "schemas": components["schemas"]}
	pruneRefs(wrapped, "schemas", "#/components/schemas/")
}

// trimPaths drops the paths, methods and media types that are not served.
func trimPaths(doc object, served paths) {
	all, _ := doc["paths"].(object)
	for path, item := range all {
		if _, ok := served[path]; !ok {
			delete(all, path)
			continue
		}
		methods, _ := item.(object)
		for key := range methods {
			if !served.keeps(path, key) {
				delete(methods, key)
			}
		}
		dropMedia(item)
	}
}

// dropMedia drops CBOR, which is not spoken.
func dropMedia(node any) {
	switch node := node.(type) {
	case object:
		for key, value := range node {
			if strings.HasPrefix(key, "application/cbor") || strings.HasPrefix(key, "application/apply-patch+cbor") {
				delete(node, key)
				continue
			}
			if list, ok := value.([]any); ok {
				node[key] = withoutCBOR(list)
			}
			dropMedia(node[key])
		}
	case []any:
		for _, value := range node {
			dropMedia(value)
		}
	}
}

func withoutCBOR(list []any) []any {
	out := list[:0]
	for _, value := range list {
		if media, ok := value.(string); ok && strings.Contains(media, "cbor") {
			continue
		}
		out = append(out, value)
	}
	return out
}

// pruneRefs drops the entries of doc[section] that nothing refers to, from the rest of the document or from another
// entry that stays.
func pruneRefs(doc object, section, prefix string) {
	entries, _ := doc[section].(object)
	used := map[string]bool{}
	for key, value := range doc {
		if key != section {
			mark(value, entries, prefix, used)
		}
	}
	for name := range entries {
		if !used[name] {
			delete(entries, name)
		}
	}
}

func mark(node any, entries object, prefix string, used map[string]bool) {
	switch node := node.(type) {
	case object:
		for key, value := range node {
			ref, isText := value.(string)
			name, refers := strings.CutPrefix(ref, prefix)
			if key != "$ref" || !isText || !refers {
				mark(value, entries, prefix, used)
				continue
			}
			if !used[name] {
				used[name] = true
				mark(entries[name], entries, prefix, used)
			}
		}
	case []any:
		for _, value := range node {
			mark(value, entries, prefix, used)
		}
	}
}
