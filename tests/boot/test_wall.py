#!/usr/bin/env python3
"""Devices at the wall: what a driver that does not share its buffers gets, and what they get.

test_wall.py LUCCA FOLDER PROBE PROBE32
"""
import subprocess
import sys
import tempfile

import tap

LUCCA, PROBE = sys.argv[1], sys.argv[3]
PAGE = 4096
PATTERN = bytes(((i >> 4) * 7 + i * 13 + 1) & 0xFF for i in range(PAGE))  # the probe's


def blocks(data):
    return [data[i:i + 16] for i in range(0, PAGE, 16)]


def run(*options):
    """The probe's driver at work; returns its facts and the three pages that it wrote."""
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        disk = f"{folder}/disk"
        with open(disk, "wb") as f:
            f.truncate(1 << 20)
        done = subprocess.run([LUCCA, "run", "--memory", "16M", "--kernel", PROBE, "--append", "dma",
                               "--drive", f"file={disk},format=raw", "--device", "debug-exit", *options],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        tap.equal(done.returncode, 1, f"exit status ({done.stderr.decode().strip()})")
        lines = done.stdout.decode().split()
        with open(disk, "rb") as f:
            return dict(line.split("=") for line in lines if "=" in line), [f.read(PAGE) for _ in range(3)]


def in_the_clear():
    facts, (private, shared, alias) = run("--sev", "off")
    tap.equal((private, shared, alias), (PATTERN, PATTERN, PATTERN), "what the device read")
    for name, wanted in (("shared-read", "256"), ("private-read", "256"),
                         ("alias-of-private-read", "256"), ("shared-fw_cfg", "signature"),
                         ("private-fw_cfg", "signature")):
        tap.equal(facts[name], wanted, name)


def encrypted(*options):
    facts, (private, shared, alias) = run("--sev", "sev", *options)
    tap.equal(shared, PATTERN, "what the device read from a shared page")
    same = [i for i, (a, b) in enumerate(zip(blocks(private), blocks(PATTERN))) if a == b]
    tap.equal(same, [], "blocks of the private page that the device read in the clear")
    tap.check(len(set(private)) > 200, "what the device read of the private page looks made up")
    tap.equal(alias, private, "the guest's shared view of its page against the device's")
    for name, wanted in (("shared-read", "256"), ("private-read", "0"),
                         ("alias-of-private-read", "256"), ("shared-fw_cfg", "signature"),
                         ("private-fw_cfg", "junk")):
        tap.equal(facts[name], wanted, name)
    return private


def keys():
    """Nobody outside can tell that two launches hold the same page."""
    first, second = encrypted(), encrypted()
    same = sum(a == b for a, b in zip(blocks(first), blocks(second)))
    tap.equal(same, 0, "blocks that two launches of one guest have in common")


tap.run([("without SEV a device sees and fills any page", in_the_clear),
         ("a private page is junk to a device, and a device's bytes are junk in it", encrypted),
         ("the same with true ciphertext in memory", lambda: encrypted("--dram", "eager")),
         ("the same on naples, whose C-bit is elsewhere", lambda: encrypted("--chip", "naples")),
         ("each launch has a key of its own", keys)])
