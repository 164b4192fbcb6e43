package containerd

import "embed"

//go:embed all:assets/amd64
var assets embed.FS
