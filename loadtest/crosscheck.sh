#!/bin/sh
# Compares spanload's percentiles with those of wrk (closed loop) and fortio (open loop), in one interleaved run against a server
# that answers after 10 ms, where none of them is the limit; then its cost with wrk's against a server that answers at once.
# Exit 1 when a p50 or p99 differs by more than 10 %, or when spanload sends less than half of what wrk does.
#
# usage: loadtest/crosscheck.sh [--update docs/loadtest.md]
# ROUNDS (5) and SECONDS_EACH (5) change the length, FORTIO names a fortio of one's own.
set -eu
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-5} each=${SECONDS_EACH:-5} version=v1.68.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/spanwire work=$(mktemp -d)
server= fast= load=$(cut -d" " -f1 /proc/loadavg)
trap 'kill $server $fast 2>/dev/null || :; rm -rf "$work"' EXIT

command -v wrk >/dev/null || { echo "crosscheck: wrk is missing: apt-get install wrk" >&2; exit 1; }
fortio=${FORTIO:-$cache/fortio-$version/fortio}
if [ ! -x "$fortio" ]; then
    echo "crosscheck: building fortio $version into $cache" >&2
    GOBIN=$cache/fortio-$version go install "fortio.org/fortio@$version"
fi
go build -o "$work/spanload" ./cmd/spanload

# start NAME FLAGS…: starts a server; its address is in $work/NAME.
start() {
    name=$1; shift
    "$work/spanload" serve --listen 127.0.0.1:0 --body-size 200 "$@" >"$work/$name.log" &
    pid=$!
    until grep -q '^listening on ' "$work/$name.log"; do sleep 0.05; done
    sed -n 's/^listening on //p' "$work/$name.log" >"$work/$name"
}
start slow --latency 10ms; server=$pid
start fast; fast=$pid
slow="http://$(cat "$work/slow")/"
quick="http://$(cat "$work/fast")/"

# Each tool appends "p50 p99", in milliseconds, to its file.
from_wrk() {
    wrk -t1 -c32 -d"${each}s" --latency "$slow" | awk '
        function ms(s) { if (s ~ /us$/) return s / 1000; if (s ~ /ms$/) return s + 0; return s * 1000 }
        $1 == "50%" { p50 = ms($2) } $1 == "99%" { print p50, ms($2) }' >>"$work/wrk"
}
from_fortio() {
    # -uniform: or all its connections send at the same moment, over and over. Its histogram gets coarse away from the offset:
    # close to the 10 ms it tells microseconds apart.
    "$fortio" load -quiet -uniform -qps 2000 -c 64 -t "${each}s" -offset 9500us -r 0.00001 -p 50,99 "$slow" 2>&1 | awk '
        /^# target 50%/ { p50 = $4 * 1000 } /^# target 99%/ { print p50, $4 * 1000; exit }' >>"$work/fortio"
}
from_spanload() { # FILE CONNECTIONS FLAGS…
    file=$1 connections=$2; shift 2
    "$work/spanload" --json --warmup 0s --duration "${each}s" --connections "$connections" "$@" "$slow" >"$work/json"
    sed -n '/^  "latency": {/,/^  }/p' "$work/json" | awk -F'[:,]' '/"p50_ns"/ { p50 = $2 / 1e6 } /"p99_ns"/ { print p50, $2 / 1e6 }' >>"$work/$file"
}
# cost TOOL: appends "requests a second, CPU µs a request".
cost() {
    case $1 in
    wrk) /bin/sh -c 'wrk -t1 -c32 -d'"$each"'s '"$quick"'; times' >"$work/out" ;;
    spanload) /bin/sh -c '"$0" --closed --warmup 0s --duration '"$each"'s '"$quick"'; times' "$work/spanload" >"$work/out" ;;
    esac
    awk -v seconds="$each" '
        function sec(s) { split(s, a, "m"); return a[1] * 60 + a[2] }
        / requests in / { n = $1 } /^requests / { n = $2 } NF == 2 && /^[0-9]+m/ { cpu = sec($1) + sec($2) }
        END { printf "%.0f %.2f\n", n / seconds, cpu / n * 1e6 }' "$work/out" >>"$work/cost-$1"
}

round=0
while [ $((round += 1)) -le "$rounds" ]; do
    echo "crosscheck: round $round of $rounds" >&2
    from_wrk; from_spanload closed 32 --closed; from_fortio; from_spanload open 64 --rate 2000; cost wrk; cost spanload
done

# median FILE COLUMN
median() { awk -v c="$2" '{ print $c }' "$work/$1" | sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
spread() { awk -v c="$2" '{ print $c }' "$work/$1" | sort -n | awk 'NR == 1 { a = $1 } { b = $1 } END { printf "%.2f to %.2f", a, b }'; }
row() { # NAME REFERENCE FILE COLUMN
    awk -v name="$1" -v r="$(median "$2" "$4")" -v s="$(median "$3" "$4")" -v rs="$(spread "$2" "$4")" -v ss="$(spread "$3" "$4")" 'BEGIN {
        d = (s / r - 1) * 100
        printf "| %s | %.2f (%s) | %.2f (%s) | %+.1f %% | %s |\n", name, r, rs, s, ss, d, ((d > 10 || d < -10) ? "DIFFERS" : "agrees") }'
}
report() {
    echo "$(date -u +%Y-%m-%d), commit $(git rev-parse --short HEAD), $(nproc) cores, Linux $(uname -r), load before $load."
    echo "$rounds interleaved rounds of $each s each; medians (smallest to largest), milliseconds."
    echo
    echo "| 10 ms server | reference | spanload | difference | |"
    echo "|---|---|---|---|---|"
    row "closed, 32 connections, p50 (wrk)" wrk closed 1
    row "closed, 32 connections, p99 (wrk)" wrk closed 2
    row "open, 2 000/s, 64 connections, p50 (fortio $version)" fortio open 1
    row "open, 2 000/s, 64 connections, p99 (fortio $version)" fortio open 2
    echo
    awk -v wr="$(median cost-wrk 1)" -v sr="$(median cost-spanload 1)" -v wc="$(median cost-wrk 2)" -v sc="$(median cost-spanload 2)" 'BEGIN {
        printf "Closed loop, 32 connections, a server that answers at once: wrk -t1 %.0f/s at %.2f µs of its own CPU a request,\n", wr, wc
        printf "spanload %.0f/s at %.2f µs: %.2f × the rate, %.2f × the CPU. %s\n", sr, sc, sr / wr, sc / wc, ((sr < wr / 2 || sc > wc * 2) ? "TOO SLOW" : "") }'
}

report | sed 's/ *$//' >"$work/report"
cat "$work/report"
if [ "${1:-}" = --update ]; then
    awk -v file="$work/report" '
        /<!-- crosscheck begin -->/ { print; while ((getline line < file) > 0) print line; skip = 1 }
        /<!-- crosscheck end -->/ { skip = 0 } !skip' "$2" | awk '!(/<!-- crosscheck begin -->/ && seen++)' >"$work/doc"
    cat "$work/doc" >"$2"
fi
! grep -q 'DIFFERS\|TOO SLOW' "$work/report"
