#!/bin/bash
# Builds a release of the commit that is checked out: archives, packages for distributions, images, SBOMs and checksums. It
# has only what is committed, and of one commit and version the same bytes on any machine. "make release" runs it.
#
# VERSION  vX.Y.Z, or of a pre-release vX.Y.Z-rcN, -betaN or -alphaN, which is what Alpine knows; if it isn't given, the
#          commit's tag
# DIST     the folder that it is written into: a release that is there is replaced
# ARCHES   the architectures
# FLAGS    more flags of larder build, such as contexts in the place of what can't be pulled
# ANEW     1 to link larder again where the builder has kept it
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
	echo "release: $*" >&2
	exit 1
}

say() { echo "release: $*"; }

version=${VERSION:-$(git describe --tags --exact-match --match 'v*' 2>/dev/null || true)}
[ -n "$version" ] || fail "the commit has no tag: give VERSION=vX.Y.Z"
[[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-(alpha|beta|rc)[0-9]+)?$ ]] || fail "VERSION=$version: expected vX.Y.Z or vX.Y.Z-rcN"
dist=$(realpath -m "${DIST:-dist}")
[ ! -e "$dist" ] || [ -e "$dist/SHA256SUMS" ] || fail "$dist is there, and no release: remove it or give another DIST"
read -ra arches <<<"${ARCHES:-amd64 arm64}"
read -ra flags <<<"${FLAGS:-}"
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(scripts/as-root.sh)

mkdir -p .cache # whose files as-root.sh gives back
work=$(mktemp -d "$PWD/.cache/release.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
out=$work/out
mkdir "$out"

# A clone, so that what isn't committed stays out, and go stamps the version by the only tag that is there. The tree may be
# another user's: git's own check of that has nothing to say here.
git clone --quiet --no-tags --no-local --upload-pack 'git -c safe.directory=* upload-pack' "file://$PWD" "$work/source"
git -C "$work/source" tag "$version"
SOURCE_DATE_EPOCH=$(git -C "$work/source" log -1 --format=%ct)
# Modules that are here already aren't fetched again.
GOPROXY=file://$(go env GOMODCACHE)/cache/download,$(go env GOPROXY)
export SOURCE_DATE_EPOCH GOPROXY

# Builds a target of packaging/Dockerfile for all architectures.
build() {
	local target=$1 platforms
	shift
	platforms=$(printf ',linux/%s' "${arches[@]}")
	say "$version: builds $target for ${platforms#,}"
	"${as_root[@]}" bin/larder build --builder embedded --progress plain --sbom=true --platform "${platforms#,}" \
		--file "$work/source/packaging/Dockerfile" --target "$target" "${flags[@]}" "$@" "$work/source"
}

build files ${ANEW:+--no-cache-filter build} --output "type=local,platform-split=true,dest=$work/files"
for image in frontend ci ci-buildx; do
	build $image --output "type=oci,dest=$out/larder-${image}_${version#v}_oci.tar,rewrite-timestamp=true,compression=zstd,force-compression=true"
done

mkdir "$work/completions"
for shell in bash fish zsh; do
	bin/larder completion $shell >"$work/completions/$shell"
done
find "$work/files" "$work/completions" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
for arch in "${arches[@]}"; do
	name=larder_${version#v}_linux_$arch
	jq --compact-output .predicate "$work/files/linux_$arch/sbom.spdx.json" >"$out/$name.spdx.json" # of an in-toto statement
	tar --create --format=ustar --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --transform="s,^,$name/," \
		--directory "$work/files/linux_$arch" CHANGELOG.md LICENSE README.md larder larder-frontend | gzip -9n >"$out/$name.tar.gz"
	for packager in deb rpm apk; do
		(cd "$work" && ARCH=$arch VERSION=$version "$OLDPWD/bin/tools/nfpm" package --config "$OLDPWD/packaging/nfpm.yaml" \
			--packager $packager --target "$out/$name.$packager") >/dev/null
	done
done
(cd "$out" && sha256sum -- *) >"$work/SHA256SUMS"
mv "$work/SHA256SUMS" "$out/"
rm -rf "$dist"
mkdir -p "$(dirname "$dist")"
mv "$out" "$dist"
say "$version is in $dist"
