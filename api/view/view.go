package view

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"covey.dev/covey/api/kind"
)

var metaV1 = metav1.SchemeGroupVersion.String()

// Partial is an object's metadata. It shares obj's metadata, so it is only to be read.
func Partial(obj kind.Object) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: metaV1, Kind: "PartialObjectMetadata"},
		ObjectMeta: objectMeta(obj),
	}
}

func objectMeta(obj kind.Object) metav1.ObjectMeta {
	if typed, ok := obj.(interface{ GetObjectMeta() metav1.Object }); ok {
		if m, ok := typed.GetObjectMeta().(*metav1.ObjectMeta); ok {
			return *m
		}
	}
	return metav1.ObjectMeta{}
}

// PartialList is the metadata of a list's objects.
func PartialList(objs []kind.Object, list metav1.ListMeta) *metav1.PartialObjectMetadataList {
	out := &metav1.PartialObjectMetadataList{
		TypeMeta: metav1.TypeMeta{APIVersion: metaV1, Kind: "PartialObjectMetadataList"},
		ListMeta: list,
		Items:    make([]metav1.PartialObjectMetadata, 0, len(objs)),
	}
	for _, obj := range objs {
		out.Items = append(out.Items, *Partial(obj)) // each says its kind, as in Kubernetes
	}
	return out
}

// Table has a row for each object. include says what of the object goes with its row: all, the metadata, or nothing.
func Table(k *kind.Kind, objs []kind.Object, list metav1.ListMeta, include metav1.IncludeObjectPolicy, now time.Time) *metav1.Table {
	out := &metav1.Table{
		TypeMeta:          metav1.TypeMeta{APIVersion: metaV1, Kind: "Table"},
		ListMeta:          list,
		ColumnDefinitions: columns(k),
		Rows:              make([]metav1.TableRow, 0, len(objs)),
	}
	for _, obj := range objs {
		out.Rows = append(out.Rows, row(k, obj, include, now))
	}
	return out
}

// Bookmark is the Table of a watch's bookmark: a row without cells' text that carries obj's metadata.
func Bookmark(k *kind.Kind, obj kind.Object, list metav1.ListMeta) *metav1.Table {
	out := Table(k, nil, list, metav1.IncludeNone, time.Time{})
	cells := make([]any, len(out.ColumnDefinitions))
	for i := range cells {
		cells[i] = ""
	}
	out.Rows = []metav1.TableRow{{Cells: cells, Object: runtime.RawExtension{Object: Partial(obj)}}}
	return out
}

// defaultColumns are for kinds that name none.
var defaultColumns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: "Name of the object."},
	{Name: "Created At", Type: "date", Description: "When the object was created."},
}

func columns(k *kind.Kind) []metav1.TableColumnDefinition {
	if k.Row == nil {
		return defaultColumns
	}
	return k.Columns
}

func row(k *kind.Kind, obj kind.Object, include metav1.IncludeObjectPolicy, now time.Time) metav1.TableRow {
	var out metav1.TableRow
	if k.Row == nil {
		out.Cells = []any{obj.GetName(), obj.GetCreationTimestamp().UTC().Format(time.RFC3339)}
	} else {
		out.Cells = k.Row(obj, now)
	}
	switch include {
	case metav1.IncludeNone:
	case metav1.IncludeObject:
		out.Object = runtime.RawExtension{Object: obj}
	default:
		out.Object = runtime.RawExtension{Object: Partial(obj)}
	}
	return out
}
