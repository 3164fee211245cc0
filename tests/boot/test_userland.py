#!/usr/bin/env python3
"""Debian's userland at work in a guest, in the clear and as a SEV guest: apt's tools, python3,
openssl, gcc; a download from a server on the host's loopback; a connection from the host.

test_userland.py LUCCA [FOLDER]
"""
import hashlib
import http.server
import json
import math
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request

import guests
import tap

DOWNLOAD = 8 << 20
KEY, IV = "00112233445566778899aabbccddeeff" * 2, "0f1e2d3c4b5a69788796a5b4c3d2e1f0"

# Every line of the answers is "NAME=VALUE" on the console.
SCRIPT = r"""
echo "hwrng=$(head -c 64 /dev/hwrng | wc -c) from $(cat /sys/class/misc/hw_random/rng_current)"
echo "packages=$(dpkg -l | grep -c ^ii)"
echo "apt-get=$(apt-get --version | head -n 1)"
echo "apt-cache=$(apt-cache show openssl | grep '^Package:')"
echo "solver=$(apt-get -s -o Dir::State::Lists=/tmp remove make | grep ^Remv)"
echo "dpkg=$(dpkg --compare-versions 6.12.1-1 gt 6.1.999-2 && echo newer)"
echo "changed=$(dpkg -V coreutils | grep -c '^..5')"

python3 - <<'EOP'
import hashlib, json, math, random, re, zlib
r = random.Random(20260101)
data = bytes(r.getrandbits(8) for _ in range(20000))
print("python=" + json.dumps({
    "sha256": hashlib.sha256(data).hexdigest(), "blake2b": hashlib.blake2b(data).hexdigest(),
    "crc": zlib.crc32(zlib.decompress(zlib.compress(data, 9))),
    "sum": math.fsum(math.sin(x) * math.exp(-x / 7) for x in range(100)).hex(),
    "pi": str(sum(4 * (-1) ** k * 10 ** 60 // (2 * k + 1) for k in range(1000))),
    "power": pow(3, 10 ** 30, 10 ** 40 + 1), "split": re.findall(r"[a-z]+", "The quick brown fox")},
    sort_keys=True))
EOP

cd /root
seq 50000 >numbers
echo "sha256=$(openssl dgst -sha256 -r numbers | cut -d' ' -f1)"
echo "sha3=$(openssl dgst -sha3-512 -r numbers | cut -d' ' -f1)"
for cipher in aes-256-ctr aes-128-cbc chacha20 camellia-256-cbc; do
    key=@KEY@; case $cipher in *128*) key=${key%????????????????????????????????} ;; esac
    echo "$cipher=$(openssl enc -$cipher -K $key -iv @IV@ -in numbers | sha256sum | cut -d' ' -f1)"
    openssl enc -$cipher -K $key -iv @IV@ -in numbers | openssl enc -d -$cipher -K $key -iv @IV@ |
        cmp - numbers && echo "back-$cipher=same"
done
openssl ecparam -name secp384r1 -genkey -noout -out ec.pem
openssl dgst -sha384 -sign ec.pem -out sig numbers
openssl pkey -in ec.pem -pubout -out pub.pem
echo "ec=$(openssl dgst -sha384 -verify pub.pem -signature sig numbers)"
echo 1 >>numbers
echo "ec-changed=$(openssl dgst -sha384 -verify pub.pem -signature sig numbers 2>/dev/null)"
openssl genpkey -algorithm ed25519 -out ed.pem
openssl req -x509 -new -key ed.pem -subj /CN=guest -days 2 -out cert.pem
echo "x509=$(openssl verify -CAfile cert.pem cert.pem)"

cat >hello.c <<'EOC'
#include <math.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    printf("gcc=%s %.17g %d\n", "hello from a guest's compiler", pow(argc + 1.0, 0.5), argc << 5);
    return 42;
}
EOC
gcc -O2 -o hello hello.c -lm && ./hello
echo "hello=$?"

printf '#!/bin/sh\n[ $1 = bound ] && /run/busybox ifconfig $interface $ip netmask $subnet &&
    /run/busybox route add default gw $router\n' >/run/dhcp
chmod 755 /run/dhcp
/run/busybox ifconfig eth0 up
/run/busybox udhcpc -q -n -i eth0 -s /run/dhcp >/dev/null 2>&1
/run/busybox ifconfig lo 127.0.0.1
echo "address=$(/run/busybox ifconfig eth0 | sed -n 's/.*inet addr:\([0-9.]*\).*/\1/p')"
wget -q -O download http://10.0.2.2:@PORT@/data
echo "download=$(sha256sum <download | cut -d' ' -f1)"
python3 -c "
import urllib.request
print('urllib=' + urllib.request.urlopen('http://10.0.2.2:@PORT@/word').read().decode())"
mkdir /root/www && cp cert.pem download /root/www
python3 -m http.server --directory /root/www 8000 >/dev/null 2>&1 &
while ! wget -q -O /dev/null http://127.0.0.1:8000/cert.pem; do sleep 0.2; done
echo "serving=$(sha256sum </root/www/cert.pem | cut -d' ' -f1)"
read -r word </dev/ttyS0
echo "told=$word"
kill $!
poweroff
"""


