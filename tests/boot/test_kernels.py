#!/usr/bin/env python3
"""Debian's kernels boot to a shell on an ext4 root: every kernel in the clear and as a SEV guest,
with one processor and four, from virtio-blk and virtio-scsi.

test_kernels.py LUCCA [FOLDER [VALUE...]]        VALUE: boot only what is made of these values
LUCCA_TEST_FULL=1: every combination
"""
import itertools
import os
import subprocess
import sys
import tempfile

import guests
import tap
from guests import ask

MODES = ["off", "sev"]
CPUS = [1, 4]
BUSES = ["virtio", "scsi"]
ENCRYPTED = "Memory Encryption Features active: AMD SEV"


# What else makes a difference: the most processors, memory above 4 GiB, every chip.
MORE = [("6.12-cloud", "sev", 8, "virtio", 512, "milan"), ("6.1-cloud", "sev", 1, "scsi", 5120, "genoa"),
        ("6.1-cloud", "off", 2, "virtio", 5120, "turin"), ("6.1-cloud", "sev", 2, "virtio", 384, "naples"),
        ("6.1-cloud", "sev", 1, "virtio", 384, "rome"), ("6.12-cloud", "sev", 1, "virtio", 384, "turin")]


def cover():
    """Half the combinations, so that every three values of three kinds meet in one of them."""
    for k, m, c in itertools.product(range(len(guests.KERNELS)), range(2), range(2)):
        yield guests.KERNELS[k], MODES[m], CPUS[c], BUSES[(k + m + c) % 2]


def check_cover(rows):
    """Nothing here is left to arithmetic alone."""
    axes = [guests.KERNELS, MODES, CPUS, BUSES]
    for three in itertools.combinations(range(4), 3):
        wanted = set(itertools.product(*(axes[a] for a in three)))
        missing = wanted - {tuple(row[a] for a in three) for row in rows}
        tap.check(not missing, f"never booted together: {missing}")


def boot(lucca, logs, kernel, mode, cpus, bus, memory=384, chip="genoa"):
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        log = os.path.join(logs, f"{kernel}-{mode}-{cpus}-{bus}-{memory}M-{chip}.console")
        with guests.debian(lucca, folder, kernel, guests.SHELL, bus=bus, log=log, qmp=False,
                           args=["--sev", mode, "--cpus", str(cpus), "--memory", f"{memory}M", "--chip",
                                 chip]) as m:
            m.expect("\n# ", timeout=240)
            release = ask(m, "echo kernel=$(uname -r)", r"kernel=(\S+)")
            tap.check(release.startswith(kernel.split("-")[0] + "."), f"uname says {release}")
            tap.equal("cloud" in release, "cloud" in kernel, "a cloud kernel")
            tap.equal(ask(m, "echo cpus=$(nproc)", r"cpus=(\d+)"), str(cpus), "processors")
            total = int(ask(m, "grep MemTotal /proc/meminfo", r"MemTotal: +(\d+) kB")) >> 10
            tap.check(memory * 2 // 3 < total <= memory, f"{total} MiB of memory")
            root = ask(m, "echo root=$(grep ' / ' /proc/mounts)", r"root=(.*)")
            tap.check(root.startswith(f"{guests.ROOT[bus]} / ext4 rw"), f"the root is {root}")
            ask(m, "seq 100000 | sha256sum >/root/sums && sync && echo written=$?", "written=(0)")
            ask(m, "seq 100000 | sha256sum -c /root/sums", "-: (OK)")
            ask(m, "dmesg >/root/dmesg; echo sev=$(grep -c 'Features active: AMD SEV' /root/dmesg)",
                f"sev=({'1' if mode == 'sev' else '0'})")
            ask(m, "echo bad=$(grep -c -e BUG: -e Oops -e 'Call Trace' -e soft.lockup /root/dmesg)",
                "bad=(0)")
            m.type("exit\n")
            tap.equal(m.wait(60), 0, f"exit status ({m.stderr().strip()})")
            tap.equal(ENCRYPTED in m.text, mode == "sev", "the console tells of encryption")
        disk = subprocess.run(["qemu-img", "check", "-q", "-U", f"{folder}/root.qcow2"], check=False)
        tap.equal(disk.returncode, 0, "qemu-img's opinion of the disk afterwards")


def main():
    lucca = sys.argv[1]
    logs = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="lucca-consoles-")
    os.makedirs(logs, exist_ok=True)
    rows = list(cover())
    check_cover(rows)
    if os.environ.get("LUCCA_TEST_FULL"):
        rows = list(itertools.product(guests.KERNELS, MODES, CPUS, BUSES))
    rows = [(*row, 384, "genoa") for row in rows] + MORE
    only = sys.argv[3:]
    tap.run([(f"{row[0]} --sev {row[1]} --cpus {row[2]} --memory {row[4]}M --chip {row[5]}, "
              f"root on {guests.ROOT[row[3]]}", lambda row=row: boot(lucca, logs, *row))
             for row in rows if not only or all(str(value) in only for value in row)])


main()
