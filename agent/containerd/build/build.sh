#!/bin/sh
# Builds covey's shim (../shim: containerd's, at covey's own version of containerd) and runc (at the version pinned in
# go.mod beside this script), static and stripped, and puts them compressed into ../assets, where covey embeds them. Does
# nothing when they are there and nothing changed.
#
# They are for the architecture that GOARCH (and GOARM) name, by default this machine's. It needs a C compiler for it (CC)
# and libseccomp's header and static library (Debian: build-essential libseccomp-dev; for another architecture .ci/release
# builds it and names it in PKG_CONFIG_PATH).
set -eu
cd "$(dirname "$0")"
goos=$(go env GOOS) goarch=$(go env GOARCH)
assets=../assets/$goarch
stamp=../assets/.built-$goarch

want=$(
	cat build.sh go.mod go.sum compress/*.go ../shim/*.go ../output/*.go ../cgroup/*.go ../../logs/*.go ../../memory/*.go | sha256sum
	grep -E 'github.com/(containerd|klauspost)/' ../../../go.mod | sha256sum
	echo "$goos $goarch $(go env GOVERSION GOARM | tr '\n' ' ')"
)
if [ -f "$assets/runc.zst" ] && [ -f "$assets/containerd-shim-runc-v2.zst" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then
	exit 0
fi

cc=${CC:-cc}
if ! echo 'int main(void){return 0;}' | $cc -x c -include seccomp.h - -static $(pkg-config --cflags --libs --static libseccomp 2>/dev/null || echo -lseccomp) -o /dev/null 2>/dev/null; then
	echo "build.sh: a C compiler and libseccomp are needed to build runc; on Debian: apt-get install build-essential libseccomp-dev" >&2
	exit 1
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT INT TERM
echo "building runc and containerd-shim-runc-v2 for $goarch (once)" >&2
# Without a build ID, which would tell the folder that it was built in.
CGO_ENABLED=1 go build -trimpath -buildvcs=false -tags "netgo osusergo seccomp" \
	-ldflags "-s -w -buildid= -extldflags -static" -o "$tmp/runc" github.com/opencontainers/runc
(cd .. && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -buildid=" -o "$tmp/containerd-shim-runc-v2" ./shim)
GOOS= GOARCH= GOARM= CC= go build -o "$tmp/compress" ./compress
rm -f "$stamp"
for name in runc containerd-shim-runc-v2; do
	"$tmp/compress" "$tmp/$name" "$assets/$name.zst"
done
printf '%s\n' "$want" >"$stamp"
