#!/usr/bin/env python3
"""The monitors of real machines: QMP, the human monitor on the console and by `lucca monitor`, dumps,
and `lucca platform`.

test_monitor.py LUCCA [FOLDER]
"""
import base64
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

import tap
from machine import Machine

LUCCA = sys.argv[1]
SECRET = b"the walls of this town are its own!!"
BASE = 0x100000
GUEST_RIP = range(BASE, BASE + 4096)

# A guest of 32-bit code that says hello on its serial port, keeps a secret in memory, and goes on
# writing dots: it is there at once, and it is the same in the clear and under SEV.
CODE = bytes.fromhex("66baf803"          # mov dx, 3F8h
                     "be00000000"        # mov esi, offset of the greeting (patched)
                     "ac84c07403eeebf8"  # 1: lodsb; test al, al; jz 2f; out dx, al; jmp 1b
                     "b02eee"            # 2: mov al, '.'; out dx, al
                     "b9404b4c00"        # mov ecx, 5000000
                     "49" "75fd"         # 3: dec ecx; jnz 3b
                     "ebf3")             # jmp 2b
GREETING = b"\r\nhello\r\n\0"


def image():
    """A multiboot ELF (multiboot specification 0.6.96, 3.1): header, code, greeting, secret."""
    magic, flags = 0x1BADB002, 0
    head = struct.pack("<III", magic, flags, -(magic + flags) & 0xFFFFFFFF)
    at_code = 0x1000
    at_text = at_code + 16 + len(CODE)
    code = CODE[:5] + struct.pack("<I", BASE + at_text - at_code) + CODE[9:]
    body = head.ljust(16, b"\0") + code + GREETING + SECRET * 100
    ehdr = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, 3, 1, BASE + 16, 52, 0, 0, 52,
                       32, 1, 0, 0, 0)
    phdr = struct.pack("<IIIIIIII", 1, at_code, BASE, BASE, len(body), len(body), 7, 4096)
    return (ehdr + phdr).ljust(at_code, b"\0") + body


class Folder(tempfile.TemporaryDirectory):
    def __init__(self):
        super().__init__(prefix="lucca-test-")
        self.kernel = self.path("guest")
        with open(self.kernel, "wb") as f:
            f.write(image())

    def __enter__(self):
        return self

    def path(self, name):
        return os.path.join(self.name, name)

    def args(self, *more):
        return ["--kernel", self.kernel, "--memory", "16M", "--clock", "virtual", *more]


def machine(folder, *args, **kw):
    m = Machine(LUCCA, folder.args(*args), **kw)
    if "--paused" in args:
        wait_for(lambda: os.path.exists(m.path))
    else:
        m.expect("hello")
    return m


def wait_for(condition, timeout=30):
    deadline = time.monotonic() + timeout
    while not condition():
        tap.check(time.monotonic() < deadline, f"{timeout} s passed")
        time.sleep(0.02)


def lucca(*args, **kw):
    return subprocess.run([LUCCA, *args], text=True, capture_output=True, timeout=60, check=False, **kw)


def refused(call, words):
    try:
        call()
    except RuntimeError as e:
        tap.check(words in str(e), f"refused with: {e}")
        return
    raise RuntimeError("it was not refused")


# ---- QMP ---------------------------------------------------------------------------------------

def events(m):
    return [e["event"] for e in getattr(m, "events", [])]


def stop_and_go():
    with Folder() as f, machine(f) as m:
        tap.equal(m.qmp("query-status")["status"], "running", "status")
        m.qmp("stop")
        tap.equal(m.qmp("query-status"), {"status": "paused", "singlestep": False, "running": False},
                  "status")
        time.sleep(0.2)
        dots = m.text.count(".")
        time.sleep(0.5)
        tap.equal(m.text.count("."), dots, "what a stopped guest says")
        m.qmp("cont")
        wait_for(lambda: m.text.count(".") > dots)
        m.qmp("quit")
        tap.equal(m.wait(), 0, "exit status")
        tap.equal(events(m), ["STOP", "RESUME"], "events")
        tap.check(not os.path.exists(m.path), "the socket is left")


