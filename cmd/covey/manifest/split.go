package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"sigs.k8s.io/yaml"
)

// MaxDocument is how much one document may hold, in bytes: as much as the server takes.
const MaxDocument = 3 << 20

// document is a part of a source, with the line it begins at (from 0).
type document struct {
	text []byte
	line int
}

// parse reads all documents of a source and hands out what it finds, until found returns false.
func parse(source string, data []byte, found func(*Object, error) bool) bool {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // a byte order mark
	if firstByte(data) == '{' && startsWithJSON(data) {
		return parseJSON(source, data, found)
	}
	docs := split(data)
	for i, doc := range docs {
		where := fmt.Sprintf("%q", source)
		if len(docs) > 1 {
			where += fmt.Sprintf(", document %d", i+1)
		}
		converted, err := toJSON(doc, where)
		if err == nil && converted == nil {
			continue
		}
		if !hand(converted, err, where, found) {
			return false
		}
	}
	return true
}

func hand(doc []byte, err error, where string, found func(*Object, error) bool) bool {
	var all []*Object
	if err == nil {
		all, err = objects(doc, where)
	}
	if err != nil {
		return found(nil, err)
	}
	for _, o := range all {
		if !found(o, nil) {
			return false
		}
	}
	return true
}

// split cuts YAML into its documents; those without content are left out.
func split(data []byte) []document {
	var docs []document
	start, startLine, line := 0, 0, 0
	end := func(at int) {
		if text := data[start:at]; hasContent(text) {
			docs = append(docs, document{text: text, line: startLine})
		}
	}
	for at := 0; at < len(data); line++ {
		next := len(data)
		if n := bytes.IndexByte(data[at:], '\n'); n >= 0 {
			next = at + n + 1
		}
		if isSeparator(data[at:next]) {
			end(at)
			// What follows the dashes on their line belongs to the document they begin.
			start, startLine = at+len("---"), line
		}
		at = next
	}
	end(len(data))
	return docs
}

func isSeparator(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

// hasContent reports that there is more than comments and space.
func hasContent(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' && !bytes.Equal(line, []byte("...")) {
			return true
		}
	}
	return false
}

// toJSON converts one document of YAML; nil is an explicit null. The parser refuses aliases that blow up.
func toJSON(doc document, where string) ([]byte, error) {
	if len(doc.text) > MaxDocument {
		return nil, tooLarge(where, len(doc.text))
	}
	out, err := yaml.YAMLToJSONStrict(doc.text)
	if err != nil {
		// Once more with the lines before it, so that the message counts lines from the top of the file.
		padded := append(bytes.Repeat([]byte("\n"), doc.line), doc.text...)
		if _, again := yaml.YAMLToJSONStrict(padded); again != nil {
			err = again
		}
		return nil, fmt.Errorf("%s: not valid YAML: %w", where, err)
	}
	if len(out) > MaxDocument {
		return nil, tooLarge(where, len(out))
	}
	if bytes.Equal(out, []byte("null")) {
		return nil, nil
	}
	return out, nil
}

func tooLarge(where string, size int) error {
	return fmt.Errorf("%s: one object may have %d MiB, this one has %.1f", where, MaxDocument>>20, float64(size)/(1<<20))
}

// startsWithJSON tells JSON from YAML in braces.
func startsWithJSON(data []byte) bool {
	var first json.RawMessage
	return json.NewDecoder(bytes.NewReader(data)).Decode(&first) == nil
}

func parseJSON(source string, data []byte, found func(*Object, error) bool) bool {
	stream := json.NewDecoder(bytes.NewReader(data))
	for i := 1; ; i++ {
		where := fmt.Sprintf("%q", source)
		if i > 1 {
			where += fmt.Sprintf(", document %d", i)
		}
		var doc json.RawMessage
		err := stream.Decode(&doc)
		switch {
		case errors.Is(err, io.EOF):
			return true
		case err != nil: // nothing can be read behind it
			return found(nil, fmt.Errorf("%s: not valid JSON: %w", where, err))
		case len(doc) > MaxDocument:
			err = tooLarge(where, len(doc))
		}
		if !hand(doc, err, where, found) {
			return false
		}
	}
}
