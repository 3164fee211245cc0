#!/usr/bin/env python3
"""Debian's kernels boot as SEV-SNP guests, to a shell with a disk and a network; their reports and
keys come from the secure processor, and the launch digest is what the launch image says.

test_snp.py LUCCA [FOLDER [VALUE...]]        VALUE: only what is made of these values
LUCCA_TEST_FULL=1: every kernel with one processor and four on every chip
"""
import base64
import hashlib
import itertools
import json
import os
import re
import struct
import subprocess
import sys
import tempfile

import guests
import tap
from machine import Machine

HERE = os.path.dirname(os.path.abspath(__file__))
CHIPS = ["milan", "genoa", "turin"]
BANNER = "Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP"
# Each kernel and each chip, with one processor and with several.
SOME = [("6.12-cloud", 1, "milan"), ("6.12", 4, "genoa"), ("6.1-cloud", 4, "turin"),
        ("6.1", 1, "genoa"), ("6.12-cloud", 8, "turin"), ("6.1-cloud", 2, "milan")]

# The driver asks the kernel for AES-GCM, which stock kernels have in modules.
GUEST_MODULES = ["ctr", "ghash-generic", "gcm", "sev-guest"]

# What a guest asks of its secure processor, by the kernel's ioctls and by its file system. Every line
# is "NAME=VALUE". ioctls: Linux, Documentation/virt/coco/sev-guest.rst.
SCRIPT = """
python3 - <<'EOP'
import base64, ctypes, fcntl, os, struct
def call(number, request, room):
    request = ctypes.create_string_buffer(request, len(request))
    answer = ctypes.create_string_buffer(room)
    arg = bytearray(struct.pack("<B7xQQQ", 1, ctypes.addressof(request), ctypes.addressof(answer), 0))
    fd = os.open("/dev/sev-guest", os.O_RDWR)
    try:
        fcntl.ioctl(fd, 0xC0205300 | number, arg)
    finally:
        os.close(fd)
    return answer.raw
def say(name, value):
    print(f"{name}={base64.b64encode(value).decode()}", flush=True)
def report_of(answer):
    status, size = struct.unpack_from("<II", answer)
    assert status == 0, status
    return answer[32:32 + size]
def key(fields):
    answer = call(1, struct.pack("<IIQIIQ", 0, 0, fields, 0, 0, 0), 64)
    assert answer[:4] == bytes(4), answer
    return answer[32:]
data = bytes(range(64)) + bytes(32)
say("report", report_of(call(0, data, 4000)))
certs = ctypes.create_string_buffer(16384 + 4096)
at = (ctypes.addressof(certs) + 4095) & ~4095
answer = call(2, data + struct.pack("<QI4x", at, 16384), 4000)
say("extended", report_of(answer))
say("certs", ctypes.string_at(at, 16384).rstrip(bytes(1)))
say("key", key(0))
say("key-again", key(0))
say("key-measurement", key(8))
EOP
mount -t configfs none /sys/kernel/config
if mkdir /sys/kernel/config/tsm/report/r 2>/dev/null; then
    cd /sys/kernel/config/tsm/report/r
    printf '%64s' 'asked by a file' >inblob
    echo "tsm-report=$(base64 -w 0 outblob)"
    echo "tsm-provider=$(cat provider)"
fi
poweroff
"""


def boot(lucca, logs, kernel, cpus, chip):
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        log = os.path.join(logs, f"{kernel}-snp-{cpus}-{chip}.console")
        with guests.debian(lucca, folder, kernel, guests.SHELL, log=log, qmp=False,
                           args=["--sev", "snp", "--cpus", str(cpus), "--memory", "384M", "--chip", chip,
                                 "--net", "user", "--clock", "virtual"]) as m:
            guests.shell_checks(m, kernel, cpus, BANNER)


# ---- the digest, from the launch image: docs/launch-image.md ----

TYPES = {"normal": 1, "vmsa": 2, "zero": 3, "unmeasured": 4, "secrets": 5, "cpuid": 6}


