#!/bin/sh
# Makes a development authority and a certificate for a broker, ECDSA P-256.
#
# usage: make-certificates.sh DIR [HOST...]
#
# DIR gets ca.pem (give it to clients), ca.key, and for the broker broker.pem (its key and
# certificate: ssl.keystore.location) and broker.p12 (the same as PKCS#12, password "klamm").
# What is there already is kept. For development: the keys are not protected by a password.
set -eu

usage() {
	echo "usage: make-certificates.sh DIR [HOST...]" >&2
	exit 2
}

[ $# -ge 1 ] || usage
dir=$1
shift
[ $# -ge 1 ] || set -- localhost
umask 077
mkdir -p "$dir"
cd "$dir"

names="IP:127.0.0.1,IP:::1"
for host in "$@"; do
	names="$names,DNS:$host"
done

if [ ! -f ca.pem ]; then
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
		-subj "/CN=Klamm development authority" -keyout ca.key -out ca.pem \
		-addext "basicConstraints=critical,CA:TRUE" \
		-addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
fi
if [ ! -f broker.pem ]; then
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
		-keyout broker.key -out broker.csr 2>/dev/null
	printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$names" >broker.ext
	openssl x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 825 \
		-extfile broker.ext -out broker.crt 2>/dev/null
	cat broker.key broker.crt >broker.pem
	openssl pkcs12 -export -inkey broker.key -in broker.crt -certfile ca.pem \
		-passout pass:klamm -out broker.p12
	rm -f broker.csr broker.ext
fi
