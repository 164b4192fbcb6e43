package main

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/log"
	"github.com/containerd/ttrpc"

	"covey.dev/covey/agent/containerd/cgroup"
	"covey.dev/covey/agent/containerd/output"
	"covey.dev/covey/agent/memory"
)

// lastOutput is how long the end of a container waits for the rest of its output to be written. A process that left the
// container's namespaces can hold the pipe open for ever.
const lastOutput = 2 * time.Second

// service is containerd's task service with logs.
type service struct {
	taskapi.TTRPCTaskService

	mu   sync.Mutex
	idle bool                     // it was started early, and has had no container
	logs map[string]*containerLog // by container ID
	tidy *time.Timer              // gives memory back when nothing has come for a while
}

// quiet is how long after the last change a shim gives back the memory that only the change needed. It lives for
// months without a change.
const quiet = 5 * time.Second

// A shim that rests has little garbage, and collects it soon. While something changes that would take a third of its time: there is
// much more garbage then than there is else, and all of it is collected when it rests again. In per cent of what is no garbage.
const (
	garbageAtRest = 40 // as containerd's shim has it
	garbageAtWork = 400
)

// stir is called before what changes something.
func (s *service) stir() {
	debug.SetGCPercent(garbageAtWork)
	s.tidy.Reset(quiet)
}

// rest gives memory back.
func rest() {
	debug.SetGCPercent(garbageAtRest)
	if err := memory.Release(); err != nil {
		log.L.WithError(err).Debug("give memory back")
	}
}

// RegisterTTRPC is called by the shim's server.
func (s *service) RegisterTTRPC(server *ttrpc.Server) error {
	taskapi.RegisterTTRPCTaskService(server, s)
	registerV2(server, s)
	return nil
}

// Create puts pipes in the place of a log address, and begins to read them.
func (s *service) Create(ctx context.Context, r *taskapi.CreateTaskRequest) (*taskapi.CreateTaskResponse, error) {
	s.stir()
	if err := s.begin(ctx, r.Bundle); err != nil {
		return nil, err
	}
	destination, ours, err := output.Parse(r.Stdout)
	if err != nil {
		return nil, err
	}
	if !ours {
		return s.TTRPCTaskService.Create(ctx, r)
	}
	l, err := openLog(r.Bundle, destination, r.Terminal, r.Stdin)
	if err != nil {
		return nil, err
	}
	r.Stdin, r.Stdout, r.Stderr = l.paths()
	created, err := s.TTRPCTaskService.Create(ctx, r)
	if err != nil {
		l.drop()
		return nil, err
	}
	if l.stdin != nil {
		l.attached.closeStdin = s.inputCloser(ctx, r.ID, l.stdin)
	}
	// Not before: until the service has opened the other ends, a pipe reads as ended.
	l.start()
	s.mu.Lock()
	s.logs[r.ID] = l
	s.mu.Unlock()
	// Not ctx, which ends with the call; but with its namespace.
	go func() {
		s.noteExit(context.WithoutCancel(ctx), r.ID, destination, l)
		l.wait()
		l.attached.end()
	}()
	return created, nil
}

// closeInput closes the service's own end of a container's input, which it holds open too.
func (s *service) closeInput(ctx context.Context, id string) {
	if _, err := s.TTRPCTaskService.CloseIO(ctx, &taskapi.CloseIORequest{ID: id, Stdin: true}); err != nil {
		log.G(ctx).WithError(err).Debug("close a container's input") // it has ended
	}
}

// noteExit waits for the end of a container's first process and leaves a note of it.
func (s *service) noteExit(ctx context.Context, id string, to output.Destination, l *containerLog) {
	defer close(l.noted)
	ended, err := s.TTRPCTaskService.Wait(ctx, &taskapi.WaitRequest{ID: id})
	if err != nil {
		return // it was deleted without having been started
	}
	err = output.WriteExit(to.ExitFile, output.Exit{
		FinishedAt: ended.ExitedAt.AsTime(), Code: int32(ended.ExitStatus), OOMKills: cgroup.OOMKills(to.Cgroup),
	})
	if err != nil {
		log.G(ctx).WithError(err).Warn("note a container's exit")
	}
}

// Wait answers after the process ended and its output is in the log.
func (s *service) Wait(ctx context.Context, r *taskapi.WaitRequest) (*taskapi.WaitResponse, error) {
	ended, err := s.TTRPCTaskService.Wait(ctx, r)
	if err == nil && r.ExecID == "" {
		s.log(r.ID).wait()
	}
	return ended, err
}

// Delete ends the log too.
func (s *service) Delete(ctx context.Context, r *taskapi.DeleteRequest) (*taskapi.DeleteResponse, error) {
	s.stir()
	if r.ExecID == "" {
		s.log(r.ID).waitNoted(ctx) // deletion takes the cgroup away
	}
	deleted, err := s.TTRPCTaskService.Delete(ctx, r)
	if err == nil && r.ExecID == "" {
		l := s.log(r.ID)
		l.wait()
		l.drop()
		s.mu.Lock()
		delete(s.logs, r.ID)
		s.mu.Unlock()
	}
	return deleted, err
}

// log finds a container's log; nil when it has none of ours.
func (s *service) log(id string) *containerLog {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logs[id]
}
