//go:build !amd64 && !arm64 && !arm && !riscv64

package containerd

import "embed"

// assets is empty: the runtime is built for the architectures that covey is released for.
var assets embed.FS
