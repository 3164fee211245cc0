#!/usr/bin/env python3
"""Debian's kernels boot as SEV-ES guests, to a shell with a disk and a network.

test_es.py LUCCA [FOLDER [VALUE...]]        VALUE: boot only what is made of these values
LUCCA_TEST_FULL=1: every kernel with one processor and four on every chip
"""
import itertools
import os
import sys
import tempfile

import guests
import tap

CHIPS = ["rome", "milan", "genoa", "turin"]
BANNER = "Memory Encryption Features active: AMD SEV SEV-ES"
# Each kernel and each chip, with one processor and with several.
SOME = [("6.1-cloud", 1, "rome"), ("6.12-cloud", 4, "milan"), ("6.12", 1, "genoa"), ("6.1", 4, "turin"),
        ("6.12-cloud", 8, "rome")]


def boot(lucca, logs, kernel, cpus, chip):
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        log = os.path.join(logs, f"{kernel}-es-{cpus}-{chip}.console")
        with guests.debian(lucca, folder, kernel, guests.SHELL, log=log, qmp=False,
                           args=["--sev", "es", "--cpus", str(cpus), "--memory", "384M", "--chip", chip,
                                 "--net", "user", "--clock", "virtual"]) as m:
            guests.shell_checks(m, kernel, cpus, BANNER)


def main():
    lucca = sys.argv[1]
    logs = sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="lucca-consoles-")
    os.makedirs(logs, exist_ok=True)
    rows = SOME
    if os.environ.get("LUCCA_TEST_FULL"):
        rows = list(itertools.product(guests.KERNELS, [1, 4], CHIPS))
    only = sys.argv[3:]
    tap.run([(f"{row[0]} --sev es --cpus {row[1]} --chip {row[2]}",
              lambda row=row: boot(lucca, logs, *row))
             for row in rows if not only or all(str(value) in only for value in row)])


main()
