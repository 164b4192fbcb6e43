// Package openapi has the OpenAPI documents of what covey serves, and the schemas that server-side apply needs.
//
// The documents are Kubernetes' own, trimmed to covey's paths by the program in generate, compressed and embedded.
// What goes out: HTTP routes for /openapi/v2 and /openapi/v3, and a TypeConverter. Package api calls it.
package openapi

//go:generate go run ./generate .
