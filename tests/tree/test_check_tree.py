#!/usr/bin/env python3
"""check_tree.py can fail: each kind of fault, planted in a small tree, is reported where it is.

Prints TAP.
"""
import os
import subprocess
import sys
import tempfile

CHECKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "check_tree.py")

# A tree without faults.
SOUND = {
    "meson.build": "subdir('src/base')\n",
    "src/base/meson.build": "files('good.c')\n",
    "src/base/good.c": '#include "base/good.h"\n/* exit(1) in a comment */\n'
                       'const char *s = "system(x)";\nvoid my_exit(void);\n',
    "src/base/good.h": "int good;\n",
    "src/silicon/cpu/insn.h": "int row;\n",
    "README.md": "[base](src/base/good.c), [cpu](src/silicon/cpu), [far](https://example.org/x)\n"
                 "| rome (old) | EPYC 7002 | 47 | 509 | SEV-ES | 0.24 |\n",
    "tests/covered.def": "/* rows */\nCOVERED(LGDT_M, sys)\n",
    "tests/unit/meson.build": "foreach name : ['sys']\n",
    "tests/unit/test_sys.c": "/* LGDT */\n",
    "src/silicon/chip.c": '[CHIP_ROME] = {.id = CHIP_ROME, .name = "rome", .cbit = 47, .sev_asids = 509,\n'
                          '.level = SEV_ES, .api_major = 0, .api_minor = 24},\n',
    "src/silicon/meson.build": "'chip.c'\n",
    "build/junk.c": "exit(1);\n" * 2000,
}

MANUAL = {
    "docs/man/lucca.1": ".It Cm run\n",
    "docs/man/lucca-run.1": ".It Fl -kernel Ar FILE\n.It Fl m , Fl -memory Ar SIZE\n.It Cm irq\n",
    "tools/completion/lucca.bash": "run --kernel --memory\n",
    "docs/instructions.md": "page\n",
    "lucca": "#!/bin/sh\ncase \"$*\" in\n"
             "'run --help') echo '      --kernel FILE x'; echo '  -m, --memory SIZE x';;\n"
             "'run --trace help') echo 'irq   lines';;\nhelp) echo '  run   machines';;\nesac\n",
    "mk": "#!/bin/sh\necho page\n",
}

# what, files to put there, words of the report; None: no fault
CASES = [
    ("a sound tree", {}, None),
    ("the host includes a key", {"src/host/x.h": '#include "silicon/dram/dram.h"\n'},
     'src/host/x.h includes "silicon/dram/dram.h"'),
    ("the host reaches it by a relative path",
     {"src/host/x.h": '#include "silicon/../silicon/asp/asp.h"\n'}, "src/host/x.h includes"),
    ("silicon includes the host", {"src/silicon/x.h": '  #  include "host/vm/vm.h"\n'},
     'src/silicon/x.h includes "host/vm/vm.h"'),
    ("a folder has no rule", {"src/new/x.h": "\n"}, "src/new/x.h: its folder has no rule"),
    ("library code exits", {"src/base/bad.h": "\n\nvoid f(void) { exit (1); }\n"}, "src/base/bad.h:3:"),
    ("an unbounded copy", {"src/base/bad.h": "strcpy(a, b);\n"}, "src/base/bad.h:1:"),
    ("a shell", {"src/host/bad.h": "popen(x);\n"}, "src/host/bad.h:1:"),
    ("a file of 1001 lines", {"src/base/long.h": "\n" * 1001}, "src/base/long.h: 1001 lines"),
    ("one of 1000 lines", {"src/base/long.h": "\n" * 1000}, None),
    ("a place of the author's", {"docs/x.md": "see /wo" "rk/main\n"}, "docs/x.md:1:"),
    ("a source that is not built", {"src/base/lost.c": "\n"}, "src/base/lost.c: src/base/meson.build"),
    ("a test that does not run", {"tests/unit/test_lost.c": "\n"}, "tests/unit/test_lost.c:"),
    ("a boot test that does not run", {"tests/boot/test_lost.py": "\n"}, "tests/boot/test_lost.py:"),
    ("a link to nowhere", {"docs/x.md": "[x](y.md)\n"}, "docs/x.md points at y.md"),
    ("a row whose test is gone", {"tests/covered.def": "COVERED(LGDT_M, gone)\n"},
     "LGDT_M: tests/unit/test_gone.c"),
    ("a row that its test forgets", {"tests/covered.def": "COVERED(LIDT_M, sys)\n"},
     "LIDT_M: tests/unit/test_sys.c"),
    ("manuals that are right", MANUAL, None),
    ("an option without a manual", {**MANUAL, "docs/man/lucca-run.1": ".It Fl -kernel\n.It Cm irq\n"},
     "--memory is missing"),
    ("a manual without an option",
     {**MANUAL, "docs/man/lucca-run.1": MANUAL["docs/man/lucca-run.1"] + ".It Fl -magic\n"},
     "--magic does not exist"),
    ("a command without a manual", {**MANUAL, "docs/man/lucca.1": ".It Cm runner\n"}, "# run"),
    ("a category without a manual", {**MANUAL, "docs/man/lucca-run.1":
                                     MANUAL["docs/man/lucca-run.1"].replace("irq", "irqs")}, "# irq"),
    ("an option without completion", {**MANUAL, "tools/completion/lucca.bash": "run --kernel\n"}, "# --memory"),
    ("a chip without a row", {"README.md": "\n"}, "README.md has no row of rome"),
    ("a chip with another C-bit", {"README.md": "| rome | EPYC 7002 | 51 | 509 | SEV-ES | 0.24 |\n"},
     "README.md has no row of rome with 47, 509"),
    ("a stale page", {**MANUAL, "docs/instructions.md": "old\n"}, "make docs"),
    ("a row without a test", {**MANUAL, "mk": "#!/bin/sh\necho 'HLT has no test' >&2\nexit 1\n"},
     "HLT has no test"),
]


def run(files):
    with tempfile.TemporaryDirectory() as root:
        for path, text in {**SOUND, **files}.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as f:
                f.write(text)
            os.chmod(full, 0o755)
        words = [sys.executable, CHECKER, root]
        if "lucca" in files:
            words += ["--lucca", f"{root}/lucca", "--instructions", f"{root}/mk"]
        return subprocess.run(words, text=True, capture_output=True, check=False)


def main():
    failed = 0
    for n, (what, files, words) in enumerate(CASES, 1):
        r = run(files)
        good = r.returncode == 0 if words is None else r.returncode == 1 and words in r.stdout
        failed += not good
        print(f"{'ok' if good else 'not ok'} {n} - {what}")
        if not good:
            print("".join(f"# {line}\n" for line in (r.stdout + r.stderr).splitlines()
                          if not line.startswith("ok")), end="")
    print(f"1..{len(CASES)}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
