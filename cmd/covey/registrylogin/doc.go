// Package registrylogin writes what docker, skopeo, podman and crane read to find their way into a registry: credentials, and the
// authority of its certificate.
//
// What comes in: the registry's address, a user and a password, a certificate. What goes out: files in the places where those programs
// look. The command line calls it.
package registrylogin
