package service

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Ready tells systemd, where it asked to be told, that the node serves.
func Ready() { _, _ = daemon.SdNotify(false, daemon.SdNotifyReady) }

// KeepAlive tells systemd, where it asked to be told, that the node at server (https://127.0.0.1:7443) is alive, until ctx ends. A node
// that does not answer is killed by systemd and started again.
func KeepAlive(ctx context.Context, server string) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return
	}
	watchdog(ctx, interval/3, func(ctx context.Context) error { return alive(ctx, server) })
}

// Stopping tells systemd that the node ends because it was asked to.
func Stopping() { _, _ = daemon.SdNotify(false, daemon.SdNotifyStopping) }

// Left has OpenRC, whose supervisor starts again whatever ends, stop the service of a node that has left its cluster. It is asked, and
// not waited for: what it stops is this process.
func Left() {
	if name := os.Getenv("RC_SVCNAME"); name != "" {
		_ = exec.Command("rc-service", name, "stop").Start() //nolint:gosec // named by OpenRC itself
	}
}

func watchdog(ctx context.Context, every time.Duration, alive func(context.Context) error) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if alive(ctx) == nil {
				_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
			}
		}
	}
}

// client asks the node in the same process: whether it answers at all is the question, not who it is.
var client = http.Client{
	Timeout:   10 * time.Second,
	Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}, //nolint:gosec // see above
}

func alive(ctx context.Context, server string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/livez", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s/livez: %s", server, resp.Status)
	}
	return nil
}
