// Package account finds out as whom a container runs: from the user that it asks for, or its image does, and the image's
// /etc/passwd and /etc/group. The runtime uses it. It is here and not containerd's oci.WithUser, because that reaches
// text/template, with which the linker can leave no method of any type out of the program.
package account

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// longestFile bounds what is read of a file that the image's maker wrote.
const longestFile = 10 << 20

// ErrUnknown is wrapped where the image does not have a user or group of the name that was asked for.
var ErrUnknown = errors.New("the image does not have it")

// Find returns the user, the group and the supplementary groups of asked, which is "", "user" or "user:group", each by
// name or number. Root is what "" means. A number need not be in the image's files; a name must.
func Find(root fs.FS, asked string) (specs.User, error) {
	name, group, hasGroup := strings.Cut(asked, ":")
	if asked == "" {
		name, group, hasGroup = "0", "0", true
	}
	found, userName, err := findUser(root, name, hasGroup)
	if err != nil {
		return specs.User{}, err
	}
	if hasGroup {
		if found.GID, err = findGroup(root, group); err != nil {
			return specs.User{}, err
		}
	}
	if asked == "" {
		userName = "root"
	}
	found.AdditionalGids, err = supplementary(root, userName, found.GID)
	return found, err
}

// findUser returns with the user the group that it has in /etc/passwd, and its name there.
func findUser(root fs.FS, asked string, groupGiven bool) (specs.User, string, error) {
	id, isID, err := number(asked)
	if err != nil {
		return specs.User{}, "", fmt.Errorf("user %q: %w", asked, err)
	}
	entries, err := parse(root, "etc/passwd", func(r io.Reader) ([]user.User, error) {
		return user.ParsePasswdFilter(r, func(u user.User) bool { return isID && u.Uid == int(id) || !isID && u.Name == asked })
	})
	switch {
	case err != nil:
		return specs.User{}, "", err
	case len(entries) > 0:
		return specs.User{UID: uint32(entries[0].Uid), GID: uint32(entries[0].Gid)}, entries[0].Name, nil
	case isID:
		return specs.User{UID: id}, "", nil
	}
	return specs.User{}, "", fmt.Errorf("user %q in /etc/passwd: %w", asked, ErrUnknown)
}

func findGroup(root fs.FS, asked string) (uint32, error) {
	id, isID, err := number(asked)
	if err != nil {
		return 0, fmt.Errorf("group %q: %w", asked, err)
	}
	if isID {
		return id, nil
	}
	entries, err := parse(root, "etc/group", func(r io.Reader) ([]user.Group, error) {
		return user.ParseGroupFilter(r, func(g user.Group) bool { return g.Name == asked })
	})
	if err != nil {
		return 0, err
	}
	if len(entries) == 0 {
		return 0, fmt.Errorf("group %q in /etc/group: %w", asked, ErrUnknown)
	}
	return uint32(entries[0].Gid), nil
}

// supplementary are the groups that list the user as a member, behind its own one.
func supplementary(root fs.FS, userName string, own uint32) ([]uint32, error) {
	gids := []uint32{own}
	if userName == "" {
		return gids, nil
	}
	entries, err := parse(root, "etc/group", func(r io.Reader) ([]user.Group, error) {
		return user.ParseGroupFilter(r, func(g user.Group) bool {
			return g.Name != userName && slices.Contains(g.List, userName)
		})
	})
	for _, g := range entries {
		if id := uint32(g.Gid); !slices.Contains(gids, id) {
			gids = append(gids, id)
		}
	}
	return gids, err
}

// number is false for a name.
func number(s string) (id uint32, ok bool, err error) {
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && (n < 0 || n > math.MaxInt32): // what runc takes
		return 0, false, fmt.Errorf("%s is not between 0 and %d", s, math.MaxInt32)
	case err != nil:
		return 0, false, nil
	}
	return uint32(n), true, nil
}

// parse reads one of the image's files; one that is not there has no entries.
func parse[T any](root fs.FS, name string, read func(io.Reader) ([]T, error)) ([]T, error) {
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > longestFile {
		return nil, fmt.Errorf("/%s in the image is not a plain file of at most %d MiB", name, longestFile>>20)
	}
	entries, err := read(bufio.NewReader(io.LimitReader(f, longestFile)))
	if err != nil {
		return nil, fmt.Errorf("read /%s in the image: %w", name, err)
	}
	return entries, nil
}
