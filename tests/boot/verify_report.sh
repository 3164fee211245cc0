#!/bin/sh
# Verifies an SEV-SNP attestation report with the openssl command and nothing of Lucca's: the chain,
# the signature, and that the certificate is the report's chip's and TCB's.
#
#   verify_report.sh REPORT ARK.pem ASK.pem VCEK.pem     (or ASVK.pem and VLEK.pem)
#
# Offsets are those of the SEV-SNP ABI, ATTESTATION_REPORT. Exit status 0, or 1 with a sentence.
set -eu

[ $# = 4 ] || { echo "usage: verify_report.sh REPORT ARK ASK VCEK" >&2; exit 1; }
report=$1 ark=$2 ask=$3 leaf=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

no() {
    echo "verify_report.sh: $*" >&2
    exit 1
}

# bytes OFFSET COUNT: hexadecimal, in order
bytes() {
    od -An -v -tx1 -j "$(($1))" -N "$(($2))" "$report" | tr -d ' \n'
}

# number OFFSET COUNT: a little-endian number in hexadecimal, most significant digit first
number() {
    od -An -v -tx1 -j "$(($1))" -N "$(($2))" "$report" | tr -s ' \n' '\n' |
        awk 'NF { n = $1 n } END { print n }'
}

[ "$(wc -c <"$report")" -eq 1184 ] || no "the report has not 1184 bytes"
[ "$(number 0x034 4)" = 00000001 ] || no "the signature is not ECDSA P-384 with SHA-384"

# ---- the chain ----
openssl verify -x509_strict -CAfile "$ark" "$ask" >/dev/null || no "the ARK did not sign $ask"
openssl verify -CAfile "$ark" -untrusted "$ask" "$leaf" >/dev/null || no "no chain for $leaf"
for cert in "$ark" "$ask" "$leaf"; do
    text=$(openssl x509 -in "$cert" -noout -text)
    for want in 'Signature Algorithm: rsassaPss' 'Hash Algorithm: sha384' \
        'Mask Algorithm: mgf1 with sha384' 'Salt Length: 0x30'; do
        case $text in
        *"$want"*) ;;
        *) no "$cert lacks '$want'" ;;
        esac
    done
done

# ---- the signature: R and S, 72 bytes each, little-endian ----
cat >"$work/sig.conf" <<CONF
asn1=SEQUENCE:sig
[sig]
r=INTEGER:0x$(number 0x2A0 72)
s=INTEGER:0x$(number 0x2E8 72)
CONF
openssl asn1parse -genconf "$work/sig.conf" -noout -out "$work/sig.der"
head -c 672 "$report" >"$work/signed"
openssl x509 -in "$leaf" -noout -pubkey >"$work/key.pem"
openssl dgst -sha384 -verify "$work/key.pem" -signature "$work/sig.der" "$work/signed" >/dev/null ||
    no "the report's signature is not that key's"

# ---- the certificate is of this chip and this TCB ----
openssl x509 -in "$leaf" -outform DER -out "$work/leaf.der"
# extension LEAF-OF-OID: what extnValue holds, in hexadecimal
extension() {
    openssl asn1parse -inform DER -in "$work/leaf.der" | awk -v oid=":1.3.6.1.4.1.3704.1.$1" '
        found { sub(/.*:/, ""); print tolower($0); exit }
        substr($0, length($0) - length(oid) + 1) == oid { found = 1 }'
}

# level OID: an SPL as two digits
level() {
    v=$(extension "$1")
    [ -n "$v" ] || no "the certificate has no extension $1"
    echo "${v#"${v%??}"}"
}

tcb=$(bytes 0x180 8)
zero=0000
if [ -n "$(extension 3.9)" ]; then # Turin: FMC, boot loader, TEE, SNP, .., microcode
    want=$(level 3.9)$(level 3.1)$(level 3.2)$(level 3.3)${zero}00$(level 3.8)
else # boot loader, TEE, .., SNP, microcode
    want=$(level 3.1)$(level 3.2)$zero$zero$(level 3.3)$(level 3.8)
fi
[ "$tcb" = "$want" ] || no "the report's TCB is $tcb, the certificate's $want"

key=$(($(od -An -tu4 -j 72 -N 4 "$report") >> 2 & 7))
id=$(bytes 0x1A0 64)
hwid=$(extension 4)
case $key in
0)
    [ -n "$hwid" ] || no "the report wants a VCEK, and the certificate has no chip id"
    [ "$id" = "$(printf '%-128s' "$hwid" | tr ' ' 0)" ] || no "the certificate is another chip's"
    ;;
1)
    [ -z "$hwid" ] || no "the report wants a VLEK, and the certificate is a chip's"
    [ -n "$(extension 5)" ] || no "the report wants a VLEK, and the certificate has no provider"
    ;;
*) no "the report is not signed" ;;
esac
echo "good: version $(od -An -tu4 -N 4 "$report" | tr -d ' '), TCB $tcb"
