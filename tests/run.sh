#!/bin/bash
# Installs what the tests need, builds, runs everything, ends with "N passed, N failed".
#
# usage: tests/run.sh [--no-install] [BUILD_DIR]
#
# On a bare Debian 12, from Debian's packages alone. What needs other registries is a target of its
# own: tests/interop/run.sh.
set -u
cd "$(dirname "$0")/.." || exit 1
top=$PWD
install=yes
[ "${1:-}" = --no-install ] && { install=no; shift; }
build=${1:-$top/build}

packages="autoconf automake make gcc pkg-config python3 libzookeeper-mt-dev libssl-dev libevent-dev
libjansson-dev liburcu-dev librdkafka-dev libsnappy-dev liblz4-dev libzstd-dev zlib1g-dev
libpcre2-dev libcmocka-dev python3-pytest python3-confluent-kafka python3-kazoo kcat
zookeeper default-jre-headless openssl iproute2"

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing() {
	for p in $packages; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || echo "$p"
	done
}

fail() {
	echo "tests/run.sh: $1"
	echo "0 passed, 1 failed"
	exit 1
}

if [ $install = yes ] && [ -n "$(missing)" ]; then
	echo "== installing: $(missing | tr '\n' ' ')"
	as_root apt-get update -q >/dev/null
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
		$(missing) >/dev/null || fail "the packages could not be installed"
fi

echo "== building in $build"
[ -x configure ] || autoreconf -fi >/dev/null 2>&1 || fail "autoreconf failed"
mkdir -p "$build" && cd "$build" || fail "cannot use $build"
"$top/configure" CFLAGS="${CFLAGS:--g -O2}" ${CONFIGURE_FLAGS:-} >configure.out 2>&1 ||
	{ tail -5 configure.out; fail "configure failed"; }
make -j"$(nproc)" >make.out 2>&1 || { tail -20 make.out; fail "the build failed"; }

. "$top/tests/count.sh"

echo "== unit and simulation tests"
make -j"$(nproc)" check >check.out 2>&1
count_check "$build"

if [ -z "${UNIT_ONLY:-}" ]; then
	echo "== lint"
	count_step "make lint" make lint

	echo "== cluster tests"
	KLAMM_BUILD=$build /usr/bin/python3 -m pytest -q -p no:cacheprovider "$top/tests/cluster" \
		>cluster.out 2>&1
	count_pytest cluster.out
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
