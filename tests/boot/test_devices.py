#!/usr/bin/env python3
"""What authors of test kernels use: PVH and multiboot 1 images, modules, debug-exit, the test device,
and what the command answers when a guest ends.

test_devices.py LUCCA FOLDER PROBE PROBE32
"""
import os
import subprocess
import sys
import tempfile

import tap

LUCCA, PROBE, PROBE32 = sys.argv[1], sys.argv[3], sys.argv[4]
IMAGES = {"PVH": PROBE, "multiboot": PROBE32}


def run(*args, timeout=60):
    """Runs a guest to its end; returns exit status, console lines, standard error."""
    done = subprocess.run([LUCCA, "run", "--memory", "16M", *args], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=timeout, check=False)
    return done.returncode, done.stdout.decode().replace("\r", "").splitlines(), done.stderr.decode()


def ran(status, lines, errors, wanted=0):
    tap.equal(status, wanted, f"exit status ({errors.strip()})")
    tap.equal(lines[-1:], ["end"], f"the last line of {lines}")


def boots(form, mode):
    status, lines, errors = run("--sev", mode, "--kernel", IMAGES[form], "--append", "hello  a b")
    ran(status, lines, errors)
    tap.equal(lines[0], f"probe sev={int(mode == 'sev')}", "what the guest sees of SEV")
    tap.equal(lines[1:3], [f"format={form}", "line=hello  a b"], "what the loader tells")
    ram = int(lines[3].removeprefix("ram="))
    tap.check((15 << 20) < ram <= 16 << 20, f"the memory map has {ram} bytes of RAM")


def modules(mode):
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        contents, wanted = [bytes(range(256)) * 33, b"x"], []
        for n, data in enumerate(contents):
            with open(f"{folder}/m{n}", "wb") as f:
                f.write(data)
        lines_of = [f"{folder}/m0 first module", f"{folder}/m1"]
        for data, line in zip(contents, lines_of):
            wanted.append(f"module={len(data)} bytes, sum {sum(data)}, '{line}'")
        status, lines, errors = run("--sev", mode, "--kernel", PROBE32, "--initrd", ",".join(lines_of))
        ran(status, lines, errors)
        tap.equal([line for line in lines if line.startswith("module=")], wanted, "modules")
        status, lines, errors = run("--sev", mode, "--kernel", PROBE, "--initrd", f"{folder}/m0")
        ran(status, lines, errors)
        tap.check(wanted[0].split("'")[0] + "''" in lines, f"one PVH module: {lines}")


def debug_exit():
    for value in 0, 1, 21, 127:
        status, lines, errors = run("--kernel", PROBE, "--append", f"exit {value}", "--device",
                                    "debug-exit")
        ran(status, lines, errors, (2 * value + 1) & 0xFF)
    status, lines, errors = run("--kernel", PROBE, "--append", "exit 21")
    ran(status, lines, errors, 0)  # no such device: the guest goes on to power itself off


def testdev():
    status, lines, errors = run("--kernel", PROBE, "--append", "testdev", "--device", "testdev")
    ran(status, lines, errors)
    tap.equal(lines[1:4], ["echo=12345678 5678 78", "memory=cafef00d 600dbeef", "lines=0 20"],
              "the test device")
    _, lines, _ = run("--kernel", PROBE, "--append", "testdev")
    tap.equal(lines[1:4], ["echo=ffffffff ffff ff", "memory=ffffffff ffffffff", "lines=0 0"],
              "where there is no test device")


def crash(mode):
    status, lines, errors = run("--sev", mode, "--kernel", PROBE, "--append", "crash")
    tap.equal(status, 2, "exit status")
    tap.equal(lines, [f"probe sev={int(mode == 'sev')}"], "the console")
    tap.check(errors.startswith("lucca: the guest crashed: triple fault on vCPU 0 at RIP 0008:"),
              f"the reason: {errors!r}")
    tap.equal(errors.count("\n"), 1, "sentences")


def serial_file():
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        path = f"{folder}/console"
        status, lines, errors = run("--kernel", PROBE, "--serial", f"file:{path}")
        tap.equal((status, lines), (0, []), f"status, stdout ({errors})")
        with open(path, encoding="ascii") as f:
            tap.equal(f.read().split()[-1], "end", "the end of the file")
        tap.equal(os.listdir(folder), ["console"], "files")


CASES = [(f"{form} --sev {mode}", lambda a=form, b=mode: boots(a, b))
         for form in IMAGES for mode in ("off", "sev")]
CASES += [(f"modules --sev {mode}", lambda a=mode: modules(a)) for mode in ("off", "sev")]
CASES += [("debug-exit answers 2v+1", debug_exit), ("the test device", testdev)]
CASES += [(f"a triple fault --sev {mode}", lambda a=mode: crash(a)) for mode in ("off", "sev")]
CASES += [("a serial port to a file", serial_file)]
tap.run(CASES)
