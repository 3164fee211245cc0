#!/usr/bin/env python3
"""Bad input: one clear sentence on standard error, exit status 1, nothing on standard output, nothing
half-written left behind, and what was there untouched.

test_errors.py LUCCA FOLDER PROBE PROBE32
"""
import hashlib
import os
import resource
import socket
import struct
import subprocess
import sys
import tempfile

import guests
import tap
from machine import Machine

LUCCA, PROBE, PROBE32 = (os.path.abspath(sys.argv[i]) for i in (1, 3, 4))


class Place:
    """A folder with inputs good and bad, which the command must leave as it found it."""

    def __init__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="lucca-test-")
        self.name = self.temporary.name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.temporary.cleanup()

    def path(self, name):
        return os.path.join(self.name, name)

    def put(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)
        return self.path(name)

    def state(self):
        found = {}
        for folder, folders, files in os.walk(self.name):
            for name in folders:
                found[os.path.join(folder, name)] = "folder"
            for name in files:
                with open(os.path.join(folder, name), "rb") as f:
                    found[os.path.join(folder, name)] = hashlib.sha256(f.read()).hexdigest()
        return found

    def refused(self, words, *args, status=1):
        """`lucca ARGS` is refused, and its sentence has these words."""
        before = self.state()
        done = subprocess.run([LUCCA, *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                              check=False, cwd=self.name)
        said = done.stderr.decode("utf-8", "backslashreplace")
        what = f"lucca {' '.join(args)}"
        tap.equal((done.returncode, done.stdout), (status, b""), f"{what}: status, output ({said.strip()})")
        tap.check(said.startswith("lucca: ") and said.count("\n") == 1 and said.endswith("\n"),
                  f"{what}: not one sentence: {said!r}")
        tap.check(20 < len(said) < 400, f"{what}: a sentence of {len(said)} characters: {said}")
        for word in words:
            tap.check(word in said, f"{what}: no {word!r} in: {said}")
        tap.equal(self.state(), before, f"{what}: files")

    def run_refused(self, words, *args):
        """The same for a guest, that has a console file and a monitor to leave behind."""
        if "--serial" not in args:
            args = (*args, "--serial", f"file:{self.path('console')}")
        if "--qmp" not in args:
            args = (*args, "--qmp", f"unix:{self.path('monitor')}")
        self.refused(words, "run", *args)


def kernel_file(name="6.1-cloud"):
    with open(f"{guests.tool('kernel', name)}/vmlinuz", "rb") as f:
        return f.read()


# ---- files ---------------------------------------------------------------------------------------

def kernels():
    linux = kernel_file()
    with open(PROBE, "rb") as f:
        elf = f.read()
    with open(PROBE32, "rb") as f:
        multiboot = f.read()
    whole = (linux[0x1F1] + 1) * 512 + 16 * struct.unpack_from("<I", linux, 0x1F4)[0]  # then a signature
    header = multiboot.index(struct.pack("<I", 0x1BADB002))
    with Place() as p:
        for mode in "off", "sev":
            go = lambda words, data, m=mode: p.run_refused([p.path("kernel"), *words], "--sev", m, "--kernel",
                                                           p.put("kernel", data))
            p.run_refused(["nothing-here", "No such file"], "--sev", mode, "--kernel", "nothing-here")
            p.run_refused([p.name, "not a regular file"], "--sev", mode, "--kernel", p.name)
            p.run_refused(["--kernel"], "--sev", mode)
            go(["empty"], b"")
            go([], b"#!/bin/sh\necho this is not a kernel\n")
            go([], os.urandom(1 << 20).replace(struct.pack("<I", 0x1BADB002), b"1234"))
            for cut in 0x1F1, 0x230, 4096, len(linux) // 2, whole - 16:
                go([], linux[:cut])
            for cut in 40, 0x60, len(elf) // 8:
                go([], elf[:cut])
            demanding = struct.pack("<III", 0x1BADB002, 8, 2 ** 32 - 0x1BADB002 - 8)
            go(["multiboot"], multiboot[:header] + demanding + multiboot[header + 12:])


def other_files():
    with Place() as p:
        p.put("bad.json", b'{"memory": "64M",')
        p.put("odd.json", b'{"memmory": "64M"}')
        p.put("list.json", b'["memory"]')
        p.put("short", b"x" * 100)
        p.run_refused(["gone", "No such file"], "--kernel", PROBE, "--initrd", "gone")
        p.run_refused(["gone", "No such file"], "--kernel", PROBE32, "--initrd", "gone a module")
        p.run_refused(["gone", "No such file"], "--kernel", PROBE, "--drive", "file=gone")
        p.run_refused(["none/console", "No such file"], "--kernel", PROBE, "--serial", "file:none/console")
        p.run_refused(["none/monitor", "No such file"], "--kernel", PROBE, "--qmp", "unix:none/monitor")
        p.refused(["gone.json", "No such file"], "run", "gone.json")
        p.refused(["bad.json"], "run", "bad.json")
        p.refused(["odd.json", "memmory"], "run", "odd.json")
        p.refused(["list.json", "object"], "run", "list.json")
        sev = ["--kernel", PROBE, "--sev", "sev"]
        p.run_refused(["gone", "No such file"], *sev, "--dh-cert-file", "gone", "--session-file", "short")
        p.run_refused(["short", "2084", "100"], *sev, "--dh-cert-file", "short", "--session-file", "short")
        p.run_refused(["--session-file"], *sev, "--dh-cert-file", "short")
        p.run_refused(["--sev sev"], "--kernel", PROBE, "--dh-cert-file", "short", "--session-file", "short")


def memory():
    linux = f"{guests.tool('kernel', '6.1-cloud')}/vmlinuz"
    with Place() as p:
        initrd = p.put("initrd", bytes(40 << 20))
        p.run_refused(["more than this machine's"], "--kernel", PROBE, "--memory", "8T")
        p.run_refused(["256", "--host-memory"], "--kernel", PROBE, "--memory", "512M", "--host-memory",
                      "256M")
        p.run_refused(["--memory"], "--kernel", linux, "--memory", "8M")
        p.run_refused([initrd, "--memory"], "--kernel", linux, "--initrd", initrd, "--memory", "96M")
        for size in "0", "-1", "many", "3K", "99999999999999999999", "17T", "64MB":
            p.run_refused(["--memory", size], "--kernel", PROBE, "--memory", size)


# ---- options -------------------------------------------------------------------------------------

OPTIONS = [
    (["--frobnicate"], ["--frobnicate", "--help"]),
    (["-Z"], ["-Z", "--help"]),
    (["--cpus", "0"], ["--cpus", "1 to 8"]),
    (["--cpus", "9"], ["--cpus", "1 to 8"]),
    (["--sev", "maybe"], ["maybe", "snp"]),
    (["--sev", "snp", "--chip", "rome"], ["rome", "SEV-SNP", "milan"]),
    (["--sev", "es", "--chip", "naples"], ["naples", "SEV-ES", "rome"]),
    (["--sev", "sev", "--policy", "0x5"], ["--policy 0x5", "SEV-ES"]),
    (["--policy", "one"], ["--policy", "one"]),
    (["--chip", "siena"], ["siena", "genoa"]),
    (["--clock", "sundial"], ["sundial", "virtual"]),
    (["--dram", "magnetic"], ["magnetic", "eager"]),
    (["--trace", "everything"], ["everything"]),
    (["--serial", "modem"], ["modem", "stdio"]),
    (["--qmp", "udp:1234"], ["udp:1234", "unix:"]),
    (["--gdb", "tcp:99999"], ["tcp:99999"]),
    (["--gdb", "tcp:nowhere:1"], ["tcp:nowhere:1", "tcp:ADDRESS:PORT"]),
    (["--qmp", "unix:" + "x" * 200], ["xxxx", "at most"]),
    (["--device", "floppy"], ["floppy", "testdev"]),
    (["--drive", "size=3"], ["--drive", "size"]),
    (["--drive", "if=virtio"], ["--drive", "file"]),
    (["--net", "tap"], ["--net", "tap"]),
    (["--net", "user,hostfwd=tcp::1"], ["--net", "hostfwd"]),
    (["--platform", "./nowhere"], ["./nowhere"]),
]


def options():
    with Place() as p:
        for args, words in OPTIONS:
            p.run_refused(words, "--kernel", PROBE, *args)
        p.refused(["--memory", "needs"], "run", "--kernel", PROBE, "--memory")
        p.refused(["frobnicate", "help"], "frobnicate")
        for args, words in ((["create"], ["create"]), (["create", "siena", "./x"], ["siena"]),
                            (["show", "./nowhere"], ["nowhere"]), (["delete", "./nowhere"], ["nowhere"]),
                            (["polish"], ["create, list, show, certs or delete"])):
            p.refused(words, "platform", *args)
        subprocess.run([LUCCA, "platform", "create", "rome", p.path("chip")], check=True,
                       stdout=subprocess.DEVNULL)
        p.refused(["chip"], "platform", "create", "rome", p.path("chip"))
        p.run_refused(["rome", "genoa"], "--kernel", PROBE, "--platform", p.path("chip"))


# ---- qcow2 ---------------------------------------------------------------------------------------

# (what the header says, offset, format, value)
LIES = [
    ("another magic", 0, ">I", 0x514649FA),
    ("version 9", 4, ">I", 9),
    ("a backing file's name beyond the file", 8, ">QI", (1 << 40, 100)),
    ("clusters of 2 bytes", 20, ">I", 1),
    ("clusters of 2^63 bytes", 20, ">I", 63),
    ("2^63 bytes", 24, ">Q", 1 << 63),
    ("encryption", 32, ">I", 2),
    ("an L1 table of 2^32 - 1 entries", 36, ">I", 0xFFFFFFFF),
    ("an L1 table too small for its size", 36, ">I", 0),
    ("an L1 table beyond the file", 40, ">Q", 1 << 50),
    ("an L1 table that is not aligned", 40, ">Q", 0x30001),
    ("refcounts beyond the file", 48, ">Q", 1 << 50),
    ("no refcounts", 56, ">I", 0),
    ("unknown features", 72, ">Q", 1 << 20),
    ("refcounts of 2^60 bits", 96, ">I", 60),
    ("a header of 8 bytes", 100, ">I", 8),
]


def qcow2():
    with Place() as p:
        good = p.path("good.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", good, "64M"], check=True)
        with open(good, "rb") as f:
            image = f.read()
        for what, offset, form, value in LIES:
            data = bytearray(image)
            struct.pack_into(form, data, offset, *(value if isinstance(value, tuple) else (value,)))
            p.put("lie.qcow2", bytes(data))
            try:
                p.run_refused(["lie.qcow2"], "--kernel", PROBE, "--drive", "file=lie.qcow2,format=qcow2")
            except RuntimeError as e:
                raise RuntimeError(f"an image that says {what}: {e}") from e
        for cut in 3, 71, 103:
            p.put("lie.qcow2", image[:cut])
            p.run_refused(["lie.qcow2"], "--kernel", PROBE, "--drive", "file=lie.qcow2,format=qcow2")
        backed = p.path("backed.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", good, "-F", "qcow2", backed],
                       check=True)
        os.rename(good, p.path("moved"))
        p.run_refused(["good.qcow2", "No such file"], "--kernel", PROBE, "--drive", f"file={backed}")


