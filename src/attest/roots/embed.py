#!/usr/bin/env python3
"""Certificates as a table in C: embed.py OUTPUT PEM..."""
import base64
import os
import sys


def main():
    output, paths = sys.argv[1], sys.argv[2:]
    names, text = [], '/* Made by embed.py. */\n#include "attest/roots.h"\n'
    for path in paths:
        with open(path, encoding="ascii") as f:
            lines = [line.strip() for line in f if line.strip() and not line.startswith("-----")]
        der = base64.b64decode("".join(lines), validate=True)
        names.append(os.path.splitext(os.path.basename(path))[0])
        rows = (", ".join(f"0x{b:02X}" for b in der[i:i + 16]) for i in range(0, len(der), 16))
        text += f"\nstatic const uint8_t {names[-1]}[] = {{\n    " + ",\n    ".join(rows) + "};\n"
    text += "\nconst struct attest_span attest_roots[] = {\n"
    text += "".join(f"    {{{name}, sizeof({name})}},\n" for name in names)
    text += f"}};\nconst size_t attest_roots_count = {len(names)};\n"
    with open(output, "w", encoding="ascii") as f:
        f.write(text)


if __name__ == "__main__":
    main()
