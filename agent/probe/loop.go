package probe

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Verdict is the outcome of one check together with what the thresholds make of it.
type Verdict struct {
	OK      bool   // this check
	Message string // what a failed check said
	Settled bool   // the threshold is reached: OK holds for the container
}

// counter keeps how often in a row a probe has said the same.
type counter struct {
	ok  bool
	run int32
}

// add counts one check and reports whether it settles the matter.
func (c *counter) add(ok bool, p *corev1.Probe) bool {
	if ok != c.ok || c.run == 0 {
		c.ok, c.run = ok, 0
	}
	c.run++
	if ok {
		return c.run >= max(p.SuccessThreshold, 1)
	}
	return c.run >= max(p.FailureThreshold, 1)
}

// Loop checks after the initial delay, counted from started, and then every period, until ctx ends or report says that it
// has heard enough.
func Loop(ctx context.Context, p *corev1.Probe, started time.Time, t Target, report func(Verdict) (more bool)) {
	delay := time.Duration(p.InitialDelaySeconds) * time.Second
	// A clock that was set back has it started in the future.
	timer := time.NewTimer(min(time.Until(started.Add(delay)), delay))
	defer timer.Stop()
	var c counter
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		begun := time.Now()
		ok, message := ask(ctx, p, t)
		if ctx.Err() != nil {
			return
		}
		if !report(Verdict{OK: ok, Message: message, Settled: c.add(ok, p)}) {
			return
		}
		timer.Reset(max(time.Until(begun.Add(seconds(p.PeriodSeconds, 1))), 0))
	}
}

// standstill is how late a timer fires at least when this process did not run: it was frozen (SIGSTOP), or its machine was.
const standstill = time.Second

// ask checks, and once more when the probe's time passed while this process stood still: the container may have answered in time.
func ask(ctx context.Context, p *corev1.Probe, t Target) (ok bool, message string) {
	timeout, fired := seconds(p.TimeoutSeconds, 1), make(chan time.Duration, 1)
	deadline := time.Now().Add(timeout)
	timer := time.AfterFunc(timeout, func() { fired <- time.Since(deadline) })
	ok, message = Check(ctx, p, t)
	late := time.Since(deadline)
	if !timer.Stop() {
		late = <-fired
	}
	if ok || late < standstill {
		return ok, message
	}
	return Check(ctx, p, t)
}
