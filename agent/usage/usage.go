package usage

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Use is what was used: of the processor since the start, and of memory now.
type Use struct {
	CPU time.Duration
	// Memory is the working set in bytes: what is used but for the files that can be dropped first.
	Memory uint64
}

// Reader reads below the folders given; Machine is the one for the machine's own.
type Reader struct{ Cgroups, Proc string }

// Machine reads what the kernel shows.
func Machine() Reader { return Reader{Cgroups: "/sys/fs/cgroup", Proc: "/proc"} }

// Cgroup reads the use of a cgroup. The error is fs.ErrNotExist when it has gone.
func (r Reader) Cgroup(path string) (Use, error) {
	if _, err := os.Stat(filepath.Join(r.Cgroups, "cgroup.controllers")); err == nil {
		return r.v2(filepath.Join(r.Cgroups, path))
	}
	return r.v1(path)
}

func (r Reader) v2(dir string) (Use, error) {
	cpu, err := field(filepath.Join(dir, "cpu.stat"), "usage_usec")
	if err != nil {
		return Use{}, err
	}
	memory, err := workingSet(dir, "memory.current", "inactive_file")
	return Use{time.Duration(cpu) * time.Microsecond, memory}, err
}

func (r Reader) v1(path string) (Use, error) {
	cpu, err := number(filepath.Join(r.Cgroups, "cpuacct", path, "cpuacct.usage"))
	if err != nil {
		return Use{}, err
	}
	memory, err := workingSet(filepath.Join(r.Cgroups, "memory", path), "memory.usage_in_bytes", "total_inactive_file")
	return Use{time.Duration(cpu), memory}, err
}

func workingSet(dir, usage, inactive string) (uint64, error) {
	used, err := number(filepath.Join(dir, usage))
	if err != nil {
		return 0, err
	}
	files, err := field(filepath.Join(dir, "memory.stat"), inactive)
	if err != nil {
		return 0, err
	}
	return used - min(files, used), nil
}

// userHz is the unit of the processor times in /proc/stat, which is the same on every machine that Go runs on.
const userHz = 100

// Node reads the use of the whole machine.
func (r Reader) Node() (Use, error) {
	cpu, err := r.busy()
	if err != nil {
		return Use{}, err
	}
	info := filepath.Join(r.Proc, "meminfo")
	var kib [3]uint64
	for i, name := range []string{"MemTotal:", "MemFree:", "Inactive(file):"} {
		if kib[i], err = field(info, name); err != nil {
			return Use{}, err
		}
	}
	return Use{cpu, (kib[0] - min(kib[1]+kib[2], kib[0])) << 10}, nil
}

// busy is the time in which processors did something.
func (r Reader) busy() (time.Duration, error) {
	path := filepath.Join(r.Proc, "stat")
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(content), "\n")
	words := strings.Fields(line)
	if len(words) < 8 || words[0] != "cpu" {
		return 0, fmt.Errorf("%s: its first line is %q", path, line)
	}
	var ticks uint64
	for i, word := range words[1:8] { // what follows is time of guests, counted in the first two already
		n, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		if i != 3 && i != 4 { // idle, and waiting for a disk
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / userHz, nil
}

func number(path string) (uint64, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return parse(path, string(content))
}

// field is the number behind a name in a file with one name and number a line.
func field(path, name string) (uint64, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == name {
			return parse(path, words[1])
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}

func parse(path, text string) (uint64, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}
