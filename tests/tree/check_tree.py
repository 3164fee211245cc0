#!/usr/bin/env python3
"""The tree is the threat model: who may include whom, and what no file may hold.

Prints TAP. Run with the repository's root as the only argument.
"""
import os
import re
import subprocess
import sys

# What the hypervisor has of the silicon: its pins and the layouts that AMD's manuals publish.
PINS = ["silicon/soc.h", "silicon/vmcb.h", "silicon/asp_abi.h", "silicon/chip.h"]

# folder -> prefixes its files may include (of "quoted" includes). The longest folder wins.
MAY_INCLUDE = {
    "src/base": ["base/"],
    "src/crypto": ["base/", "crypto/"],
    "src/silicon": ["base/", "crypto/", "silicon/"],
    "src/silicon/dram": ["base/", "crypto/", "silicon/dram/"],
    "src/silicon/cpu": ["base/", "silicon/cpu/", "silicon/dram/", "silicon/soc.h", "silicon/vmcb.h",
                        "silicon/chip.h"],
    "src/silicon/asp": ["base/", "crypto/", "silicon/asp/", "silicon/asp_abi.h", "silicon/chip.h",
                        "silicon/dram/dram.h"],
    "src/host": ["base/", "host/"] + PINS,
    "src/guest": ["guest/"],
    "src/attest": ["base/", "crypto/", "attest/", "lucca/"],
    # The operator's command also makes and lists chips: that is not the hypervisor's business.
    "src/cli": ["base/", "cli/", "host/", "attest/", "lucca/", "crypto/sev_cert.h",
                "silicon/asp/platform.h", "silicon/asp/root.h"] + PINS,
}

# pattern -> why not, in library code (everything but src/cli and src/guest).
FORBIDDEN = {
    r"\b(exit|abort|_exit)\s*\(": "library code returns a status; only src/cli ends the process",
    r"\b(strcpy|strcat|sprintf|gets|strtok)\s*\(": "use the bounded forms",
    r"\b(system|popen)\s*\(": "no shell",
}

number = 0
failed = 0


def report(good, name, why=""):
    global number, failed
    number += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {number} - {name}")
    if not good:
        for line in why.splitlines():
            print(f"# {line}")


def rule_for(path):
    folder = os.path.dirname(path)
    while folder:
        if folder in MAY_INCLUDE:
            return folder
        folder = os.path.dirname(folder)
    return None


def includes(text):
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.M)


def strip_comments(text):
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    text = re.sub(r"//[^\n]*", "", text)
    return re.sub(r'"(\\.|[^"\\\n])*"', '""', text)


def check_includes(files):
    wrong = {}
    for path, text in files.items():
        folder = rule_for(path)
        if folder is None:
            wrong.setdefault("(no rule)", []).append(f"{path}: its folder has no rule in check_tree.py")
            continue
        for inc in includes(text):
            if "/" not in inc:
                inc = os.path.relpath(os.path.join(os.path.dirname(path), inc), "src")
            if not any(inc == p or (p.endswith("/") and inc.startswith(p)) for p in MAY_INCLUDE[folder]):
                wrong.setdefault(folder, []).append(
                    f'{path} includes "{inc}"; {folder} may include only {", ".join(MAY_INCLUDE[folder])}')
    for folder in MAY_INCLUDE:
        report(folder not in wrong, f"{folder} includes only what its trust domain allows",
               "\n".join(wrong.get(folder, [])))
    if "(no rule)" in wrong:
        report(False, "every folder of src has a rule", "\n".join(wrong["(no rule)"]))


def check_forbidden(files):
    for pattern, why in FORBIDDEN.items():
        hits = []
        for path, text in files.items():
            if path.startswith(("src/cli/", "src/guest/")):
                continue
            for n, line in enumerate(strip_comments(text).splitlines(), 1):
                if re.search(pattern, line):
                    hits.append(f"{path}:{n}: {line.strip()}")
        report(not hits, f"no {pattern}: {why}", "\n".join(hits))


def check_sizes(files):
    big = [f"{p}: {t.count(chr(10))} lines" for p, t in files.items() if t.count("\n") > 1000]
    report(not big, "no file of over 1,000 lines", "\n".join(big))


def main():
    root = sys.argv[1]
    names = subprocess.run(["find", "src", "-name", "*.[chS]"], cwd=root, text=True,
                           capture_output=True, check=True).stdout.split()
    files = {n: open(os.path.join(root, n), encoding="utf-8").read() for n in names}
    sources = {n: t for n, t in files.items() if n.startswith("src/")}
    check_includes(sources)
    check_forbidden(sources)
    check_sizes(files)
    print(f"1..{number}")
    sys.exit(failed > 0)


main()
