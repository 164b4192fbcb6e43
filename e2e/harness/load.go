package harness

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Load is a load generator: users of a service who ask its ready pods in turn.
type Load struct {
	node     *Node
	selector string // of the pods
	path     string
	rate     atomic.Int64 // requests a second

	mu   sync.Mutex
	pods []string // host:port
	next int
}

// GenerateLoad asks the ready pods of a selection, from the node, for http://POD:PORT/PATH until the test ends; nothing before Set.
func (n *Node) GenerateLoad(selector string, port int, path string) *Load {
	n.t.Helper()
	l := &Load{node: n, selector: selector, path: path}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { l.follow(ctx, port) })
	running.Go(func() { l.ask(ctx) })
	n.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return l
}

// Set changes the rate, in requests a second.
func (l *Load) Set(rate int) { l.rate.Store(int64(rate)) }

// follow looks who is ready.
func (l *Load) follow(ctx context.Context, port int) {
	for every := time.NewTicker(500 * time.Millisecond); ; {
		if pods, err := l.node.Pods(l.selector); err == nil {
			var ready []string
			for i := range pods {
				if Ready(&pods[i]) == nil && pods[i].DeletionTimestamp == nil {
					ready = append(ready, fmt.Sprintf("%s:%d", pods[i].Status.PodIP, port))
				}
			}
			l.mu.Lock()
			l.pods = ready
			l.mu.Unlock()
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			every.Stop()
			return
		}
	}
}

// ask sends requests at equal distances, without waiting for the answers.
func (l *Load) ask(ctx context.Context) {
	client := &http.Client{Transport: &http.Transport{DialContext: l.node.net.dial, MaxIdleConnsPerHost: 8}, Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	const tick = 100 * time.Millisecond
	var asking sync.WaitGroup
	defer asking.Wait()
	due, last := 0.0, time.Now()
	for every := time.NewTicker(tick); ; {
		now := time.Now()
		passed := min(now.Sub(last), 500*time.Millisecond) // what is asked at once after a standstill must not look like a greater load
		last = now
		for due += float64(l.rate.Load()) * passed.Seconds(); due >= 1; due-- {
			if pod := l.pod(); pod != "" {
				asking.Go(func() { l.get(ctx, client, pod) })
			}
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			every.Stop()
			return
		}
	}
}

// pod is whose turn it is; "" when none is ready.
func (l *Load) pod() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pods) == 0 {
		return ""
	}
	l.next++
	return l.pods[l.next%len(l.pods)]
}

func (l *Load) get(ctx context.Context, client *http.Client, pod string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+pod+l.path, nil)
	if err != nil {
		return
	}
	if resp, err := client.Do(req); err == nil { // a pod that has just gone answers no more
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}
