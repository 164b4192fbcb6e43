// Package patch applies JSON patches, merge patches and strategic merge patches to JSON documents.
//
// What comes in is a document and a patch, what goes out is the patched document or a Status error. Package api calls it.
package patch