def reset():
    for mode in "off", "sev":
        with Folder() as f, machine(f, "--sev", mode) as m:
            m.qmp("system_reset")
            wait_for(lambda m=m: m.text.count("hello") == 2)
            tap.equal(m.qmp("query-status")["status"], "running", "status")
            tap.check("RESET" in events(m), f"events: {events(m)}")


def end_of_guest():
    with Folder() as f, machine(f, "--cpus", "2") as m:
        tap.equal(len(m.qmp("query-cpus-fast")), 2, "processors")
        m.process.send_signal(signal.SIGTERM)
        last = [json.loads(line) for line in m.lines]
        tap.equal((last[-1]["event"], last[-1]["data"]["reason"]), ("SHUTDOWN", "host-signal"), "the end")
        tap.equal(m.wait(), 128 + signal.SIGTERM, "exit status")


def paused_launch():
    with Folder() as f, machine(f, "--sev", "sev", "--paused") as m:
        tap.equal(m.qmp("query-status")["status"], "prelaunch", "status")
        tap.equal(m.qmp("query-sev")["state"], "launch-secret", "state")
        tap.equal(len(base64.b64decode(m.qmp("query-sev-launch-measure")["data"])), 48, "measurement")
        header, secret = (base64.b64encode(bytes(n)).decode() for n in (52, 32))
        inject = lambda **kw: m.qmp("sev-inject-launch-secret", packet_header=header, secret=secret, **kw)
        refused(inject, "'gpa' is missing")
        refused(lambda: inject(gpa=1 << 40), "not guest memory")
        refused(lambda: inject(gpa=0x200000), "BAD_MEASUREMENT")
        tap.equal(m.text, "", "what a guest says before it runs")
        m.qmp("cont")
        m.expect("hello")
        tap.equal(m.qmp("query-sev")["state"], "running", "state")
        refused(lambda: inject(gpa=0x200000), "before the guest starts")


def one_process_two_guests():
    with Folder() as f:
        sockets = [f.path("a"), f.path("b")]
        for path in sockets:
            with open(path + ".json", "w", encoding="ascii") as config:
                json.dump({"qmp": f"unix:{path}", "serial": f"file:{path}.txt"}, config)
        run = subprocess.Popen([LUCCA, "run", *f.args(), *(p + ".json" for p in sockets)])
        try:
            wait_for(lambda: all(os.path.exists(p) for p in sockets))
            ask = lambda n, *words: lucca("monitor", sockets[n], *words)
            tap.equal(ask(0, "stop").returncode, 0, "stop")
            tap.equal(ask(0, "info", "status").stdout, "VM status: paused\n", "the first")
            tap.equal(ask(1, "info", "status").stdout, "VM status: running\n", "the second")
            tap.equal(ask(0, "quit").returncode, 0, "quit")
            wait_for(lambda: not os.path.exists(sockets[0]))
            tap.equal(ask(1, "info", "status").stdout, "VM status: running\n", "the second")
            tap.equal(ask(1, "quit").returncode, 0, "quit")
            tap.equal(run.wait(30), 0, "exit status")
        finally:
            run.kill()


# ---- dumps -------------------------------------------------------------------------------------

def dump(m, path, **kw):
    m.qmp("dump-guest-memory", paging=False, protocol=f"file:{path}", **kw)
    with open(path, "rb") as f:
        return f.read()


def dumps_are_the_hosts_view():
    for mode, seen in ("off", True), ("sev", False):
        with Folder() as f, machine(f, "--sev", mode) as m:
            tap.equal(SECRET in dump(m, f.path("dump")), seen, f"the secret in the dump, --sev {mode}")
            part = dump(m, f.path("part"), begin=BASE, length=4096)[-4096:]
            tap.equal(SECRET in part, seen, "the secret in a part")
            words = re.findall(r"0x(\w+)", m.qmp("human-monitor-command", command_line=
                                                 f"xp /512xg {BASE:#x}"))
            tap.equal(b"".join(struct.pack("<Q", int(w, 16)) for w in words), part, "xp and the dump")
            tap.equal(sorted(os.listdir(f.name)), ["dump", "guest", "part"], "files")


