#!/bin/sh
# SPDX-License-Identifier: MIT
# deps.sh [--packaging] [COMMAND…]: installs what is needed to build, run and test eefs on Debian and
# Ubuntu, or to build and test its packages, then runs COMMAND. Installs only what is missing, removes
# nothing, starts no service (so not nginx, knot, bind9, gdnsd, pdns-server with pdns-backend-bind and
# prometheus, whose packages do; without them a few tests are skipped). As root, or without root when
# nothing is missing.
set -eu

LIBRARIES="build-essential pkg-config python3 git
  libfuse3-dev libcurl4-openssl-dev libsqlite3-dev default-libmysqlclient-dev
  libmicrohttpd-dev libzstd-dev zlib1g-dev libssl-dev libjansson-dev libutf8proc-dev"
PACKAGES="$LIBRARIES clang clang-format fuse3 libcmocka-dev
  python3-pytest python3-jsonschema bind9-dnsutils mariadb-server-core mariadb-client php-cli
  rsync procps sqlite3 strace openssl ca-certificates mandoc
  xfsprogs btrfs-progs exfatprogs exfat-fuse bindfs faketime"
PACKAGING="$LIBRARIES debhelper lintian apt-utils gnupg debootstrap systemd-container"

say() { echo "deps.sh: $*" >&2; }

installed() {
    test "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed
}

if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-query >/dev/null 2>&1; then
    say "this system has no apt; install these yourself, then run the command without deps.sh:"
    say "  a C compiler (gcc or clang), make, pkg-config, clang-format"
    say "  development files of: fuse3, libcurl, sqlite3, libmysqlclient or MariaDB Connector/C,"
    say "    libmicrohttpd, zstd, zlib, OpenSSL, jansson, utf8proc, cmocka"
    say "  programs: fusermount3, python3 with pytest and jsonschema, mariadbd, mariadb, mariadb-dump,"
    say "    php (command line), rsync, git, sqlite3, ps, strace, openssl, mandoc; for tests of other"
    say "    filesystems mkfs.xfs, mkfs.btrfs, mkfs.exfat, mount.exfat-fuse, bindfs; faketime, nginx;"
    say "    nsupdate, knotd, named, gdnsd, pdns_server, promtool"
    exit 1
fi

packaging=
if [ "${1-}" = --packaging ]; then
    shift
    packaging=yes
    PACKAGES=$PACKAGING
fi
missing=
for p in $PACKAGES; do
    installed "$p" || missing="$missing $p"
done
# libFuzzer's runtime: part of clang's own package on some releases, a package of its own on others.
if [ -z "$packaging" ] && ! installed libclang-rt-dev &&
    ! ls /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a >/dev/null 2>&1; then
    runtime=libclang-rt-dev
else
    runtime=
fi

if [ -n "$missing$runtime" ]; then
    if [ "$(id -u)" -ne 0 ]; then
        say "not installed:$missing $runtime"
        say "run this as root: sudo $0 $*"
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    # The package lists may be there already; ask the network only when they do not serve.
    # shellcheck disable=SC2086
    if ! apt-get install -y -q --no-remove --no-install-recommends $missing $runtime; then
        apt-get update -q
        # Not every release has the runtime under this name; it is needed for `make fuzz` only.
        if [ -n "$runtime" ] && ! apt-cache show "$runtime" >/dev/null 2>&1; then
            say "no package '$runtime' here: \`make fuzz\` will not work, all else does"
            runtime=
        fi
        # shellcheck disable=SC2086
        apt-get install -y -q --no-remove --no-install-recommends $missing $runtime
    fi
fi

[ $# -eq 0 ] || exec "$@"
