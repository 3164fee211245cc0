#!/usr/bin/env python3
"""The gdb server under every wall: by the protocol, and by gdb itself.

test_gdb.py LUCCA [FOLDER]
"""
import re
import shutil
import socket
import subprocess
import sys
import tempfile

import guests
import tap
from machine import Machine

ENTRY = 0x1000200  # bzImage's 64-bit entry, where the direct boot starts


class Gdb:
    """A client of the remote protocol."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.buffer = b""

    def _more(self):
        chunk = self.socket.recv(65536)
        tap.check(chunk, "the server hung up")
        self.buffer += chunk

    def send(self, text):
        data = text.encode("latin-1")
        self.socket.sendall(b"$" + data + b"#%02x" % (sum(data) & 255))

    def answer(self):
        while not (m := re.search(rb"\$([^#]*)#(..)", self.buffer)):
            self._more()
        self.buffer = self.buffer[m.end():]
        tap.equal(int(m[2], 16), sum(m[1]) & 255, "checksum")
        self.socket.sendall(b"+")
        return m[1].decode("latin-1")

    def ask(self, text):
        self.send(text)
        return self.answer()

    def register(self, n):
        return int.from_bytes(bytes.fromhex(self.ask(f"p{n:x}")), "little")

    def rip(self):
        return self.register(16)

    def view(self, name):
        return bytes.fromhex(self.ask("qRcmd," + f"view {name}".encode().hex())).decode()


def machine(lucca, mode, folder, *options):
    kernel = guests.tool("kernel", "6.1-cloud")
    return Machine(lucca, ["--sev", mode, "--memory", "256M", "--cpus", "2", "--paused", "--kernel",
                           f"{kernel}/vmlinuz", "--append", "console=ttyS0 panic=-1", "--no-reboot",
                           "--gdb", f"unix:{folder}/gdb", *options])


def stops_and_steps(lucca, mode):
    """A trail of single steps from the first instruction; a breakpoint on it stops a second guest."""
    trail = []
    with tempfile.TemporaryDirectory(prefix="lucca-gdb-") as folder:
        with machine(lucca, mode, folder) as m:
            m.qmp("query-status")
            gdb = Gdb(f"{folder}/gdb")
            tap.check("PacketSize" in gdb.ask("qSupported"), "what it supports")
            tap.equal(gdb.ask("qfThreadInfo"), "m1,2", "threads")
            tap.equal(gdb.rip(), ENTRY, "the first instruction")
            code = bytes.fromhex(gdb.ask(f"m{ENTRY:x},10"))
            tap.check(len(code) == 16 and code != bytes(16), f"code at the entry: {code}")
            tap.equal(gdb.ask("vCont?"), "vCont;c;C;s;S", "ways to go on")
            for _ in range(40):
                trail.append(gdb.rip())
                tap.check(gdb.ask("vCont;s:1").startswith("T05thread:1;"), "a step")
            hosts_view(gdb, mode, code)
            tap.check("guest" in gdb.view("guest"), "back in the guest's view")
            registers_and_memory(gdb)
            gdb.send("k")
            tap.equal(m.wait(60), 0, "exit status")
        target = trail[-1]
        with machine(lucca, mode, folder) as m:
            m.qmp("query-status")
            gdb = Gdb(f"{folder}/gdb")
            tap.equal(gdb.ask(f"Z1,{target:x},1"), "OK", "a breakpoint")
            stop = gdb.ask("vCont;c")
            tap.check(stop.startswith("T05thread:1;hwbreak"), f"the stop: {stop}")
            tap.equal(gdb.rip(), target, "where it stopped")
            tap.equal(gdb.ask(f"z1,{target:x},1"), "OK", "no breakpoint")
            stack = gdb.register(7)
            tap.equal(gdb.ask(f"Z2,{stack - 8:x},8"), "OK", "a watchpoint")
            tap.equal(gdb.ask(f"z2,{stack - 8:x},8"), "OK", "no watchpoint")
            tap.check(gdb.ask(f"z2,{stack - 8:x},8").startswith("E"), "one that is not there")
            gdb.send("vCont;c")
            m.expect("Linux version")
            gdb.socket.sendall(b"\x03")
            tap.check(gdb.answer().startswith("T02"), "the stop after ^C")
            tap.equal(gdb.ask("D"), "OK", "detach")
            m.expect("Kernel panic", timeout=120)


def hosts_view(gdb, mode, code):
    tap.check("host" in gdb.view("host"), "the host's view")
    if mode in ("es", "snp"):
        tap.equal(gdb.ask("p10"), "x" * 16, "RIP")
        tap.check(gdb.ask(f"m{ENTRY:x},10").startswith("E"), "memory by linear address")
        tap.check(gdb.ask(f"Z1,{ENTRY:x},1").startswith("E"), "a breakpoint of the host's")
        return
    tap.check(gdb.rip() != 0, "RIP")
    seen = gdb.ask(f"m{ENTRY:x},10")
    if mode == "off":
        tap.equal(bytes.fromhex(seen), code, "code as the host sees it")
    else: # the tables are private: there is no way to the page
        tap.check(seen.startswith("E") or bytes.fromhex(seen) != code, "private code, seen by the host")


def registers_and_memory(gdb):
    r8 = gdb.register(8)
    tap.equal(gdb.ask("P8=" + (0x1122334455667788).to_bytes(8, "little").hex()), "OK", "a register set")
    tap.equal(gdb.register(8), 0x1122334455667788, "R8")
    tap.equal(gdb.ask("P8=" + r8.to_bytes(8, "little").hex()), "OK", "and set back")
    tags = gdb.register(34)
    tap.equal(gdb.ask("P22=81000000"), "OK", "tags set")
    tap.equal(gdb.register(34), 0x81, "FTAG")
    tap.equal(gdb.ask("P22=" + tags.to_bytes(4, "little").hex()), "OK", "and set back")
    sp = gdb.register(7) - 64
    tap.equal(gdb.ask(f"M{sp:x},4:01020304"), "OK", "memory written")
    tap.equal(gdb.ask(f"m{sp:x},4"), "01020304", "memory")
    tap.check(gdb.ask("mffffffffff600000,8").startswith("E"), "memory that is not there")
    for bad in "p999", "m", "mzz,4", "Z9,0,1", "vCont", "G00", "qRcmd,zz":
        tap.check(gdb.ask(bad).startswith("E"), f"a bad packet: {bad}")
    tap.equal(gdb.ask("vMustReplyEmpty"), "", "an unknown packet")


def gdb_itself(lucca, mode):
    if not shutil.which("gdb"):
        raise RuntimeError("gdb is not installed: tools/packages test")
    with tempfile.TemporaryDirectory(prefix="lucca-gdb-") as folder:
        with machine(lucca, mode, folder) as m:
            m.qmp("query-status")
            done = subprocess.run(["gdb", "-q", "-nx", "-batch", "-ex", "set arch i386:x86-64", "-ex",
                                   f"target remote {folder}/gdb", "-ex", "info threads", "-ex", "stepi",
                                   "-ex", "info registers rip xmm1 cr0", "-ex", "monitor view host",
                                   "-ex", "maintenance flush register-cache", "-ex", "info registers rip",
                                   "-ex", "detach"], capture_output=True, text=True, timeout=120, check=False)
            said = done.stdout + done.stderr
            for want in "vCPU 0", "vCPU 1", "xmm1", "cr0", "this is the host's view", "detached":
                tap.check(want in said, f"gdb did not say {want!r}: {said}")
            tap.equal("<unavailable>" in said, mode in ("es", "snp"), f"what gdb cannot see: {said}")
            m.expect("Linux version")


def main():
    lucca = sys.argv[1]
    cases = [(f"--sev {mode}: steps, stops, views", lambda mode=mode: stops_and_steps(lucca, mode))
             for mode in ("off", "sev", "es", "snp")]
    cases += [(f"gdb itself, --sev {mode}", lambda mode=mode: gdb_itself(lucca, mode))
              for mode in ("off", "snp")]
    tap.run(cases)


main()
