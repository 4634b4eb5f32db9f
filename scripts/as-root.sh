#!/bin/bash
# Runs a command as root, for users who aren't: with their environment, PATH and Go caches, but in root's home, not theirs,
# which files of root's would spoil for them.
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)

# Where go keeps things follows from the home, and sudo's configuration may replace PATH.
mapfile -t values < <(go env GOENV GOCACHE GOMODCACHE)
environment=("PATH=$PATH" "GOENV=${values[0]}" "GOCACHE=${values[1]}" "GOMODCACHE=${values[2]}")

# The command may have run go, or have written a result. In the module cache it writes nothing: setup.sh filled that.
give_back() {
	local folder folders=()
	for folder in "${values[1]}" "$repository/bin" "$repository/.cache"; do
		[ ! -d "$folder" ] || folders+=("$folder")
	done
	sudo find "${folders[@]}" -user root -exec chown -h "$(id -u):$(id -g)" {} +
}
trap give_back EXIT
sudo -E -H env "${environment[@]}" "$@"
