#!/usr/bin/env python3
"""Several guests on one chip: each has its own ASID, key, devices and end; ASIDs run out.

test_several.py LUCCA FOLDER PROBE PROBE32
"""
import json
import os
import re
import subprocess
import sys
import tempfile

import guests
import tap
from machine import Machine, Monitor

LUCCA, PROBE = sys.argv[1], sys.argv[3]


def configs(folder, *options):
    """Configuration files 0.json, 1.json, ..., each with these keys."""
    paths = []
    for n, keys in enumerate(options):
        paths.append(f"{folder}/{n}.json")
        with open(paths[-1], "w", encoding="ascii") as f:
            json.dump({"memory": "16M", "kernel": PROBE, "serial": f"file:{folder}/{n}.console", **keys}, f)
    return paths


def console(folder, n):
    with open(f"{folder}/{n}.console", encoding="utf-8") as f:
        return f.read().replace("\r", "")


def run(*args):
    return subprocess.run([LUCCA, "run", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120, check=False)


def own_asid():
    """Two SEV guests and one without: what their monitors say of them while all run."""
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        files = configs(folder, *({"sev": sev, "append": "victim", "qmp": f"unix:{folder}/{n}.qmp"}
                                  for n, sev in enumerate(("sev", "sev", "off"))))
        with Machine(LUCCA, files, qmp=False) as m:
            monitors = [Monitor(f"{folder}/{n}.qmp", m) for n in range(3)]
            said = [monitor.qmp("human-monitor-command", command_line="info sev") for monitor in monitors]
            facts = [dict(re.findall(r"(\w+): (\S+)", text)) for text in said]
            tap.equal(facts[2], {}, "SEV of the guest without")
            asids = [int(f["asid"]) for f in facts[:2]]
            tap.check(asids[0] != asids[1] and min(asids) >= 100, f"ASIDs {asids} on genoa")
            tap.check(facts[0]["handle"] != facts[1]["handle"], "one handle for two guests")
            page = re.search("page=([0-9a-f]+)", console(folder, 0)).group(1)
            views = [monitor.qmp("human-monitor-command", command_line=f"xp /64bx 0x{page}")
                     for monitor in monitors]
            tap.check(len(set(views)) == 3, "the same page of two guests looks the same")
            # One ends, the others go on.
            monitors[0].qmp("quit")
            tap.equal(monitors[1].qmp("query-status")["running"], True, "the second guest")
            tap.equal(monitors[2].qmp("query-status")["running"], True, "the third guest")
            for monitor in monitors[1:]:
                monitor.qmp("quit")
            tap.equal(m.wait(30), 0, f"exit status ({m.stderr()})")


def all_asids():
    """naples has 15: as many guests run at once, one more does not start."""
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        files = configs(folder, *({"sev": "sev", "memory": "4M", "append": f"hello {n}"} for n in range(16)))
        done = run("--chip", "naples", *files[:15])
        tap.equal((done.returncode, done.stderr), (0, ""), "15 guests: status, errors")
        for n in range(15):
            tap.check(f"line=hello {n}\n" in console(folder, n), f"guest {n} says {console(folder, n)!r}")
            os.remove(f"{folder}/{n}.console")
        done = run("--chip", "naples", *files)
        tap.equal((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1),
                  f"16 guests: status, output, sentences ({done.stderr})")
        for word in ("ASID", "naples", "15"):
            tap.check(word in done.stderr, f"the error does not say {word}: {done.stderr}")
        tap.equal(sorted(os.listdir(folder)), sorted(os.path.basename(f) for f in files),
                  "what is left behind")
        # Guests without SEV take none of them.
        with open(files[15], "w", encoding="ascii") as f:
            json.dump({"memory": "4M", "kernel": PROBE, "serial": f"file:{folder}/15.console"}, f)
        done = run("--chip", "naples", *files)
        tap.equal((done.returncode, done.stderr), (0, ""), "15 SEV guests and one without")


def verdict():
    """A crash of one guest is the run's result, and named; the others finish."""
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        files = configs(folder, {"append": "crash", "name": "unlucky", "sev": "sev"}, {"append": "hello"})
        done = run(*files)
        tap.equal(done.returncode, 2, f"exit status ({done.stderr})")
        tap.check(done.stderr.startswith("lucca: unlucky: the guest crashed: triple fault"), done.stderr)
        tap.check(console(folder, 1).endswith("end\n"), "the other guest did not finish")


def two_debians():
    """A stock kernel twice at once, in the clear and under SEV."""
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        kernel = guests.tool("kernel", "6.1-cloud")
        script = ("dmesg | grep -c 'Features active: AMD SEV'\n"
                  "echo \"I am $(sed 's/.*who=//' /proc/cmdline)\"\npoweroff\n")
        initrd = guests.initrd(folder, "6.1-cloud", script)
        disks = [f"{folder}/{n}.qcow2" for n in range(2)]
        for disk in disks:
            os.rename(guests.overlay(folder), disk)
        files = configs(folder, *({"sev": sev, "memory": "256M", "kernel": f"{kernel}/vmlinuz",
                                   "initrd": initrd, "no-reboot": True, "drive": [f"file={disks[n]}"],
                                   "append": f"console=ttyS0 panic=-1 root=/dev/vda who={sev}"}
                                  for n, sev in enumerate(("off", "sev"))))
        done = run(*files)
        tap.equal((done.returncode, done.stderr), (0, ""), "status, errors")
        for n, sev in enumerate(("off", "sev")):
            tap.check(f"\n{n}\nI am {sev}\n" in console(folder, n),
                      f"guest {n}: {console(folder, n)[-1000:]}")


tap.run([("each guest has its own ASID, key and monitor", own_asid),
         ("ASIDs run out with a sentence that says how many there are", all_asids),
         ("the verdict over several guests", verdict),
         ("two Debian kernels at once", two_debians)])
