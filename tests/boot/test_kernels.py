#!/usr/bin/env python3
"""Debian's kernels boot to a shell on an ext4 root: every kernel in the clear and as a SEV guest,
with one processor and four, from virtio-blk and virtio-scsi.

test_kernels.py LUCCA [FOLDER]        LUCCA_TEST_FULL=1: every combination of these
"""
import itertools
import os
import sys
import tempfile

import guests
import tap

MODES = ["off", "sev"]
CPUS = [1, 4]
BUSES = ["virtio", "scsi"]
ENCRYPTED = "Memory Encryption Features active: AMD SEV"


def cover():
    """Kernels by modes; processors and buses so that every pair of values occurs."""
    for k, kernel in enumerate(guests.KERNELS):
        for m, mode in enumerate(MODES):
            yield kernel, mode, CPUS[m ^ k // 2], BUSES[m ^ k % 2]


def check_cover(rows):
    """Nothing here is left to arithmetic alone."""
    axes = [guests.KERNELS, MODES, CPUS, BUSES]
    for a, b in itertools.combinations(range(4), 2):
        missing = set(itertools.product(axes[a], axes[b])) - {(r[a], r[b]) for r in rows}
        tap.check(not missing, f"pairs without a boot: {missing}")


def ask(machine, question, answer):
    """Types a line at the shell; its answer stands at the beginning of a line."""
    machine.type(question + "\n")
    return machine.expect("(?m)^" + answer + "\n", timeout=60, regex=True).group(1)


def boot(lucca, logs, kernel, mode, cpus, bus):
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        log = os.path.join(logs, f"{kernel}-{mode}-{cpus}-{bus}.console")
        with guests.debian(lucca, folder, kernel, guests.SHELL, bus=bus, log=log, qmp=False,
                           args=["--sev", mode, "--cpus", str(cpus), "--memory", "384M"]) as m:
            m.expect("\n# ", timeout=240)
            release = ask(m, "echo kernel=$(uname -r)", r"kernel=(\S+)")
            tap.check(release.startswith(kernel.split("-")[0] + "."), f"uname says {release}")
            tap.equal("cloud" in release, "cloud" in kernel, "a cloud kernel")
            tap.equal(ask(m, "echo cpus=$(nproc)", r"cpus=(\d+)"), str(cpus), "processors")
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


def main():
    lucca = sys.argv[1]
    logs = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="lucca-consoles-")
    os.makedirs(logs, exist_ok=True)
    rows = list(cover())
    check_cover(rows)
    if os.environ.get("LUCCA_TEST_FULL"):
        rows = list(itertools.product(guests.KERNELS, MODES, CPUS, BUSES))
    only = sys.argv[3:]
    tap.run([(f"{kernel} --sev {mode} --cpus {cpus}, root on {guests.ROOT[bus]}",
              lambda row=(kernel, mode, cpus, bus): boot(lucca, logs, *row))
             for kernel, mode, cpus, bus in rows
             if not only or all(str(v) in only for v in (kernel, mode, cpus, bus))])


main()
