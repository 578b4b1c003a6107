#!/bin/bash
# SPDX-License-Identifier: MIT
# build-deb.sh [--release] [OUT]: builds the Debian packages of the commit that is checked out into the
# folder OUT (build/deb). With --release they get the version of packaging/debian/changelog, else one
# with the commit's time behind it, so that a later commit is an upgrade. Two builds of one commit are
# identical. Needs `packaging/deps.sh --packaging`.
set -euo pipefail
cd "$(dirname "$0")/.."

release=
if [ "${1-}" = --release ]; then
    release=yes
    shift
fi
mkdir -p "${1-build/deb}"
out=$(realpath "${1-build/deb}")

[ -z "$(git status --porcelain)" ] ||
    echo "build-deb.sh: changes that are not committed are not in the packages" >&2
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022

work=$out/work
tree=$work/eefs
rm -rf "$work"
trap 'rm -rf "$work"' EXIT
mkdir -p "$tree"
git archive HEAD | tar -x -C "$tree"
mv "$tree/packaging/debian" "$tree/debian"
if [ -z "$release" ]; then
    stamp=$(date -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S)
    sed -i "1s/(\([^)]*\))/(\1+$stamp)/" "$tree/debian/changelog"
fi

# Of the settings of make (a target of it may have called this) none is meant for this build.
unset MAKEFLAGS MFLAGS MAKELEVEL
(cd "$tree" && dpkg-buildpackage -b -us -uc >"$work/log" 2>&1) || {
    tail -n 40 "$work/log" >&2
    exit 1
}
mv "$work"/*.deb "$work"/*.changes "$work"/*.buildinfo "$out/"
(cd "$out" && sha256sum ./*"$(dpkg-parsechangelog -l "$tree/debian/changelog" -S Version)"*.deb)
