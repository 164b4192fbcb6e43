// Package manifest reads the objects that a user's files hold. In go names of files, directories, URLs or "-" for the
// standard input; out come objects in JSON, one after the other, each with where it stands, or what is wrong there. One
// bad document does not hide the next. The commands that have -f call it.
package manifest
