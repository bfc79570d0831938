#!/usr/bin/env bash
# Runs Ignite in this checkout with the two example apps deployed, until it is told to stop. `make run` calls it after the build.
# Everything it keeps is in .ignite (or IGNITE_DATA_DIR); a second run goes on with it.
set -euo pipefail
cd "$(dirname "$0")/.."

export IGNITE_DATA_DIR=${IGNITE_DATA_DIR:-$PWD/.ignite}
export IGNITE_HTTP_LISTEN_ADDR=${IGNITE_HTTP_LISTEN_ADDR:-127.0.0.1:8080}
export IGNITE_API_LISTEN_ADDR=${IGNITE_API_LISTEN_ADDR:-127.0.0.1:50051}
mkdir -p "$IGNITE_DATA_DIR"
log=$IGNITE_DATA_DIR/ignited.log

ready() { # asks /readyz without needing curl
  local host=${IGNITE_HTTP_LISTEN_ADDR%:*} port=${IGNITE_HTTP_LISTEN_ADDR##*:} answer
  exec 3<>"/dev/tcp/$host/$port" || return 1
  printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3
  read -r answer <&3 || true
  exec 3>&-
  [[ $answer == *" 200 "* ]]
} 2>/dev/null

if ready; then # or what follows would talk to a stranger
  echo "Something serves on http://$IGNITE_HTTP_LISTEN_ADDR already. Stop it, or choose other addresses:" >&2
  echo "IGNITE_HTTP_LISTEN_ADDR=127.0.0.1:8081 IGNITE_API_LISTEN_ADDR=127.0.0.1:50052 IGNITE_DATA_DIR=.ignite/second make run" >&2
  exit 1
fi

# A process group of its own: Ctrl-C reaches this script, which passes it on, and not the server a second time. ignited drains at
# the first signal and ends at once at the second, so whoever presses Ctrl-C twice gets that.
set -m
bin/ignited </dev/null 2>>"$log" &
server=$!
set +m
told=
stop() {
  told=yes
  kill -TERM "$server" 2>/dev/null || true
}
trap stop INT TERM HUP
trap '[[ $told ]] || stop; wait "$server" 2>/dev/null || true' EXIT

until ready; do
  if ! kill -0 "$server" 2>/dev/null; then
    echo "ignited did not start; its log ($log) ends with:" >&2
    tail -n 5 "$log" >&2
    exit 1
  fi
  sleep 0.05
done

export IGNITE_API_ENDPOINT=$IGNITE_API_LISTEN_ADDR
IGNITE_TOKEN=$(bin/ignited token --org acme-corp)
export IGNITE_TOKEN
bin/ignite --org acme-corp app deploy examples/hello
bin/ignite --org acme-corp app deploy examples/stream

cat <<EOF

Ignite runs: HTTP on http://$IGNITE_HTTP_LISTEN_ADDR, gRPC on $IGNITE_API_LISTEN_ADDR; its log is $log.
In another terminal, in this folder:

  export IGNITE_API_ENDPOINT=$IGNITE_API_LISTEN_ADDR IGNITE_TOKEN=$IGNITE_TOKEN

  bin/ignite invoke acme-corp:hello --payload '{"name": "Ada"}'
  bin/ignite invoke acme-corp:stream --async --watch
  curl -s http://$IGNITE_HTTP_LISTEN_ADDR/ -H 'Host: hello-acme-corp.ignite.localhost' -H "Authorization: Bearer \$IGNITE_TOKEN" -d '{"name": "Ada"}'

Ctrl-C stops it.
EOF

status=0
wait "$server" || status=$?
while kill -0 "$server" 2>/dev/null; do # a signal ends wait, not the server
  status=0
  wait "$server" || status=$?
done
exit "$status"