def digest_of(path):
    with open(path, "rb") as f:
        head, _, contents = f.read().partition(b"\n\n")
    lines = head.decode().splitlines()
    tap.equal(lines[:2], ["lucca-launch-image 1", "mode snp"], "the launch image's first lines")
    digest, at = bytes(48), 0
    for line in lines[2:]:
        kind, gpa, length, perms, _ = line.split(" ", 4)
        for page in range(int(gpa, 16), int(gpa, 16) + int(length, 16), 4096):
            measured = bytes(48)
            if kind in ("normal", "vmsa"):
                text = bytearray(contents[at:at + 4096])
                at += 4096
                if kind == "vmsa":
                    text[0x2F0:0x300] = bytes(16)
                measured = hashlib.sha384(text).digest()
            info = digest + measured + struct.pack("<HBBB", 0x70, TYPES[kind], 0, 0)
            digest = hashlib.sha384(info + bytes.fromhex(perms) + struct.pack("<Q", page)).digest()
    tap.equal(at, len(contents), "bytes of the launch image's contents")
    return digest


# ---- owners and hosts ----

def openssl(*args, text=None):
    return subprocess.run(["openssl", *args], check=True, input=text, capture_output=True).stdout


def number(value):
    return value.to_bytes(72, "little")


def public_key(path):
    """A P-384 key as the SEV-SNP ABI has it."""
    point = openssl("pkey", "-in", path, "-pubout", "-outform", "DER")[-96:]
    return (struct.pack("<I", 2) + number(int.from_bytes(point[:48], "big")) +
            number(int.from_bytes(point[48:], "big"))).ljust(0x404, b"\0")


def signature(path, data):
    text = openssl("asn1parse", "-inform", "DER", text=openssl("dgst", "-sha384", "-sign", path, text=data))
    r, s = re.findall(rb"INTEGER +:([0-9A-F]+)", text)
    return (number(int(r, 16)) + number(int(s, 16))).ljust(0x200, b"\0")


def identity(folder, digest, policy):
    """The files of an owner who knows the digest; returns the options and the digests of the keys."""
    keys = [os.path.join(folder, name) for name in ("id.pem", "author.pem")]
    for key in keys:
        openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", key)
    block = digest + b"family of guests".ljust(16) + b"image of a guest" + struct.pack("<IIQ", 1, 7, policy)
    id_key, author = (public_key(key) for key in keys)
    auth = (struct.pack("<II56x", 1, 1) + signature(keys[0], block) + id_key + bytes(0x3C) +
            signature(keys[1], id_key) + author).ljust(4096, b"\0")
    with open(f"{folder}/block", "wb") as f:
        f.write(base64.b64encode(block))
    with open(f"{folder}/auth", "wb") as f:
        f.write(auth)
    return (["--id-block", f"{folder}/block", "--id-auth", f"{folder}/auth"],
            [hashlib.sha384(key).digest() for key in (id_key, author)])


CERT_GUIDS = {"vcek": "63da758de6644564adc5f4b93be8accd", "ask": "4ab7b379bbac4fe4a02f05aef327c782",
              "ark": "c0b406a4a803495297433fb6014cd0ae"}


class Chip:
    """A chip of the test's own, with its certificates."""

    def __init__(self, lucca, folder, chip):
        self.lucca, self.chip, self.name, self.certs = lucca, chip, f"{folder}/{chip}", f"{folder}/{chip}-certs"
        for args in ("create", chip, self.name), ("certs", self.name, "--out", self.certs):
            subprocess.run([lucca, "platform", *args], check=True, stdout=subprocess.DEVNULL)

    def options(self):
        return ["--sev", "snp", "--chip", self.chip, "--platform", self.name]

    def table(self, path):
        """A file for --certs (GHCB 2.03, 4.1.8.1)."""
        ders = {name: openssl("x509", "-in", f"{self.certs}/{name}.pem", "-outform", "DER")
                for name in CERT_GUIDS}
        head, body, at = b"", b"", 24 * (len(ders) + 1)
        for name, der in ders.items():
            head += bytes.fromhex(CERT_GUIDS[name]) + struct.pack("<II", at + len(body), len(der))
            body += der
        with open(path, "wb") as f:
            f.write(head + bytes(24) + body)
        return head + bytes(24) + body

    def verify(self, folder, report):
        with open(f"{folder}/report", "wb") as f:
            f.write(report)
        done = subprocess.run([f"{HERE}/verify_report.sh", f"{folder}/report",
                               *(f"{self.certs}/{name}.pem" for name in ("ark", "ask", "vcek"))],
                              check=False, capture_output=True, text=True)
        tap.equal(done.returncode, 0, f"verify_report.sh's opinion ({done.stderr.strip()})")
        for leave, status in (["--trust-emulated"], 0), ([], 2):
            done = subprocess.run([self.lucca, "report", "verify", *leave, "--certs", f"{self.certs}/certs.bin",
                                   "--cache", f"{folder}/cache", f"{folder}/report"], check=False, capture_output=True, text=True)
            tap.equal(done.returncode, status, f"lucca report verify {leave} ({done.stdout[-300:]}{done.stderr})")
            tap.check("EMULATED" in done.stdout, "it does not say that this is emulated")