class Server(http.server.BaseHTTPRequestHandler):
    pages = {"/data": random.Random(1).randbytes(DOWNLOAD), "/word": b"perimeter"}

    def do_GET(self):  # pylint: disable=invalid-name
        page = self.pages[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


def python_answer():
    r = random.Random(20260101)
    data = bytes(r.getrandbits(8) for _ in range(20000))
    return {"sha256": hashlib.sha256(data).hexdigest(), "blake2b": hashlib.blake2b(data).hexdigest(),
            "crc": __import__("zlib").crc32(data),
            "sum": math.fsum(math.sin(x) * math.exp(-x / 7) for x in range(100)).hex(),
            "pi": str(sum(4 * (-1) ** k * 10 ** 60 // (2 * k + 1) for k in range(1000))),
            "power": pow(3, 10 ** 30, 10 ** 40 + 1), "split": ["he", "quick", "brown", "fox"]}


def encrypted(cipher, data):
    key = KEY[:32] if "128" in cipher else KEY
    text = subprocess.run(["openssl", "enc", f"-{cipher}", "-K", key, "-iv", IV], input=data,
                          stdout=subprocess.PIPE, check=True).stdout
    return hashlib.sha256(text).hexdigest()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Guest:
    """A Debian guest that runs SCRIPT; the cases look at its answers as they come."""

    def __init__(self, lucca, logs, kernel, mode, cpus):
        self.lucca, self.logs = lucca, logs
        self.kernel, self.mode, self.cpus = kernel, mode, cpus
        self.machine = self.folder = None

    def start(self):
        self.folder = tempfile.TemporaryDirectory(prefix="lucca-test-")
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.forward = free_port()
        script = SCRIPT.replace("@KEY@", KEY).replace("@IV@", IV).replace(
            "@PORT@", str(self.server.server_port))
        self.machine = guests.debian(
            self.lucca, self.folder.name, self.kernel, script, qmp=False,
            log=os.path.join(self.logs, f"userland-{self.mode}.console"),
            args=["--sev", self.mode, "--cpus", str(self.cpus), "--memory", "512M", "--net",
                  f"user,hostfwd=tcp:127.0.0.1:{self.forward}-:8000"])
        self.machine.expect("hwrng=64 from virtio_rng", timeout=240)

    def answer(self, name, wanted=None, timeout=120):
        tap.check(self.machine, "no guest")
        found = self.machine.expect(f"(?m)^{name}=(.*)\n", timeout, regex=True).group(1)
        if wanted is not None:
            tap.equal(found, wanted, name)
        return found

    def apt(self):
        tap.check(int(self.answer("packages")) > 100, "few packages")
        tap.check(self.answer("apt-get").startswith("apt 2."), "apt-get --version")
        self.answer("apt-cache", "Package: openssl")
        tap.check(self.answer("solver").startswith("Remv make"), "apt-get -s remove make")
        self.answer("dpkg", "newer")
        self.answer("changed", "0")

    def python(self):
        tap.equal(json.loads(self.answer("python")), python_answer(), "python3")

    def openssl(self):
        data = "".join(f"{n}\n" for n in range(1, 50001)).encode()
        self.answer("sha256", hashlib.sha256(data).hexdigest())
        self.answer("sha3", hashlib.sha3_512(data).hexdigest())
        for cipher in "aes-256-ctr", "aes-128-cbc", "chacha20", "camellia-256-cbc":
            self.answer(cipher, encrypted(cipher, data))
            self.answer(f"back-{cipher}", "same")
        self.answer("ec", "Verified OK")
        self.answer("ec-changed", "Verification failure")
        self.answer("x509", "cert.pem: OK")

    def gcc(self):
        self.answer("gcc", f"hello from a guest's compiler {math.sqrt(2):.17g} 32")
        self.answer("hello", "42")

    def network(self):
        self.answer("address", "10.0.2.15")
        self.answer("download", hashlib.sha256(Server.pages["/data"]).hexdigest())
        self.answer("urllib", "perimeter")

    def forwarded(self):
        digest = self.answer("serving")
        for page, wanted in ("cert.pem", digest), ("download", self.answer("download")):
            url = f"http://127.0.0.1:{self.forward}/{page}"
            with urllib.request.urlopen(url, timeout=60) as r:
                tap.equal(hashlib.sha256(r.read()).hexdigest(), wanted, f"{page} from the guest")

    def end(self):
        self.machine.type("enough\n")
        self.answer("told", "enough")
        tap.equal(self.machine.wait(60), 0, f"exit status ({self.machine.stderr().strip()})")
        self.disk()
        self.close()

    def disk(self):
        """What the guest left of its root file system, judged by others' tools."""
        image, raw = (f"{self.folder.name}/root.{kind}" for kind in ("qcow2", "raw"))
        for judge in (["qemu-img", "check", "-q", "-U", image],
                      ["qemu-img", "convert", "-U", "-O", "raw", image, raw],
                      ["e2fsck", "-f", "-n", raw]):
            done = subprocess.run(judge, capture_output=True, text=True, check=False)
            tap.equal(done.returncode, 0, f"{judge[0]}: {done.stdout} {done.stderr}")
        page = subprocess.run(["debugfs", "-R", "cat /root/download", raw], capture_output=True, check=True)
        tap.check(page.stdout == Server.pages["/data"], "the download on the disk is not what was served")

    def close(self):
        if self.machine:
            self.machine.stop()
            self.server.shutdown()
            self.folder.cleanup()


def main():
    lucca = sys.argv[1]
    logs = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="lucca-consoles-")
    cases = []
    for kernel, mode, cpus in ("6.12-cloud", "off", 2), ("6.1-cloud", "sev", 1):
        if sys.argv[3:] and mode not in sys.argv[3:]:
            continue
        guest = Guest(lucca, logs, kernel, mode, cpus)
        for step, title in (
                ("start", "Debian starts"), ("apt", "apt's tools and dpkg"),
                ("python", "python3 computes what it does here"),
                ("openssl", "openssl's digests, ciphers, signatures and certificates"),
                ("gcc", "gcc compiles, what it made runs"),
                ("network", f"an address by DHCP, a download of {DOWNLOAD >> 20} MiB is whole"),
                ("forwarded", "the host downloads from the guest"), ("end", "a clean end")):
            cases.append((f"--sev {mode}: {title}", getattr(guest, step)))
    tap.run(cases)


main()
