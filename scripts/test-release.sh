#!/bin/bash
# Tries a release: builds it a second time, in another folder, and wants the same bytes; installs its deb on a bare Debian,
# where it builds examples/hello and runs that; and looks at all else by TestRelease of packaging. "make test-release" runs it.
#
# DIST  the folder of the release; if it isn't given, one is built of this machine's architecture. That has stand-ins for what
#       only a registry has: a shell in the place of Alpine, and this machine's runc.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/machine.sh
. scripts/machine.sh

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -y -qq "$@" >/dev/null; }

# Runs in the bare machine, which has no Go, no git and no Docker.
use_packages() {
	say "installs the deb"
	cd /release
	apt_get update
	apt_get install ./larder.deb
	larder version
	larder plan --json hello >plan.json
	say "builds examples/hello with it"
	larder build -o type=oci,dest=hello.tar hello
	./demo -image hello.tar -plan plan.json -took "${SECONDS}s"
	say "unpacks the rpm"
	apt_get install rpm
	rpm --query --package --recommends larder.rpm | grep -xF '(runc or crun)' >/dev/null || fail "the rpm doesn't recommend runc"
	rpm --root /rpm --install --nodeps larder.rpm
	for file in /usr/bin/larder /usr/bin/larder-frontend; do
		cmp "$file" "/rpm$file"
	done
	apt_get purge larder
	[ ! -e /usr/bin/larder ] || fail "the deb leaves files when it is removed"
}

if [ "${1-}" = use_packages ]; then
	use_packages
	exit
fi

[ "$(id -u)" -eq 0 ] || fail "run me as root"
make_work
dist=${DIST:-}
if [ -z "$dist" ]; then
	mkdir -p "$work/base/bin" "$work/runc"
	cp "$(command -v busybox)" "$work/base/bin/"
	ln -s busybox "$work/base/bin/sh"
	cp "$(command -v runc)" "$work/runc/runc"
	dist=$work/dist
	VERSION=${VERSION:-v0.0.0-alpha0} ARCHES=$(go env GOHOSTARCH)
	FLAGS="--build-context base=$work/base --build-context runc=$work/runc"
	export VERSION ARCHES FLAGS
	DIST=$dist scripts/release.sh
fi

git clone --quiet --no-local --upload-pack 'git -c safe.directory=* upload-pack' "file://$PWD" "$work/again"
cp -r bin "$work/again/"
DIST=$work/dist-again ANEW=1 "$work/again/scripts/release.sh"
diff "$dist/SHA256SUMS" "$work/dist-again/SHA256SUMS" || fail "the same commit makes another release the second time"

make_machine "$work/bare"
mkdir -p "$work/bare/release/scripts"
cp -r examples/hello bin/demo "$work/bare/release/"
for packager in deb rpm; do
	cp "$dist"/larder_*_linux_"$(go env GOHOSTARCH)".$packager "$work/bare/release/larder.$packager"
done
cp scripts/machine.sh scripts/test-release.sh "$work/bare/release/scripts/"
in_machine "$work/bare" /release/scripts/test-release.sh use_packages

DIST=$(realpath "$dist") go test -tags release -vet=off -count=1 -v -run '^TestRelease' ./packaging
say "passed"
