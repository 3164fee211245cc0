"""A running `lucca run`, for the demo and the tests: its console, its QMP socket, its end."""
import json
import os
import re
import socket
import subprocess
import tempfile
import threading
import time


class Monitor:
    """A QMP connection to a machine that is being started; `machine` tells of its end."""

    def __init__(self, path, machine):
        self.machine, self.events = machine, []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        deadline = time.monotonic() + 60
        while True:  # the command makes the socket before its guests start
            try:
                self.socket.connect(path)
                break
            except OSError as e:
                if machine.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"no monitor at {path}: {machine.stderr().strip()}") from e
                time.sleep(0.02)
        self.lines = self.socket.makefile("r", encoding="utf-8")
        greeting = json.loads(self.lines.readline())
        assert "QMP" in greeting, greeting
        self.qmp("qmp_capabilities")

    def qmp(self, command, **arguments):
        request = {"execute": command, "id": command}
        if arguments:
            request["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        while line := self.lines.readline():
            answer = json.loads(line)
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']['desc']}")
            else:
                return answer["return"]
        raise RuntimeError(f"{command}: the monitor closed the connection; "
                           f"{self.machine.stderr().strip()}")

    def close(self):
        self.lines.close()
        self.socket.close()


class Machine:
    def __init__(self, lucca, args, log=None, qmp=True, stderr=None):
        self.folder = tempfile.TemporaryDirectory(prefix="lucca-")
        self.path = os.path.join(self.folder.name, "qmp")
        self.text, self.more = "", threading.Condition()
        self.log = open(log, "w", encoding="utf-8") if log else None
        self.errors = open(os.path.join(self.folder.name, "stderr"), "w+", encoding="utf-8")
        command = [lucca, "run", *args] + (["--qmp", f"unix:{self.path}"] if qmp else [])
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=stderr or self.errors)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.monitor = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _read(self):
        while chunk := os.read(self.process.stdout.fileno(), 4096):
            with self.more:
                piece = chunk.decode("utf-8", "replace").replace("\r", "")
                self.text += piece
                if self.log:
                    self.log.write(piece)
                    self.log.flush()
                self.more.notify_all()
        with self.more:
            self.more.notify_all()

    def stderr(self):
        self.errors.flush()
        self.errors.seek(0)
        return self.errors.read()

    def expect(self, pattern, timeout=120, regex=False):
        """Waits for the console to say it; returns the match. The guest's death ends the wait."""
        find = re.compile(pattern if regex else re.escape(pattern)).search
        deadline = time.monotonic() + timeout
        with self.more:
            while not (m := find(self.text)):
                ended = self.process.poll() is not None and not self.reader.is_alive()
                if ended or time.monotonic() > deadline:
                    why = f"ended with status {self.process.returncode}" if ended else f"{timeout} s passed"
                    tail = "\n".join(self.text.splitlines()[-15:])
                    raise RuntimeError(f"waiting for {pattern!r}: {why}; {self.stderr().strip()}\n{tail}")
                self.more.wait(0.5)
        return m

    def type(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def qmp(self, command, **arguments):
        """Runs a QMP command; returns what it returned. Events go to self.events."""
        if self.monitor is None:
            self.monitor = Monitor(self.path, self)
        return self.monitor.qmp(command, **arguments)

    @property
    def events(self):
        return self.monitor.events if self.monitor else []

    @property
    def lines(self):
        """What the monitor says, unread."""
        return self.monitor.lines

    def wait(self, timeout=120):
        """Waits for the machine's end; returns its exit status."""
        status = self.process.wait(timeout)
        self.reader.join(5)
        return status

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.monitor:
            self.monitor.close()
        if self.log:
            self.log.close()
