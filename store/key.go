package store

import "strings"

// String is the key as people write it: "pods default/web" or "nodes n1".
func (k Key) String() string {
	if k.Namespace == "" {
		return k.Resource + " " + k.Name
	}
	return k.Resource + " " + k.Namespace + "/" + k.Name
}

// The tree's order is the byte order of its keys. NUL sorts before every byte that a name may hold, so the keys of one
// namespace stay together and a namespace sorts before those that begin with its name.
const keySeparator = "\x00"

func (k Key) encode() string {
	return k.Resource + keySeparator + k.Namespace + keySeparator + k.Name
}

// decodeKey is the inverse of encode; ok is false for bytes that encode never made.
func decodeKey(s string) (k Key, ok bool) {
	resource, rest, ok := strings.Cut(s, keySeparator)
	if !ok {
		return Key{}, false
	}
	namespace, name, ok := strings.Cut(rest, keySeparator)
	k = Key{Resource: resource, Namespace: namespace, Name: name}
	return k, ok && k.valid()
}

func (k Key) valid() bool {
	return k.Resource != "" && k.Name != "" &&
		!strings.Contains(k.Resource, keySeparator) &&
		!strings.Contains(k.Namespace, keySeparator) &&
		!strings.Contains(k.Name, keySeparator)
}

// keyPrefix begins the keys of a resource, or of a resource in one namespace.
func keyPrefix(resource, namespace string) string {
	if namespace == "" {
		return resource + keySeparator
	}
	return resource + keySeparator + namespace + keySeparator
}
