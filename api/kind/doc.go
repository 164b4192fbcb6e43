// Package kind says what each kind of object is: its names, defaults, validation, columns, and what may change.
//
// There is one file per kind. What comes in is an object of k8s.io/api, what goes out is that object defaulted and
// prepared, the field errors and warnings it gives, and its row in a Table. The package does no I/O; package api calls it.
package kind
