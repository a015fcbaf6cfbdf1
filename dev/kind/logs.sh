#!/bin/sh
# What the cluster of up.sh looks like, into a folder: after something went wrong.
set -u

export KUBECONFIG="${KIND_KUBECONFIG:-${TMPDIR:-/tmp}/policyhub-kind.kubeconfig}"
folder=$1
mkdir -p "$folder"
kubectl get nodes,pods,deployments --all-namespaces --output wide >"$folder/objects.txt" 2>&1
kubectl get events --all-namespaces --sort-by=.lastTimestamp >"$folder/events.txt" 2>&1
kubectl get monitoredclusters --output yaml >"$folder/monitoredclusters.yaml" 2>&1
kubectl get policyreports,clusterpolicyreports --all-namespaces --output yaml >"$folder/reports.yaml" 2>&1
kubectl get constraints --output yaml >"$folder/constraints.yaml" 2>&1
for deployment in policyhub/policyhub hub/hub kyverno/kyverno-reports-controller gatekeeper-system/gatekeeper-audit; do
  name=$(echo "$deployment" | tr / -)
  kubectl --namespace "${deployment%/*}" describe deployment,pods >"$folder/$name.txt" 2>&1
  kubectl --namespace "${deployment%/*}" logs --all-containers --prefix "deployment/${deployment#*/}" >"$folder/$name.log" 2>&1
done
exit 0
