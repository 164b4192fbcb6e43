// Package boltfile opens bbolt files so that a damaged one is an error that names it, not a crash of the process.
//
// What comes in: the path of a bbolt file, or of a file to lock. What goes out: the open database, or one error that says
// which file is damaged and how. bbolt itself panics, or dies of SIGBUS where the file is shorter than it should be.
//
// Callers: store (its state file) and store/raft (the log).
package boltfile
