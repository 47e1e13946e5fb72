#!/usr/bin/env bash
# Installs RabbitMQ, KEDA, the operator and an example actor on the current cluster (minikube or kind).
# You can run it repeatedly. It needs kubectl and helm, and keeps an existing KEDA.
# PULL=1 uses the image IMAGE of a registry instead of building it. LOADED=1 uses an image that the node already has.
# FORCE=1 accepts a cluster that is neither minikube nor kind.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
image=${IMAGE:-asya-operator:dev}
step() { printf '\n==> %s\n' "$*"; }

for tool in kubectl helm; do
  command -v "$tool" >/dev/null || { printf 'error: %s is not installed\n' "$tool" >&2; exit 1; }
done
context=$(kubectl config current-context)
case $context in
  minikube*|kind-*) ;;
  *) [ "${FORCE:-}" = 1 ] || {
       printf 'error: the current context is %s, not minikube or kind; set FORCE=1 to use it anyway\n' "$context" >&2
       exit 1
     } ;;
esac

if [ "${PULL:-}" != 1 ] && [ "${LOADED:-}" != 1 ]; then
  step "Building $image and loading it into $context"
  make -C "$root" image image-load IMAGE="$image"
fi

step "RabbitMQ in namespace messaging"
kubectl apply -f "$here/rabbitmq.yaml"
kubectl --namespace messaging rollout status deployment/rabbitmq --timeout=180s

if kubectl get crd scaledobjects.keda.sh >/dev/null 2>&1; then
  step "KEDA is already installed"
else
  step "KEDA in namespace keda"
  helm repo add kedacore https://kedacore.github.io/charts --force-update >/dev/null
  helm upgrade --install keda kedacore/keda --namespace keda --create-namespace --wait --timeout 5m
fi

step "Asya Operator in namespace asya-system"
values=(--set "image.repository=${image%:*}" --set "image.tag=${image##*:}")
helm upgrade --install asya-operator "$root/charts/asya-operator" \
  --namespace asya-system --create-namespace --wait --timeout 3m "${values[@]}"

step "An actor that converts text to capitals, in namespace demo"
kubectl apply -f "$here/actor.yaml"
kubectl --namespace demo wait asya/upper --for=condition=Ready --timeout=120s
kubectl --namespace demo get asya
printf '\nNext: %s/test-e2e.sh\n' "$here"
