package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// maxOutput bounds what is kept of an answer for a message, in bytes.
const maxOutput = 10 << 10

// Target is how to reach a container.
type Target struct {
	Host  func() string    // the pod's address, which may change
	Ports map[string]int32 // the container's ports by name
	// Exec runs a command in the container and returns its exit code and the beginning of its output.
	Exec func(ctx context.Context, command []string) (code int, output string, err error)
}

// Check asks once. The message says what went wrong, in the kubelet's words; the probe's timeout is kept.
func Check(ctx context.Context, p *corev1.Probe, t Target) (ok bool, message string) {
	ctx, cancel := context.WithTimeout(ctx, seconds(p.TimeoutSeconds, 1))
	defer cancel()
	switch {
	case p.HTTPGet != nil:
		return checkHTTP(ctx, p.HTTPGet, t)
	case p.TCPSocket != nil:
		return checkTCP(ctx, p.TCPSocket, t)
	case p.GRPC != nil:
		return checkGRPC(ctx, p.GRPC, t)
	case p.Exec != nil:
		return checkExec(ctx, p.Exec, t)
	}
	return false, "probe has no handler"
}

func checkHTTP(ctx context.Context, h *corev1.HTTPGetAction, t Target) (bool, string) {
	resp, err := Get(ctx, h, t)
	if err != nil {
		return false, err.Error()
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxOutput))
	_ = resp.Body.Close()
	if resp.StatusCode >= 200 && resp.StatusCode < 400 {
		return true, string(body)
	}
	return false, fmt.Sprintf("HTTP probe failed with statuscode: %d", resp.StatusCode)
}

// Get performs an HTTP action, which hooks have too. The caller closes the body.
func Get(ctx context.Context, h *corev1.HTTPGetAction, t Target) (*http.Response, error) {
	port, err := t.port(h.Port)
	if err != nil {
		return nil, err
	}
	host, scheme := h.Host, "http"
	if host == "" {
		host = t.Host()
	}
	if h.Scheme == corev1.URISchemeHTTPS {
		scheme = "https"
	}
	url := fmt.Sprintf("%s://%s%s", scheme, net.JoinHostPort(host, strconv.Itoa(port)), path(h.Path))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "kube-probe/covey")
	req.Header.Set("Accept", "*/*")
	for _, header := range h.HTTPHeaders {
		if http.CanonicalHeaderKey(header.Name) == "Host" {
			req.Host = header.Value
			continue
		}
		req.Header.Add(header.Name, header.Value)
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, //nolint:gosec // a probe asks whether it answers, not who it is
		CheckRedirect: sameHost,
	}
	return client.Do(req)
}

// sameHost follows redirects on the same host only; another host's answer says nothing about this container.
func sameHost(req *http.Request, via []*http.Request) error {
	if req.URL.Hostname() != via[0].URL.Hostname() {
		return http.ErrUseLastResponse
	}
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

func path(p string) string {
	if p == "" || p[0] != '/' {
		return "/" + p
	}
	return p
}

func checkTCP(ctx context.Context, a *corev1.TCPSocketAction, t Target) (bool, string) {
	port, err := t.port(a.Port)
	if err != nil {
		return false, err.Error()
	}
	host := a.Host
	if host == "" {
		host = t.Host()
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return false, err.Error()
	}
	_ = conn.Close()
	return true, ""
}

func checkGRPC(ctx context.Context, a *corev1.GRPCAction, t Target) (bool, string) {
	addr := net.JoinHostPort(t.Host(), strconv.Itoa(int(a.Port)))
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent("kube-probe/covey"))
	if err != nil {
		return false, err.Error()
	}
	defer func() { _ = conn.Close() }()
	service := ""
	if a.Service != nil {
		service = *a.Service
	}
	resp, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: service}, grpc.WaitForReady(false))
	switch {
	case ctx.Err() != nil:
		return false, fmt.Sprintf("timeout: failed to connect service %q within its deadline", addr)
	case err != nil:
		return false, fmt.Sprintf("error: health rpc probe failed: %s", status.Convert(err).Message())
	case resp.GetStatus() != healthpb.HealthCheckResponse_SERVING:
		return false, fmt.Sprintf("service unhealthy (responded with %q)", resp.GetStatus())
	}
	return true, "service healthy"
}

func checkExec(ctx context.Context, a *corev1.ExecAction, t Target) (bool, string) {
	code, output, err := t.Exec(ctx, a.Command)
	switch {
	case ctx.Err() != nil:
		return false, fmt.Sprintf("command timed out: %q timed out", a.Command)
	case err != nil:
		return false, err.Error()
	}
	return code == 0, output
}

func (t Target) port(p intstr.IntOrString) (int, error) {
	if p.Type == intstr.Int {
		return p.IntValue(), nil
	}
	if port, ok := t.Ports[p.StrVal]; ok {
		return int(port), nil
	}
	if port, err := strconv.Atoi(p.StrVal); err == nil {
		return port, nil
	}
	return 0, fmt.Errorf("the container has no port named %q", p.StrVal)
}

func seconds(n, atLeast int32) time.Duration { return time.Duration(max(n, atLeast)) * time.Second }
