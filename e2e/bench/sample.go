package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// sample is what the kernel has counted of a process, and of the network namespace that it is in.
type sample struct {
	at                           time.Time
	cpu                          time.Duration
	written, sent, received, pss int64 // bytes
}

func sampleOf(pid int) sample {
	s := sample{at: time.Now(), cpu: cpu(pid), written: written(pid), pss: pss(pid)}
	s.received, s.sent = carried(pid)
	return s
}

// carried is what went over the network namespace's uplink, Ethernet's headers included.
func carried(pid int) (received, sent int64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	_, rest, _ := strings.Cut(string(b), "eth0:")
	if fields := strings.Fields(rest); len(fields) > 8 {
		received, _ = strconv.ParseInt(fields[0], 10, 64)
		sent, _ = strconv.ParseInt(fields[8], 10, 64)
	}
	return received, sent
}

// costs are what a process cost over several times.
type costs struct {
	cpu            []float64 // per cent of a core
	sent, received []float64 // KiB/s
	written, pss   []int64   // bytes
}

func (c *costs) add(before, after sample) {
	seconds := after.at.Sub(before.at).Seconds()
	c.cpu = append(c.cpu, 100*(after.cpu-before.cpu).Seconds()/seconds)
	c.sent = append(c.sent, float64(after.sent-before.sent)/seconds/1024)
	c.received = append(c.received, float64(after.received-before.received)/seconds/1024)
	c.written = append(c.written, after.written-before.written)
	c.pss = append(c.pss, after.pss)
}
