#!/bin/bash
# Follows the README on a machine that has nothing: a bare Debian with ca-certificates, git and make, with this machine's Go,
# an empty home and no caches. There it clones this repository and runs what the README's section "Two commands" says: the
# first command as it stands, and of the second, "make test", the set-up. Twice: as root, and on another bare machine as an
# ordinary user with sudo. Needs root, debootstrap and what "make demo" fetches from.
#
# The second time only, what go compiled the first time is there already: to compile Larder and the tools of its tests is
# most of the time, goes the same for all users, and twice is more than CI has. All else is cold, the module cache too.
#
# Each run has namespaces of its own for mounts, processes and the host's name: all that it mounts or starts ends with it,
# however this script ends. The network is the machine's, for the module proxy and Debian's packages are there.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
	echo "test-fresh: $*" >&2
	exit 1
}

say() { echo "test-fresh: $*"; }

# The commands of the README's section, in order, without their comments.
readme_commands() {
	awk '/^## / { section = $0 == "## Two commands" }
		section && /^```/ { block = $0 == "```sh"; next }
		section && block { sub(/ *#.*/, ""); if (NF) print }' README.md
}

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

# Makes the bare machine in a folder.
make_machine() {
	local root=$1 release site
	read -r release site < <(debian)
	say "makes a bare Debian ($release, from $site): about a minute"
	# In namespaces, for debootstrap mounts /proc and /sys in the folder.
	run unshare --mount --pid --fork --kill-child debootstrap --variant=minbase --include=ca-certificates,git,make \
		"$release" "$root" "$site" >"$work/debootstrap.log"
	mkdir -p "$root/usr/local/go"
	# What is particular to this machine's network: names, certificates of a proxy, proxies of apt.
	cat /etc/resolv.conf >"$root/etc/resolv.conf"
	{
		cat /etc/hosts
		echo "127.0.0.1 fresh"
	} >"$root/etc/hosts"
	cat "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" >"$root/etc/ssl/certs/ca-certificates.crt"
	apt-config dump | { grep -i '^Acquire::.*proxy' || true; } >"$root/etc/apt/apt.conf.d/50proxy"
}

# Runs in namespaces of its own: makes a folder with the bare machine the root of this and all that it starts, and goes
# on there with "follow", without this machine's environment.
enter() {
	local root=$1 file goroot network
	shift
	goroot=$(GOTOOLCHAIN=local go env GOROOT)
	mapfile -t network < <(registries)
	hostname fresh
	mount --bind "$root" "$root"
	mount -o remount,bind,suid,dev,exec "$root" # whatever this machine says of its temporary files
	cd "$root"
	mount --bind "$goroot" usr/local/go
	mount -o remount,bind,ro usr/local/go
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
		/larder/scripts/test-fresh.sh follow "$@"
}

# Follows the README in the bare machine, as the user who is named: runs the commands in the clone.
follow() {
	local user=$1 command start changes foreign
	shift
	if [ "$user" != root ] && [ "$(id -u)" -eq 0 ]; then
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends sudo >/dev/null
		useradd --create-home --shell /bin/bash "$user"
		echo "$user ALL=(ALL:ALL) NOPASSWD: ALL" >"/etc/sudoers.d/$user"
		mkdir "/home/$user/.cache"
		mv /go-build "/home/$user/.cache/go-build"
		mv /larder "/home/$user/larder"
		chown -R "$user:" "/home/$user"
		exec setpriv --reuid "$user" --regid "$user" --init-groups \
			env HOME="/home/$user" USER="$user" LOGNAME="$user" PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/go/bin \
			"/home/$user/larder/scripts/test-fresh.sh" follow "$user" "$@"
	fi
	for command in "$@"; do
		say "$user: $command"
		start=$SECONDS
		bash -c "$command" </dev/null || fail "as $user, \"$command\" failed"
		say "$user: $command took $((SECONDS - start)) s"
		changes=$(git status --porcelain)
		[ -z "$changes" ] || fail "as $user, \"$command\" changed the tree:"$'\n'"$changes"
		# Root's home has the builder's state, with files of the users of images.
		[ "$user" = root ] && continue
		foreign=$(find "$HOME" ! -user "$user" -print -quit)
		[ -z "$foreign" ] || fail "as $user, \"$command\" left another user's file: $foreign"
	done
}

# Nothing is mounted below $work here: mounts are in the namespaces of what runs, and end with it.
cleanup() {
	[ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true
	wait
	# What ran in a namespace ends a moment after its first process.
	rm -rf --one-file-system "$work" 2>/dev/null || { sleep 2 && rm -rf --one-file-system "$work"; }
}

case ${1-} in
enter | follow)
	"$@"
	exit
	;;
esac

[ "$(id -u)" -eq 0 ] || fail "run me as root"
mapfile -t commands < <(readme_commands)
[ "${commands[1]-}" = "make test" ] || fail "the second command of README.md isn't \"make test\", whose set-up I know"
work=$(mktemp -d "${TMPDIR:-/tmp}/larder-fresh.XXXXXX")
child=
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 755 "$work"

make_machine "$work/bare"
for user in root ada; do
	machine=$work/$user
	cp -a "$work/bare" "$machine"
	[ "$user" = root ] || mv "$work/go-build" "$machine/go-build"
	# This tree may be another user's: of git's own checks, that one has nothing to say here.
	git clone --quiet --no-local --upload-pack 'git -c safe.directory=* upload-pack' "file://$PWD" "$machine/larder"
	run unshare --mount --pid --uts --fork --kill-child \
		scripts/test-fresh.sh enter "$machine" "$user" "${commands[0]}" "make test-setup"
	[ "$user" != root ] || mv "$machine/root/.cache/go-build" "$work/go-build"
	rm -rf --one-file-system "$machine"
done
say "passed: as root, and as a user with sudo"
