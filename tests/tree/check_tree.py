#!/usr/bin/env python3
"""The tree is the threat model: who may include whom, and what no file may hold; and the pages say
what the tables say.

check_tree.py ROOT [--lucca PROGRAM] [--instructions PROGRAM]     prints TAP

Without the programs (tools/lint) what needs them is left out.
"""
import argparse
import os
import re
import subprocess
import sys

# What the hypervisor has of the silicon: its pins and the layouts that AMD's manuals publish.
PINS = ["silicon/soc.h", "silicon/vmcb.h", "silicon/vmsa.h", "silicon/asp_abi.h", "silicon/snp_abi.h",
        "silicon/chip.h"]

# folder -> prefixes its files may include (of "quoted" includes). The longest folder wins.
MAY_INCLUDE = {
    "src/base": ["base/"],
    "src/crypto": ["base/", "crypto/"],
    "src/silicon": ["base/", "crypto/", "silicon/"],
    "src/silicon/dram": ["base/", "crypto/", "silicon/dram/"],
    "src/silicon/rmp": ["base/", "silicon/rmp/", "silicon/dram/dram.h"],
    "src/silicon/cpu": ["base/", "silicon/cpu/", "silicon/dram/", "silicon/rmp/", "silicon/soc.h",
                        "silicon/vmcb.h", "silicon/vmsa.h", "silicon/chip.h", "silicon/probe.h"],
    "src/silicon/asp": ["base/", "crypto/", "silicon/asp/", "silicon/asp_abi.h", "silicon/snp_abi.h",
                        "silicon/snp_msg_abi.h",
                        "silicon/vmsa.h", "silicon/chip.h", "silicon/dram/dram.h", "silicon/rmp/rmp.h"],
    # The honest rest of the hypervisor has nothing of its attacks.
    "src/host": ["base/", "host/boot/", "host/device/", "host/monitor/", "host/vm/"] + PINS,
    # Digests of the files that a boot stub takes over.
    "src/host/boot": ["base/", "host/boot/", "crypto/digest.h"],
    "src/host/attack": ["base/", "host/attack/", "host/vm/"] + PINS,
    # A guest's author stands inside the wall: the debug port is for nobody else.
    "src/debug": ["base/", "debug/", "host/vm/vm.h", "host/monitor/paging.h", "silicon/probe.h"] + PINS,
    "src/guest": ["guest/"],
    "src/attest": ["base/", "crypto/", "attest/", "lucca/"],
    # The operator's command also makes and lists chips: that is not the hypervisor's business.
    "src/cli": ["base/", "cli/", "debug/", "host/", "attest/", "lucca/", "crypto/sev_cert.h",
                "crypto/digest.h", "crypto/openssl.h",
                "silicon/asp/platform.h", "silicon/asp/root.h", "silicon/asp/x509.h"] + PINS,
}

# pattern -> why not, in library code (everything but src/cli and src/guest).
FORBIDDEN = {
    r"\b(exit|abort|_exit)\s*\(": "library code returns a status; only src/cli ends the process",
    r"\b(strcpy|strcat|sprintf|gets|strtok)\s*\(": "use the bounded forms",
    r"\b(system|popen)\s*\(": "no shell",
}

CODE = (".c", ".h", ".S", ".def", ".py")
MAX_LINES = 1000

# Where the project was written is nobody's business. In pieces, so as not to find itself.
PLACES = [r"(?<![\w.])/wo" r"rk/", r"\.\./sha" r"red\b", r"/tmp/bu" r"ild-", r"/tmp/brie" r"f"]


class Tree:
    """The files of a checkout by their paths: what git ignores (build folders) is none of it."""

    def __init__(self, root):
        self.root = root
        self.files = {}
        for folder, folders, names in os.walk(root):
            at = os.path.relpath(folder, root)
            folders[:] = sorted(f for f in folders if f not in (".git", "cache", "__pycache__") and
                                not (at == "." and f.startswith("build")))
            for name in sorted(names):
                path = os.path.normpath(os.path.join(at, name))
                try:
                    with open(os.path.join(root, path), encoding="utf-8") as f:
                        self.files[path] = f.read()
                except UnicodeDecodeError:
                    pass

    def match(self, pattern):
        return {p: t for p, t in self.files.items() if re.fullmatch(pattern, p)}

    def text(self, path):
        return self.files.get(path, "")


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


