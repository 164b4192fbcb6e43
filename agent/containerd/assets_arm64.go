package containerd

import "embed"

//go:embed all:assets/arm64
var assets embed.FS
