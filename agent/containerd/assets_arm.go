package containerd

import "embed"

//go:embed all:assets/arm
var assets embed.FS