def tools_open_dumps():
    with Folder() as f, machine(f, "--cpus", "2") as m:
        m.qmp("stop")
        path = f.path("dump")
        dump(m, path)
        said = m.qmp("human-monitor-command", command_line="info registers")
        rip = int(re.search(r"EIP=(\w+)", said).group(1), 16)
        tap.check(rip in GUEST_RIP, f"EIP {rip:#x}")
        head = subprocess.run(["readelf", "-hlnW", path], text=True, capture_output=True, check=True)
        tap.check("CORE (Core file)" in head.stdout and head.stdout.count("NT_PRSTATUS") == 2, head.stdout)
        tap.equal(head.stderr, "", "readelf's complaints")
        if shutil.which("gdb"):
            gdb = subprocess.run(["gdb", "-nx", "-batch", "-ex", f"target core {path}", "-ex",
                                  "p/x $rip", "-ex", f"x/s {BASE + 16 + len(CODE):#x}"],
                                 text=True, capture_output=True, check=True)
            tap.check(f"= {rip:#x}" in gdb.stdout and "hello" in gdb.stdout, gdb.stdout + gdb.stderr)


def dumps_that_fail_leave_nothing():
    with Folder() as f, machine(f) as m:
        go = lambda path, **kw: (lambda: dump(m, path, **kw))
        refused(go("/dev/full"), "does not fit at '/dev/full': No space left on device")
        refused(go(f.path("none/dump")), "could not open")
        refused(go(f.name), "is a directory")
        refused(go(f.path("dump"), begin=1 << 40, length=1), "no memory")
        tap.equal(os.listdir(f.name), ["guest"], "files")
        before = m.text.count(".")
        wait_for(lambda: m.text.count(".") > before)  # and the guest goes on


# ---- sockets -----------------------------------------------------------------------------------

def paths_in_use():
    with Folder() as f, machine(f) as m:
        second = lucca("run", *f.args("--serial", "none", "--qmp", f"unix:{m.path}"))
        tap.equal(second.returncode, 1, "exit status")
        tap.check("in use by another process" in second.stderr and second.stderr.count("\n") == 1,
                  second.stderr)
        tap.equal(m.qmp("query-status")["status"], "running", "the first machine")
        m.process.kill()
        m.process.wait()
        tap.check(os.path.exists(m.path), "a killed machine leaves its socket")
        gone = lucca("monitor", m.path, "info", "status")
        tap.check(gone.returncode == 1 and "nobody listens" in gone.stderr, gone.stderr)
        run = subprocess.Popen([LUCCA, "run", *f.args("--serial", "none", "--qmp", f"unix:{m.path}")])
        wait_for(lambda: lucca("monitor", m.path, "quit").returncode == 0)
        tap.equal(run.wait(30), 0, "exit status")


def hostile_clients():
    with Folder() as f, machine(f) as m:
        for junk in b"\xff" * 100, b"[" * 100000, b'{"a":"' + b"x" * 3000000, b"\0\n{}\n", b'{"execute":"':
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(20)
                s.connect(m.path)
                s.sendall(junk + b'\n{"execute":"qmp_capabilities","id":"x"}\n')
                text = b""
                while b'"return"' not in text and (more := s.recv(65536)):
                    text += more
                tap.check(b'"return":{},"id":"x"' in text, f"{junk[:10]!r}: {text[-300:]!r}")
        dots = m.text.count(".")
        wait_for(lambda: m.text.count(".") > dots)


# ---- people ------------------------------------------------------------------------------------

