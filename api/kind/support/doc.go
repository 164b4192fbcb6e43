// Package support says, field by field, what covey does with an object: it acts on the field, it stores it and warns that
// it does not act on it, or it refuses the object.
//
// What comes in: an object of k8s.io/api. What goes out: warnings and field errors, and for docs/fields.md the tables
// themselves. There is one table for each struct type; a test walks the types and fails for a field that no table names,
// so that none is ignored in silence. Package kind calls it at writes.
package support

//go:generate go run ./generate -out ../../../docs/fields.md
