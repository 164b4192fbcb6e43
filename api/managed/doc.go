// Package managed tracks which client owns which field, and does server-side apply.
//
// What comes in is a live object and a wanted or applied one; what goes out is the wanted object with
// metadata.managedFields, or a Status error that names the conflicts. It wraps apimachinery's managedfields so that
// external types suffice, and does what is common in plain writes itself, with less work. Package api calls it.
package managed
