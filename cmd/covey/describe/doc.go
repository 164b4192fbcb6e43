// Package describe puts objects into words for people: in go an object, what belongs to it and its events, all fetched
// already; out comes the text of the describe command, in the layout that users know from kubectl. It asks nobody and has
// no clock.
package describe
