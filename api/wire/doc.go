// Package wire turns requests into objects and objects into responses: JSON, YAML and protobuf, whole or as a stream.
//
// What comes in is an Accept or Content-Type header and bytes; what goes out is the format to answer in, objects of
// k8s.io/api, or bytes. It knows nothing of kinds or storage. Package api calls it.
package wire
