#!/bin/sh
# Signs the program r0 = 2; exit, and it followed by four zeros, in both byte orders, with a new key that is thrown
# away. harness/guest/signature.go has the files.
#
# usage: scripts/sign.sh [DIR]
set -eu
out=${1:-harness/guest/signed}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat >"$tmp/conf" <<'CONF'
[req]
distinguished_name = dn
prompt = no
x509_extensions = ext
[dn]
CN = tokentest
[ext]
basicConstraints = critical,CA:FALSE
keyUsage = digitalSignature
subjectKeyIdentifier = hash
CONF
openssl req -new -x509 -newkey rsa:2048 -sha256 -nodes -days 36500 -config "$tmp/conf" -keyout "$tmp/key" -out "$tmp/cert" 2>"$tmp/log" ||
    { cat "$tmp/log" >&2; exit 1; }
openssl x509 -in "$tmp/cert" -outform DER -out "$out/cert.der"
printf '\267\0\0\0\002\0\0\0\225\0\0\0\0\0\0\0' >"$tmp/le"
printf '\267\0\0\0\0\0\0\002\225\0\0\0\0\0\0\0' >"$tmp/be"
for order in le be; do
    printf '\0\0\0\0' | cat "$tmp/$order" - >"$tmp/${order}_map"
    for name in "$order" "${order}_map"; do
        openssl cms -sign -binary -in "$tmp/$name" -signer "$tmp/cert" -inkey "$tmp/key" -md sha256 -noattr -nocerts \
            -outform DER -out "$out/$name.der"
    done
done
