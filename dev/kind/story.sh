#!/bin/sh
# What must hold in the cluster that up.sh made: findings of both engines, a fix, a restart, an upgrade, and the end.
set -eu
cd "$(dirname "$0")/../.."

export KUBECONFIG="${KIND_KUBECONFIG:-${TMPDIR:-/tmp}/policyhub-kind.kubeconfig}"
port=${HUB_PORT:-18080}
forward=
trap '[ -z "$forward" ] || kill "$forward"' EXIT
say() { echo "==> $*"; }
story() { .venv/bin/python -m dev.kind.story --kubeconfig "$KUBECONFIG" --hub "http://127.0.0.1:$port" "$@"; }

# To the hub's own loopback: its control endpoint answers nobody else.
kubectl --namespace hub port-forward service/hub "$port:8080" >/dev/null &
forward=$!

say "violations become findings; a fix is archived"
story begin

say "a new Pod sends nothing that is there"
kubectl --namespace policyhub rollout restart deployment/policyhub
kubectl --namespace policyhub rollout status deployment/policyhub --timeout=3m
story still

say "an upgrade with other values"
helm show crds charts/policyhub | kubectl apply --server-side --force-conflicts -f -
helm upgrade policyhub charts/policyhub --namespace policyhub --reset-then-reuse-values --set replicaCount=2 --wait --timeout 5m
story still

say "uninstall: nothing hangs, findings stay"
helm uninstall policyhub --namespace policyhub --wait --timeout 3m
kubectl delete namespace policyhub --timeout=3m
story end
