package service

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// recorded is an init system whose commands are written down.
func recorded(t *testing.T, i *Init, fail string) (*Init, *[]string) {
	t.Helper()
	var ran []string
	dir := t.TempDir()
	i.file = filepath.Join(dir, "etc", "covey")
	if i.links != "" {
		i.links = filepath.Join(dir, "*", "covey-link")
	}
	i.run = func(_ context.Context, words []string) error {
		line := strings.Join(words, " ")
		ran = append(ran, line)
		if line == fail {
			return errors.New("failed")
		}
		return nil
	}
	return i, &ran
}

func TestAServiceIsStartedAndStopped(t *testing.T) {
	for _, i := range []*Init{systemd(), openRC()} {
		t.Run(i.Name, func(t *testing.T) {
			i, ran := recorded(t, i, "")
			if err := i.Start(t.Context(), "/var/lib/covey", io.Discard); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(i.file)
			if err != nil || !strings.Contains(string(text), Program) || strings.Contains(string(text), "%!") {
				t.Errorf("the service file: %v\n%s", err, text)
			}
			if info, _ := os.Stat(i.file); info.Mode().Perm() != i.mode {
				t.Errorf("mode %v, want %v", info.Mode(), i.mode)
			}
			if last := (*ran)[len(*ran)-1]; !strings.Contains(last, "restart") {
				t.Errorf("the last command is %q; an upgrade needs a restart", last)
			}
			*ran = nil
			link := filepath.Join(filepath.Dir(i.file), "covey-link")
			if err := os.Symlink(i.file, link); err != nil {
				t.Fatal(err)
			}
			if err := i.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(link); (err == nil) != (i.links == "") {
				t.Errorf("what enables the service: %v", err)
			}
			if _, err := os.Stat(i.file); err == nil || len(*ran) == 0 {
				t.Errorf("the service file is left; ran %v", *ran)
			}
			*ran = nil
			if err := i.Stop(t.Context()); err != nil || len(*ran) > 0 {
				t.Errorf("a second time: %v, ran %v", err, *ran)
			}
		})
	}
}

// TestAServiceThatDoesNotStartSaysWhy: systemctl alone says where to look for it.
func TestAServiceThatDoesNotStartSaysWhy(t *testing.T) {
	i, _ := recorded(t, systemd(), "systemctl restart covey")
	i.ask = func(_ context.Context, words []string) string {
		if words[0] != "journalctl" {
			t.Errorf("ran %v", words)
		}
		return "error: join the cluster at 192.0.2.7:7443: the token abcdef.… expired"
	}
	err := i.Start(t.Context(), "/var/lib/covey", io.Discard)
	if err == nil || !strings.HasPrefix(err.Error(), "failed\n") || !strings.Contains(err.Error(), "the token abcdef.… expired") {
		t.Errorf("error %v", err)
	}
	i.ask = func(context.Context, []string) string { return "" }
	if err := i.Start(t.Context(), "/var/lib/covey", io.Discard); err == nil || err.Error() != "failed" {
		t.Errorf("without a journal: error %v", err)
	}
}

// TestASlowStartSaysWhy: systemctl waits silently for a node that cannot join, for ever.
func TestASlowStartSaysWhy(t *testing.T) {
	for _, ends := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			i, _ := recorded(t, systemd(), "")
			begun := time.Now()
			i.run = func(ctx context.Context, words []string) error {
				if words[1] != "restart" {
					return nil
				}
				select {
				case <-ctx.Done():
				case <-time.After(70 * time.Second):
				}
				return ctx.Err()
			}
			i.ask = func(ctx context.Context, _ []string) string {
				if ctx.Err() != nil {
					t.Error("asked after the interrupt with a context that has ended")
				}
				if time.Since(begun) < 40*time.Second {
					return ""
				}
				return "no route to 192.0.2.7"
			}
			if !ends {
				time.AfterFunc(50*time.Second, interrupt)
			}
			var out strings.Builder
			err := i.Start(ctx, "/var/lib/covey", &out)
			const yet = "The node is not ready yet. The service goes on trying, also without this command.\n"
			const why = "What covey said last:\nno route to 192.0.2.7\n"
			want := yet + yet + why
			if !ends {
				want += "The node is not ready. The service goes on trying: covey uninstall ends it.\n" + why
			}
			if out.String() != want || (err == nil) != ends {
				t.Errorf("error %v, said\n%s\nwant\n%s", err, &out, want)
			}
		})
	}
}

