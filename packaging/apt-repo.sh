#!/bin/bash
# SPDX-License-Identifier: MIT
# apt-repo.sh DIR KEYS DEB…: adds packages to the signed apt repository in the folder DIR, which a web
# server or a file: address may serve. The key that signs lies in KEYS (a GnuPG home, mode 0700; made
# when it is empty; keep it out of DIR); its public half is DIR/eefs.gpg. Prints the lines for
# /etc/apt/sources.list.d/eefs.sources.
set -euo pipefail

[ $# -ge 3 ] || {
    echo "usage: apt-repo.sh DIR KEYS DEB..." >&2
    exit 1
}
mkdir -p "$1"
dir=$(realpath "$1")
install -d -m 0700 "$2"
GNUPGHOME=$(realpath "$2")
export GNUPGHOME
shift 2

gpg() { command gpg --batch --quiet --no-tty "$@"; }

cp -- "$@" "$dir/"
[ -n "$(gpg --list-secret-keys --with-colons)" ] ||
    gpg --passphrase '' --quick-generate-key 'eefs package repository' rsa3072 sign never
gpg --export >"$dir/eefs.gpg"
cd "$dir"
apt-ftparchive packages . >Packages
gzip -9nf -k Packages
apt-ftparchive -o APT::FTPArchive::Release::Origin=eefs -o APT::FTPArchive::Release::Label=eefs \
    release . >Release.new
mv Release.new Release
gpg --yes --clearsign -o InRelease.new Release
mv InRelease.new InRelease
gpgconf --kill all

cat <<END
Types: deb
URIs: file:$dir
Suites: ./
Signed-By: $dir/eefs.gpg
END
