#!/usr/bin/env bash
# Injects faults into a farm: workers, the server and the client are killed or stopped while a real kernel is tested.
# Each time the run must have the same records as a run without a farm. Then the same with stubs in place of machines,
# with many parts.
#
# usage: scripts/farm-faults.sh [KERNEL [FAULT...]]
# FAULT is matrix, random, failfast, worker, stopped, server, cluster, client, detach, cancel or stubs. TABLE=FILE writes
# the results as Markdown.
set -eu
cd "$(dirname "$0")/.."
kernel=${1:-deb:6.12}
[ $# -eq 0 ] || shift
faults=("$@")
[ $# -gt 0 ] || faults=(matrix random failfast worker stopped server cluster client detach cancel stubs)
cases=(token_create)
tokentest=$PWD/bin/tokentest
dir=$(mktemp -d)
pids=()
workers=() # process ids, by number

cleanup() {
  for pid in "${pids[@]}"; do kill -CONT "$pid" 2>/dev/null || true; kill "$pid" 2>/dev/null || true; done
  wait
  rm -rf "$dir"
}
trap cleanup EXIT

fail() {
  echo "not ok $fault: $*" >&2
  tail -n 30 "$dir"/*.log >&2 || true
  exit 1
}

# records prints the records of a run without what may differ: numbers of machines, and the order of kernels.
records() {
  sed -E 's/"boot":-?[0-9]+/"boot":0/; s/,"n":[0-9]+,"sum":"[0-9a-f]+"//' "$1/records.jsonl" | sort -s -t, -k1,1
}

same() { # RUN: it has the records of the run without a farm
  cmp <(records "$1") <(records "$dir/base") >&2 || fail "$1 has other records than a run without a farm"
}

serve() { # [PORT]: starts the server, and sets url
  "$tokentest" farm serve --listen "127.0.0.1:${1:-0}" --store "$dir/store" >"$dir/url" 2>>"$dir/server.log" &
  server=$!
  pids+=("$server")
  for _ in $(seq 300); do [ -s "$dir/url" ] && break; sleep 0.1; done
  url=$(cat "$dir/url")
  [ -n "$url" ] || fail "the server does not start"
}

serve_cluster() { # starts three servers that keep everything three times, and sets url and servers
  local base=$((20000 + RANDOM % 20000)) hosts=() i own
  servers=()
  for i in 1 2 3; do
    mkdir "$dir/store$i"
    [ "$i" = 1 ] || cp "$dir/store1/token" "$dir/store$i/"
    own=(--route "127.0.0.1:$((base + 10 * i))")
    for other in 1 2 3; do [ "$other" = "$i" ] || own+=(--route "127.0.0.1:$((base + 10 * other))"); done
    "$tokentest" farm serve --listen "127.0.0.1:$((base + i))" --store "$dir/store$i" --name "s$i" "${own[@]}" \
      >"$dir/url$i" 2>>"$dir/server$i.log" &
    servers[i]=$!
    pids+=("$!")
    hosts+=("127.0.0.1:$((base + i))")
    for _ in $(seq 300); do [ -s "$dir/url$i" ] && break; sleep 0.1; done
    [ -s "$dir/url$i" ] || fail "server $i does not start"
  done
  url=nats://$(cat "$dir/store1/token")@$(IFS=,; echo "${hosts[*]}")
}

worker() { # N: starts a worker
  TOKENTEST_FARM=$url "$tokentest" worker 2>>"$dir/worker$1.log" &
  pids+=("$!")
  workers[$1]=$!
}

client() { # RUN [KERNEL...]: starts a run on the farm
  out=$dir/$1
  "$tokentest" run --on "$url" -k "$kernel" "${cases[@]}" --offline --out "$out" >"$dir/$1.ktap" 2>"$dir/$1.log" &
  client=$!
  pids+=("$client")
}

started() { # N: waits until worker N runs a part
  for _ in $(seq 1200); do grep -q ', cases ' "$dir/worker$1.log" && return; sleep 0.1; done
  fail "worker $1 got no part"
}

ends() { # CODE PID: waits for a process
  code=0
  wait "$2" || code=$?
  [ "$code" = "$1" ] || fail "exit code $code, want $1"
}

stop() { # ends what a fault started
  for pid in "${pids[@]}"; do kill -CONT "$pid" 2>/dev/null || true; kill "$pid" 2>/dev/null || true; done
  wait
  pids=()
  rm -rf "$dir"/store* "$dir"/worker*.log "$dir"/server*.log "$dir"/url*
}

matrix() {
  "$tokentest" run --on local:3 -k "$kernel" "${cases[@]}" --offline --out "$dir/on" >"$dir/on.ktap" 2>"$dir/on.log" ||
    fail "exit code $?"
  same "$dir/on"
  for left in farm farm.json parts; do
    [ ! -e "$dir/on/$left" ] || fail "the farm left $left"
  done
  result="the records of a run without a farm"
}

random() {
  local own=(--random 3 --seed 7 "$dir/mine.txt")
  cat >"$dir/mine.txt" <<'END'
about A token of one container is worth nothing in another.
needs token
actor owner userns uid=1000
actor peer  userns uid=2000
owner bpffs cmds=map_create maps=any -> b
owner token_create bpffs=b -> t
owner send t peer
control owner  map_create type=hash token=t
control nobody map_create type=hash           => EPERM
peer  map_create type=hash token=t            => EPERM
END
  "$tokentest" run -k "$kernel" "${own[@]}" --offline --out "$dir/here" >"$dir/here.ktap" 2>"$dir/here.log" ||
    fail "exit code $? without a farm"
  "$tokentest" run --on local:2 -k "$kernel" "${own[@]}" --offline --out "$dir/there" >"$dir/there.ktap" \
    2>"$dir/there.log" || fail "exit code $?"
  cmp <(records "$dir/here") <(records "$dir/there") >&2 || fail "the records differ from those without a farm"
  result="random worlds and a case file of one's own: the records of a run without a farm"
}

failfast() {
  local code=0
  cat >"$dir/wrong.txt" <<'END'
about An expectation that is wrong.
needs token
actor owner userns uid=1000
owner bpffs cmds=map_create maps=any -> b
owner token_create bpffs=b -> t
control owner  map_create type=hash token=t
control nobody map_create type=hash           => EPERM
nobody map_create type=hash token=t           => ENOENT # wrong on purpose
END
  "$tokentest" run --on local:1 -k "$kernel" -k deb:7.3 --failfast "$dir/wrong.txt" token_create --offline \
    --out "$dir/fast" >"$dir/fast.ktap" 2>"$dir/fast.log" || code=$?
  [ "$code" = 2 ] || fail "exit code $code, want that of a wrong expectation, 2"
  grep -q 'failfast stopped the run at the first failure' "$dir/fast.ktap" || fail "the run went on"
  result="--failfast: the part with the first failure ends the run; the other kernel is not tried"
}

cluster() {
  serve_cluster
  worker 1
  client cluster
  started 1
  local leader
  leader=$("$tokentest" farm status "$url" --json | jq -re .leader) || fail "no server leads the queue"
  kill -KILL "${servers[${leader#s}]}"
  ends 0 "$client"
  same "$out"
  "$tokentest" farm status "$url" >"$dir/status.log"
  ! grep -q "server $leader leads" "$dir/status.log" || fail "the server that was killed leads the queue"
  result="of three servers the one that leads is killed: another leads; the same records"
}

worker_killed() {
  serve
  worker 1
  client killed
  started 1
  worker 2
  kill -KILL "${workers[1]}"
  ends 0 "$client"
  same "$out"
  result="another worker does its part; the same records"
}

stopped() {
  serve
  worker 1
  client stopped
  started 1
  kill -STOP "${workers[1]}"
  worker 2
  ends 0 "$client"
  same "$out"
  kill -CONT "${workers[1]}"
  for _ in $(seq 600); do grep -q 'has an answer already' "$dir/worker1.log" && break; sleep 0.1; done
  grep -q 'has an answer already\|canceled\|given back' "$dir/worker1.log" || fail "the late answer was not refused"
  result="another worker does its part, the late answer is refused; the same records"
}

server_killed() {
  serve
  worker 1
  client server
  started 1
  kill -KILL "$server"
  sleep 2
  port=${url##*:}
  : >"$dir/url"
  serve "$port"
  ends 0 "$client"
  same "$out"
  result="workers and client wait, and go on when it is back; the same records"
}

client_killed() {
  serve
  worker 1
  client client
  started 1
  kill -KILL "$client"
  wait "$client" || true
  "$tokentest" run --resume "$out" >"$dir/client.ktap" 2>>"$dir/client.log" || fail "--resume ends with $?"
  same "$out"
  result="the farm goes on, --resume takes the run up; the same records"
}

detach() {
  serve
  worker 1
  client detach
  started 1
  kill -INT "$client"
  ends 3 "$client"
  grep -q 'the run goes on in the farm' "$dir/detach.log" || fail "it does not say that the run goes on"
  "$tokentest" run --resume "$out" >"$dir/detach.ktap" 2>>"$dir/detach.log" || fail "--resume ends with $?"
  same "$out"
  ! grep -rq "$(sed 's|.*//\(.*\)@.*|\1|' "$dir/url")" "$out" || fail "the run holds the farm's token"
  result="exit 3 and the line that takes the run up; then the same records, and no token"
}

cancel() {
  serve
  worker 1
  client cancel
  started 1
  kill -INT "$client"
  sleep 1
  kill -INT "$client"
  ends 3 "$client"
  "$tokentest" farm status "$url" >"$dir/status.log"
  grep -q '^0 parts wait' "$dir/status.log" || fail "the queue is not empty"
  grep -q canceled "$dir/status.log" || fail "the run is not canceled"
  result="exit 3, the queue is empty, the worker stops its machine"
}

stubs() {
  FARM_TEST_PARTS=${PARTS:-1000} go test ./harness/farm/worker -count=1 -run 'Killed' >"$dir/stubs.log" 2>&1 || fail "see the log"
  FARM_TEST_PARTS=$((${PARTS:-1000} * 10)) go test ./harness/farm/worker -count=1 -run 'Cancel' >>"$dir/stubs.log" 2>&1 ||
    fail "see the log"
  go test ./harness/farm/... -count=1 >>"$dir/stubs.log" 2>&1 || fail "see the log"
  result="${PARTS:-1000} parts have one answer each, with two of four workers killed, and with the server killed; ten times \
as many are queued and canceled"
}

fault=base
"$tokentest" run -k "$kernel" "${cases[@]}" --offline --out "$dir/base" >"$dir/base.ktap" 2>"$dir/base.log" ||
  fail "exit code $?"
rows=()
for fault in "${faults[@]}"; do
  begin=$SECONDS
  case $fault in
  matrix | random | failfast | stopped | cluster | detach | cancel | stubs) "$fault" ;;
  worker | server | client) "${fault}_killed" ;;
  *) fail "there is no such fault" ;;
  esac
  stop
  echo "ok $fault: $result ($((SECONDS - begin)) s)"
  rows+=("| $fault | $result | $((SECONDS - begin)) s |")
done
if [ -n "${TABLE:-}" ]; then
  {
    # shellcheck disable=SC2016 # marks of Markdown
    printf '# Faults of a farm\n\n`scripts/farm-faults.sh %s` wrote this. It injects each fault while a run on a farm goes on.\n\n' "$kernel"
    printf '| fault | result | took |\n| --- | --- | --- |\n'
    printf '%s\n' "${rows[@]}"
  } >"$TABLE"
fi
