// Package keyring finds the credentials for an image among those that pods and the node have for registries.
//
// What comes in: docker's configuration, from Secrets of type kubernetes.io/dockerconfigjson and kubernetes.io/dockercfg
// and from the node's own file. What goes out: the credentials to try for an image, the most specific first. Package agent
// calls it before each pull.
package keyring
