#!/usr/bin/env python3
"""Under the virtual clock a run repeats: two boots of Debian give the same console, byte for byte,
with times, interrupt counts and random numbers in it.

test_repeat.py LUCCA [FOLDER]
"""
import difflib
import os
import subprocess
import sys
import tempfile

import guests
import tap

SCRIPT = r"""
dmesg
cat /proc/interrupts /proc/stat /proc/buddyinfo
date +%s.%N
cat /proc/sys/kernel/random/boot_id
od -An -tx1 -N 32 /dev/urandom
for i in 1 2 3 4; do sh -c 'sleep 0.0$0; echo slept 0.0$0; date +%N' $i & done
wait
python3 -c "import time, os; print(time.monotonic_ns(), hash('x'), id([]), os.getrandom(8).hex())"
poweroff
"""


def console(lucca, logs, kernel, name, *options):
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        path = os.path.join(logs, f"repeat-{name}.console")
        boot = guests.tool("kernel", kernel)
        done = subprocess.run([lucca, "run", "--kernel", f"{boot}/vmlinuz", "--initrd",
                               guests.initrd(folder, kernel, SCRIPT), "--append",
                               "console=ttyS0 panic=-1 root=/dev/vda", "--drive",
                               f"file={guests.overlay(folder)}", "--serial", f"file:{path}",
                               "--no-reboot", *options],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280,
                              check=False)
        tap.equal((done.returncode, done.stderr), (0, ""), "status and errors")
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()


def twice(lucca, logs, kernel, mode, cpus):
    options = ["--sev", mode, "--cpus", str(cpus), "--memory", "256M"]
    first = console(lucca, logs, kernel, f"{mode}-1", *options)
    # The clock is the virtual one by default where a guest has no outside peer.
    second = console(lucca, logs, kernel, f"{mode}-2", *options, "--clock", "virtual")
    tap.check("slept 0.04" in first and "Power down" in first, f"the guest did little: {first[-500:]}")
    differences = list(difflib.unified_diff(first.splitlines(), second.splitlines(), lineterm="", n=0))
    tap.check(first == second, "the consoles differ:\n" + "\n".join(differences[:20]))


def main():
    lucca = sys.argv[1]
    logs = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="lucca-consoles-")
    tap.run([(f"{kernel} --sev {mode} --cpus {cpus} twice",
              lambda row=(kernel, mode, cpus): twice(lucca, logs, *row))
             for kernel, mode, cpus in (("6.1-cloud", "off", 1), ("6.12-cloud", "sev", 2))])


main()
