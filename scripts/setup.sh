#!/bin/bash
# Gets what is needed on a Debian-like machine that has Go and git: packages of the distribution, and Go modules. What is
# there already is left as it is. "setup.sh demo" gets what "make demo" needs, "test" what "make test" does, "release" what
# "make release" does, "slow" and "fresh" what only "make test-slow" and "make test-fresh" do.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
export GOFLAGS='' GOWORK=off

fail() {
	echo "setup: $*" >&2
	exit 1
}

say() { echo "setup: $*"; }

missing_for_demo() {
	command -v runc >/dev/null || missing+=(runc)
	command -v git >/dev/null || missing+=(git)
}

missing_for_test() {
	missing_for_demo
	command -v ip >/dev/null || missing+=(iproute2)
	command -v ssh >/dev/null || missing+=(openssh-client) # what git, as the go command runs it, comes by
	command -v newuidmap >/dev/null || missing+=(uidmap) # by which a user who isn't root may build
	command -v busybox >/dev/null || missing+=(busybox-static) # the shell of images that tests make
	command -v shellcheck >/dev/null || missing+=(shellcheck)
	command -v curl >/dev/null || missing+=(curl) # of which action.yml makes use
	command -v wget >/dev/null || missing+=(wget) # which trusts what its own settings say
}

missing_for_release() {
	missing_for_demo
	command -v jq >/dev/null || missing+=(jq)
}

missing_for_fresh() {
	command -v debootstrap >/dev/null || missing+=(debootstrap)
	[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
}

# A C compiler, one for another architecture, clang, which compiles for any, and what runs the programs that they make:
# about 100 MB to download.
missing_for_slow() {
	local triple=aarch64-linux-gnu libc=arm64
	[ "$(uname -m)" = x86_64 ] || triple=x86_64-linux-gnu libc=amd64
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
		as_root=(sudo -E) # with the environment, which may name proxies
	fi
	say "installing ${missing[*]}"
	"${as_root[@]}" apt-get update -qq
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# What is compiled for the demo, and no more.
download_for_demo() {
	go list -deps ./cmd/larder ./cmd/larder-frontend ./examples/demo >/dev/null
}

download_for_release() {
	download_for_demo
	go -C packaging/nfpm mod download
}

# Tests serve modules, and the toolchain that Larder chooses for the modules here, from the module cache. Larder fetches
# all that go.sum lists; go mod download alone leaves out what only tests of dependencies need.
download_for_test() {
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

download_for_slow() {
	local release arch
	go -C tools/cosign mod download
	for release in 1.21.13 1.23.12 1.24.13 1.25.14 1.27.3; do
		GOTOOLCHAIN=go$release go version
	done
	for arch in amd64 arm64; do # a builder of the other one is emulated
		download_toolchain $arch
	done
}

download_for_fresh() { :; } # on this machine

what=${1-}
case $what in
demo | test | release | slow | fresh) ;;
*) fail "for what: demo, test, release, slow or fresh?" ;;
esac
command -v go >/dev/null || fail "install Go from https://go.dev/dl first"
say "getting what $what needs: nothing to do, or a minute if it is the first time"
if [ ! -s /etc/ssl/certs/ca-certificates.crt ]; then # which downloads need
	missing=(ca-certificates)
	install_missing
fi
missing=()
"missing_for_$what"
# Modules are downloaded while packages are installed.
"download_for_$what" &
downloads=$!
trap 'kill "$downloads" 2>/dev/null || true' EXIT
install_missing
wait "$downloads" || fail "go didn't download all modules: see above"
trap - EXIT
