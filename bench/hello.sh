#!/bin/bash
# Times examples/hello, side by side in one run: larder with its embedded builder on a fresh state, and go build on the
# host with empty caches; then each again with nothing changed and with one line edited (medians of 5).
# Needs root, and what "make larder" builds. Modules come from GOPROXY, for both.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cp -r examples/hello "$work/src"
export CGO_ENABLED=0 GOFLAGS=-modcacherw GOWORK=off GOTOOLCHAIN=local

ms() { # runs a command and prints its milliseconds
	local start
	start=$(date +%s%3N)
	"$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }
	echo $(($(date +%s%3N) - start))
}
median() { sort -n | sed -n 3p; }
edit() { sed -i "s/^package main.*/package main \/\/ $RANDOM$RANDOM/" "$work/src/main.go"; }

larder() { bin/larder build --builder embedded --state "$work/state" --progress plain -o "type=oci,dest=$work/image.tar" "$work/src"; }
host() { (cd "$work/src" && GOMODCACHE=$work/mod GOCACHE=$work/cache go build -trimpath -ldflags="-s -w" -o "$work/hello" .); }
edited() { edit; "$1"; }

declare -A cold warm one
for how in larder host; do
	cold[$how]=$(ms "$how")
	warm[$how]=$(for _ in 1 2 3 4 5; do ms "$how"; done | median)
	one[$how]=$(for _ in 1 2 3 4 5; do ms edited "$how"; done | median)
done

row() { awk -v n="$1" -v l="$2" -v h="$3" 'BEGIN { printf "| %s | %.2f s | %.2f s | %.2f |\n", n, l/1000, h/1000, l/h }'; }
echo "$(nproc) cores, $(go version | cut -d' ' -f3) on the host"
echo "| | larder, an image | go build, a binary | ratio |"
echo "| --- | --- | --- | --- |"
row "cold: no state, no caches" "${cold[larder]}" "${cold[host]}"
row "nothing changed" "${warm[larder]}" "${warm[host]}"
row "one line edited" "${one[larder]}" "${one[host]}"
