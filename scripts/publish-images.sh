#!/bin/bash
# Pushes the images of a release in a folder to a registry, each as its version; one that is no pre-release is the newest of
# its minor and major version, too. "make publish-images" runs it, with docker's logins.
set -euo pipefail
dist=$1 registry=$2
crane=$(realpath "$(dirname "$0")/../bin/tools/crane")
layout=$(mktemp -d)
trap 'rm -rf "$layout"' EXIT

# Pushes the image in a tar file: NAME of the file, name in the registry, and what its tags end with.
push() {
	local file version image=$registry/$2 suffix=${3-}
	file=$(echo "$dist/$1"_*_oci.tar)
	version=${file##*/"$1"_}
	version=${version%_oci.tar}
	rm -rf "$layout" && mkdir "$layout"
	tar -xf "$file" -C "$layout"
	"$crane" push "$layout" "$image:$version$suffix"
	[[ $version != *-* ]] || return 0
	"$crane" tag "$image:$version$suffix" "${version%.*}$suffix"
	"$crane" tag "$image:$version$suffix" "${version%%.*}$suffix"
}

push larder-frontend larder
push larder-ci larder-ci
push larder-ci-buildx larder-ci -buildx
