package containerd

import "embed"

//go:embed all:assets/riscv64
var assets embed.FS
