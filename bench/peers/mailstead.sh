#!/bin/sh
# Mailstead on loopback ports under a temp dir, the whole product: policy checks, quota, events, fsync.
#   mailstead.sh start accept|relay|dkim|dkim2 DIR PORT SINKPORT ;  mailstead.sh stop DIR ;  mailstead.sh queued DIR
# accept = every message is stored and stays queued (the delivery role is off)
# relay  = delivery to the smarthost 127.0.0.1:SINKPORT; only the address a@src.example is verified, so nobody signs
# dkim   = relay with one RSA-2048 signature, d=src.example
# dkim2  = dkim and the provider's own signature, as SES sends (MODE=dkim2 in the environment overrides the argument)
# MAILSTEAD is the program, by default `python -m mailstead` of this checkout's .venv; ARGS are more options of serve.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
mailstead=${MAILSTEAD:-"$here/.venv/bin/python -m mailstead"}
cmd=$1; shift
case $cmd in
start)
  mode=${MODE:-$1} dir=$2 port=$3 sink=$4
  case $mode in
    accept) roles=api,submission,upkeep identity=src.example ;;
    relay) roles=api,submission,delivery,upkeep identity=a@src.example ;;
    dkim | dkim2) roles=api,submission,delivery,upkeep identity=src.example ;;
    *) echo "unknown mode $mode" >&2; exit 2 ;;
  esac
  provider=""
  [ "$mode" = dkim2 ] && provider='domain = "ses.bench.example"'
  cat >"$dir/mailstead.toml" <<X
[server]
hostname = "mx.bench.example"
[listen]
api = "127.0.0.1:0"
submission = "127.0.0.1:$port"
submissions = "off"
mx = "off"
[delivery]
mode = "relay"
smarthost = "127.0.0.1:$sink"
[quota]
new_account = "unlimited"
[submission]
trusted = ["127.0.0.0/8=000000000000"]
[provider]
$provider
X
  # shellcheck disable=SC2086  # a command and its arguments
  $mailstead identity verify $identity --data "$dir/data" --config "$dir/mailstead.toml" >"$dir/identity.log" 2>&1
  # shellcheck disable=SC2086
  $mailstead serve --data "$dir/data" --config "$dir/mailstead.toml" --roles $roles ${ARGS:-} \
    >"$dir/ready" 2>"$dir/log" &
  echo $! >"$dir/pid"
  ;;
stop) kill "$(cat "$1/pid")" 2>/dev/null || true ;;
queued)
  # shellcheck disable=SC2086
  $mailstead queue list --json --data "$1/data" --config "$1/mailstead.toml" |
    "$here/.venv/bin/python" -c 'import json, sys; print(sum(lane["waiting"] for lane in json.load(sys.stdin)))'
  ;;
esac
