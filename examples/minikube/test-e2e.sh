#!/usr/bin/env bash
# Sends messages to the actor of deploy.sh, checks the answers, and checks that it scales from zero and back.
set -euo pipefail
count=${COUNT:-20}
step() { printf '\n==> %s\n' "$*"; }
rabbit() { kubectl --namespace messaging exec deployment/rabbitmq -- rabbitmqadmin --username=asya --password=asya "$@"; }
replicas() { kubectl --namespace demo get deployment upper -o 'jsonpath={.spec.replicas}'; }
wait_for() {
  local what=$1 seconds=$2
  shift 2
  for ((n = 0; n < seconds; n++)); do
    if "$@"; then printf 'ok: %s\n' "$what"; return; fi
    sleep 1
  done
  printf 'error: %s: not true within %s s\n' "$what" "$seconds" >&2
  exit 1
}
is_at_zero() { [ "$(replicas)" = 0 ]; }
is_scaled_up() { [ "$(replicas)" -gt 0 ]; }
messages() { # QUEUE
  rabbit --format=raw_json list queues name messages | python3 -c \
    'import json,sys; print(sum(q.get("messages", 0) for q in json.load(sys.stdin) if q["name"] == sys.argv[1]))' "$1"
}
are_answered() { [ "$(messages asya-demo-done)" -ge "$count" ]; }

step "No replicas while the queue is empty"
wait_for "zero replicas" 180 is_at_zero

step "$count messages"
for queue in x-sink x-sump 'done'; do rabbit purge queue name="asya-demo-$queue" >/dev/null; done
for ((n = 1; n <= count; n++)); do
  message='{"id":"'$n'","route":{"prev":[],"curr":"upper","next":["done"]},"headers":{},"payload":{"text":"hello '$n'"}}'
  rabbit publish exchange=amq.default routing_key=asya-demo-upper payload="$message" >/dev/null
done
wait_for "at least one replica" 60 is_scaled_up
wait_for "all messages are answered" 180 are_answered

step "Scale back to zero"
wait_for "zero replicas" 240 is_at_zero

step "No message is lost or handled twice"
for queue in x-sink x-sump 'done'; do printf '%s: %s\n' "$queue" "$(messages "asya-demo-$queue")"; done
if [ "$(messages asya-demo-done)" != "$count" ] || [ "$(messages asya-demo-x-sink)$(messages asya-demo-x-sump)" != 00 ]; then
  printf 'error: expected %s in done and none in the others\n' "$count" >&2
  exit 1
fi
printf '\nEverything works.\n'
