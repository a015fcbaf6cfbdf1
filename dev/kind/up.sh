#!/bin/sh
# A kind cluster with Kyverno and Gatekeeper from their charts, the local Security Hub, and the operator from image and chart.
# Needs docker, kind, kubectl and helm. `kind delete cluster --name policyhub` takes it away.
set -eu
cd "$(dirname "$0")/../.."

# Charts of the engines' versions that make e2e builds (dev/cluster/gomod).
kyverno=3.9.1    # Kyverno v1.19.1
gatekeeper=3.23.1

export KUBECONFIG="${KIND_KUBECONFIG:-${TMPDIR:-/tmp}/policyhub-kind.kubeconfig}"
say() { echo "==> $*"; }

say "images"
docker build --quiet --tag policyhub:kind .
docker build --quiet --tag policyhub-hub:kind --file dev/kind/hub.Dockerfile .

say "cluster"
kind create cluster --name policyhub --wait 180s
kind load docker-image --name policyhub policyhub:kind policyhub-hub:kind

say "local Security Hub"
kubectl apply -f dev/kind/hub.yaml
kubectl --namespace hub rollout status deployment/hub --timeout=3m

say "Kyverno and Gatekeeper"
helm install kyverno kyverno --repo https://kyverno.github.io/kyverno --version "$kyverno" \
  --namespace kyverno --create-namespace --values dev/kind/kyverno.yaml --wait --timeout 10m
helm install gatekeeper gatekeeper --repo https://open-policy-agent.github.io/gatekeeper/charts --version "$gatekeeper" \
  --namespace gatekeeper-system --create-namespace --values dev/kind/gatekeeper.yaml --wait --timeout 10m

say "policyhub, in a namespace that enforces the standard restricted"
kubectl create namespace policyhub
kubectl label namespace policyhub pod-security.kubernetes.io/enforce=restricted
helm install policyhub charts/policyhub --namespace policyhub --values dev/kind/policyhub.yaml --wait --timeout 5m
kubectl wait --for=condition=Ready --timeout=5m monitoredcluster/kind
echo "export KUBECONFIG=$KUBECONFIG"
