#!/bin/bash
# A running Klamm on this machine, in one command.
#
# On a bare Debian 12: installs what is needed, builds, makes a development authority and
# certificates, starts ZooKeeper and three brokers with TLS listeners on loopback, creates a topic,
# sends and reads records, leaves the cluster running and says what to try next.
set -u

usage() {
	cat <<EOF
usage: etc/quickstart.sh [--standalone] [--smoke] [--stop] [--dir DIR]

  --standalone  one broker and no ZooKeeper
  --smoke       do it all, stop everything again, exit by the result
  --stop        stop what an earlier run left running
  --dir DIR     where it all lives (default: ~/klamm-quickstart)
EOF
}

top=$(cd "$(dirname "$0")/.." && pwd)
dir=$HOME/klamm-quickstart
standalone=no smoke=no stop=no
while [ $# -gt 0 ]; do
	case $1 in
	--standalone) standalone=yes ;;
	--smoke) smoke=yes ;;
	--stop) stop=yes ;;
	--dir) dir=${2:?--dir needs a directory}; shift ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

die() {
	echo "quickstart: $*" >&2
	[ $smoke = yes ] && stop_all
	exit 1
}

# Ends what the pid files name, brokers before ZooKeeper, and waits for each.
stop_all() {
	local file pid n
	for file in "$dir"/broker*/pid "$dir"/zookeeper/pid; do
		[ -f "$file" ] || continue
		pid=$(cat "$file")
		kill "$pid" 2>/dev/null
		n=0
		while kill -0 "$pid" 2>/dev/null && [ $n -lt 300 ]; do
			sleep 0.1
			n=$((n + 1))
		done
		rm -f "$file"
	done
}

# One quick start at a time works in a directory: the next would stop the servers of the first. The
# lock is this script's alone; servers that it leaves running are stopped by the next run.
lock_dir() {
	exec 8>>"$dir/lock" || exit 1
	flock -n 8 && echo $$ >"$dir/lock" && return
	echo "quickstart: another one, process $(cat "$dir/lock"), is at work in $dir:" \
		"wait for it, or name another directory with --dir" >&2
	exit 1
}

if [ $stop = yes ]; then
	[ ! -d "$dir" ] || lock_dir
	stop_all
	echo "stopped; $dir can be removed"
	exit 0
fi

# wait_for SECONDS WHAT SERVER COMMAND...
# SERVER is a directory with the server's pid and log: who has ended need not be waited for.
wait_for() {
	local left=$(($1 * 10)) what=$2 server=$3 lines
	shift 3
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		if ! kill -0 "$(cat "$server/pid")" 2>/dev/null; then
			lines=$(tail -n 5 "$server/log")
			die "$what has ended; the last lines of $server/log:
$lines"
		fi
		[ $left -gt 0 ] || die "$what: it did not come up; look below $dir"
		sleep 0.1
	done
}

packages="autoconf automake make gcc pkg-config python3 libzookeeper-mt-dev libssl-dev libevent-dev
libjansson-dev liburcu-dev librdkafka-dev libsnappy-dev liblz4-dev libzstd-dev zlib1g-dev
libpcre2-dev openssl"
[ $standalone = yes ] || packages="$packages zookeeper default-jre-headless"

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing=
for p in $packages; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
if [ -n "$missing" ]; then
	say "Installing:$missing"
	as_root apt-get update -q >/dev/null
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
		$missing >/dev/null || die "the packages could not be installed"
fi

say "Building in $dir/build"
mkdir -p "$dir/build" || exit 1
dir=$(cd "$dir" && pwd)
lock_dir
stop_all
[ -x "$top/configure" ] || (cd "$top" && autoreconf -fi >"$dir/build/autoreconf.out" 2>&1) ||
	die "autoreconf failed: $dir/build/autoreconf.out"
(
	cd "$dir/build" &&
		{ [ -f Makefile ] || "$top/configure" >configure.out 2>&1; } &&
		make -j"$(nproc)" >make.out 2>&1
) || die "the build failed: $dir/build/make.out"
klammd=$dir/build/klammd
klamm=$dir/build/klamm

say "Making a development authority and certificates"
"$top/etc/make-certificates.sh" "$dir/tls" localhost || die "no certificates"

