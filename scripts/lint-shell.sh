#!/bin/bash
# Runs shellcheck over all the shell in this tree: the scripts, whatever their names are, and the recipes of the Makefile.
set -euo pipefail
cd "$(dirname "$0")/.."

is_script() {
	local first=''
	[ -f "$1" ] || return
	[[ $1 != *.sh ]] || return 0
	IFS= read -r first <"$1" 2>/dev/null || true
	[[ $first =~ ^'#!'.*(/|' ')(ba|da|k)?sh( |$) ]]
}

scripts=()
while IFS= read -r -d '' file; do
	! is_script "$file" || scripts+=("$file")
done < <(git ls-files -z --cached --others --exclude-standard)
[ ${#scripts[@]} -gt 0 ] || {
	echo "lint: git lists no script here" >&2
	exit 1
}
shellcheck "${scripts[@]}"

# The recipes as make would run them, all of them, with make's variables replaced.
mapfile -t targets < <(sed -n 's/^\.PHONY: //p' Makefile | tr ' ' '\n')
{
	echo '#!/bin/bash'
	env -u MAKEFLAGS -u MFLAGS make --dry-run --silent --no-print-directory "${targets[@]}"
} | shellcheck -
