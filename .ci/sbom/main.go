// Command sbom puts the bills of materials of covey and of the programs inside it together into one, with the C library
// that runc is linked with:
//
//	sbom -name covey-v1-linux-arm64 -version v1 -time 1700000000 -o covey.cdx.json COVEY covey.json shim.json runc.json
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
)

type options struct {
	name, version, output     string
	seconds                   int64
	libseccomp, libseccompSum string
	binary                    string
	own                       string
	inside                    []string
}

func main() {
	var o options
	flag.StringVar(&o.name, "name", "", "file name of the binary that is described")
	flag.StringVar(&o.version, "version", "", "version of covey")
	flag.Int64Var(&o.seconds, "time", 0, "when it was made, in seconds since 1970")
	flag.StringVar(&o.libseccomp, "libseccomp", "", "version of libseccomp")
	flag.StringVar(&o.libseccompSum, "libseccomp-sum", "", "SHA-256 of its source archive")
	flag.StringVar(&o.output, "o", "", "file to write")
	flag.Parse()
	if flag.NArg() < 2 {
		flag.Usage()
		os.Exit(2)
	}
	o.binary, o.own, o.inside = flag.Arg(0), flag.Arg(1), flag.Args()[2:]
	if err := write(o); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func write(o options) error {
	bom, err := merge(o)
	if err != nil {
		return err
	}
	out, err := os.Create(o.output)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := cdx.NewBOMEncoder(out, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		return err
	}
	return out.Close()
}

// merge begins with covey's own bill and adds what the others have beside.
func merge(o options) (*cdx.BOM, error) {
	bom, err := read(o.own)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(o.binary)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	main := bom.Metadata.Component
	main.Name, main.Type, main.Version = o.name, cdx.ComponentTypeApplication, o.version
	main.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}
	for _, name := range o.inside {
		part, err := read(name)
		if err != nil {
			return nil, err
		}
		add(bom, part)
	}
	library := cdx.Component{
		BOMRef: "pkg:generic/libseccomp@" + o.libseccomp, PackageURL: "pkg:generic/libseccomp@" + o.libseccomp,
		Type: cdx.ComponentTypeLibrary, Name: "libseccomp", Version: o.libseccomp,
		Licenses: &cdx.Licenses{{License: &cdx.License{ID: "LGPL-2.1-only"}}},
		ExternalReferences: &[]cdx.ExternalReference{{
			Type: cdx.ERTypeDistribution, Comment: "source archive; linked statically into runc",
			URL:    "https://github.com/seccomp/libseccomp/releases/download/v" + o.libseccomp + "/libseccomp-" + o.libseccomp + ".tar.gz",
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: o.libseccompSum}},
		}},
	}
	*bom.Components = append(*bom.Components, library)
	slices.SortFunc(*bom.Components, func(a, b cdx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	bom.Metadata.Timestamp = time.Unix(o.seconds, 0).UTC().Format(time.RFC3339)
	// Of what is described, so that the same binary has the same.
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, sum[:]).URN()
	return bom, nil
}

func read(name string) (*cdx.BOM, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	bom := new(cdx.BOM)
	if err := cdx.NewBOMDecoder(in, cdx.BOMFileFormatJSON).Decode(bom); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if bom.Components == nil || bom.Metadata == nil || bom.Metadata.Component == nil {
		return nil, fmt.Errorf("read %s: it names no components", name)
	}
	return bom, nil
}

// add adds a program that is inside, and its components and who depends on what, where they are not there yet.
func add(to, part *cdx.BOM) {
	have := map[string]bool{}
	for _, c := range *to.Components {
		have[c.BOMRef] = true
	}
	for _, c := range append([]cdx.Component{*part.Metadata.Component}, *part.Components...) {
		if !have[c.BOMRef] && c.BOMRef != to.Metadata.Component.BOMRef {
			have[c.BOMRef] = true
			*to.Components = append(*to.Components, c)
		}
	}
	if part.Dependencies == nil || to.Dependencies == nil {
		return
	}
	known := map[string]bool{}
	for _, d := range *to.Dependencies {
		known[d.Ref] = true
	}
	for _, d := range *part.Dependencies {
		if !known[d.Ref] {
			*to.Dependencies = append(*to.Dependencies, d)
		}
	}
}
