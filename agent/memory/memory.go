// Package memory gives back what a program that lives for months needs only while something changes: covey itself, and the
// shims.
package memory

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Release gives back freed heap, and the pages of the program file, most of which the start touches once. The kernel maps
// those that are used again when they are used again.
func Release() error {
	debug.FreeOSMemory()
	if !plainProgram() {
		return nil
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer func() { _ = maps.Close() }()
	var errs []error
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		line := lines.Text()
		if !strings.HasSuffix(line, self) || strings.Contains(line, " rw") {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			return fmt.Errorf("read /proc/self/maps: %w", err)
		}
		// The mapping is read-only and backed by the program file: what is dropped is read again from it.
		mapping := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), from)), to-from)
		errs = append(errs, unix.Madvise(mapping, unix.MADV_DONTNEED))
	}
	return errors.Join(errs...)
}

// plainProgram reports whether the program file is mapped as it is. In one that is linked with C or may be loaded anywhere,
// read-only pages hold what the loader wrote to them, which the file does not have.
func plainProgram() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	return settings["CGO_ENABLED"] == "0" && settings["-buildmode"] == "exe"
}