# ---- what others hold ----------------------------------------------------------------------------

def taken():
    with Place() as p, socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        port.listen()
        number = port.getsockname()[1]
        p.run_refused([str(number)], "--kernel", PROBE, "--net", f"user,hostfwd=tcp:127.0.0.1:{number}-:80")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(p.path("busy"))
            other.listen()
            before = os.stat(p.path("busy")).st_ino
            args = ["--kernel", PROBE, "--serial", f"file:{p.path('console')}"]
            for path, words in (("busy", ["busy", "in use"]), ("file", ["file"])):
                p.put("file", b"somebody's")
                done = subprocess.run([LUCCA, "run", *args, "--qmp", f"unix:{p.path(path)}"],
                                      stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                                      check=False)
                tap.equal((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1),
                          f"{path}: status, output, sentences ({done.stderr})")
                tap.check(all(word in done.stderr for word in words), done.stderr)
            tap.equal(os.stat(p.path("busy")).st_ino, before, "the socket that was there")
            with open(p.path("file"), "rb") as f:
                tap.equal(f.read(), b"somebody's", "the file that was there")
            tap.equal(sorted(os.listdir(p.name)), ["busy", "file"], "files")


# ---- full disks ----------------------------------------------------------------------------------

def limited(lucca_args, limit):
    """A machine whose files cannot grow past the limit, as on a disk with that much room."""
    machine = Machine(LUCCA, lucca_args)
    resource.prlimit(machine.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    return machine


def full_disk():
    with Place() as p:
        with limited(["--kernel", PROBE, "--append", "wait", "--memory", "64M"], 1 << 20) as m:
            m.expect("waiting\n")
            for _ in range(2):
                done = subprocess.run([LUCCA, "monitor", m.path, "dump-guest-memory", p.path("core")],
                                      stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                                      check=False)
                said = done.stdout + done.stderr
                tap.equal((done.returncode, said.count("\n")), (1, 1), f"status, sentences: {said}")
                tap.check("core" in said and ("File too large" in said or "No space" in said), said)
                tap.equal(os.listdir(p.name), [], "what the dump left behind")
            tap.equal(m.qmp("query-status")["running"], True, "the guest after it")
            m.type("q")
            tap.equal(m.wait(30), 0, f"exit status ({m.stderr()})")


def full_disk_for_a_guest():
    """An image that cannot grow: the guest has an I/O error, the host goes on."""
    with Place() as p:
        disk = p.path("disk.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "64M"], check=True)
        room = os.stat(disk).st_size + 4096
        machine = subprocess.Popen(
            ["sh", "-c", f'ulimit -f {room // 512}; exec "$@"', "sh", LUCCA, "run", "--kernel", PROBE,
             "--append", "dma", "--memory", "16M", "--drive", f"file={disk}", "--device", "debug-exit"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, errors = machine.communicate(timeout=60)
        tap.equal(machine.returncode, 2 * 2 + 1, f"what the probe says of a failed write: {out} {errors}")
        check = subprocess.run(["qemu-img", "check", "-q", disk], capture_output=True, text=True, check=False)
        tap.check(check.returncode in (0, 3), f"the image is damaged: {check.stdout} {check.stderr}")


tap.run([("kernels that are missing, cut off or none", kernels),
         ("other files", other_files),
         ("more memory than there is, or too little", memory),
         ("options", options),
         ("qcow2 images whose headers lie", qcow2),
         ("sockets, ports and paths that others hold", taken),
         ("a dump that does not fit", full_disk),
         ("a disk image that cannot grow", full_disk_for_a_guest)])
