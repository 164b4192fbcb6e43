package wire

import (
	"strings"

	"github.com/munnerz/goautoneg"
)

// The media types that are spoken in both directions.
const (
	JSON     = "application/json"
	YAML     = "application/yaml"
	Protobuf = "application/vnd.kubernetes.protobuf"
)

// MediaTypes are what a client may ask for, in the order of preference.
var MediaTypes = []string{JSON, YAML, Protobuf}

// Format is how a response is to be written.
type Format struct {
	Media string // JSON, YAML or Protobuf
	// As names another view of the object, such as Table or PartialObjectMetadata; empty for the object itself.
	As, Group, Version string
}

// Negotiate finds the first format of an Accept header, in the client's order of preference, that ok allows.
// No header stands for JSON.
func Negotiate(accept string, ok func(Format) bool) (Format, bool) {
	if strings.TrimSpace(accept) == "" {
		accept = "*/*"
	}
	for _, clause := range goautoneg.ParseAccept(accept) {
		f := Format{As: clause.Params["as"], Group: clause.Params["g"], Version: clause.Params["v"]}
		for _, media := range MediaTypes {
			if !matches(clause, media) {
				continue
			}
			f.Media = media
			if ok(f) {
				return f, true
			}
		}
	}
	return Format{}, false
}

func matches(clause goautoneg.Accept, media string) bool {
	typ, sub, _ := strings.Cut(media, "/")
	if clause.Type == "*" && clause.SubType == "*" {
		return true
	}
	return clause.Type == typ && (clause.SubType == sub || clause.SubType == "*")
}

// ContentType is the header of a response in this format.
func (f Format) ContentType() string {
	if f.As == "" || f.Group != "apidiscovery.k8s.io" {
		return f.Media
	}
	return f.Media + ";g=" + f.Group + ";v=" + f.Version + ";as=" + f.As
}
