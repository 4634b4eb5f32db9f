#!/bin/bash
# Runs every fuzz target of the tree for a time, and tells how often each was run. What is found to fail is minimised and
# kept in the package's testdata/fuzz; inputs that are merely interesting are kept in go's build cache, for the next run.
#
#   FUZZTIME   for how long each target runs: 10m
#   TARGETS    which: a regular expression for PACKAGE.FuzzNAME, all if there is none
#   JOBS       how many targets run at once: 1
#   PARALLEL   how many inputs each tries at once: all CPUs
#   CORPUS     none: begin with the seeds alone, and keep nothing that is merely interesting
#   MIN_RATE   executions a second, below which a target fails: 100. One that can't do as many says why in a comment that
#              starts with "// slow: ", directly above it
set -euo pipefail
cd "$(dirname "$0")/.."

export FUZZTIME=${FUZZTIME:-10m} PARALLEL=${PARALLEL:-$(nproc)} MIN_RATE=${MIN_RATE:-100}
targets=${TARGETS:-.} jobs=${JOBS:-1}
module=$(go list -m)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export out module
# A minimising time, of which there is a minute by default, is not in the time of a target: it would leave nothing of it.
cache=$(go env GOCACHE)/fuzz
[ "${CORPUS:-}" != none ] || cache=$out/corpus
export cache

# out_of_time tells whether a log says no more than that the time was over. Go's coordinator sometimes takes the end of
# -fuzztime itself for a failure (golang.org/issue/75804). A finding has the input that fails, a panic, or the line of a check.
out_of_time() {
	awk '/^--- FAIL: Fuzz/ { failed = 1; next } failed' "$1" | cmp -s - <(printf '    context deadline exceeded\nFAIL\n')
}
export -f out_of_time

# fuzz runs one target, and writes a line of the table, or what it found.
fuzz() {
	local package=$1 target=$2 status=ok log execs rate seconds slow
	log=$out/$(tr / _ <<<"$package").$target.log
	mkdir -p "$cache/$package"
	(
		cd ".${package#"$module"}"
		"$out/$(tr / _ <<<"$package").test" -test.run='^$' -test.fuzz="^$target\$" -test.fuzztime="$FUZZTIME" -test.fuzzminimizetime=10x \
			-test.fuzzcachedir="$cache/$package" -test.parallel="$PARALLEL" -test.timeout=0
	) >"$log" 2>&1 || out_of_time "$log" || status='FOUND ONE'
	execs=$(grep -oE 'execs: [0-9]+' "$log" | tail -1 | cut -d' ' -f2 || true)
	# Of the seconds that it fuzzed, without those that it took to read what is kept.
	seconds=$(awk -F'[:, ]+' '
		/now fuzzing/ { start = $3 + 0 }
		/execs:/ { at = 0; text = $3; while (match(text, /^[0-9]+[hms]/)) { unit = substr(text, RLENGTH, 1); n = substr(text, 1, RLENGTH - 1); at += n * (unit == "h" ? 3600 : unit == "m" ? 60 : 1); text = substr(text, RLENGTH + 1) } }
		END { print (at > start ? at - start : 1) }' "$log")
	rate=$((${execs:-0} / seconds))
	slow=$(sed -nE '/^\/\/ slow: /{h;n;/^func '"$target"'\(/{g;s/^\/\/ slow: //p}}' ".${package#"$module"}"/*_test.go)
	if [ "$status" = ok ] && [ "${execs:-0}" -eq 0 ]; then
		status='NEVER RAN'
	elif [ "$status" = ok ] && [ "$rate" -lt "$MIN_RATE" ]; then
		status=${slow:+slow: $slow}
		status=${status:-TOO SLOW}
	fi
	printf '%s\t%s\t%s\t%s\n' "${package#"$module"/}.$target" "${execs:-0}" "$rate" "$status" | tee "$log.row"
}
export -f fuzz

list=$out/list
while IFS= read -r package; do
	dir=.${package#"$module"}
	grep -qsE '^func Fuzz' "$dir"/*_test.go || continue
	mapfile -t names < <(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | cut -d' ' -f2 | while read -r name; do
		! grep -qE "$targets" <<<"${package#"$module"/}.$name" || echo "$name"
	done)
	[ ${#names[@]} -gt 0 ] || continue
	binary=$out/$(tr / _ <<<"$package").test
	go test -c -vet=off -fuzz=Fuzz -o "$binary" "$package"
	# What the compiled tests know counts, not what looks like a target.
	"$binary" -test.list '^Fuzz' | grep -xF -f <(printf '%s\n' "${names[@]}") | sed "s|^|$package |" >>"$list"
done < <(go list ./...)
[ -s "$list" ] || {
	echo "fuzz: no target matches $targets" >&2
	exit 1
}
echo "fuzz: $(wc -l <"$list") targets, $FUZZTIME each" >&2

printf 'target\texecutions\ta second\t\n' >"$out/table"
# shellcheck disable=SC2016 # the inner shell's arguments
xargs -P "$jobs" -L 1 bash -c 'fuzz "$1" "$2"' fuzz <"$list" >/dev/null
cat "$out"/*.row | sort >>"$out/table"
column -t -s $'\t' "$out/table"
if grep -qE $'\t(FOUND ONE|TOO SLOW|NEVER RAN)$' "$out"/*.row; then
	grep -lE $'\t(FOUND ONE|NEVER RAN)$' "$out"/*.row | while read -r row; do
		echo "--- $(cut -f1 "$row")"
		tail -n 60 "${row%.row}"
	done >&2
	exit 1
fi
