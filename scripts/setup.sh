#!/bin/bash
# Gets what the demo and the tests need on a Debian-like machine that has Go and git: packages of the distribution, and
# the modules that are built here. What is there already is left as it is. "setup.sh slow" gets what only "make test-slow" needs.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
export GOFLAGS='' GOWORK=off

fail() {
	echo "setup: $*" >&2
	exit 1
}

missing_packages() {
	missing=()
	command -v runc >/dev/null || missing+=(runc)
	command -v ip >/dev/null || missing+=(iproute2)
	command -v git >/dev/null || missing+=(git)
	command -v ssh >/dev/null || missing+=(openssh-client) # what git, as the go command runs it, comes by
	command -v busybox >/dev/null || missing+=(busybox-static) # the shell of images that tests make
	[ -s /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
}

# A C compiler, one for another architecture, clang, which compiles for any, and what runs the programs that they make:
# about 100 MB to download.
missing_for_slow() {
	local triple=aarch64-linux-gnu libc=arm64
	[ "$(uname -m)" = x86_64 ] || triple=x86_64-linux-gnu libc=amd64
	missing=()
	command -v gcc >/dev/null || missing+=(gcc)
	[ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
	[ -e /usr/include/crypt.h ] || missing+=(libcrypt-dev)
	command -v $triple-gcc >/dev/null || missing+=("gcc-${triple//_/-}")
	[ -e /usr/$triple/include/stdlib.h ] || missing+=("libc6-dev-$libc-cross")
	command -v clang >/dev/null || missing+=(clang)
	command -v ld.lld >/dev/null || missing+=(lld)
	command -v qemu-loongarch64 >/dev/null || missing+=(qemu-user)
	[ -x /usr/bin/qemu-aarch64-static ] || missing+=(qemu-user-static)
	command -v skopeo >/dev/null || missing+=(skopeo)
}

install_missing() {
	local as_root=()
	[ ${#missing[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null || fail "install ${missing[*]}: there is no apt-get here to do it"
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || fail "install ${missing[*]} as root: there is no sudo here to do it"
		as_root=(sudo)
	fi
	echo "setup: installing ${missing[*]}"
	"${as_root[@]}" apt-get update -qq
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Tests serve modules, and the toolchain that Larder chooses for the modules here, from the module cache. Larder fetches
# all that go.sum lists; go mod download alone leaves out what only tests of dependencies need.
download_modules() {
	local dir
	go -C tools mod download
	for dir in . examples/hello; do
		(cd "$dir" && awk '$2 !~ /\/go\.mod$/ { print $1 "@" $2 }' go.sum | xargs go mod download)
		go -C "$dir" mod download
	done
	download_toolchain "$(go env GOARCH)"
}

# In a shell of its own, whose end removes the folder that it made.
download_toolchain() (
	toolchain=v0.0.1-go1.26.10.linux-$1
	[ ! -f "$(go env GOMODCACHE)/cache/download/golang.org/toolchain/@v/$toolchain.zip" ] || exit 0
	made=$(mktemp -d)
	trap 'rm -rf "$made"' EXIT
	cd "$made"
	go mod init setup 2>/dev/null
	GOFLAGS=-mod=mod go mod download "golang.org/toolchain@$toolchain"
)

command -v go >/dev/null || fail "install Go from https://go.dev/dl first"
if [ "${1-}" = slow ]; then
	missing_for_slow
	install_missing
	for release in 1.21.13 1.23.12 1.24.13 1.25.14 1.27.3; do
		GOTOOLCHAIN=go$release go version
	done
	for arch in amd64 arm64; do # a builder of the other one is emulated
		download_toolchain $arch
	done
	exit
fi
missing_packages
install_missing
download_modules
