#!/bin/sh
# Builds covey's shim (../shim: containerd's, at covey's own version of containerd) and runc (at the version pinned in
# go.mod beside this script), static and stripped, and puts them compressed into ../assets, where covey embeds them. Does
# nothing when they are there and nothing changed.
#
# It needs a C compiler and libseccomp's header and static library (Debian: build-essential libseccomp-dev).
set -eu
cd "$(dirname "$0")"
assets=../assets
stamp=$assets/.built

want=$(
	cat build.sh go.mod go.sum compress/*.go ../shim/*.go ../output/*.go ../cgroup/*.go ../../logs/*.go | sha256sum
	grep -E 'github.com/(containerd|klauspost)/' ../../../go.mod | sha256sum
	go env GOVERSION GOOS GOARCH
)
if [ -f $assets/runc.zst ] && [ -f $assets/containerd-shim-runc-v2.zst ] && [ "$(cat $stamp 2>/dev/null)" = "$want" ]; then
	exit 0
fi

if ! echo 'int main(void){return 0;}' | ${CC:-cc} -x c -include seccomp.h - -static -lseccomp -o /dev/null 2>/dev/null; then
	echo "build.sh: a C compiler and libseccomp are needed to build runc; on Debian: apt-get install build-essential libseccomp-dev" >&2
	exit 1
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT INT TERM
echo "building runc and containerd-shim-runc-v2 (once)" >&2
CGO_ENABLED=1 go build -trimpath -buildvcs=false -tags "netgo osusergo seccomp" \
	-ldflags "-s -w -extldflags -static" -o "$tmp/runc" github.com/opencontainers/runc
(cd .. && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$tmp/containerd-shim-runc-v2" ./shim)
go build -o "$tmp/compress" ./compress
rm -f $stamp
for name in runc containerd-shim-runc-v2; do
	"$tmp/compress" "$tmp/$name" "$assets/$name.zst"
done
printf '%s\n' "$want" >$stamp
