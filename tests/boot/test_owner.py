#!/usr/bin/env python3
"""An owner with nothing but `lucca`: the platform verified, a session, the measurement of what was
launched, a secret that arrives; launch images of every mode, and the digests that follow from them.

test_owner.py LUCCA FOLDER PROBE PROBE32
"""
import hashlib
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

LUCCA, PROBE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[3])
SECRET_AT = 0x800000
SECRET = b"the disk's key is correct horse battery staple"
TYPES = {"normal": 1, "vmsa": 2, "zero": 3, "unmeasured": 4, "secrets": 5, "cpuid": 6}


def lucca(*args, status=0, cwd=None):
    done = subprocess.run([LUCCA, *args], capture_output=True, text=True, cwd=cwd, timeout=120,
                          stdin=subprocess.DEVNULL, check=False)
    tap.equal(done.returncode, status, f"status of lucca {' '.join(args)} ({done.stdout}{done.stderr})")
    return done.stdout + done.stderr


class Platform:
    """A chip, and a session for it in the files vm_*."""

    def __init__(self, folder, policy):
        self.folder, self.policy, self.name = folder, policy, f"{folder}/chip"
        lucca("platform", "create", "genoa", self.name)
        lucca("platform", "show", self.name, "--export", f"{folder}/certs")
        self.certs = [f"{folder}/certs/{name}.cert" for name in ("pdh", "cert_chain", "ask_ark")]

    def session(self):
        said = lucca("owner", "session", "--policy", str(self.policy), "--trust-emulated", *self.certs,
                     cwd=self.folder)
        tap.check("EMULATED" in said, f"not a word that it is emulated: {said}")
        for secret in ("tik", "tek"):
            tap.equal(os.stat(f"{self.folder}/vm_{secret}.bin").st_mode & 0o777, 0o600, f"mode of {secret}")

    def options(self):
        return ["--chip", "genoa", "--platform", self.name, "--policy", str(self.policy),
                "--dh-cert-file", f"{self.folder}/vm_godh.b64",
                "--session-file", f"{self.folder}/vm_session.b64"]

    def firmware(self, info):
        return ["--tik", f"{self.folder}/vm_tik.bin", "--api-major", str(info["api-major"]),
                "--api-minor", str(info["api-minor"]), "--build-id", str(info["build-id"])]


def chain():
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        platform = Platform(folder, 1)
        tap.check("an emulated root" in lucca("owner", "verify-chain", *platform.certs, status=2),
                  "an emulated root is not named")
        said = json.loads(lucca("owner", "verify-chain", "--json", "--trust-emulated", *platform.certs))
        tap.equal((said["verdict"], said["emulated"]), ("good", True), "the verdict")
        tap.equal({c["outcome"] for c in said["checks"]}, {"pass"}, "the checks")
        lucca("owner", "verify-chain", "--trust-emulated", *platform.certs[:2], status=3)
        lucca("owner", "session", "--policy", "1", *platform.certs, status=2, cwd=folder)
        tap.check(not os.path.exists(f"{folder}/vm_tek.bin"), "a session for a stranger")
        with open(platform.certs[0], "r+b") as f:  # one bit of the PDH's key
            f.seek(0x20)
            byte = f.read(1)[0]
            f.seek(0x20)
            f.write(bytes([byte ^ 4]))
        tap.check("fail      pdh-by-pek" in lucca("owner", "verify-chain", "--trust-emulated",
                                                  *platform.certs, status=2), "a forged PDH")


def whole_launch(mode, policy, by_hand=False):
    """From the platform's certificates to the secret in the guest."""
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        platform, image = Platform(folder, policy), f"{folder}/launch.img"
        platform.session()
        with Machine(LUCCA, ["--sev", mode, "--paused", *platform.options(), "--launch-image", image,
                             "--memory", "16M", "--kernel", PROBE, "--append",
                             f"secret {SECRET_AT:#x} {len(SECRET)}"]) as m:
            measure = m.qmp("query-sev-launch-measure")["data"]
            asked = ["owner", "measurement", *platform.firmware(m.qmp("query-sev")),
                     "--launch-measure-blob", measure, "--launch-image", image]
            lucca(*asked, "--policy", str(policy))
            said = lucca(*asked, "--policy", str(policy ^ 8), status=5)
            tap.check(f"the policy was {policy:#x}" in said, said)
            changed = f"{folder}/changed.img"
            with open(image, "rb") as f:
                content = f.read()
            with open(changed, "wb") as f:
                f.write(content[:-1] + bytes([content[-1] ^ 1]))
            said = lucca(*asked[:-1], changed, "--policy", str(policy), status=5)
            tap.check("another launch" in said, said)
            said = lucca("measure", "--launch-image", image, "--explain", changed, status=5)
            tap.check("they part at" in said, said)
            if mode != "sev":
                return  # the probe has no handler for #VC
            with open(f"{folder}/secret", "wb") as f:
                f.write(SECRET)
            line = lucca("owner", "secret", "--tik", f"{folder}/vm_tik.bin", "--tek", f"{folder}/vm_tek.bin",
                         "--launch-measure-blob", measure, "--raw", f"{folder}/secret", "--json",
                         "--gpa", hex(SECRET_AT))
            tap.equal(line.count("\n"), 1, "lines of a QMP command")
            command = json.loads(line)["arguments"]
            if by_hand:
                said = m.qmp("human-monitor-command", command_line="sev-inject-launch-secret "
                             f"{command['packet-header']} {command['secret']} {SECRET_AT:#x}")
                tap.equal(said, "", "what the monitor says to a secret")
            else:
                m.qmp("sev-inject-launch-secret", **command)
            m.qmp("cont")
            found = m.expect(r"secret=([0-9 ]*)\n", timeout=60, regex=True).group(1)
            tap.equal(bytes(int(n) for n in found.split()), SECRET, "the secret in the guest")


