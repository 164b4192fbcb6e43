#!/usr/bin/env bash
# Shows covey at work: a node, a service from a Kubernetes manifest, its death and its healing. Everything is in a temporary
# directory and is removed at the end, which is Ctrl-C, or at once with DEMO_ONCE=1 or CI=true. Run it with make demo.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "covey runs containers: run the demo as root" >&2; exit 1; }
dir=$(mktemp -d /tmp/covey-demo.XXXXXX)
instance=$(printf %s "$dir/run" | sha256sum | cut -c1-8) # covey's bridge and its nftables table are named after it
port=$((20000 + RANDOM % 10000))
pid=
export KUBECONFIG=$dir/data/admin.kubeconfig
PATH=$PWD/bin:$PATH

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
show() { # prints a command as one would type it, and runs it
	printf '\033[2m$ %s\033[0m\n' "$*"
	"$@"
}

cleanup() {
	set +e
	trap '' INT TERM # a second Ctrl-C does not leave half of it behind
	if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
		say "Cleaning up"
		covey delete deployments --all >/dev/null 2>&1
		# A pod is gone from the API when it is gone from the machine; the shim of its last container ends a moment later.
		for _ in $(seq 300); do
			[ -z "$(covey get pods -o name 2>/dev/null)" ] && ! pgrep -f "^$dir/data/" >/dev/null && break
			sleep 0.1
		done
		kill -TERM "$pid"
		wait "$pid"
	fi
	ip link delete "cv-$instance" 2>/dev/null
	nft delete table ip "covey-$instance" 2>/dev/null
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

wait_until() { # WHAT COMMAND...
	local what=$1
	shift
	for _ in $(seq 300); do
		"$@" && return
		kill -0 "$pid" || break
		sleep 0.1
	done
	echo "$what: this did not happen. The end of covey's log:" >&2
	tail -n 30 "$dir/log" >&2
	exit 1
}
ready() { grep -q 'is ready' "$dir/out"; }
pod() { covey get pods -l app=hello -o "jsonpath={.items[0]$1}"; }
answers() { curl --silent --fail --max-time 2 "http://$(pod .status.podIP):5000/" >/dev/null 2>&1; }
healed() { [ "$(pod .status.containerStatuses[0].restartCount)" = 1 ] && answers; }
process() { # prints the process of the service: the one in the pod's cgroup that is no shim
	local file
	for file in $(grep -ls "/pod$(pod .metadata.uid)/" /proc/[0-9]*/cgroup); do
		case $(readlink "${file%cgroup}exe") in
		*/hello) basename "$(dirname "$file")" ;;
		esac
	done
}

say "A node: one process, one port, one data directory"
printf '\033[2m$ %s\033[0m\n' "covey start --data-dir $dir/data --state-dir $dir/run --listen 127.0.0.1:$port &"
setsid covey start --data-dir "$dir/data" --state-dir "$dir/run" --listen "127.0.0.1:$port" >"$dir/out" 2>"$dir/log" &
pid=$!
wait_until "covey is ready" ready
cat "$dir/out"

say "An image from a file and a Deployment from an ordinary manifest"
show covey image load bin/hello.tar
show covey apply -f examples/hello/hello.yaml
show covey rollout status deployment/hello
show covey get deployments,pods -o wide

say "It answers"
wait_until "the service answers" answers # without a readiness probe a pod is ready before its program listens
url=http://$(pod .status.podIP):5000/api/hello
show curl --silent --fail --show-error "$url"
echo
show curl --silent --fail --show-error -H 'Content-Type: application/json' -d '{"flock": ["a", "covey"]}' "$url"
echo

say "Its process dies"
victim=$(process)
show kill -9 "$victim"
wait_until "the service is healed" healed
show covey get pods
show curl --silent --fail --show-error "$url"
echo

if [ "${CI:-}" = true ] || [ "${DEMO_ONCE:-}" = 1 ]; then
	exit 0
fi
say "Try it yourself, in another terminal"
echo "export KUBECONFIG=$KUBECONFIG"
echo "kubectl get pods -w        # or: $PWD/bin/covey get pods -w"
echo "curl $url"
say "Ctrl-C ends it and removes all of it"
wait "$pid"
