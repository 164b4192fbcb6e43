// Package client speaks the Kubernetes API for the command line. In go a kubeconfig and requests; out come bodies, decoded
// objects, watch events and exec sessions, and errors that Explain words as kubectl does. It knows no kinds: which there
// are it asks the server (Resources). The covey command calls it.
package client
