package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// etcd is one member as Debian has it, with the settings that it comes with.
type etcd struct {
	*process
	client *clientv3.Client
}

const etcdAddress = "http://127.0.0.1:2379"

// newEtcd returns nil where etcd is not installed.
func newEtcd(ctx context.Context, opts options, name string) (*etcd, error) {
	path, err := exec.LookPath("etcd")
	if err != nil {
		return nil, nil
	}
	dir := filepath.Join(opts.dir, name)
	e := &etcd{}
	e.process, err = launch(dir+".log", path, "--data-dir", dir, "--listen-client-urls", etcdAddress, "--advertise-client-urls", etcdAddress,
		"--listen-peer-urls", "http://127.0.0.1:2380", "--logger", "zap", "--log-level", "error")
	if err != nil {
		return nil, err
	}
	e.client, err = clientv3.New(clientv3.Config{Endpoints: []string{etcdAddress}, DialTimeout: patience, Logger: zap.NewNop()})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		attempt, cancelAttempt := context.WithTimeout(ctx, time.Second)
		_, err = e.client.Get(attempt, "ready")
		cancelAttempt()
		if err == nil {
			return e, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("etcd is not ready: %s", e.tail())
		}
	}
}

func (e *etcd) stop() error {
	_ = e.client.Close()
	return e.process.stop()
}
