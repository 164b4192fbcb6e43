package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestSettle(t *testing.T) {
	tests := []struct {
		name, file string
		env        map[string]string
		args       []string
		listen     string
		label      string
		err        string
	}{
		{name: "default", listen: "default"},
		{name: "file", file: "listen: from-file\nlabel: {zone: a}\n", listen: "from-file", label: "a"},
		{name: "large number", file: "listen: 10000000\nlabel: {zone: 20261127}\n", listen: "10000000", label: "20261127"},
		{name: "label without a value", file: "listen: x\nlabel: {zone: }\n", listen: "x", label: ""},
		{name: "environment over file", file: "listen: from-file", env: map[string]string{"COVEY_LISTEN": "from-env"}, listen: "from-env"},
		{name: "flag over all", file: "listen: from-file", env: map[string]string{"COVEY_LISTEN": "from-env"}, args: []string{"--listen=from-flag"}, listen: "from-flag"},
		{name: "environment label", env: map[string]string{"COVEY_LABEL": "zone=b"}, listen: "default", label: "b"},
		{name: "unknown setting", file: "lisen: x", err: `unknown setting "lisen"`},
		{name: "not YAML", file: "a: b: c", err: "config.yaml"},
		{name: "wrong shape", file: "listen: [a]", err: "listen: must be a single value"},
		{name: "bad label", env: map[string]string{"COVEY_LABEL": "zone"}, err: "COVEY_LABEL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "config.yaml")
			if tt.file != "" {
				if err := os.WriteFile(file, []byte(tt.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			flags := pflag.NewFlagSet("start", pflag.ContinueOnError)
			listen := flags.String("listen", "default", "")
			labels := flags.StringToString("label", nil, "")
			flags.String("config", file, "")
			if err := flags.Parse(tt.args); err != nil {
				t.Fatal(err)
			}
			err := settle(flags, func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok })
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if *listen != tt.listen || (*labels)["zone"] != tt.label {
				t.Errorf("listen %q, zone %q; want %q, %q", *listen, (*labels)["zone"], tt.listen, tt.label)
			}
		})
	}
}

func TestSettleNamedFileMustExist(t *testing.T) {
	flags := pflag.NewFlagSet("start", pflag.ContinueOnError)
	flags.String("config", "", "")
	if err := flags.Parse([]string{"--config=/nonexistent/covey.yaml"}); err != nil {
		t.Fatal(err)
	}
	err := settle(flags, func(string) (string, bool) { return "", false })
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/covey.yaml") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

// TestWhatIsConfiguredIsRead writes flags as covey install does and reads them as covey start does.
func TestWhatIsConfiguredIsRead(t *testing.T) {
	var given, read startOptions
	flags := pflag.NewFlagSet("install", pflag.ContinueOnError)
	given.addFlags(flags)
	args := []string{"--join", "a:1,b:2", "--label", "site=plant", "--label", "a=b", "--max-pods=30", "--eviction-hard=nodefs.available<5%"}
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	content, err := configured([]byte("node-name: kept\nmax-pods: 20\n"), flags)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	flags = pflag.NewFlagSet("start", pflag.ContinueOnError)
	read.addFlags(flags)
	if err := flags.Parse([]string{"--config", file}); err != nil {
		t.Fatal(err)
	}
	if err := settle(flags, func(string) (string, bool) { return "", false }); err != nil {
		t.Fatalf("%v\n%s", err, content)
	}
	if !slices.Equal(read.join, given.join) || !maps.Equal(read.labels, given.labels) || read.maxPods != 30 ||
		read.nodeName != "kept" || read.housekeeping.EvictionHard != "nodefs.available<5%" {
		t.Errorf("read %+v of\n%s", read, content)
	}
}

// TestPathsAreThoseOfWhoInstalls: the service does not run in the directory that covey install is run in.
func TestPathsAreThoseOfWhoInstalls(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	var o startOptions
	flags := pflag.NewFlagSet("install", pflag.ContinueOnError)
	o.addFlags(flags)
	if err := flags.Parse([]string{"--data-dir=data", "--audit-log=-", "--audit-policy=./policy.yaml"}); err != nil {
		t.Fatal(err)
	}
	if err := fromHere(flags); err != nil {
		t.Fatal(err)
	}
	content, err := configured(nil, flags)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("audit-log: '-'\naudit-policy: %s/policy.yaml\ndata-dir: %s/data\n", dir, dir)
	if string(content) != want {
		t.Errorf("configured\n%s\nwant\n%s", content, want)
	}
}

// TestNoOtherDirectoryIsTakenForTheNodes: what covey uninstall removes does not depend on where it is run.
func TestNoOtherDirectoryIsTakenForTheNodes(t *testing.T) {
	for _, dir := range []string{"data", "./data", ""} {
		o := startOptions{dataDir: dir, stateDir: "/run/covey"}
		if err := o.fixed(); err == nil || !strings.Contains(err.Error(), "data-dir is \""+dir+"\": want an absolute path") {
			t.Errorf("%q: %v", dir, err)
		}
	}
	o := startOptions{dataDir: "/var/lib/covey", stateDir: "/run/covey"}
	if err := o.fixed(); err != nil {
		t.Error(err)
	}
}

func TestDirectoryIsNamed(t *testing.T) {
	if _, err := directory("data-dir", ""); err == nil || !strings.Contains(err.Error(), "--data-dir: it is empty") {
		t.Errorf("an empty directory: %v", err)
	}
	if got, err := directory("data-dir", "/var/lib/covey/"); err != nil || got != "/var/lib/covey" {
		t.Errorf("a directory: %q, %v", got, err)
	}
}

// TestSettingsAreCheckedBeforeTheyAreInstalled: those of a service that runs stay when the new ones are wrong.
func TestSettingsAreCheckedBeforeTheyAreInstalled(t *testing.T) {
	for _, test := range []struct{ flag, want string }{
		{"--voters=2", "--voters 2: want an odd number"},
		{"--max-pods=5000", "--max-pods 5000"},
		{"--join=https://192.0.2.7:7443", `--join "https://192.0.2.7:7443"`},
		{"--token=abc", "--token: want ID.SECRET.CA"},
		{"--log-level=loud", `--log-level: "loud"`},
		{"--container-log-max-size=1", "--container-log-max-size"},
		{"--data-dir=", "--data-dir: it is empty"},
		{"--voters=3", ""},
	} {
		var o startOptions
		cmd := &cobra.Command{}
		o.addFlags(cmd.Flags())
		if err := cmd.ParseFlags([]string{test.flag}); err != nil {
			t.Fatal(err)
		}
		_, err := o.config(cmd)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v; want %q", test.flag, err, test.want)
		}
	}
}
