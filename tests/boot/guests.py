"""Debian in a guest: a stock kernel, an initrd with its drivers, a userland on a disk of its own."""
import functools
import os
import subprocess

import tap
from machine import Machine

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools")
KERNELS = ["6.1-cloud", "6.1", "6.12-cloud", "6.12"]
MODULES = ["virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "ext4", "virtio_net", "virtio_rng"]
ROOT = {"virtio": "/dev/vda", "scsi": "/dev/sda"}

# /init of the initrd: drivers, the root file system, then the test's script as process 1 there.
INIT = """#!/bin/sh
PATH=/bin
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs dev /dev
while read -r m; do
    $b insmod /modules/$m || echo "init: $m does not load"
done </modules/order
for word in $($b cat /proc/cmdline); do
    case $word in root=*) root=${word#root=} ;; esac
done
n=0
while [ ! -b "$root" ] && [ $((n += 1)) -lt 200 ]; do $b sleep 0.05; done
$b mount -t ext4 "$root" /mnt || { echo "init: no root on $root"; $b poweroff -f; }
$b mount -t devtmpfs dev /mnt/dev
$b mount -t proc proc /mnt/proc
$b mount -t sysfs sysfs /mnt/sys
$b mount -t tmpfs run /mnt/run
$b cp /bin/busybox /script /mnt/run/
$b umount /dev /sys /proc
exec $b switch_root /mnt /bin/sh /run/script
"""

# Scripts of tests run after this, as process 1 of Debian; busybox has what Debian's base leaves out.
PROLOGUE = """
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C PYTHONDONTWRITEBYTECODE=1
exec </dev/console >/dev/console 2>&1
echo 3 >/proc/sys/kernel/printk # no news between a script's lines; errors still come through
poweroff() { sync; mount -o remount,ro / ; /run/busybox poweroff -f; sleep 100; }
"""
# A person's shell on the first serial port, then power-off.
SHELL = "setsid -c /bin/sh -i </dev/ttyS0 >/dev/ttyS0 2>&1\npoweroff\n"


@functools.cache
def tool(name, *args):
    return subprocess.run([os.path.join(TOOLS, name), *args], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


def overlay(folder):
    """A disk that begins as the Debian userland and keeps what a guest writes to it."""
    path = os.path.join(folder, "root.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", tool("mkrootfs"), "-F", "raw",
                    path], check=True)
    return path


def initrd(folder, kernel, script, files=(), modules=()):
    """An initrd for the kernel's version with the test's script; files: "path=file"; modules: more."""
    for name, text in ("init", INIT), ("script", PROLOGUE + script):
        with open(os.path.join(folder, name), "w", encoding="ascii") as f:
            f.write(text)
    out = os.path.join(folder, "initrd")
    command = [os.path.join(TOOLS, "mkinitrd"), out, "--busybox", "--kernel", tool("kernel", kernel),
               "--file", f"init={folder}/init", "--file", f"script={folder}/script"]
    for spec in files:
        command += ["--file", spec]
    for module in [*MODULES, *modules]:
        command += ["--module", module]
    subprocess.run(command, check=True)
    return out


def debian(lucca, folder, kernel, script, args=(), bus="virtio", log=None, modules=(), **machine):
    """A Debian guest, started. The folder is the test's own and has its disk and its initrd."""
    name = tool("kernel", kernel)
    image = initrd(folder, kernel, script, modules=modules)
    return Machine(lucca, ["--kernel", f"{name}/vmlinuz", "--initrd", image,
                           "--append", f"console=ttyS0 panic=-1 root={ROOT[bus]}", "--no-reboot",
                           "--drive", f"file={overlay(folder)},if={bus}", *args],
                   log=log, **machine)


def ask(machine, question, answer):
    """Types a line at the shell; its answer begins a line, or follows a prompt that came late."""
    machine.type(question + "\n")
    return machine.expect("(?m)^(?:# )*" + answer + "\n", timeout=60, regex=True).group(1)


def shell_checks(machine, kernel, cpus, banner):
    """What holds at the shell of a guest with encrypted state: its kernel, processors, disk, network
    and peace of mind; `banner`: the line of the kernel about encryption."""
    machine.expect("\n# ", timeout=300)
    release = ask(machine, "echo kernel=$(uname -r)", r"kernel=(\S+)")
    tap.check(release.startswith(kernel.split("-")[0] + "."), f"uname says {release}")
    tap.equal(ask(machine, "echo cpus=$(nproc)", r"cpus=(\d+)"), str(cpus), "processors")
    ask(machine, "seq 100000 | sha256sum >/root/sums && sync && echo written=$?", "written=(0)")
    ask(machine, "echo 3 >/proc/sys/vm/drop_caches; seq 100000 | sha256sum -c /root/sums", "-: (OK)")
    machine.type("B=/run/busybox; $B ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up\n")
    ask(machine, "$B ping -c 2 10.0.2.2 >/dev/null; echo ping=$?", "ping=(0)")
    ask(machine, "dmesg >/root/dmesg; echo bad=$(grep -c -e BUG: -e Oops -e 'Call Trace' "
        "-e soft.lockup /root/dmesg)", "bad=(0)")
    machine.type("exit\n")
    tap.equal(machine.wait(60), 0, f"exit status ({machine.stderr().strip()})")
    tap.check(banner + "\n" in machine.text, f"the console says '{banner}'")
