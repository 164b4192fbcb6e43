package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"
)

// The machine's own containerd may be older than the one that covey is built with. Before 2.3 it started a shim with
// arguments, environment and the runtime's options alone, and expected the plain address of version 2 of the task service.

// serviceV2 is the name of that service; its messages are those of version 3.
const serviceV2 = "containerd.task.v2.Task"

// adaptStart gives a start by an older containerd the form of today's. It is called before the flags are parsed.
func adaptStart(args []string) (older bool, err error) {
	var start bootapi.BootstrapParams
	var debug bool
	flags := flag.NewFlagSet("shim", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&start.InstanceID, "id", "", "")
	flags.StringVar(&start.Namespace, "namespace", "", "")
	flags.StringVar(&start.ContainerdGrpcAddress, "address", "", "")
	flags.StringVar(&start.ContainerdBinary, "publish-binary", "", "")
	flags.String("bundle", "", "")
	flags.BoolVar(&debug, "debug", false, "")
	if err := flags.Parse(args); err != nil || flags.Arg(0) != "start" {
		return false, nil // not a start: it is for the shim's own flags to say what is wrong
	}
	input, err := io.ReadAll(io.LimitReader(os.Stdin, 10<<20))
	if err != nil {
		return false, fmt.Errorf("read standard input: %w", err)
	}
	if !startsAs(input, start.GetInstanceID(), start.GetNamespace()) {
		older = true
		start.LogLevel = bootapi.LogLevel_LOG_LEVEL_INFO
		if debug {
			start.LogLevel = bootapi.LogLevel_LOG_LEVEL_DEBUG
		}
		start.ContainerdTtrpcAddress = os.Getenv("TTRPC_ADDRESS")
		if input, err = proto.Marshal(&start); err != nil {
			return false, err
		}
	}
	return older, replaceStdin(input)
}

// startsAs is whether the input is a start of today's, of this container. The options that an older containerd sends can
// be read as one too, but not with its name.
func startsAs(input []byte, id, namespace string) bool {
	var start bootapi.BootstrapParams
	return len(input) > 0 && proto.Unmarshal(input, &start) == nil && start.GetInstanceID() == id && start.GetNamespace() == namespace
}

func replaceStdin(input []byte) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	os.Stdin = r
	go func() { // it may be longer than a pipe holds
		_, _ = w.Write(input)
		_ = w.Close()
	}()
	return nil
}

// answerOlder tells an older containerd the shim's address, and ends the process: what would be printed next is for today's.
func answerOlder(address string) error {
	// In the container's bundle, where it is looked for when containerd is started again.
	if err := os.WriteFile("address", []byte(address), 0o600); err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString(address); err != nil {
		return err
	}
	os.Exit(0)
	return nil
}

// registerV2 serves the task service under its older name too.
func registerV2(server *ttrpc.Server, s taskapi.TTRPCTaskService) {
	server.RegisterService(serviceV2, &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{
		"State":      method(s.State),
		"Create":     method(s.Create),
		"Start":      method(s.Start),
		"Delete":     method(s.Delete),
		"Pids":       method(s.Pids),
		"Pause":      method(s.Pause),
		"Resume":     method(s.Resume),
		"Checkpoint": method(s.Checkpoint),
		"Kill":       method(s.Kill),
		"Exec":       method(s.Exec),
		"ResizePty":  method(s.ResizePty),
		"CloseIO":    method(s.CloseIO),
		"Update":     method(s.Update),
		"Wait":       method(s.Wait),
		"Stats":      method(s.Stats),
		"Connect":    method(s.Connect),
		"Shutdown":   method(s.Shutdown),
	}})
}

func method[Request, Response any](call func(context.Context, *Request) (*Response, error)) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		r := new(Request)
		if err := unmarshal(r); err != nil {
			return nil, err
		}
		return call(ctx, r)
	}
}
