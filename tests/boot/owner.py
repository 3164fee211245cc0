"""A guest's owner, who has the openssl command and the SEV API's text, and nothing of Lucca's.

Numbers of certificates are little-endian; those of the key agreement are as openssl gives them.
"""
import os
import struct
import subprocess

CERT_BYTES, BODY, USAGE_PDH, USAGE_NONE, ECDH_SHA256, P384 = 0x824, 0x414, 0x1003, 0x1000, 3, 2
SPKI_P384 = bytes.fromhex("3076301006072a8648ce3d020106052b81040022036200")


def openssl(*args, data=b""):
    return subprocess.run(["openssl", *args], input=data, stdout=subprocess.PIPE, check=True).stdout


def sha256(data):
    return openssl("dgst", "-sha256", "-binary", data=data)


def hmac(key, data):
    return openssl("dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-binary",
                   data=data)


def aes_ctr(key, iv, data):
    return openssl("enc", "-aes-128-ctr", "-K", key.hex(), "-iv", iv.hex(), data=data)


def kdf(key, label, context=b"", length=16):
    """NIST SP 800-108 in counter mode with little-endian numbers (SEV API, key derivation)."""
    out, i = b"", 0
    while len(out) < length:
        i += 1
        out += hmac(key, struct.pack("<I", i) + label + b"\0" + context + struct.pack("<I", 8 * length))
    return out[:length]


class Owner:
    """One launch: a fresh key pair, TEK and TIK, for the platform with this PDH certificate."""

    def __init__(self, folder, pdh, policy):
        self.policy = policy
        self.tek, self.tik = os.urandom(16), os.urandom(16)
        self.key = f"{folder}/owner.pem"
        openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", self.key)
        self.shared = self._agree(folder, pdh)
        self.cert_file, self.session_file = f"{folder}/owner.cert", f"{folder}/owner.session"
        with open(self.cert_file, "wb") as f:
            f.write(self._certificate())
        with open(self.session_file, "wb") as f:
            f.write(self.session())

    def _agree(self, folder, pdh):
        curve, = struct.unpack_from("<I", pdh, 0x10)
        assert len(pdh) == CERT_BYTES and curve == P384
        x, y = pdh[0x14:0x14 + 48][::-1], pdh[0x5C:0x5C + 48][::-1]
        with open(f"{folder}/pdh.der", "wb") as f:
            f.write(SPKI_P384 + b"\4" + x + y)
        return openssl("pkeyutl", "-derive", "-inkey", self.key, "-peerkey", f"{folder}/pdh.der",
                       "-peerform", "DER")

    def _certificate(self):
        point = openssl("pkey", "-in", self.key, "-pubout", "-outform", "DER")[len(SPKI_P384) + 1:]
        body = struct.pack("<IBBHII", 1, 0, 0, 0, USAGE_PDH, ECDH_SHA256) + struct.pack("<I", P384)
        body += point[:48][::-1].ljust(72, b"\0") + point[48:][::-1].ljust(72, b"\0")
        slot = struct.pack("<II", USAGE_NONE, 0).ljust(0x208, b"\0")
        return body.ljust(BODY, b"\0") + slot + slot

    def session(self):
        """LAUNCH_START's session buffer (SEV API, LAUNCH_START)."""
        nonce, iv = os.urandom(16), os.urandom(16)
        master = kdf(self.shared, b"sev-master-secret", nonce)
        kek, kik = kdf(master, b"sev-kek"), kdf(master, b"sev-kik")
        wrapped = aes_ctr(kek, iv, self.tek + self.tik)
        return (nonce + wrapped + iv + hmac(kik, wrapped) +
                hmac(self.tik, struct.pack("<I", self.policy)))

    def options(self):
        return ["--policy", str(self.policy), "--dh-cert-file", self.cert_file, "--session-file",
                self.session_file]

    def measure(self, api, build, contents, mnonce):
        """What LAUNCH_MEASURE must say of a guest that was launched with these bytes."""
        return hmac(self.tik, struct.pack("<BBBBI", 4, *api, build, self.policy) + sha256(contents) +
                    mnonce)

    def seal(self, secret, measure):
        """A packet for LAUNCH_SECRET: header and ciphertext, good for this measurement alone."""
        iv, n = os.urandom(16), len(secret)
        sealed = aes_ctr(self.tek, iv, secret)
        mac = hmac(self.tik, struct.pack("<BI", 1, 0) + iv + struct.pack("<II", n, n) + sealed + measure)
        return struct.pack("<I", 0) + iv + mac, sealed
