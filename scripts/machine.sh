#!/bin/bash
# Bare machines for tests: a Debian that has nothing, in a folder. test-fresh.sh and test-release.sh read this file; it runs
# itself in the namespaces of a machine, as "machine.sh FOLDER COMMAND…". All of it needs root and debootstrap.

fail() {
	echo "$(basename "$0" .sh): $*" >&2
	exit 1
}

say() { echo "$(basename "$0" .sh): $*"; }

# How this machine reaches module proxies and Debian's packages, as NAME=VALUE. Certificates come in as a file.
registries() {
	local name value
	for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
		[ -z "${!name-}" ] || echo "$name=${!name}"
	done
	for name in GOPROXY GONOPROXY GOPRIVATE GOSUMDB GONOSUMDB GOINSECURE; do
		value=$(go env $name)
		[ -z "$value" ] || echo "$name=$value"
	done
}

# The release of Debian that this machine is, or else the stable one, and where this machine gets its packages from.
debian() {
	local release ID='' VERSION_CODENAME=''
	# shellcheck source=/dev/null
	. /etc/os-release
	release=$VERSION_CODENAME
	[ "$ID" = debian ] && [ -n "$release" ] || release=stable
	# shellcheck disable=SC2016 # apt expands these
	apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(SITE)' 2>/dev/null |
		awk -v release="$release" '$1 == "Debian" && $2 == release && !site { site = $3 }
			END { print release, site ? site : "http://deb.debian.org/debian" }'
}

# Starts a command in the background, so that a signal to this script ends both at once, and waits for it.
run() {
	"$@" &
	child=$!
	wait "$child" || fail "failed: see above"
	child=
}

# Makes a bare machine in a folder, with ca-certificates and the packages that are named.
make_machine() {
	local root=$1 release site packages
	shift
	packages=$(printf ',%s' ca-certificates "$@")
	read -r release site < <(debian)
	say "makes a bare Debian ($release, from $site): about a minute"
	# In namespaces, for debootstrap mounts /proc and /sys in the folder.
	run unshare --mount --pid --fork --kill-child debootstrap --variant=minbase --include="${packages#,}" \
		"$release" "$root" "$site" >"$work/debootstrap.log"
	# What is particular to this machine's network: names, certificates of a proxy, proxies of apt.
	cat /etc/resolv.conf >"$root/etc/resolv.conf"
	{
		cat /etc/hosts
		echo "127.0.0.1 fresh"
	} >"$root/etc/hosts"
	cat "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" >"$root/etc/ssl/certs/ca-certificates.crt"
	apt-config dump | { grep -i '^Acquire::.*proxy' || true; } >"$root/etc/apt/apt.conf.d/50proxy"
}

# Runs a command in a bare machine, in namespaces of its own for mounts, processes and the host's name: all that it mounts or
# starts ends with it, however this script ends. The network is this machine's, for the module proxy and Debian's packages
# are there.
in_machine() {
	run unshare --mount --pid --uts --fork --kill-child scripts/machine.sh "$@"
}

# Makes a folder with a bare machine the root of this and all that it starts, and goes on there with a command, without this
# machine's environment. This machine's Go is there if the folder is.
enter() {
	local root=$1 file goroot network
	shift
	goroot=$(GOTOOLCHAIN=local go env GOROOT)
	mapfile -t network < <(registries)
	hostname fresh
	mount --bind "$root" "$root"
	mount -o remount,bind,suid,dev,exec "$root" # whatever this machine says of its temporary files
	cd "$root"
	if [ -d usr/local/go ]; then
		mount --bind "$goroot" usr/local/go
		mount -o remount,bind,ro usr/local/go
	fi
	mount -t proc proc proc
	mount --rbind /sys sys # with the cgroups that containers need
	mount -t tmpfs -o mode=755 dev dev
	for file in null zero full random urandom tty; do
		touch dev/$file
		mount --bind /dev/$file dev/$file
	done
	mkdir dev/pts dev/shm
	mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
	mount -t tmpfs -o mode=1777 shm dev/shm
	ln -s pts/ptmx dev/ptmx
	ln -s /proc/self/fd dev/fd
	# Not chroot alone: the kernel lets nobody make containers in one.
	pivot_root . .
	umount -l .
	cd /
	exec env -i HOME=/root USER=root LOGNAME=root "${network[@]}" \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/go/bin \
		"$@"
}

# Makes the folder $work, which goes when this script ends.
make_work() {
	work=$(mktemp -d "${TMPDIR:-/tmp}/larder-machine.XXXXXX")
	child=
	trap cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	chmod 755 "$work"
}

# Nothing is mounted below $work here: mounts are in the namespaces of what runs, and end with it.
cleanup() {
	[ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true
	wait
	# What ran in a namespace ends a moment after its first process.
	rm -rf --one-file-system "$work" 2>/dev/null || { sleep 2 && rm -rf --one-file-system "$work"; }
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	set -euo pipefail
	enter "$@"
fi
