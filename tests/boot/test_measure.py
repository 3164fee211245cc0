#!/usr/bin/env python3
"""`lucca measure` and `lucca idblock` as their users meet them: the published vectors through options
spelled as sev-snp-measure spells them, explanations, refusals; ID blocks that openssl verifies.

test_measure.py LUCCA FOLDER DATA
"""
import base64
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import tempfile

import tap

LUCCA, DATA = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[3])
MODES = {"SEV": "sev", "SEV_ES": "seves", "SEV_SNP": "snp"}
OVMF = f"{DATA}/measure/ovmf_AmdSev_suffix.bin"
SNP = ["measure", "--mode", "snp", "--ovmf", OVMF, "--vcpus", "1", "--vcpu-type", "EPYC-v4"]


def lucca(*args, status=0, cwd=None):
    done = subprocess.run([LUCCA, *args], capture_output=True, text=True, cwd=cwd, timeout=60,
                          stdin=subprocess.DEVNULL, check=False)
    tap.equal(done.returncode, status, f"status of lucca {' '.join(args)} ({done.stdout}{done.stderr})")
    return done.stdout


def conforms(value, schema, root, where):
    """As much of JSON Schema as docs/schema/launch.json speaks; another word is an error."""
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    if "$ref" in schema:
        conforms(value, root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root, where)
        return
    unknown = set(schema) - {"description", "type", "required", "additionalProperties", "properties", "items",
                             "enum", "pattern"}
    tap.check(not unknown, f"{where}: the schema says {unknown}")
    tap.check("enum" not in schema or value in schema["enum"], f"{where}: {value!r} is none of {schema.get('enum')}")
    tap.check("type" not in schema or type(value) is kinds[schema["type"]], f"{where}: {value!r} is no {schema.get('type')}")
    tap.check("pattern" not in schema or re.search(schema["pattern"], value), f"{where}: {value!r}")
    if isinstance(value, dict):
        tap.equal([k for k in schema["required"] if k not in value], [], f"{where}: what is missing")
        tap.equal([k for k in value if k not in schema["properties"]], [], f"{where}: what the schema does not have")
        for key, member in value.items():
            conforms(member, schema["properties"][key], root, f"{where}.{key}")
    if isinstance(value, list):
        for i, member in enumerate(value):
            conforms(member, schema["items"], root, f"{where}[{i}]")


