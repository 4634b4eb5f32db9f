#!/bin/bash
# Follows the README on a machine that has nothing: a bare Debian with ca-certificates, git and make, with this machine's Go,
# an empty home and no caches. There it clones this repository and runs what the README's section "Two commands" says: the
# first command as it stands, and of the second, "make test", the set-up. Twice: as root, and on another bare machine as an
# ordinary user with sudo. Needs root, debootstrap and what "make demo" fetches from.
#
# The second time only, what go compiled the first time is there already: to compile Larder and the tools of its tests is
# most of the time, goes the same for all users, and twice is more than CI has. All else is cold, the module cache too.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=scripts/machine.sh
. scripts/machine.sh

# The commands of the README's section, in order, without their comments.
readme_commands() {
	awk '/^## / { section = $0 == "## Two commands" }
		section && /^```/ { block = $0 == "```sh"; next }
		section && block { sub(/ *#.*/, ""); if (NF) print }' README.md
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

if [ "${1-}" = follow ]; then
	"$@"
	exit
fi

[ "$(id -u)" -eq 0 ] || fail "run me as root"
mapfile -t commands < <(readme_commands)
[ "${commands[1]-}" = "make test" ] || fail "the second command of README.md isn't \"make test\", whose set-up I know"
make_work
make_machine "$work/bare" git make
mkdir "$work/bare/usr/local/go"
for user in root ada; do
	machine=$work/$user
	cp -a "$work/bare" "$machine"
	[ "$user" = root ] || mv "$work/go-build" "$machine/go-build"
	# This tree may be another user's: of git's own checks, that one has nothing to say here.
	git clone --quiet --no-local --upload-pack 'git -c safe.directory=* upload-pack' "file://$PWD" "$machine/larder"
	in_machine "$machine" /larder/scripts/test-fresh.sh follow "$user" "${commands[0]}" "make test-setup"
	[ "$user" != root ] || mv "$machine/root/.cache/go-build" "$work/go-build"
	rm -rf --one-file-system "$machine"
done
say "passed: as root, and as a user with sudo"
