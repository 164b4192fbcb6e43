package agent

import (
	"fmt"
	"math"

	corev1 "k8s.io/api/core/v1"

	"covey.dev/covey/agent/sandbox"
)

// firstPodUser is the first of the machine's users that pods with a user namespace have: where systemd, too, has those of
// containers begin, behind those of people and of rootless containers' usual ranges.
const firstPodUser = 524288

// chooseUsers gives a pod with hostUsers: false the machine's users that are its own; 0 for other pods. As no two pods of the node
// have the same address, which a pod keeps, they follow from it, and need not be kept.
func (w *worker) chooseUsers(pod *corev1.Pod) (first uint32, err error) {
	if pod.Spec.HostUsers == nil || *pod.Spec.HostUsers {
		return 0, nil
	}
	addr, index, err := w.claimAddress()
	if err != nil {
		return 0, err
	}
	if uint64(index)*sandbox.UserIDs+firstPodUser+sandbox.UserIDs > math.MaxInt32 {
		return 0, fmt.Errorf("hostUsers: false: the machine has no %d users for the pod with address %s", sandbox.UserIDs, addr)
	}
	return firstPodUser + index*sandbox.UserIDs, nil
}
