// Package view makes the other shapes of an object that a client may ask for: a row of a Table, or its metadata alone.
//
// What comes in is an object with its kind, what goes out is a metav1.Table or PartialObjectMetadata. Package api calls it.
package view
