package vm

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const spread = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: web}}}
      containers:
      - name: web
        image: busybox:1
        command: [sh, -c, "hostname > /scratch/index.html; exec httpd -f -p 8080 -h /scratch"]
        readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1, timeoutSeconds: 30}
        volumeMounts: [{name: scratch, mountPath: /scratch}]
      volumes: [{name: scratch, emptyDir: {}}]
`

const (
	readyNodes   = `covey get nodes -o jsonpath='{range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status} {end}'`
	readyPods    = `covey get deployment web -o jsonpath='{.status.readyReplicas}'`
	nodesOfPods  = `covey get pods -l app=web -o jsonpath='{range .items[*]}{.spec.nodeName} {end}'`
	podAddresses = `covey get pods -l app=web -o jsonpath='{range .items[*]}{.status.podIP}{"\n"}{end}'`
	// greetAll asks each pod over its address, whatever machine it is on.
	greetAll = podAddresses + ` | while read ip; do exec 3<>/dev/tcp/$ip/8080 && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && cat <&3 || exit 1; done`
)

func saying(texts ...string) func(string) bool {
	return func(out string) bool {
		for _, text := range texts {
			if !strings.Contains(out, text) {
				return false
			}
		}
		return true
	}
}

func exactly(want string) func(string) bool {
	return func(out string) bool { return strings.TrimSpace(out) == want }
}

// all does something on all machines at once.
func all(machines []*Machine, do func(*Machine)) {
	var doing sync.WaitGroup
	for _, m := range machines {
		doing.Go(func() { do(m) })
	}
	doing.Wait()
}

// namesOf wants each of these ConfigMaps in a list.
func namesOf(configMaps []string) func(string) bool {
	return func(out string) bool {
		listed := strings.Fields(out)
		return !slices.ContainsFunc(configMaps, func(name string) bool { return !slices.Contains(listed, "configmap/"+name) })
	}
}

func greeted(out string) bool { return strings.Count(out, "web-") == 3 }

// encrypts checks that what goes to the pods of the two other machines goes through the kernel's WireGuard, and that something has.
func encrypts(t *testing.T, m *Machine) {
	t.Helper()
	ways := m.Run(podAddresses + ` | while read ip; do ip route get $ip; done`)
	if n := strings.Count(ways, " dev cvw-"); n != 2 {
		t.Errorf("%s: the ways to %d of two pods elsewhere go through WireGuard:\n%s", m.name, n, ways)
	}
	traffic := strings.Fields(m.Run(`ip link show type wireguard | grep -c ": cvw-" && cat /sys/class/net/cvw-*/statistics/[rt]x_bytes`))
	if len(traffic) != 3 || traffic[0] != "1" || traffic[1] == "0" || traffic[2] == "0" {
		t.Errorf("%s: devices, bytes in and out of WireGuard: %q", m.name, traffic)
	}
}

// TestThreeMachinesAreOneCluster is what their owner does with three devices: one begins, two join, and then the plugs are pulled.
// COVEY_VM_POWER_CUTS pulls so many more, each of any machines at any moment (make vm).
func TestThreeMachinesAreOneCluster(t *testing.T) {
	network := NewNetwork(t)
	var machines []*Machine
	for i := range 3 {
		machines = append(machines, New(t, i+1, network))
	}
	machines[2].WithoutClock()
	all(machines, (*Machine).Boot)
	first, second, third := machines[0], machines[1], machines[2]
	first.Run("/tools/covey install --node-name shop-1 --overlay wireguard")
	token := strings.TrimSpace(first.Run("covey token create"))
	all(machines[1:], func(m *Machine) {
		m.Run(fmt.Sprintf("/tools/covey install --node-name shop-%d --overlay wireguard --join %s:7443 --token %s", m.number, first.Address(), token))
	})
	third.Eventually(readyNodes, saying("shop-1=True", "shop-2=True", "shop-3=True"))
	all(machines, func(m *Machine) { m.Run("covey image load /tools/busybox.tar") })
	second.Write("/root/web.yaml", spread)
	second.Run("covey apply -f /root/web.yaml")
	third.Eventually(readyPods, exactly("3"))
	first.Eventually(nodesOfPods, saying("shop-1", "shop-2", "shop-3"))
	for _, m := range machines {
		m.Eventually(greetAll, greeted)
		encrypts(t, m)
	}
	if year := third.Run("date +%Y"); strings.TrimSpace(year) != "1970" {
		t.Errorf("the machine without a clock is in %s", year)
	}

	// One goes: its pod is replaced, and the others go on. It comes back.
	first.PowerCut()
	second.Eventually(readyNodes, saying("shop-1=Unknown"))
	third.Run("printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: written}\n' | covey apply -f -")
	third.Eventually(readyPods, exactly("3"))
	first.Boot()
	second.Eventually(readyNodes, saying("shop-1=True"))
	first.Eventually("covey get configmap written", saying("written"))

	// All go at once, with a write that was just acknowledged.
	third.Run("printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: last}\n' | covey apply -f -")
	all(machines, (*Machine).PowerCut)
	all(machines, (*Machine).Boot)
	second.Eventually(readyNodes, saying("shop-1=True", "shop-2=True", "shop-3=True"))
	second.Eventually("covey get configmap written last", saying("written", "last"))
	third.Eventually(readyPods, exactly("3"))
	third.Eventually(greetAll, greeted)

	wrote := []string{"written", "last"}
	rounds, _ := strconv.Atoi(os.Getenv("COVEY_VM_POWER_CUTS"))
	for i := range rounds {
		wrote = append(wrote, pullPlugs(t, machines, i)...)
		machines[i%len(machines)].Eventually("covey get configmaps -o name", namesOf(wrote))
	}
}

// pullPlugs cuts the power of any machines while they are written to, and has them back as one cluster. It gives the names of what was
// acknowledged.
func pullPlugs(t *testing.T, machines []*Machine, round int) (wrote []string) {
	t.Helper()
	writer := machines[rand.IntN(len(machines))]
	var off []*Machine
	for _, m := range machines {
		if m != writer && rand.IntN(2) == 0 {
			off = append(off, m)
		}
	}
	t.Logf("round %d: %d machines lose power, then the one that wrote", round, len(off))
	wrote = write(writer, round, 1, 2)
	var doing sync.WaitGroup
	doing.Go(func() { all(off, (*Machine).PowerCut) })
	if len(off) < 2 { // one of three votes is not enough to write
		more := write(writer, round, 3, 8)
		if len(more) == 0 {
			t.Error("nothing could be written with two of three machines")
		}
		wrote = append(wrote, more...)
	}
	doing.Wait()
	off = append(off, writer)
	writer.PowerCut()
	all(off, (*Machine).Boot)
	began := time.Now()
	last := machines[(round+1)%len(machines)]
	last.Eventually(readyNodes, saying("shop-1=True", "shop-2=True", "shop-3=True"))
	last.Eventually(readyPods, exactly("3"))
	last.Eventually(greetAll, greeted)
	t.Logf("round %d: whole again %v after the boot; %d writes had been acknowledged", round, time.Since(began).Round(time.Second), len(wrote))
	return wrote
}

// write makes ConfigMaps of these numbers, one after the other, and gives the names of those that were acknowledged.
func write(m *Machine, round, from, to int) (wrote []string) {
	m.t.Helper()
	out := m.Run(fmt.Sprintf(`for i in $(seq %d %d); do printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: round-%d-%%s}\n' $i |
		timeout 60 covey apply -f - && echo wrote round-%d-$i; done; true`, from, to, round, round))
	for line := range strings.Lines(out) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "wrote "); ok {
			wrote = append(wrote, name)
		}
	}
	return wrote
}
