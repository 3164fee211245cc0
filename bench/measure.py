#!/usr/bin/env python3
"""Times the digest of an SEV-SNP launch (a firmware of 4 MiB, 64 vCPUs) in Lucca and in plain Python
with hashlib, as published calculators compute it.

bench/measure.py PROGRAM SUFFIX [OUT.json]      PROGRAM: measure_bench; SUFFIX: the end of an OVMF
"""
import hashlib
import json
import statistics
import struct
import subprocess
import sys
import time
import uuid

FIRMWARE, VCPUS, SIGNATURE, FEATURES, TURNS = 4 << 20, 64, 0x800f12, 1, 5
NORMAL, VMSA, ZERO, SECRETS, CPUID = 1, 2, 3, 5, 6
VMSA_GPA = 0xFFFFFFFFF000
SECTIONS = {1: ZERO, 2: SECRETS, 3: CPUID, 4: ZERO, 0x10: ZERO}


def firmware(suffix):
    body = bytes((i * 2654435761 & 0xFFFFFFFF) >> 24 for i in range(FIRMWARE - len(suffix)))
    return body + suffix


def table(image):
    """The entries of the table of GUIDs at the image's end."""
    end = len(image) - 0x32
    length, = struct.unpack_from("<H", image, end)
    start, found = end + 18 - length, {}
    while end > start:
        size, = struct.unpack_from("<H", image, end - 18)
        found[str(uuid.UUID(bytes_le=image[end - 16:end]))] = image[end - size:end - 18]
        end -= size
    return found


def vmsa(eip):
    page = bytearray(4096)

    def segment(at, selector, attributes, limit, base):
        struct.pack_into("<HHIQ", page, at, selector, attributes, limit, base)

    for at in (0x00, 0x30, 0x40, 0x50, 0x20):
        segment(at, 0, 0x93, 0xFFFF, 0)
    segment(0x10, 0xF000, 0x9B, 0xFFFF, eip & 0xFFFF0000)
    for at, attributes in ((0x60, 0), (0x70, 0x82), (0x80, 0), (0x90, 0x8B)):
        segment(at, 0, attributes, 0xFFFF, 0)
    for at, value in ((0xD0, 0x1000), (0x148, 0x40), (0x158, 0x10), (0x160, 0x400), (0x168, 0xFFFF0FF0),
                      (0x170, 2), (0x178, eip & 0xFFFF), (0x268, 0x0007040600070406), (0x310, SIGNATURE),
                      (0x3B0, FEATURES), (0x3E8, 1), (0x408, 0x1F80), (0x410, 0x37F)):
        struct.pack_into("<Q", page, at, value)
    return bytes(page)


class Chain:
    def __init__(self):
        self.digest = bytes(48)

    def page(self, kind, gpa, contents=bytes(48)):
        info = self.digest + contents + struct.pack("<HBBIQ", 0x70, kind, 0, 0, gpa)
        self.digest = hashlib.sha384(info).digest()

    def pages(self, kind, gpa, data):
        for at in range(0, len(data), 4096):
            self.page(kind, gpa + at, hashlib.sha384(data[at:at + 4096]).digest())


def measure(image):
    chain, entries = Chain(), table(image)
    chain.pages(NORMAL, (1 << 32) - len(image), image)
    back, = struct.unpack("<I", entries["dc886566-984a-4798-a75e-5585a7bf67cc"])
    at = len(image) - back
    count, = struct.unpack_from("<I", image, at + 12)
    for gpa, size, kind in struct.iter_unpack("<III", image[at + 16:at + 16 + 12 * count]):
        for page in range(gpa, gpa + size, 4096):
            chain.page(SECTIONS[kind], page)
    reset, = struct.unpack("<I", entries["00f771de-1a7e-4fcb-890e-68c77e2fb44e"])
    for vcpu in range(VCPUS):
        chain.pages(VMSA, VMSA_GPA, vmsa(reset if vcpu else 0xFFFFFFF0))
    return chain.digest.hex()


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    with open(sys.argv[2], "rb") as f:
        image = firmware(f.read())
    ours = json.loads(subprocess.run([sys.argv[1], sys.argv[2]], check=True, stdout=subprocess.PIPE).stdout)
    turns = []
    for _ in range(TURNS):
        begin = time.process_time()
        digest = measure(image)
        turns.append(1e3 * (time.process_time() - begin))
    python = statistics.median(turns)
    if digest != ours["digest"]:
        sys.exit(f"measure: {ours['digest']} here, {digest} in Python")
    print(f"digest of 4 MiB and {VCPUS} vCPUs: {ours['ms']:.1f} ms, in Python {python:.1f} ms "
          f"({python / ours['ms']:.2f} times)")
    if len(sys.argv) == 4:
        with open(sys.argv[3], "w", encoding="utf-8") as f:
            json.dump({"name": "measure", "lucca_ms": ours["ms"], "python_ms": round(python, 3)}, f)


main()
