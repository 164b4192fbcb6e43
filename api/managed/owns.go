package managed

import (
	"encoding/json"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// few is how many fields are looked for in an entry's JSON; to find more, it is decoded.
const few = 64

// unchanged says that an entry stays as it is, without decoding it: either it has none of the fields that are written and
// gains none, or it gains what is written and has all of it. It may say false where it is true.
func unchanged(raw []byte, written, gains *fieldpath.Set) bool {
	wanted := written.Size()
	if wanted > few || gains.Size() > 0 && gains.Size() != wanted {
		return false
	}
	fields, err := index(written)
	if err != nil {
		return false
	}
	s := scanner{raw: raw}
	found := s.members(fields)
	if s.bad {
		return false
	}
	if gains.Size() > 0 {
		return found == wanted
	}
	return found == 0
}

// fields are those of a set, by the names that they have in JSON.
type fields map[string]*below

type below struct {
	member   bool
	children fields
}

func index(set *fieldpath.Set) (fields, error) {
	out := fields{}
	for path := range set.All() {
		at := out
		for i, element := range path {
			name, err := fieldpath.SerializePathElement(element)
			if err != nil {
				return nil, err
			}
			b := at[name]
			if b == nil {
				b = &below{children: fields{}}
				at[name] = b
			}
			b.member = b.member || i == len(path)-1
			at = b.children
		}
	}
	return out, nil
}

// scanner reads the JSON of a set of fields: objects in objects, whose names are fields and ".", which stands for the object itself.
// A field with an empty object is a member of the set, and one with "." in it.
type scanner struct {
	raw []byte
	at  int
	bad bool // it is not of that form
}

// members reads an object, and counts the fields in it that are looked for and are members.
func (s *scanner) members(wanted fields) (found int) {
	s.object(func(name []byte) {
		b := wanted[string(name)]
		if b == nil {
			s.skip()
			return
		}
		empty, self := true, false
		s.peek(func(name []byte) {
			empty = false
			self = self || string(name) == "."
		})
		if b.member && (empty || self) {
			found++
		}
		found += s.members(b.children)
	})
	return found
}

// peek reads the names in the object that follows, and goes back.
func (s *scanner) peek(each func(name []byte)) {
	begin := s.at
	s.object(func(name []byte) {
		each(name)
		s.skip()
	})
	s.at = begin
}

// object calls each for every name, which has to read what follows it.
func (s *scanner) object(each func(name []byte)) {
	if !s.take('{') {
		s.bad = true
		return
	}
	if s.take('}') {
		return
	}
	for !s.bad {
		name := s.text()
		if !s.take(':') {
			s.bad = true
			return
		}
		each(name)
		if s.take('}') {
			return
		}
		if !s.take(',') {
			s.bad = true
		}
	}
}

func (s *scanner) take(char byte) bool {
	if s.at < len(s.raw) && s.raw[s.at] == char {
		s.at++
		return true
	}
	return false
}

// text reads a string.
func (s *scanner) text() []byte {
	begin := s.at
	if !s.take('"') {
		s.bad = true
		return nil
	}
	escaped := false
	for ; s.at < len(s.raw); s.at++ {
		switch s.raw[s.at] {
		case '\\':
			escaped = true
			s.at++
		case '"':
			s.at++
			return s.unquote(s.raw[begin:s.at], escaped)
		}
	}
	s.bad = true
	return nil
}

func (s *scanner) unquote(quoted []byte, escaped bool) []byte {
	if !escaped {
		return quoted[1 : len(quoted)-1]
	}
	var text string
	s.bad = s.bad || json.Unmarshal(quoted, &text) != nil
	return []byte(text)
}

// skip reads an object without looking at it.
func (s *scanner) skip() {
	depth := 0
	for s.at < len(s.raw) {
		switch s.raw[s.at] {
		case '{':
			depth++
		case '}':
			depth--
		case '"':
			for s.at++; s.at < len(s.raw) && s.raw[s.at] != '"'; s.at++ {
				if s.raw[s.at] == '\\' {
					s.at++
				}
			}
		}
		s.at++
		if depth == 0 {
			return
		}
	}
	s.bad = true
}
