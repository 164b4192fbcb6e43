#!/usr/bin/env bash
# Measures a covey node and prints a table: e2e/figures.sh [PODS] [IDLE_SECONDS]. Needs root, bin/covey, bin/hello.tar and
# kubectl. Everything happens in a temporary directory and is removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
pods=${1:-50} idle=${2:-60} runs=5
kubectl=${KUBECTL:-$(command -v bin/kubectl || command -v kubectl)}
dir=$(mktemp -d /tmp/covey-figures.XXXXXX)
export KUBECONFIG=$dir/data/admin.kubeconfig
port=$((20000 + RANDOM % 20000))
pid=

now_ms() { date +%s%3N; }
median() { sort -n | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }

start() { # prints the milliseconds from the process's start to its line that it is ready
	local begun
	begun=$(now_ms)
	bin/covey start --data-dir "$dir/data" --state-dir "$dir/run" --listen "127.0.0.1:$port" --node-name figures >"$dir/out" 2>>"$dir/log" &
	pid=$!
	until grep -q 'is ready' "$dir/out"; do
		kill -0 "$pid" || { cat "$dir/log" >&2; exit 1; }
		sleep 0.005
	done
	took=$(($(now_ms) - begun))
}

stop() {
	[ -n "$pid" ] || return 0
	kill -TERM "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	pid=
}

cleanup() {
	set +e
	[ -n "$pid" ] && "$kubectl" delete deployments,pods --all --wait --timeout=60s >/dev/null 2>&1
	stop
	instance=$(printf %s "$dir/run" | sha256sum | cut -c1-8)
	ip link delete "cv-$instance" 2>/dev/null
	command -v nft >/dev/null && nft delete table ip "covey-$instance" 2>/dev/null
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# covey's processes: the node and the shims, which name its directories or run from them.
own() { { echo "$pid"; pgrep -f "$dir/data/bin/.*/containerd-shim" || true; } | sort -u; }
pss_kib() { # of the processes named on standard input
	local sum=0 p value
	while read -r p; do
		value=$(awk '/^Pss:/ {print $2}' "/proc/$p/smaps_rollup" 2>/dev/null || true)
		sum=$((sum + ${value:-0}))
	done
	echo "$sum"
}
cpu_ticks() { awk '{print $14+$15}' "/proc/$pid/stat"; }
written() { awk '/^write_bytes/ {print $2}' "/proc/$pid/io"; }

manifest() { # NAME REPLICAS
	cat <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: $1}
spec:
  replicas: $2
  selector: {matchLabels: {app: $1}}
  template:
    metadata: {labels: {app: $1}}
    spec: {containers: [{name: c, image: "hello:1.0"}]}
YAML
}

apply_to_running() { # prints milliseconds from apply's start to Running on a watch
	"$kubectl" get pods -l app=one -w -o jsonpath='{.status.phase}{"\n"}' >"$dir/watch" 2>/dev/null &
	local watch=$! begun
	manifest one 1 | "$kubectl" create -f - --dry-run=client -o json >"$dir/one.json"
	sleep 1
	begun=$(now_ms)
	"$kubectl" create --raw /apis/apps/v1/namespaces/default/deployments -f "$dir/one.json" >/dev/null
	until grep -q Running "$dir/watch"; do sleep 0.002; done
	took=$(($(now_ms) - begun))
	kill "$watch" 2>/dev/null || true
	wait "$watch" 2>/dev/null || true
	"$kubectl" delete deployment one --wait >/dev/null
	"$kubectl" wait --for=delete pod -l app=one --timeout=60s >/dev/null 2>&1 || true
}

start
fresh=$took
bin/covey image load bin/hello.tar >/dev/null
stop
ready=$(for _ in $(seq $runs); do start; echo "$took"; stop; done | median)
start
sleep "$idle"
pss=$(own | pss_kib)
ticks=$(cpu_ticks) bytes=$(written)
sleep "$idle"
cpu=$(awk -v t="$(($(cpu_ticks) - ticks))" -v s="$idle" -v hz="$(getconf CLK_TCK)" 'BEGIN {printf "%.2f", 100*t/hz/s}')
bytes=$(($(written) - bytes))
running=$(for _ in $(seq $runs); do apply_to_running; echo "$took"; done | median)
before=$(own | pss_kib)
begun=$(now_ms)
manifest many "$pods" | "$kubectl" apply -f - >/dev/null
"$kubectl" rollout status deployment/many --timeout=180s >/dev/null
all=$(($(now_ms) - begun))
sleep 5
added=$(awk -v b="$before" -v a="$(own | pss_kib)" -v n="$pods" 'BEGIN {printf "%.2f", (a-b)/1024/n}')

printf '| what | figure |\n| --- | --- |\n'
printf '| the binary | %.1f MB |\n' "$(awk -v b="$(stat -c %s bin/covey)" 'BEGIN {print b/1e6}')"
printf '| start to ready, empty data directory | %s ms |\n' "$fresh"
printf '| start to ready, existing data (median of %s) | %s ms |\n' "$runs" "$ready"
printf '| Pss of a node without pods, after %s s | %.1f MiB |\n' "$idle" "$(awk -v p="$pss" 'BEGIN {print p/1024}')"
printf '| CPU of that node over %s s | %s %% of a core |\n' "$idle" "$cpu"
printf '| bytes written by it in those %s s | %s |\n' "$idle" "$bytes"
printf '| create to Running on a watch, image present, kubectl included (median of %s) | %s ms |\n' "$runs" "$running"
printf '| apply of %s replicas to all available | %s ms |\n' "$pods" "$all"
printf '| Pss added per pod, the workload apart (%s pods) | %s MiB |\n' "$pods" "$added"
