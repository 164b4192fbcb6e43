#!/bin/sh
# Writes what Prometheus needs to know of a cluster beside this file, out of a kubeconfig: credentials.sh KUBECONFIG [DIRECTORY]
set -eu
kubeconfig=${1:?"usage: credentials.sh KUBECONFIG [DIRECTORY]"}
dir=${2:-$(dirname "$0")}
field() { sed -n "s/^ *$1: *//p" "$kubeconfig" | head -n 1 | base64 -d; }
umask 077
cp "$kubeconfig" "$dir/covey.kubeconfig"
field certificate-authority-data >"$dir/ca.crt"
field client-certificate-data >"$dir/client.crt"
field client-key-data >"$dir/client.key"