port_is_free() { ! (: >"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Sets $port to the first port from $1 on that nobody listens on and no other quick start has taken.
# It stays taken, by a lock on an empty file, as long as this script or a server it started runs: a
# server may yet have to listen, or be killed and started again.
ports=/tmp/klamm-quickstart-ports
take_port() {
	local file lock
	mkdir -m 1777 "$ports" 2>/dev/null
	port=$1
	while :; do
		file=$ports/$port
		(set -C; umask 022; : >"$file") 2>/dev/null # another user's may be read, not written
		exec {lock}<"$file" || die "$file cannot be opened"
		flock -n "$lock" && port_is_free "$port" && return
		exec {lock}<&-
		port=$((port + 1))
	done
}

if [ $standalone = no ]; then
	take_port 2181
	zk_port=$port
	say "Starting ZooKeeper on 127.0.0.1:$zk_port"
	mkdir -p "$dir/zookeeper/data"
	cat >"$dir/zookeeper/zoo.cfg" <<EOF
tickTime=500
initLimit=10
syncLimit=5
dataDir=$dir/zookeeper/data
clientPort=$zk_port
clientPortAddress=127.0.0.1
admin.enableServer=false
4lw.commands.whitelist=*
EOF
	setsid java -Xmx128m -cp /usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar \
		org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/zookeeper/zoo.cfg" \
		>"$dir/zookeeper/log" 2>&1 </dev/null 8>&- &
	echo $! >"$dir/zookeeper/pid"
	serves() {
		exec 9<>"/dev/tcp/127.0.0.1/$zk_port" && printf srvr >&9 && timeout 2 grep -q Mode: <&9
	}
	wait_for 30 ZooKeeper "$dir/zookeeper" serves
	count=3
else
	count=1
fi

say "Starting $count broker(s) with TLS"
bootstrap=
next_kafka=9093
next_http=8093
for id in $(seq $count); do
	take_port $next_http
	http=$port
	next_http=$((port + 1))
	take_port $next_kafka
	next_kafka=$((port + 1))
	mkdir -p "$dir/broker$id"
	{
		echo "broker.id=$id"
		echo "listeners=SSL://localhost:$port"
		echo "security.inter.broker.protocol=SSL"
		echo "ssl.keystore.type=PEM"
		echo "ssl.keystore.location=$dir/tls/broker.pem"
		echo "ssl.truststore.type=PEM"
		echo "ssl.truststore.location=$dir/tls/ca.pem"
		echo "log.dirs=$dir/broker$id/data"
		echo "klamm.http.listeners=http://127.0.0.1:$http"
		if [ $standalone = yes ]; then
			echo "klamm.standalone=true"
		else
			echo "zookeeper.connect=127.0.0.1:$zk_port/quickstart"
			echo "zookeeper.session.timeout.ms=6000"
		fi
	} >"$dir/broker$id/server.properties"
	setsid "$klammd" "$dir/broker$id/server.properties" >"$dir/broker$id/log" 2>&1 </dev/null \
		8>&- &
	echo $! >"$dir/broker$id/pid"
	disown
	ready() {
		exec 9<>"/dev/tcp/127.0.0.1/$http" &&
			printf 'GET /readyz HTTP/1.0\r\n\r\n' >&9 && timeout 2 grep -q "200 OK" <&9
	}
	wait_for 30 "broker $id" "$dir/broker$id" ready
	echo "broker $id  localhost:$port  metrics http://127.0.0.1:$http/metrics"
	bootstrap=${bootstrap:+$bootstrap,}localhost:$port
done

cat >"$dir/client.properties" <<EOF
security.protocol=SSL
ssl.truststore.type=PEM
ssl.truststore.location=$dir/tls/ca.pem
EOF
export KLAMM_BOOTSTRAP_SERVER=$bootstrap
client="--command-config $dir/client.properties"

say "Creating the topic greetings with 6 partitions, sending and reading 1000 records"
replicas=3
[ $standalone = no ] || replicas=1
"$klamm" topic create greetings $client --partitions 6 --replication-factor $replicas \
	--if-not-exists || die "the topic could not be created"
seq 1 1000 | sed 's/.*/key&:greeting number &/' >"$dir/sent"
"$klamm" produce -t greetings -K : $client <"$dir/sent" || die "the records could not be sent"
"$klamm" consume -t greetings -o beginning -e -q -f '%k:%s\n' $client >"$dir/received" ||
	die "the records could not be read"
sort -u "$dir/received" >"$dir/received.sorted"
sort -u "$dir/sent" | comm -23 - "$dir/received.sorted" | grep -q . &&
	die "records are missing: compare $dir/sent and $dir/received"
echo "$(wc -l <"$dir/received") records came back, all that were sent among them"
"$klamm" topic describe greetings $client

if [ $standalone = no ]; then
	leader=$("$klamm" topic describe greetings --json $client |
		python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["partitions"][0]["leader"])') ||
		die "nobody leads greetings-0"
	say "Killing broker $leader, which leads greetings-0, and reading on without it"
	start=$(date +%s%N)
	kill -9 "$(cat "$dir/broker$leader/pid")"
	seq 1001 2000 | sed 's/.*/key&:greeting number &/' >>"$dir/sent"
	tail -n 1000 "$dir/sent" | "$klamm" produce -t greetings -K : $client ||
		die "the records could not be sent"
	echo "1000 more records were taken $((($(date +%s%N) - start) / 1000000)) ms after the kill"
	"$klamm" consume -t greetings -o beginning -e -q -f '%k:%s\n' $client >"$dir/received" ||
		die "the records could not be read"
	sort -u "$dir/received" >"$dir/received.sorted"
	sort -u "$dir/sent" | comm -23 - "$dir/received.sorted" | grep -q . &&
		die "records are missing: compare $dir/sent and $dir/received"
	echo "$(wc -l <"$dir/received") records came back from the other brokers"
	setsid "$klammd" "$dir/broker$leader/server.properties" >>"$dir/broker$leader/log" 2>&1 \
		</dev/null 8>&- &
	echo $! >"$dir/broker$leader/pid"
	disown
	in_sync() {
		[ -z "$("$klamm" topic describe greetings --under-replicated-partitions $client |
			grep Partition:)" ]
	}
	wait_for 60 "broker $leader, in sync again" "$dir/broker$leader" in_sync
	"$klamm" topic describe greetings $client
fi

if [ $smoke = yes ]; then
	stop_all
	say "The smoke test has passed"
	exit 0
fi

say "The cluster is running. Try:"
cat <<EOF
  export KLAMM_BOOTSTRAP_SERVER=$bootstrap
  $klamm cluster $client
  $klamm topic describe greetings $client
  $klamm consume -t greetings -o end $client &
  echo hello | $klamm produce -t greetings $client
  kcat -b $bootstrap -X security.protocol=ssl -X ssl.ca.location=$dir/tls/ca.pem -G readers greetings &
  $klamm group describe readers $client
  kcat -b $bootstrap -X security.protocol=ssl -X ssl.ca.location=$dir/tls/ca.pem -L

  logs: $dir/broker*/log      settings: $dir/broker*/server.properties
  stop: $top/etc/quickstart.sh --stop --dir $dir
EOF