# ---- checks: each yields (what holds, [what breaks it]) ----

def check_includes(tree):
    wrong, homeless = {f: [] for f in MAY_INCLUDE}, []
    for path, text in tree.match(r"src/.*\.[chS]").items():
        folder = rule_for(path)
        if folder is None:
            homeless.append(f"{path}: its folder has no rule in check_tree.py")
            continue
        for inc in includes(text):
            if "/" not in inc:
                inc = os.path.relpath(os.path.join(os.path.dirname(path), inc), "src")
            if not any(inc == p or (p.endswith("/") and inc.startswith(p)) for p in MAY_INCLUDE[folder]):
                wrong[folder].append(
                    f'{path} includes "{inc}"; {folder} may include only {", ".join(MAY_INCLUDE[folder])}')
    yield "every folder of src has a rule", homeless
    for folder, problems in wrong.items():
        yield f"{folder} includes only what its trust domain allows", problems


def check_forbidden(tree):
    for pattern, why in FORBIDDEN.items():
        hits = []
        for path, text in tree.match(r"src/.*\.[chS]").items():
            if not path.startswith(("src/cli/", "src/guest/")):
                hits += [f"{path}:{n}: {line.strip()}"
                         for n, line in enumerate(strip_comments(text).splitlines(), 1)
                         if re.search(pattern, line)]
        yield f"no {pattern}: {why}", hits


def check_sizes(tree):
    yield f"no file of code over {MAX_LINES} lines", [
        f"{p}: {t.count(chr(10))} lines; split it" for p, t in tree.files.items()
        if p.endswith(CODE) and t.count("\n") > MAX_LINES]


def check_places(tree):
    yield "no file names a place on the machine it was written on", [
        f"{p}:{n}: {line.strip()[:100]}" for p, t in tree.files.items()
        for n, line in enumerate(t.splitlines(), 1) if any(re.search(x, line) for x in PLACES)]


def check_meson(tree):
    """A file that no meson.build names is not built, or not run."""
    lost = []
    for path in tree.match(r"src/(?!guest/).*\.c|tests/(unit|boot)/test_.*|fuzz/fuzz_.*\.c"):
        folder, name = os.path.split(path)
        stem = re.sub(r"^(test|fuzz)_|\.\w+$", "", name)
        text, at = "", folder
        while at:
            text += tree.text(f"{at}/meson.build")
            at = os.path.dirname(at)
        text += tree.text("meson.build")
        if not re.search(rf"['/]({re.escape(name)}|{re.escape(stem)})'", text):
            lost.append(f"{path}: {folder}/meson.build does not name it")
    yield "every source and every test is built", lost


def check_links(tree):
    broken = []
    for path, text in tree.match(r".*\.md").items():
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            full = os.path.normpath(os.path.join(os.path.dirname(path), target))
            if "://" not in target and full not in tree.files and \
                    not os.path.isdir(os.path.join(tree.root, full)):
                broken.append(f"{path} points at {target}, which is not there")
    yield "links between pages lead somewhere", broken


def check_covered(tree):
    """Rows that the native comparison leaves out name a unit test, and it speaks of them."""
    listed = re.findall(r"^COVERED\((\w+), (\w+)\)", tree.text("tests/covered.def"), re.M)
    wrong = []
    for form, test in listed:
        text = tree.text(f"tests/unit/test_{test}.c").upper()
        mnemonic = re.sub(r"_.*", "", form)
        if not re.search(rf"(?<![A-Z0-9]){mnemonic}(?![A-Z0-9]{{2}})", text.replace("_", " ")):
            wrong.append(f"{form}: tests/unit/test_{test}.c does not speak of {mnemonic}")
    yield "tests of rows that are not compared natively are there", wrong
    if "tests/covered.def" in tree.files:
        yield "and tests/covered.def can be read", [] if listed else ["no line of it is COVERED(row, test)"]