def monitor_command():
    with Folder() as f, machine(f, "--sev", "sev") as m:
        one = lambda *words: lucca("monitor", m.path, *words)
        tap.equal(one("info", "name").stdout, "vm0\n", "info name")
        tap.check("state: running" in one("info", "sev").stdout, "info sev")
        bad = one("frob")
        tap.equal((bad.returncode, bad.stdout, bad.stderr), (1, "", "unknown command: 'frob'\n"), "frob")
        talk = lucca("monitor", m.path, input="info status\nstop\ninfo status\nquit\n")
        tap.equal(talk.stdout, "VM status: running\nVM status: paused\n", "a conversation")
        tap.equal(talk.returncode, 0, "exit status")
        tap.equal(m.wait(), 0, "the machine's exit status")


def console_monitor():
    with Folder() as f:
        pid, tty = pty.fork()
        if pid == 0:
            os.execv(LUCCA, [LUCCA, "run", *f.args()])

        def read_until(words, timeout=30):
            text, deadline = b"", time.monotonic() + timeout
            while words not in text:
                ready, _, _ = select.select([tty], [], [], max(0, deadline - time.monotonic()))
                tap.check(ready, f"waiting for {words}: {text[-500:]}")
                text += os.read(tty, 4096)
            return text
        read_until(b"hello")
        os.write(tty, b"\x01c")
        read_until(b"(lucca) ")
        os.write(tty, b"stop\rinfo status\r")
        read_until(b"VM status: paused")
        os.write(tty, b"cont\rxp /5c 0x%x\r" % (BASE + 18 + len(CODE)))
        read_until(b"'h' 'e' 'l' 'l' 'o'")
        os.write(tty, b"\x01c")
        read_until(b"..")
        os.write(tty, b"\x01x")
        wait_for(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid)
        os.close(tty)


# ---- platforms ---------------------------------------------------------------------------------

def platforms():
    with Folder() as f:
        env = dict(os.environ, XDG_DATA_HOME=f.path("data"))
        call = lambda *words: lucca("platform", *words, env=env)
        tap.equal(call("create", "milan", "lab").returncode, 0, "create")
        again = call("create", "milan", "lab")
        tap.check(again.returncode == 1 and "already" in again.stderr, again.stderr)
        listed = json.loads(call("list", "--json").stdout)
        tap.equal([(p["name"], p["chip"], p["emulated"]) for p in listed], [("lab", "milan", True)], "list")
        text = call("show", "lab").stdout
        tap.check("EMULATED" in text and listed[0]["chip_id"][:64] in text, text)
        shown = json.loads(call("show", "lab", "--json", "--export", f.path("certs")).stdout)
        tap.equal([c["usage"] for c in shown["certificates"]], ["PDH", "PEK", "OCA", "CEK"], "certificates")
        sizes = {name: os.path.getsize(f.path(f"certs/{name}")) for name in os.listdir(f.path("certs"))}
        tap.equal(sizes, {"pdh.cert": 0x824, "cert_chain.cert": 3 * 0x824, "ask_ark.cert": 2 * 0x640},
                  "files")
        # What a guest's owner gets from a machine with this chip is the same key.
        m = Machine(LUCCA, f.args("--sev", "sev", "--chip", "milan", "--platform",
                                  f.path("data/lucca/platforms/lab")))
        with m:
            m.expect("hello")
            pdh = base64.b64decode(m.qmp("query-sev-capabilities")["pdh"])
        with open(f.path("certs/pdh.cert"), "rb") as cert:
            tap.equal(pdh, cert.read(), "the PDH that QMP tells")
        tap.equal(call("delete", "lab").returncode, 0, "delete")
        gone = call("show", "lab")
        tap.check(gone.returncode == 1 and gone.stderr.count("\n") == 1, gone.stderr)
        tap.check(call("create", "zen").returncode == call().returncode == 1, "bad arguments")


tap.run([(case.__name__.replace("_", " "), case) for case in (
    stop_and_go, reset, end_of_guest, paused_launch, one_process_two_guests, dumps_are_the_hosts_view,
    tools_open_dumps, dumps_that_fail_leave_nothing, paths_in_use, hostile_clients, monitor_command,
    console_monitor, platforms)])