def digest_of(path):
    """docs/launch-image.md, read by somebody else."""
    with open(path, "rb") as f:
        content = f.read()
    index, _, rest = content.partition(b"\n\n")
    lines = index.decode().split("\n")
    tap.equal((lines[0], lines[1]), ("lucca-launch-image 1", "mode snp"), "the image's head")
    ld, at, seen = bytes(48), 0, set()
    for line in lines[2:]:
        if line.startswith("#"):
            continue
        kind, gpa, length, vmpl, _ = line.split(" ", 4)
        seen.add(kind)
        for page in range(0, int(length, 16), 4096):
            contents = bytes(48)
            if kind in ("normal", "vmsa"):
                data = rest[at:at + 4096]
                at += 4096
                if kind == "vmsa":
                    data = data[:0x2F0] + bytes(16) + data[0x300:]
                contents = hashlib.sha384(data).digest()
            ld = hashlib.sha384(ld + contents + struct.pack("<HBBB", 0x70, TYPES[kind], vmpl.endswith(",imi"), 0) +
                                bytes.fromhex(vmpl[:6]) + struct.pack("<Q", int(gpa, 16) + page)).digest()
    tap.equal(at, len(rest), "bytes of contents")
    return ld.hex(), seen


def launch(folder, name, *more):
    """The launch image of an SNP guest that does not run."""
    image = f"{folder}/{name}"
    kernel = f"{guests.tool('kernel', '6.1-cloud')}/vmlinuz"
    with Machine(LUCCA, ["--sev", "snp", "--chip", "genoa", "--paused", "--memory", "64M", "--kernel", kernel,
                         "--launch-image", image, *more]) as m:
        m.qmp("quit")
        m.wait(60)
    return image


def snp_images():
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        one = launch(folder, "one", "--append", "console=ttyS0")
        two = launch(folder, "two", "--append", "console=ttyS0 ")
        wanted, seen = digest_of(one)
        tap.check({"normal", "zero", "cpuid", "secrets", "vmsa"} <= seen, f"pieces are {seen}")
        tap.equal(lucca("measure", "--launch-image", one).strip(), wanted, "the digest")
        tap.equal(lucca("measure", "--launch-image", two).strip(), digest_of(two)[0], "the other digest")
        tap.check("nothing is to be explained" in lucca("measure", "--launch-image", one, "--explain", wanted),
                  "the digest by itself")
        said = lucca("measure", "--launch-image", one, "--explain", two, status=5)
        tap.check(re.search(r"they part at .*\(page 0x[0-9a-f]+\), byte 0x[0-9a-f]+: ", said), said)


def refused_launch(*options):
    done = subprocess.run([LUCCA, "run", "--sev", "snp", "--chip", "genoa", "--memory", "64M", "--kernel",
                           f"{guests.tool('kernel', '6.1-cloud')}/vmlinuz", *options], capture_output=True,
                          stdin=subprocess.DEVNULL, text=True, timeout=120, check=False)
    tap.equal((done.returncode, done.stderr.count("\n")), (1, 1), f"status and sentences ({done.stderr})")
    return done.stderr


def snp_id_block():
    """Measured, signed for, and launched: the firmware agrees, or refuses."""
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        for name in ("id", "author"):
            subprocess.run(["openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out",
                            f"{folder}/{name}.pem"], check=True)
        digest = lucca("measure", "--launch-image", launch(folder, "image", "--append", "right")).strip()
        signed = ["--id-block", f"{folder}/block", "--id-auth", f"{folder}/auth"]
        for form in ("base64", "raw"):
            lucca("idblock", "--measurement", digest, "--idkey", f"{folder}/id.pem", "--authorkey",
                  f"{folder}/author.pem", *signed, "--output-format", form)
            launch(folder, "again", "--append", "right", *signed)
        why = refused_launch("--append", "wrong", *signed)
        tap.check("BAD_MEASUREMENT" in why, f"another launch: {why}")
        lucca("idblock", "--measurement", digest, "--idkey", f"{folder}/id.pem", "--policy", "0xb0000", *signed)
        why = refused_launch("--append", "right", *signed)
        tap.check("POLICY_FAILURE" in why, f"another policy: {why}")


CASES = [("the platform's certificates", chain),
         ("a SEV guest, from certificates to secret", lambda: whole_launch("sev", 1)),
         ("the same by the human monitor", lambda: whole_launch("sev", 3, by_hand=True)),
         ("a SEV-ES guest's measurement", lambda: whole_launch("es", 5)),
         ("launch images of SNP guests", snp_images),
         ("ID blocks of SNP guests", snp_id_block)]
tap.run(CASES)
