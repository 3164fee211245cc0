#!/usr/bin/env python3
"""A virtio console: what Linux writes to hvc0 is what arrives, in the clear and as a SEV guest.

test_console.py LUCCA FOLDER
"""
import os
import subprocess
import sys
import tempfile

import tap
from guests import TOOLS, tool

LUCCA = os.path.abspath(sys.argv[1])
INIT = """#!/bin/sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
while read -r m; do $b insmod /modules/$m; done </modules/order
n=0
while [ ! -c /dev/hvc0 ] && [ $((n += 1)) -lt 100 ]; do $b sleep 0.05; done
$b stty -opost </dev/hvc0
n=0
while [ $((n += 1)) -le 200 ]; do echo "line $n of two hundred"; done >/dev/hvc0
$b poweroff -f
"""


def hvc0(mode):
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        kernel = tool("kernel", "6.1-cloud")
        with open(f"{folder}/init", "w", encoding="ascii") as f:
            f.write(INIT)
        subprocess.run([os.path.join(TOOLS, "mkinitrd"), f"{folder}/initrd", "--busybox", "--kernel",
                        kernel, "--module", "virtio_pci", "--module", "virtio_console",
                        "--file", f"init={folder}/init"], check=True)
        done = subprocess.run([LUCCA, "run", "--sev", mode, "--kernel", f"{kernel}/vmlinuz", "--initrd",
                               f"{folder}/initrd", "--append", "console=ttyS0 quiet panic=-1",
                               "--no-reboot", "--console", f"file:{folder}/hvc0"],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
        tap.equal(done.returncode, 0, f"status ({done.stderr.decode()})")
        with open(f"{folder}/hvc0", encoding="ascii") as f:
            tap.equal(f.read().splitlines(), [f"line {n} of two hundred" for n in range(1, 201)], "hvc0")


tap.run([(f"hvc0 --sev {mode}", lambda a=mode: hvc0(a)) for mode in ("off", "sev")])