func TestTheUnitWaitsForTheDataDirectorysMount(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/usr", link); err != nil {
		t.Fatal(err)
	}
	for dataDir, want := range map[string]string{
		"/var/lib/covey":    `"/var/lib/covey"`,
		`/mnt/"a\b" 100%/c`: `"/mnt/\"a\\b\" 100%%/c"`,
		link:                `"` + link + `" "/usr"`,
	} {
		if text := unit(Program, dataDir); !strings.Contains(text, "\nRequiresMountsFor="+want+"\n") {
			t.Errorf("want %s in\n%s", want, text)
		}
	}
}

// TestOtherServicesAreLeftFailed: an administrator who looks for what has failed is to find it still.
func TestOtherServicesAreLeftFailed(t *testing.T) {
	reset := "systemctl reset-failed covey.service"
	i, ran := recorded(t, systemd(), reset)
	if err := i.Start(t.Context(), "/var/lib/covey", io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := i.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if last := (*ran)[len(*ran)-1]; last != reset {
		t.Errorf("the last command is %q", last)
	}
}

func TestAServiceThatDoesNotStopIsNotTakenAway(t *testing.T) {
	i, _ := recorded(t, systemd(), "systemctl disable --quiet --now covey")
	if err := i.Start(t.Context(), "/var/lib/covey", io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := i.Stop(t.Context()); err == nil {
		t.Fatal("no error")
	}
	if _, err := os.Stat(i.file); err != nil {
		t.Error(err)
	}
}

// notified stands in for systemd's socket.
func notified(t *testing.T) <-chan string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	told := make(chan string, 100)
	go func() {
		defer close(told)
		for buffer := make([]byte, 256); ; {
			n, err := socket.Read(buffer)
			if err != nil {
				return
			}
			told <- string(buffer[:n])
		}
	}()
	return told
}

func next(t *testing.T, told <-chan string) string {
	t.Helper()
	select {
	case text := <-told:
		return text
	case <-time.After(30 * time.Second):
		t.Fatal("systemd was told nothing")
		return ""
	}
}

// ready has systemd told of a node until the function that it returns is called, at the latest at the test's end.
func ready(t *testing.T, server string) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var telling sync.WaitGroup
	Ready()
	telling.Go(func() { KeepAlive(ctx, server) })
	stop = func() { cancel(); telling.Wait() }
	t.Cleanup(stop)
	return stop
}

func TestSystemdIsToldThatANodeIsAlive(t *testing.T) {
	told := notified(t)
	t.Setenv("WATCHDOG_USEC", "30000")
	asked := make(chan string, 1)
	api := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.URL.Path:
		default:
		}
	}))
	defer api.Close()
	ready(t, api.URL)
	if text := next(t, told); text != "READY=1" {
		t.Errorf("told %q", text)
	}
	if text := next(t, told); text != "WATCHDOG=1" {
		t.Errorf("told %q", text)
	}
	if path := <-asked; path != "/livez" {
		t.Errorf("asked %s", path)
	}
}

func TestSystemdIsNotToldThatADeadNodeIsAlive(t *testing.T) {
	told := notified(t)
	t.Setenv("WATCHDOG_USEC", "30000")
	asked := make(chan struct{}, 3)
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		select {
		case asked <- struct{}{}:
		default:
		}
	}))
	defer api.Close()
	stop := ready(t, api.URL)
	for range 3 {
		<-asked
	}
	stop()
	Stopping()
	var all []string
	for !slices.Contains(all, "STOPPING=1") {
		all = append(all, next(t, told))
	}
	if slices.Contains(all, "WATCHDOG=1") {
		t.Errorf("told %v", all)
	}
}
