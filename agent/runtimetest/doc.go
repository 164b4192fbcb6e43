// Package runtimetest holds what tests of agent.Runtime and of its users share: Run, the conformance suite that every
// implementation passes, and Fake, an implementation in memory whose processes are Go functions.
//
// The suite runs the programs named in Programs, which the fake has built in and which the image of
// runtimetest/imagetest holds as real ones.
package runtimetest