def ask(lucca, folder, kernel, options):
    """What a guest says of itself, by name."""
    with guests.debian(lucca, folder, kernel, SCRIPT, ["--memory", "384M", *options], qmp=False,
                       modules=GUEST_MODULES) as m:
        tap.equal(m.wait(240), 0, f"exit status ({m.stderr().strip()}; {m.text[-2000:]})")
        lines = dict(re.findall(r"^([a-z-]+)=(\S*)$", m.text, re.M))
    return {name: base64.b64decode(value) if name != "tsm-provider" else value
            for name, value in lines.items()}


def fields(report):
    return {"policy": struct.unpack_from("<Q", report, 8)[0], "svn": struct.unpack_from("<I", report, 4)[0],
            "family": report[0x10:0x20], "image": report[0x20:0x30],
            "vmpl": struct.unpack_from("<I", report, 0x30)[0], "data": report[0x50:0x90],
            "measurement": report[0x90:0xC0], "host": report[0xC0:0xE0],
            "keys": [report[0xE0:0x110], report[0x110:0x140]]}


def attest(lucca):
    """A guest, its twin with an ID block, itself again, one with another kernel, one on another chip."""
    policy, host = 0x30000, bytes(range(0x80, 0xA0))
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        genoa, milan = Chip(lucca, folder, "genoa"), Chip(lucca, folder, "milan")
        certs = genoa.table(f"{folder}/table")
        common = [*genoa.options(), "--host-data", host.hex(), "--certs", f"{folder}/table"]
        image = f"{folder}/image"

        one = ask(lucca, folder, "6.12-cloud", [*common, "--launch-image", image])
        report, digest = fields(one["report"]), digest_of(image)
        tap.equal(report["data"], bytes(range(64)), "the caller's 64 bytes in the report")
        tap.equal(report["measurement"], digest, "the launch digest in the report")
        tap.equal((report["policy"], report["vmpl"], report["host"]), (policy, 0, host),
                  "policy, VMPL and host data in the report")
        tap.equal((report["family"], report["svn"]), (bytes(16), 0), "identity without an ID block")
        genoa.verify(folder, one["report"])
        genoa.verify(folder, one["extended"])
        tap.equal(one["certs"], certs.rstrip(b"\0"), "the certificates with an extended report")
        tap.equal(one["tsm-provider"], "sev_guest", "the provider in configfs")
        tap.equal(fields(one["tsm-report"])["data"], b"asked by a file".rjust(64), "data of configfs")
        genoa.verify(folder, one["tsm-report"])
        tap.equal(one["key"], one["key-again"], "a key asked for twice")

        options, keys = identity(folder, digest, policy)
        two = ask(lucca, folder, "6.12-cloud", [*common, *options])
        report = fields(two["report"])
        tap.equal(report["measurement"], digest, "the digest of the same launch again")
        tap.equal((report["family"], report["image"], report["svn"], report["keys"]),
                  (b"family of guests", b"image of a guest", 7, keys), "identity in the report")
        tap.check(two["key"] != one["key"], "another owner, the same key")
        again = ask(lucca, folder, "6.12-cloud", common)
        tap.equal([again[k] for k in ("key", "key-measurement")],
                  [one[k] for k in ("key", "key-measurement")], "keys of the same guest after a restart")

        three = ask(lucca, folder, "6.12", common)
        tap.equal(three["key"], one["key"], "a key that nothing is mixed into")
        tap.check(three["key-measurement"] != one["key-measurement"], "another measurement, the same key")

        four = ask(lucca, folder, "6.1", milan.options())
        milan.verify(folder, four["report"])
        tap.check(four["key"] != one["key"], "another chip, the same key")
        tap.equal(four["certs"], b"", "certificates where the host has none")


def wrong_identity(lucca):
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        options, _ = identity(folder, bytes(48), 0x30000)
        kernel = guests.tool("kernel", "6.12-cloud")
        done = subprocess.run([lucca, "run", "--sev", "snp", "--kernel", f"{kernel}/vmlinuz", *options],
                              check=False, capture_output=True, text=True)
        tap.equal(done.returncode, 1, "exit status")
        tap.check("SNP_LAUNCH_FINISH with BAD_MEASUREMENT" in done.stderr and
                  "not the one in --id-block" in done.stderr, f"it says: {done.stderr}")