def lucca_json(kind, *args, status=0):
    """The answer, which is what the published schema says."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/schema/launch.json"),
              encoding="utf-8") as f:
        schema = json.load(f)
    answer = json.loads(lucca(*args, "--json", status=status))
    conforms(answer, schema["$defs"][kind], schema, kind)
    return answer


def refusal(*args):
    done = subprocess.run([LUCCA, *args], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, check=False)
    tap.equal((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1),
              f"status, output and sentences of lucca {' '.join(args)} ({done.stderr})")
    return done.stderr


def vector(v):
    words = ["measure", "--mode", MODES[v["mode"]], "--ovmf", f"{DATA}/measure/{v['ovmf']}", "--vcpus",
             str(v["vcpus"]), "--guest-features", v["guest_features"], "--vmm-type", v["vmm"]]
    for name in ("kernel", "initrd"):
        words += [f"--{name}", "/dev/null"] if v[name] else []
    words += ["--append", v["append"]] if v["append"] is not None else []
    words += ["--vcpu-sig", v["vcpu_sig"]] if v["vcpu_sig"] else []
    words += ["--snp-ovmf-hash", v["ovmf_hash"]] if "ovmf_hash" in v else []
    tap.equal(lucca(*words).strip(), v["launch_digest"], "the digest")
    tap.equal(base64.b64decode(lucca(*words, "--output-format", "base64")).hex(), v["launch_digest"],
              "the digest in base64")
    said = lucca_json("measure", *words, "--verbose")
    tap.equal((said["mode"], said["digest"]), (MODES[v["mode"]], v["launch_digest"]), "the digest in JSON")
    tap.check(said["pieces"][0]["name"] == "firmware" or "ovmf_hash" in v, f"pieces: {said['pieces']}")


def firmware_digest(digest):
    tap.equal(lucca("measure", "--mode", "snp:ovmf-hash", "--ovmf", OVMF).strip(), digest, "the firmware's")


def signatures():
    by_parts = lucca(*SNP[:-2], "--vcpu-family", "23", "--vcpu-model", "1", "--vcpu-stepping", "2")
    tap.equal(by_parts, lucca(*SNP), "by family, model and stepping")
    tap.equal(by_parts, lucca(*SNP[:-2], "--vcpu-sig", "0x800f12"), "by signature")
    tap.equal(by_parts, lucca(*SNP[:-2], "--vcpu-sig", "8392466"), "by decimal signature")
    tap.check(by_parts != lucca(*SNP[:-2], "--vcpu-type", "EPYC-Genoa"), "another processor, one digest")


def explanations(vectors):
    four = next(v for v in vectors if v["vcpus"] == 4)["launch_digest"]
    words = [*SNP, "--kernel", "/dev/null", "--append", " "]
    said = lucca(*words, "--explain", four, status=5)
    for change in ("command line (--append): empty", "0x21 (with debug swap", "vCPUs (--vcpus): 4, not 1"):
        tap.check(change in said, f"no '{change}' in: {said}")
    found = lucca_json("explain", *words, "--explain", base64.b64encode(bytes.fromhex(four)).decode(), status=5)
    tap.equal((found["matches"], found["explanation"]["found"], len(found["explanation"]["changes"])),
              (False, True, 3), "the explanation in JSON")
    own = lucca(*words).strip()
    tap.check("nothing is to be explained" in lucca(*words, "--explain", own), "its own digest")
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        report = bytearray(1184)  # version 2, as small as a report can be told by
        struct.pack_into("<II", report, 0, 2, 0)
        struct.pack_into("<Q", report, 8, 0x30000)
        struct.pack_into("<I", report, 0x34, 1)
        report[0x90:0xC0] = bytes.fromhex(four)
        with open(f"{folder}/report.bin", "wb") as f:
            f.write(report)
        said = lucca(*words, "--explain", f"{folder}/report.bin", status=5)
        tap.check("the report's measurement: " + four in said and "vCPUs (--vcpus): 4" in said, said)
        said = lucca(*words, "--max-vcpus", "2", "--explain", "00" * 48, status=5)
        tap.check("nothing explains it" in said, said)


def images():
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        words = [*SNP, "--kernel", "/dev/null"]
        digest = lucca(*words, "--save-image", f"{folder}/a")
        tap.equal(lucca("measure", "--launch-image", f"{folder}/a"), digest, "the digest of the image")
        lucca(*words, "--guest-features", "0x21", "--save-image", f"{folder}/b")
        said = lucca("measure", "--launch-image", f"{folder}/a", "--explain", f"{folder}/b", status=5)
        tap.check("VMSA of vCPU 0 (page 0xfffffffff000), SEV_FEATURES: 0x1 here, 0x21 there" in said, said)
        said = lucca_json("explain", *words, "--explain", f"{folder}/b", status=5)
        tap.equal((said["difference"]["field"], said["difference"]["values"]), ("SEV_FEATURES", ["0x1", "0x21"]),
                  "the difference in JSON")
        lucca(*words[:-2], "--vcpus", "3", "--dump-vmsa", cwd=folder)
        pages = []
        for i in range(3):
            with open(f"{folder}/vmsa{i}.bin", "rb") as f:
                pages.append(f.read())
        tap.equal([len(p) for p in pages], [4096] * 3, "bytes of VMSAs")
        tap.check(pages[1] == pages[2] != pages[0], "application processors differ, or none does")


def refusals():
    for words, why in (([], "--mode is needed"), (["--mode", "tdx"], "sev, seves, snp"),
                       (["--mode", "snp"], "--ovmf is needed"),
                       (["--mode", "snp", "--ovmf", OVMF], "--vcpus is needed"),
                       (["--mode", "snp", "--ovmf", OVMF, "--vcpus", "2"], "--vcpu-type"),
                       (["--mode", "snp", "--ovmf", OVMF, "--vcpus", "0"], "at least one"),
                       (["--mode", "snp", "--ovmf", "/dev/urandom"], "more than"),
                       (["--mode", "snp", "--ovmf", "/"], "directory"),
                       (["--mode", "sev", "--ovmf", "/dev/null"], "1 byte"),
                       (["--mode", "sev", "--ovmf", "/no/such/file"], "No such file"),
                       (["--launch-image", "/dev/null"], "empty"),
                       (["--launch-image", OVMF, "--ovmf", OVMF], "takes the place"),
                       (["--vcpu-type", "Xeon"], "QEMU's names"), (["--vmm-type", "xen"], "QEMU, ec2"),
                       (["--guest-features", "1x"], "a number"), (["--frob"], "no option"),
                       (["--mode"], "needs a value"), (["word"], "options alone"),
                       ([*SNP[1:], "--initrd", OVMF], "without a kernel"),
                       ([*SNP[1:], "--explain", "xyz"], "no such file")):
        said = refusal("measure", *words)
        tap.check(why in said, f"{words}: {said}")


def legacy():
    """A measurement of another launch: what of it was otherwise."""
    words = ["owner", "measurement", "--tik", f"{DATA}/sev-legacy/measurement/tik1.bin", "--policy", "5",
             "--api-major", "1", "--api-minor", "55", "--build-id", "21", "--ovmf", OVMF, "--vcpu-type", "EPYC-v4"]
    measured = lucca(*words, "--vcpus", "2", "--kernel", "/dev/null", "--append", "a\n", "--nonce", "00" * 16).strip()
    asked = [*words, "--launch-measure-blob", measured]
    lucca(*asked, "--vcpus", "2", "--kernel", "/dev/null", "--append", "a\n")
    said = lucca(*asked, "--vcpus", "3", "--kernel", "/dev/null", "--append", "a", status=5)
    lucca_json("measurement", *asked, "--vcpus", "2", "--kernel", "/dev/null", "--append", "a", status=5)
    chain = lucca_json("verify_chain", "owner", "verify-chain",
                       *(f"{DATA}/sev-legacy/rome/{name}.cert" for name in ("ark", "ask", "cek", "oca", "pek", "pdh")))
    tap.equal((chain["verdict"], chain["product"]), ("good", "Rome"), "AMD's chain")
    tap.check("with a line feed at its end, not 'a'; vCPUs (--vcpus): 2, not 3" in said, said)
    said = lucca(*asked, "--max-vcpus", "2", "--vcpus", "2", "--kernel", "/dev/null", "--append", "another", status=5)
    tap.check("nothing but another launch" in said, said)


def openssl(*args, data=b""):
    return subprocess.run(["openssl", *args], input=data, stdout=subprocess.PIPE, check=True).stdout


def der_integer(number):
    body = number.to_bytes((number.bit_length() + 8) // 8, "big")
    return b"\2" + bytes([len(body)]) + body


def signed(folder, key, message, at, auth):
    """The signature at its place, judged by openssl."""
    numbers = [int.from_bytes(auth[at + 72 * i:at + 72 * i + 72], "little") for i in range(2)]
    body = b"".join(der_integer(n) for n in numbers)
    with open(f"{folder}/sig", "wb") as f:
        f.write(b"\x30" + bytes([len(body)]) + body)
    tap.equal(openssl("dgst", "-sha384", "-prverify", key, "-signature", f"{folder}/sig", data=message).strip(),
              b"Verified OK", "the signature")


def id_blocks():
    with open(f"{DATA}/idblock/expected.json", encoding="utf-8") as f:
        expected = json.load(f)
    with open(f"{DATA}/idblock/id_block.bin", "rb") as f:
        published = f.read()
    for name in ("id_key", "author_key"):
        said = lucca("idblock", "digest", f"{DATA}/idblock/{name}.pub.pem")
        tap.equal(bytes.fromhex(said.split()[0]), base64.b64decode(expected[f"{name}_digest_b64"]), name)
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        for name in ("id", "author"):
            openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", f"{folder}/{name}.pem")
        make = ["idblock", "--measurement", expected["launch_digest_b64"], "--idkey", f"{folder}/id.pem",
                "--authorkey", f"{folder}/author.pem"]
        said = dict(line.split("=", 1) for line in lucca(*make).splitlines())
        block, auth = base64.b64decode(said["id-block"]), base64.b64decode(said["id-auth"])
        tap.equal((block, len(auth)), (published, 4096), "the block, and bytes of the authentication")
        signed(folder, f"{folder}/id.pem", block, 0x40, auth)
        signed(folder, f"{folder}/author.pem", auth[0x240:0x240 + 0x404], 0x680, auth)
        tap.equal(said["id-key-digest"], hashlib.sha384(auth[0x240:0x240 + 0x404]).hexdigest(), "the ID key's digest")
        lucca(*make, "--id-block", f"{folder}/b", "--id-auth", f"{folder}/a", "--output-format", "raw")
        tap.equal(lucca_json("id_block_fields", "idblock", "show", f"{folder}/b", f"{folder}/a")["author_key_enabled"],
                  True, "the author's key")
        lucca_json("id_block", *make)
        with open(f"{folder}/b", "r+b") as f:
            f.seek(0x54)
            f.write(b"\1")  # another guest SVN
        lucca("idblock", "show", f"{folder}/b", f"{folder}/a", status=2)
        lucca("idblock", "show", f"{folder}/b")
        tap.check("P-384" in refusal("idblock", "--measurement", "00" * 48, "--idkey", OVMF), "no key")
        tap.check("48 bytes" in refusal("idblock", "--measurement", "00" * 47), "a short measurement")
        tap.check("0x20000" in refusal("idblock", "--policy", "1"), "an impossible policy")
        tap.check(not any(n.endswith(".part") for n in os.listdir(folder)), "a file is left behind")


with open(f"{DATA}/measure/vectors.json", encoding="utf-8") as file:
    VECTORS = json.load(file)
CASES = [(v["name"], lambda v=v: vector(v)) for v in VECTORS["vectors"]]
CASES += [("the firmware's digest",
           lambda: firmware_digest(VECTORS["ovmf_only_digest"]["ovmf_AmdSev_suffix.bin"])),
          ("signatures", signatures), ("explanations", lambda: explanations(VECTORS["vectors"])),
          ("launch images", images), ("refusals", refusals), ("legacy measurements", legacy), ("ID blocks", id_blocks)]
tap.run(CASES)
