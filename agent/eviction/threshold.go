package eviction

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Signal is something of which a node may have too little.
type Signal string

// The signals, named as in Kubernetes. The node's file system is that of volumes and logs, the image file system that of
// images and containers' own layers; they are often one.
const (
	MemoryAvailable   Signal = "memory.available"
	NodeFSAvailable   Signal = "nodefs.available"
	NodeFSInodesFree  Signal = "nodefs.inodesFree"
	ImageFSAvailable  Signal = "imagefs.available"
	ImageFSInodesFree Signal = "imagefs.inodesFree"
	PIDAvailable      Signal = "pid.available"
)

// DefaultHard is what the kubelet has, too.
const DefaultHard = "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%,imagefs.inodesFree<5%"

// resources are what the signals are of, in the words of messages; in the order in which pressure is acted on.
var resources = []struct {
	signals   []Signal
	name      corev1.ResourceName
	condition corev1.NodeConditionType
}{
	{[]Signal{MemoryAvailable}, corev1.ResourceMemory, corev1.NodeMemoryPressure},
	{[]Signal{NodeFSAvailable, ImageFSAvailable}, corev1.ResourceEphemeralStorage, corev1.NodeDiskPressure},
	{[]Signal{NodeFSInodesFree, ImageFSInodesFree}, "inodes", corev1.NodeDiskPressure},
	{[]Signal{PIDAvailable}, "pids", corev1.NodePIDPressure},
}

// rank is the signal's place in resources; -1 for one that is none.
func (s Signal) rank() int {
	for i := range resources {
		if slices.Contains(resources[i].signals, s) {
			return i
		}
	}
	return -1
}

// Resource is what the signal is of: memory, ephemeral-storage, inodes or pids.
func (s Signal) Resource() corev1.ResourceName { return resources[s.rank()].name }

// Threshold is how little of something is too little.
type Threshold struct {
	Signal   Signal
	Quantity int64         // bytes or a count; unless there is a share
	Share    float64       // of the capacity, 0 to 1
	Grace    time.Duration // how long it may be met before pods are evicted; 0: not at all, a hard threshold
}

// quantity is the threshold in bytes or as a count.
func (t Threshold) quantity(capacity int64) int64 {
	if t.Share > 0 {
		return int64(t.Share * float64(capacity))
	}
	return t.Quantity
}

// Parse reads thresholds as the kubelet's flags have them: hard and soft as "memory.available<100Mi,nodefs.available<10%",
// and the time that a soft one may be met as "memory.available=1m30s". The defaults hold for signals that hard does not
// name; a value of 0 or 0% switches a threshold off.
func Parse(hard, soft, softGrace string) ([]Threshold, error) {
	defaults, err := parseList(DefaultHard)
	if err != nil {
		return nil, err
	}
	own, err := parseList(hard)
	if err != nil {
		return nil, fmt.Errorf("--eviction-hard: %w", err)
	}
	later, err := parseList(soft)
	if err != nil {
		return nil, fmt.Errorf("--eviction-soft: %w", err)
	}
	graces, err := parseGraces(softGrace)
	if err != nil {
		return nil, fmt.Errorf("--eviction-soft-grace-period: %w", err)
	}
	for i := range later {
		if later[i].Grace = graces[later[i].Signal]; later[i].Grace == 0 {
			return nil, fmt.Errorf("--eviction-soft-grace-period: %s is missing: the soft threshold needs a time such as %s=1m30s", later[i].Signal, later[i].Signal)
		}
		delete(graces, later[i].Signal)
	}
	for signal := range graces {
		return nil, fmt.Errorf("--eviction-soft-grace-period: %s has no soft threshold", signal)
	}
	for _, d := range defaults {
		if !slices.ContainsFunc(own, func(t Threshold) bool { return t.Signal == d.Signal }) {
			own = append(own, d)
		}
	}
	all := append(own, later...)
	all = slices.DeleteFunc(all, func(t Threshold) bool { return t.Quantity == 0 && t.Share == 0 })
	slices.SortStableFunc(all, func(a, b Threshold) int { return cmp.Compare(a.Signal.rank(), b.Signal.rank()) })
	return all, nil
}

func parseList(list string) ([]Threshold, error) {
	var all []Threshold
	for _, item := range split(list) {
		name, value, ok := strings.Cut(item, "<")
		t := Threshold{Signal: Signal(name)}
		if !ok {
			return nil, fmt.Errorf("%q: want SIGNAL<VALUE such as memory.available<100Mi", item)
		}
		if t.Signal.rank() < 0 {
			return nil, fmt.Errorf("%q: there is no signal %s", item, name)
		}
		if slices.ContainsFunc(all, func(other Threshold) bool { return other.Signal == t.Signal }) {
			return nil, fmt.Errorf("%q: %s is named twice", item, name)
		}
		if err := t.parseValue(value); err != nil {
			return nil, fmt.Errorf("%q: %w", item, err)
		}
		all = append(all, t)
	}
	return all, nil
}

func (t *Threshold) parseValue(value string) error {
	if percent, ok := strings.CutSuffix(value, "%"); ok {
		n, err := strconv.ParseFloat(percent, 64)
		if err != nil || n < 0 || n >= 100 {
			return errors.New("want a share of 0% to less than 100%")
		}
		t.Share = n / 100
		return nil
	}
	q, err := resource.ParseQuantity(value)
	if err != nil || q.Sign() < 0 {
		return errors.New("want a quantity such as 100Mi, or a share such as 10%")
	}
	t.Quantity = q.Value()
	return nil
}

func parseGraces(list string) (map[Signal]time.Duration, error) {
	graces := map[Signal]time.Duration{}
	for _, item := range split(list) {
		name, value, _ := strings.Cut(item, "=")
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 || Signal(name).rank() < 0 {
			return nil, fmt.Errorf("%q: want SIGNAL=TIME such as memory.available=1m30s", item)
		}
		graces[Signal(name)] = d
	}
	return graces, nil
}

func split(list string) []string {
	return slices.DeleteFunc(strings.Split(list, ","), func(s string) bool { return strings.TrimSpace(s) == "" })
}