def stub_of(lucca):
    return os.path.join(os.path.dirname(os.path.abspath(lucca)), "src", "guest", "stub")


def careful(lucca):
    """A guest that validates its memory itself."""
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        image = f"{folder}/image"
        said = ask(lucca, folder, "6.12-cloud", ["--sev", "snp", "--chip", "turin", "--cpus", "2",
                                                 "--boot-stub", stub_of(lucca), "--launch-image", image])
        tap.equal(fields(said["report"])["measurement"], digest_of(image), "the digest in the report")
        tap.check(os.path.getsize(image) < 1 << 20, "little is measured")


REBOOT = """
if [ -e /root/once ]; then echo "second start"; poweroff; fi
seq 10 >/root/once
sync
mount -o remount,ro /
echo "first start"
echo b >/proc/sysrq-trigger
sleep 100
"""


def reboot(lucca):
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        kernel = guests.tool("kernel", "6.12-cloud")
        image = guests.initrd(folder, "6.12-cloud", REBOOT)
        with Machine(lucca, ["--kernel", f"{kernel}/vmlinuz", "--initrd", image, "--append",
                             "console=ttyS0 panic=-1 root=/dev/vda", "--drive",
                             f"file={guests.overlay(folder)}", "--sev", "snp", "--cpus", "2", "--memory",
                             "384M"], qmp=False) as m:
            tap.equal(m.wait(120), 0, f"exit status ({m.stderr().strip()})")
            for words in "first start\n", "second start\n":
                tap.equal(m.text.count(words), 1, words)
            tap.equal(m.text.count(BANNER), 2, "kernels that tell of encryption")


def together(lucca):
    """One of each kind, and a second with SNP, on one host."""
    modes = {"off": None, "sev": "AMD SEV", "es": "AMD SEV SEV-ES", "snp": "AMD SEV SEV-ES SEV-SNP",
             "snp-too": "AMD SEV SEV-ES SEV-SNP"}
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        kernel = guests.tool("kernel", "6.1-cloud")
        image = guests.initrd(folder, "6.1-cloud", "poweroff\n")
        for mode in modes:
            os.mkdir(f"{folder}/{mode}")
            with open(f"{folder}/{mode}.json", "w", encoding="ascii") as f:
                json.dump({"kernel": f"{kernel}/vmlinuz", "initrd": image, "sev": mode.removesuffix("-too"),
                           "append": "console=ttyS0 panic=-1 root=/dev/vda", "memory": "256M",
                           "drive": [f"file={guests.overlay(f'{folder}/{mode}')}"],
                           "serial": f"file:{folder}/{mode}.console", "no-reboot": True}, f)
        done = subprocess.run([lucca, "run", *(f"{folder}/{mode}.json" for mode in modes)], check=False,
                              capture_output=True, text=True, timeout=300)
        tap.equal((done.returncode, done.stderr), (0, ""), "status and errors")
        for mode, banner in modes.items():
            with open(f"{folder}/{mode}.console", encoding="utf-8", errors="replace") as f:
                text = f.read()
            found = re.findall(r"Features active: (.*)", text)
            tap.equal(found, [banner] if banner else [], f"what the guest {mode} tells of encryption")
            tap.check("reboot: Power down" in text, f"the guest {mode} ends: {text[-500:]}")


def main():
    lucca = sys.argv[1]
    logs = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="lucca-consoles-")
    os.makedirs(logs, exist_ok=True)
    rows = SOME
    if os.environ.get("LUCCA_TEST_FULL"):
        rows = list(itertools.product(guests.KERNELS, [1, 4], CHIPS))
    only = sys.argv[3:]
    cases = [(f"{row[0]} --sev snp --cpus {row[1]} --chip {row[2]}", lambda row=row: boot(lucca, logs, *row))
             for row in rows if not only or all(str(value) in only for value in row)]
    if not only or "attest" in only:
        cases += [("reports, keys and digests", lambda: attest(lucca)),
                  ("a wrong ID block is refused", lambda: wrong_identity(lucca)),
                  ("a reboot launches anew", lambda: reboot(lucca)),
                  ("guests of every kind on one host", lambda: together(lucca))]
        if os.path.exists(stub_of(lucca)):
            cases.append(("from a boot stub", lambda: careful(lucca)))
    tap.run(cases)


main()
