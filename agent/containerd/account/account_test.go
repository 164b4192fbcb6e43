package account_test

import (
	"errors"
	"slices"
	"testing"
	"testing/fstest"

	"covey.dev/covey/agent/containerd/account"
)

func TestFind(t *testing.T) {
	root := fstest.MapFS{
		"etc/passwd": {Data: []byte("root:x:0:0::/:\nweb:x:33:34::/:\n")},
		"etc/group":  {Data: []byte("root:x:0:\nwheel:x:10:root\nstaff:x:50:web\nlogs:x:51:web,root\nweb:x:34:web\n")},
	}
	for _, test := range []struct {
		asked    string
		uid, gid uint32
		groups   []uint32
	}{
		{"", 0, 0, []uint32{0, 10, 51}},
		{"root", 0, 0, []uint32{0, 10, 51}},
		{"web", 33, 34, []uint32{34, 50, 51}},
		{"33", 33, 34, []uint32{34, 50, 51}},
		{"web:staff", 33, 50, []uint32{50, 51}},
		{"33:7", 33, 7, []uint32{7, 50, 51}},
		{"1234", 1234, 0, []uint32{0}},
		{"1234:staff", 1234, 50, []uint32{50}},
	} {
		got, err := account.Find(root, test.asked)
		if err != nil || got.UID != test.uid || got.GID != test.gid || !slices.Equal(got.AdditionalGids, test.groups) {
			t.Errorf("%q: %+v, %v; want %d:%d %v", test.asked, got, err, test.uid, test.gid, test.groups)
		}
	}
	for _, asked := range []string{"nobody", "web:nogroup", ":staff"} {
		if got, err := account.Find(root, asked); !errors.Is(err, account.ErrUnknown) {
			t.Errorf("%q: %+v, %v", asked, got, err)
		}
	}
	for _, asked := range []string{"-1", "99999999999", "0:99999999999999999999", "web:-2"} {
		if got, err := account.Find(root, asked); err == nil || errors.Is(err, account.ErrUnknown) {
			t.Errorf("%q: %+v, %v", asked, got, err)
		}
	}
}

func TestFindWithoutFiles(t *testing.T) {
	got, err := account.Find(fstest.MapFS{}, "")
	if err != nil || got.UID != 0 || !slices.Equal(got.AdditionalGids, []uint32{0}) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := account.Find(fstest.MapFS{}, "7:8"); err != nil || got.UID != 7 || got.GID != 8 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := account.Find(fstest.MapFS{"etc/passwd/x": {}}, "7"); err == nil {
		t.Error("a folder was read as /etc/passwd")
	}
}