def check_chips(tree):
    """The README's table against chip.c: C-bit, ASIDs, level, API version."""
    wrong = []
    for body in re.findall(r"= \{(\.id = CHIP_.*?)\}", tree.text("src/silicon/chip.c"), re.S):
        chip = dict(re.findall(r"\.(\w+) = \"?([\w ]+)", body))
        level = {"PLAIN": "SEV", "ES": "SEV-ES", "SNP": "SEV-SNP"}[chip["level"].removeprefix("SEV_")]
        row = [chip["cbit"], chip["sev_asids"], level, f"{chip['api_major']}.{chip['api_minor']}"]
        want = rf"^\| {chip['name']}\b[^|]*\|[^|]*\| {re.escape(' | '.join(row))} \|"
        if not re.search(want, tree.text("README.md"), re.M):
            wrong.append(f"README.md has no row of {chip['name']} with {', '.join(row)}")
    yield "the README's table of chips is that of chip.c", wrong


def output(*words):
    return subprocess.run(words, check=True, text=True, stdout=subprocess.PIPE).stdout


def roff_text(text):
    return re.sub(r"\\f.|\\&", "", text).replace("\\-", "-")


def check_manuals(tree, lucca):
    """Whatever --help says the manual page and the completion say too."""
    helped = output(lucca, "run", "--help")
    options = re.findall(r"^ +(?:-\w, )?(--[\w-]+)", helped, re.M)
    page = roff_text(tree.text("docs/man/lucca-run.1"))
    documented = re.findall(r"^\.It (?:Fl \w , )?Fl \\?-([\w-]+)", page, re.M)
    yield "lucca-run.1 has every option, and no other", \
        [f"{o} is missing" for o in options if o[2:] not in documented] + \
        [f"--{o} does not exist" for o in documented if "--" + o not in options] + \
        ([] if options else ["lucca run --help lists none"])
    traces = re.findall(r"^(\w+) ", output(lucca, "run", "--trace", "help"), re.M)
    yield "lucca-run.1 has every category of --trace", \
        [t for t in traces if not re.search(rf"^\.It Cm {t}$", page, re.M)]
    commands = re.findall(r"^  (\w+) ", output(lucca, "help"), re.M)
    yield "lucca.1 has every command", \
        [c for c in commands if not re.search(rf"^\.It Cm {c}\b", tree.text("docs/man/lucca.1"), re.M)]
    for command in sorted({"measure", "idblock", "owner", "report", "policy", "certs"} & set(commands)):
        helped = output(lucca, command, "--help")
        known = re.findall(r"^ +(?:-\w, )?--([\w-]+)", helped, re.M)
        page = roff_text(tree.text(f"docs/man/lucca-{command}.1"))
        named = set(re.findall(r"\bFl -([\w-]+)", page))
        items = re.findall(r"^\.It (?:Fl \w , )?Fl -([\w-]+)", page, re.M)
        yield f"lucca-{command}.1 has every option, and explains no other", \
            [f"--{o} is missing" for o in known if o not in named] + \
            [f"--{o} does not exist" for o in items if o not in known] + \
            ([] if known else [f"lucca {command} --help lists none"])
        options += ["--" + o for o in known]
    completion = tree.text("tools/completion/lucca.bash")
    yield "the completion has every command and option", \
        [w for w in commands + options if not re.search(rf"(?<![\w-]){w}(?![\w-])", completion)]


def check_instructions(tree, program):
    made = subprocess.run([program], text=True, capture_output=True, check=False)
    problem = made.stderr.splitlines() if made.returncode else []
    if not problem and made.stdout != tree.text("docs/instructions.md"):
        problem = ["docs/instructions.md is not what the table says: make docs"]
    yield "docs/instructions.md is up to date, and every row has a test", problem


CHECKS = [check_includes, check_forbidden, check_sizes, check_places, check_meson, check_links,
          check_covered, check_chips]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("root")
    p.add_argument("--lucca")
    p.add_argument("--instructions")
    a = p.parse_args()
    tree = Tree(a.root)
    results = [r for check in CHECKS for r in check(tree)]
    if a.lucca:
        results += check_manuals(tree, a.lucca)
    if a.instructions:
        results += check_instructions(tree, a.instructions)
    for n, (name, problems) in enumerate(results, 1):
        print(f"{'not ok' if problems else 'ok'} {n} - {name}")
        for line in problems:
            print(f"# {line}")
    print(f"1..{len(results)}")
    return any(problems for _, problems in results)


if __name__ == "__main__":
    sys.exit(main())
