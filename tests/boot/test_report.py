#!/usr/bin/env python3
"""lucca report, policy and certs as their users meet them: AMD's own reports, emulated ones, key services.

test_report.py LUCCA FOLDER SNP_REPORT SOURCE
"""
import base64
import contextlib
import copy
import http.server
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading

import tap

LUCCA, FOLDER, SNP_REPORT, SOURCE = sys.argv[1:5]
FOLDER += "/report"
DATA = SOURCE + "/tests/data/attestation"
CHIPS = {"milan": "Milan", "genoa": "Genoa", "turin": "Turin"}

# report, what is beside it, when, status, a check that must fail
VERDICTS = [
    ("reports/milan-v2-a/report.bin", "vcek.der", "2022-12-23", 5, "policy.debug"),
    ("reports/milan-v2-b/report.bin", "vcek.der", "2023-07-02", 0, None),
    ("reports/milan-v2-azure-cvm/report.bin", "vcek.der", "2023-04-24", 0, None),
    ("reports/milan-v2-azure-aci/report.bin", "vcek.pem", "2023-02-27", 0, None),
    ("reports/milan-v2-azure-aci-b/report.bin", "vcek.der", "2022-08-16", 0, None),
    ("reports/milan-v2-azure-aci-c/report.bin", "vcek.pem", "2023-08-21", 0, None),
    ("reports/milan-v2-d/report.bin", "vcek.der", "2025-02-17", 0, None),
    ("reports/milan-v3/report.bin", "vcek.der", "2025-04-15", 0, None),
    ("reports/milan-v3-azure-aci/report.bin", "vcek.pem", "2025-04-23", 0, None),
    ("reports/genoa-v3/report.bin", "vcek.pem", "2025-07-19", 0, None),
    ("reports/genoa-v3-azure-aci/report.bin", "vcek.pem", "2026-05-06", 0, None),
    ("reports/milan-v2-azure-hcl/hcl-report.bin", "vcek.pem", "2023-07-31", 0, None),
    ("reports/milan-v2-c/report.bin", "vcek.pem", "2022-07-25", 0, None),
    ("reports/milan-v3-azure-hcl/hcl-report.bin", "vcek.der", "2025-04-28", 0, None),
    ("reports/genoa-v3-azure-aci-b/report.bin", "vcek.pem", "2025-04-28", 0, None),
    ("reports/milan-v3-azure-signing/report.bin", "vcek.pem", "2025-04-23", 0, None),
    ("reports/genoa-v3-azure-signing/report.bin", "vcek.pem", "2025-04-24", 0, None),
    ("reports/milan-v3-b/report.bin", "vcek.der", "2025-04-15", 0, None),
    ("reports/milan-v3-c/report.bin", "vcek.der", "2025-05-04", 0, None),
    ("reports/genoa-v5/report.bin", "vcek.der", "2026-11-20", 0, None),
    ("reports/turin-v5/report.bin", "vcek.pem", "2026-11-20", 0, None),
    ("reports/milan-v3-vlek/report.bin", "vlek.der", "2025-06-01", 0, None),
    ("reports/milan-v3-vlek/report.bin", "vlek.der", "2026-11-20", 2, "chain.validity"),
    ("bad/milan-v2-c-signature/report.bin", "vcek.pem", "2022-07-25", 2, "report.signature"),
    ("bad/msg-header-1216/not-a-report.bin", "vcek.pem", "2022-07-25", 2, "report.signature"),
    ("bad/wrong-vcek/report.bin", "vcek.der", "2023-03-14", 2, "report.signature"),
    ("bad/rogue-leaf/report.bin", "vcek.pem", "2022-05-02", 2, "chain.kind"),
    ("bad/trailing-newline-1185/report.bin", None, "2026-01-01", 1, None),
    ("parse-only/genoa-v2/report.bin", None, "2026-01-01", 3, "chain.certificates"),
    ("parse-only/milan-v2/report.bin", None, "2026-01-01", 3, "chain.certificates"),
    ("parse-only/msg-report-rsp/msg_report_rsp.bin", None, "2026-01-01", 3, "chain.certificates"),
]

shutil.rmtree(FOLDER, ignore_errors=True)
os.makedirs(FOLDER)
os.environ.update(XDG_DATA_HOME=FOLDER, XDG_CACHE_HOME=FOLDER + "/cache")


def run(*words, status=0, stdin=None):
    """Standard output; where it shall fail, standard error behind it."""
    done = subprocess.run(words, capture_output=True, check=False, input=stdin, timeout=60)
    out, err = done.stdout.decode(), done.stderr.decode()
    tap.check(done.returncode == status, f"{' '.join(words)}: status {done.returncode}, not {status}: {err}{out[-300:]}")
    return out + err if status else out


def sentence(*words, status=1, stdin=None):
    """What is refused in one sentence, on standard error alone."""
    said = run(LUCCA, *words, status=status, stdin=stdin)
    tap.check(said.startswith("lucca: ") and said.count("\n") == 1, f"{words}: not one sentence: {said!r}")
    return said


def verify(*words, status=0):
    said = json.loads(run(LUCCA, "report", "verify", "--json", *words, status=status).split("\nlucca: ", 1)[0])
    tap.equal(said["status"], status, "status in JSON")
    return said


def failed(result):
    return [c["name"] for c in result["checks"] if c["outcome"] == "fail"]


def data(name):
    return os.path.join(DATA, name)


def at(*names):
    return os.path.join(FOLDER, *names)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(name, content):
    with open(at(name), "wb") as f:
        f.write(content if isinstance(content, bytes) else content.encode())
    return at(name)


# ---- JSON schemas: as much of them as ours use ----

def fits(schema, value, where="", root=None):
    root = root or schema
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    if "anyOf" in schema:
        problems = [fits(s, value, where, root) for s in schema["anyOf"]]
        return [] if [] in problems else problems[0]
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
    kind = kinds.get(schema.get("type"))
    if kind and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        return [f"{where}: not of type {schema['type']}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: {value!r} is not in {schema['enum']}"]
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return [f"{where}: {value!r} is not like {schema['pattern']}"]
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return [f"{where}: {value} is out of range"]
    found = [f"{where}: {r} is missing" for r in schema.get("required", []) if r not in value]
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            found.append(f"{where}: too few items")
        for i, item in enumerate(value):
            found += fits(schema.get("items", {}), item, f"{where}[{i}]", root)
    if isinstance(value, dict) and "properties" in schema:
        for key, item in value.items():
            if key in schema["properties"]:
                found += fits(schema["properties"][key], item, f"{where}.{key}", root)
            elif schema.get("additionalProperties") is False:
                found.append(f"{where}.{key}: the schema does not have it")
    return found


def check_fits(schema, value, what):
    tap.equal(fits(schema, value), [], what)


def published(name):
    return json.loads(read(f"{SOURCE}/docs/{name}.schema.json"))


def schemas_are_published():
    for command in "report", "policy":
        tap.equal(json.loads(run(LUCCA, command, "schema")), published(command),
                  f"docs/{command}.schema.json is what 'lucca {command} schema' prints")


# ---- reports of AMD's chips ----

def every_file_gets_its_verdict():
    seen = set()
    for report, beside, when, status, fails in VERDICTS:
        seen.add(os.path.dirname(report))
        words = ["--at", when, data(report)]
        if beside:
            words += ["--vek", data(os.path.join(os.path.dirname(report), beside))]
        if status == 1:
            sentence("report", "verify", *words)
            continue
        result = verify(*words, status=status)
        check_fits(published("report"), result, report)
        tap.check(not result["emulated"], "AMD's own are emulated")
        tap.check((fails in failed(result)) if fails else not failed(result), f"{report}: {failed(result)}")
        tap.check(all(c["expected"] and c["found"] for c in result["checks"] if c["outcome"] != "not asked"),
                  f"{report}: a check does not say what was expected and found")
        text = run(LUCCA, "report", "verify", *words, status=status)
        tap.equal([l for l in text.splitlines() if l.startswith("fail ")] != [], bool(fails), "text says what fails")
    there = {f"{kind}/{name}" for kind in ("reports", "bad", "parse-only") for name in os.listdir(data(kind))
             if os.path.isdir(data(f"{kind}/{name}"))}
    tap.equal(seen, there, "reports with a verdict, and reports that are there")


def altered_certificate_is_refused():
    bad = data("bad/vcek-legacy-encoding.der")
    said = json.loads(run(LUCCA, "certs", "verify", "--json", "--at", "2023-04-24", bad, status=2))
    tap.check("chain.leaf_signature" in failed(said), "the signature is good")
    good = json.loads(run(LUCCA, "certs", "verify", "--json", "--at", "2023-07-02", data("reports/milan-v2-b/vcek.der")))
    tap.equal(good["chain"]["root"]["subject"], "ARK-Milan", "root")
    tap.check("policy" not in {c["name"].split(".")[0] for c in good["checks"]}, "a chain has no policy")


def fields_are_those_of_the_bytes():
    for report, _, _, status, _ in VERDICTS:
        if status == 1:
            continue
        said = json.loads(run(LUCCA, "report", "show", "--json", data(report)))
        check_fits(published("report"), said, report)
        raw = read(data(report))
        raw = raw[{"hcl": 0x20, "msg": 0x20}.get(said["format"], 0):][:1184]
        fields = said["report"]
        version, svn, policy = struct.unpack_from("<IIQ", raw)
        tap.equal((fields["version"], fields["guest_svn"], fields["policy"]["value"]), (version, svn, hex(policy)), report)
        tap.equal(fields["policy"]["debug"], bool(policy >> 19 & 1), "DEBUG")
        for name, start, size in (("measurement", 0x90, 48), ("report_data", 0x50, 64), ("chip_id", 0x1A0, 64)):
            tap.equal(fields[name], raw[start:start + size].hex(), name)
        tap.equal(fields["reported_tcb"]["raw"], raw[0x180:0x188].hex(), "REPORTED_TCB")
        tap.equal("cpuid_family" in fields, version >= 3, "CPUID from version 3")
        tap.equal("launch_mit_vector" in fields, version >= 5, "mitigations from version 5")
        text = run(LUCCA, "report", "show", data(report))
        for name, value in fields.items():
            tap.check(re.search(rf"^{name} +{value if isinstance(value, str) else ''}", text, re.M), f"{name} in text")


def decoded(raw, azure=False):
    """Trustee's evidence, from the raw report."""
    def number(start, size):
        return int.from_bytes(raw[start:start + size], "little")

    def tcb(start):
        return {"fmc": None, "bootloader": raw[start], "tee": raw[start + 1], "snp": raw[start + 6],
                "microcode": raw[start + 7]}
    j = {"version": number(0, 4), "guest_svn": number(4, 4), "policy": number(8, 8), "vmpl": number(0x30, 4),
         "sig_algo": number(0x34, 4), "plat_info": number(0x40, 8), "key_info": number(0x48, 4),
         "current_tcb": tcb(0x38), "reported_tcb": tcb(0x180), "committed_tcb": tcb(0x1E0), "launch_tcb": tcb(0x1F0),
         "cpuid_fam_id": raw[0x188], "cpuid_mod_id": raw[0x189], "cpuid_step": raw[0x18A],
         "current": {"build": raw[0x1E8], "minor": raw[0x1E9], "major": raw[0x1EA]},
         "committed": {"build": raw[0x1EC], "minor": raw[0x1ED], "major": raw[0x1EE]},
         "signature": {"r": list(raw[0x2A0:0x2E8]), "s": list(raw[0x2E8:0x330])}}
    for name, start, size in (("family_id", 0x10, 16), ("image_id", 0x20, 16), ("report_data", 0x50, 64),
                              ("measurement", 0x90, 48), ("host_data", 0xC0, 32), ("id_key_digest", 0xE0, 48),
                              ("author_key_digest", 0x110, 48), ("report_id", 0x140, 32), ("report_id_ma", 0x160, 32),
                              ("chip_id", 0x1A0, 64)):
        j[name] = list(raw[start:start + size])
    return {"attestation_report": j}


def every_wrapping_is_opened():
    raw, table = read(data("reports/genoa-v3/report.bin")), read(data("reports/genoa-v3/auxblob.bin"))
    pem = read(data("reports/genoa-v3/vcek.pem"))
    url = base64.urlsafe_b64encode
    trustee = decoded(raw)
    trustee["cert_chain"] = [{"cert_type": "VCEK", "data": list(pem)}, {"cert_type": {"OTHER": "x"}, "data": [1]}]
    hcl, leaf = read(data("reports/milan-v2-azure-hcl/hcl-report.bin")), read(data("reports/milan-v2-azure-hcl/vcek.pem"))
    azure = {"report": list(hcl), "vcek": leaf.decode(), "quote": {}}
    wrapped = [
        ("raw", raw, "raw", None), ("hex", raw.hex().encode(), "raw", None),
        ("base64", base64.encodebytes(raw), "raw", None), ("extended", raw + table, "extended", True),
        ("extended", (raw + table).hex().encode(), "extended", True),
        ("msg", struct.pack("<II24x", 0, 1184) + raw, "msg", None),
        ("trustee", json.dumps(trustee).encode(), "trustee", True),
        ("trustee", json.dumps({"tee-evidence": {"primary_evidence": trustee}}).encode(), "trustee", True),
        ("trustee", json.dumps({"snp-report": base64.b64encode(raw).decode(), "certs-buf": None}).encode(), "trustee", None),
        ("trustee", json.dumps({"outblob": url(raw).decode().rstrip("="), "auxblob": url(table).decode()}).encode(),
         "trustee", True),
    ]
    for name, content, form, certs in wrapped:
        path = write("wrapped", content)
        for words in [], ["--format", name]:
            said = json.loads(run(LUCCA, "report", "show", "--json", *words, path))
            tap.equal((said["format"], said["report"]["chip_id"]), (form, raw[0x1A0:0x1E0].hex()), name)
        tap.equal("certificates" in said, bool(certs), f"{name}: certificates")
        result = verify("--at", "2025-07-19", path, *([] if certs else ["--vek", data("reports/genoa-v3/vcek.pem")]))
        tap.equal(result["product"] if "product" in result else result["chain"]["leaf"]["product"], "Genoa", name)
        sentence("report", "show", "--format", "hcl", path)
    said = verify("--at", "2023-07-31", write("azure.json", json.dumps(azure)))
    tap.check(any(c["name"] == "report.claims" and c["outcome"] == "pass" for c in said["checks"]), "claims not bound")
    verify("--at", "2025-07-19", "--certs", data("reports/genoa-v3/auxblob.bin"), data("reports/genoa-v3/report.bin"))
    tap.check(json.loads(run(LUCCA, "report", "show", "--json", "-", stdin=raw))["product"] == "Genoa", "not from a pipe")
    shown = run(LUCCA, "report", "show", data("reports/milan-v2-azure-hcl/hcl-report.bin"))
    tap.check("HCLAkPub" in shown, "the claims are not shown")


def evidence_that_lies_is_refused():
    raw = read(data("reports/genoa-v3/report.bin"))
    trustee, leaf = decoded(raw), data("reports/genoa-v3/vcek.pem")
    for change, wanted in ((lambda r: r.update(guest_svn=9), 2), (lambda r: r["measurement"].__setitem__(0, 1), 2),
                           (lambda r: r["reported_tcb"].update(snp=1), 2)):
        lie = copy.deepcopy(trustee)
        change(lie["attestation_report"])
        verify("--at", "2025-07-19", "--vek", leaf, write("lie.json", json.dumps(lie)), status=wanted)
    for change, path in ((lambda r: r.pop("chip_id"), "chip_id"), (lambda r: r["chip_id"].append(1), "chip_id"),
                         (lambda r: r.update(policy=-1), "policy"), (lambda r: r["host_data"].__setitem__(3, 256), "host_data"),
                         (lambda r: r["launch_tcb"].update(tee="1"), "launch_tcb: tee"), (lambda r: r.update(vmpl=1 << 32), "vmpl"),
                         (lambda r: r["signature"].pop("s"), "signature")):
        lie = copy.deepcopy(trustee)
        change(lie["attestation_report"])
        said = sentence("report", "verify", write("lie.json", json.dumps(lie)))
        tap.check(f"attestation_report: {path}" in said or f"attestation_report.{path}" in said, said)
    for text in "{", "{}", '{"report": 5}', '{"report": [1, 2]}', '{"attestation_report": []}', '{"a":1,"a":2}', "{\x00}", '{"\x1b[31m':
        tap.check("\x1b" not in sentence("report", "show", write("lie.json", text)), "a file steers the terminal")


def what_is_no_report_ends_in_a_sentence():
    sparse = at("sparse")
    with open(sparse, "wb") as f:
        f.truncate(10 << 30)
    raw = read(data("reports/milan-v3/report.bin"))
    newer, other = bytearray(raw), bytearray(raw)
    newer[0], other[0x188] = 9, 0x1C
    for verb in "verify", "show":
        for path in ("/dev/urandom", "/dev/zero", "/dev/null", write("empty", b""), FOLDER, sparse, at("nowhere"),
                     write("short", raw[:-1]), write("long", raw + b"\n"), write("text", "no report\n")):
            said = sentence("report", verb, path)
            tap.check(path in said, f"it does not name {path}: {said}")
        tap.check("version 9" in sentence("report", verb, write("newer", bytes(newer))), "the version is not named")
        tap.check(re.search("1c|28", sentence("report", verb, write("other", bytes(other))).lower()), "the family is not named")
    os.remove(sparse)
    for words in (["report"], ["report", "look"], ["report", "show"], ["report", "show", "a", "b"],
                  ["report", "verify", "--no", "a"], ["report", "verify", "--at", "soon", "a"],
                  ["report", "verify", "--kds", "http://x", "a"], ["report", "verify", "--format", "x", "a"],
                  ["report", "verify", "--vek"], ["report", "schema", "x"], ["policy"], ["policy", "explain"],
                  ["policy", "explain", FOLDER], ["certs"], ["certs", "show"], ["certs", "show", "/dev/urandom"],
                  ["certs", "fetch"], ["certs", "verify", write("empty", b"")], ["certs", "check"],
                  ["certs", "check", "/dev/null"], ["certs", "import", at("short")]):
        sentence(*words)
    for option, value in (("--vek", at("short")), ("--policy", at("short")), ("--root", data("reports/milan-v3/vcek.der")),
                          ("--crl", "/dev/urandom"), ("--chain", at("empty")), ("--nonce", at("short")), ("--nonce", "00" * 65)):
        sentence("report", "verify", option, value, data("reports/milan-v3/report.bin"))
    for command in "report", "policy", "certs":
        for words in ["--help"], ["show", "--help"] if command != "policy" else ["init", "-h"]:
            tap.check("usage: lucca " + command in run(LUCCA, command, *words), "no help")


# ---- policies ----

def good(*words, **more):
    return verify("--at", "2025-04-15", "--vek", data("reports/milan-v3/vcek.der"), data("reports/milan-v3/report.bin"),
                  *words, **more)


def drafted_policies_fit():
    for report, beside, when, status, _ in VERDICTS:
        if status not in (0, 5):
            continue
        policy, vek = at("draft.json"), data(os.path.join(os.path.dirname(report), beside))
        for words in [], ["--all"]:
            run(LUCCA, "policy", "init", *words, "--out", policy, data(report))
            check_fits(published("policy"), json.loads(read(policy)), report)
            result = verify("--at", when, "--vek", vek, "--policy", policy, data(report),
                            status=5 if "provisional" in failed_policy(policy, when, vek, report) else 0)
            tap.equal(failed(result), [], report)
    tap.equal([n for n in os.listdir(FOLDER) if n.endswith(".part")], [], "files half written")


def failed_policy(policy, when, vek, report):
    done = subprocess.run([LUCCA, "report", "verify", "--json", "--at", when, "--vek", vek, "--policy", policy,
                           data(report)], capture_output=True, check=False)
    return " ".join(failed(json.loads(done.stdout)))


def policies_decide():
    raw = read(data("reports/milan-v3/report.bin"))
    measured = raw[0x90:0xC0].hex()
    for policy, status, fails in (
            ({}, 0, []), ({"measurement": measured}, 0, []), ({"measurement": ["00" * 48, measured.upper()]}, 0, []),
            ({"measurement": "00" * 48}, 5, ["policy.measurement"]),
            ({"minimum_tcb": {"reported": {"snp": 24}}}, 0, []),
            ({"minimum_tcb": {"reported": {"snp": 25}}}, 5, ["policy.minimum_tcb.reported.snp"]),
            ({"minimum_tcb": {"reported": {"fmc": 1}}}, 5, ["policy.minimum_tcb.reported.fmc"]),
            ({"guest_policy": "0x30000", "vmpl": [0, 1], "product": "milan"}, 0, []),
            ({"product": ["genoa", "turin"], "smt": "forbidden"}, 5, ["policy.product", "policy.smt"]),
            ({"minimum_firmware": {"current": "1.56"}}, 5, ["policy.minimum_firmware.current"]),
            ({"platform": {"alias_check": "required", "tsme": "required"}}, 5, ["policy.platform.tsme"]),
            ({"crl": "required"}, 4, ["revocation.list"]),
            ({"mitigations": {"launch": 1}}, 5, ["policy.mitigations.launch"])):
        check_fits(published("policy"), policy, "policy")
        result = good("--policy", write("policy.json", json.dumps(policy)), status=status)
        tap.check(set(fails) <= set(failed(result)) and bool(fails) == bool(failed(result)), f"{policy}: {failed(result)}")
        tap.check(result["policy"].startswith("sha-256:"), "the policy is not named")
        run(LUCCA, "policy", "explain", at("policy.json"))
    tap.equal(good()["policy"], "built-in", "policy without a file")
    words = run(LUCCA, "policy", "explain", write("policy.json", '{"guest_svn": 3, "debug": "allowed"}'))
    tap.check("at least 3" in words and "is allowed" in words, words)
    tap.check("is not asked" in run(LUCCA, "policy", "explain", "--all", at("policy.json")), "--all")
    debug = ["--at", "2022-12-23", "--vek", data("reports/milan-v2-a/vcek.der"), data("reports/milan-v2-a/report.bin")]
    verify(*debug, "--policy", at("policy.json"), status=5)
    verify(*debug, "--policy", write("policy.json", '{"debug": "allowed"}'))


def wrong_policies_are_refused_with_their_path():
    for policy, path in (('{"measurment": "00"}', "measurment"), ('{"minimum_tcb": {"reported": {"spl": 1}}}', "minimum_tcb.reported.spl"),
                         ('{"minimum_tcb": {"reported": 5}}', "minimum_tcb.reported"), ('{"measurement": "00"}', "measurement"),
                         ('{"measurement": []}', "measurement"), ('{"vmpl": true}', "vmpl"), ('{"vmpl": 4}', "vmpl"),
                         ('{"guest_svn": -1}', "guest_svn"), ('{"guest_svn": [1]}', "guest_svn"), ('{"debug": "no"}', "debug"),
                         ('{"guest_svn": 1.5}', "guest_svn"), ('{"minimum_tcb.reported.snp": 1, "x": 1}', "x"),
                         ('{"guest_svn": 1, "guest_svn": 2}', "line 1"), ("[]", "object"), ("{", "line"), ('{"$schema": 1}', "$schema"),
                         ('{"platform": {"$schema": "x"}}', "platform.$schema")):
        said = sentence("policy", "explain", write("policy.json", policy))
        tap.check(path in said.replace(at("policy.json"), ""), f"{policy}: {said}")
        tap.equal(sentence("report", "verify", "--policy", at("policy.json"), data("reports/milan-v3/report.bin")), said, "verify")


def nonces_are_compared():
    raw = read(data("reports/milan-v3/report.bin"))[0x50:0x90]
    short = raw.rstrip(b"\0")
    tap.equal(len(short), 32, "bytes that the sample binds")
    for nonce in raw.hex(), short.hex().upper(), write("nonce", short), write("nonce64", raw):
        good("--nonce", nonce)
    for nonce in short.hex()[:-2], "00", write("nonce", short[:-1]):
        tap.equal(failed(good("--nonce", nonce, status=5)), ["policy.report_data"], "what fails")
    said = sentence("report", "verify", "--nonce", short.hex(), "--policy",
                    write("policy.json", json.dumps({"report_data": "11" * 64})), data("reports/milan-v3/report.bin"))
    tap.check("report_data" in said, said)


# ---- tokens ----

def opened(token, public):
    """The claims of a token that openssl finds well signed."""
    head, body, signature = token.strip().split(".")
    plain = [base64.urlsafe_b64decode(x + "=" * (-len(x) % 4)) for x in (head, body, signature)]
    tap.equal((json.loads(plain[0])["alg"], len(plain[2])), ("ES384", 96), "header and signature")
    der = b""
    for part in plain[2][:48], plain[2][48:]:
        part = part.lstrip(b"\0") or b"\0"
        part = b"\0" + part if part[0] >= 0x80 else part
        der += b"\x02" + bytes([len(part)]) + part
    write("signature", b"\x30" + bytes([len(der)]) + der)
    run("openssl", "dgst", "-sha384", "-verify", public, "-signature", at("signature"), write("signed", f"{head}.{body}"))
    return json.loads(plain[1])


def tokens_are_signed():
    key, public = at("ear.pem"), at("ear.pub")
    run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", key)
    run("openssl", "pkey", "-in", key, "-pubout", "-out", public)
    raw = read(data("reports/milan-v3/report.bin"))
    policy = write("policy.json", json.dumps({"measurement": raw[0x90:0xC0].hex()}))
    base = ["--at", "2025-04-15", "--ear", key, "--vek", data("reports/milan-v3/vcek.der"), data("reports/milan-v3/report.bin")]
    claims = opened(run(LUCCA, "report", "verify", *base, "--policy", policy, "--ear-evidence", "--nonce", raw[0x50:0x90].hex()), public)
    part = claims["submods"]["snp"]
    tap.equal((part["ear_status"], claims["eat_profile"][:18]), ("affirming", "tag:ietf.org,2026:"), "status and profile")
    tap.equal(part["ear_trustworthiness_vector"], {"instance-identity": 0, "configuration": 2, "executables": 3,
                                                   "hardware": 2, "runtime-opaque": 2}, "vector")
    tap.check(part["ear_appraisal_policy_ids"][0].startswith("sha-256:"), "policy id")
    tap.equal(base64.urlsafe_b64decode(claims["ear_raw_evidence"] + "=="), raw, "evidence")
    tap.equal(base64.urlsafe_b64decode(claims["eat_nonce"] + "=="), raw[0x50:0x90], "nonce")
    tap.equal(part["ear_attester_claims"]["measurement"], raw[0x90:0xC0].hex(), "measurement")
    claims = opened(good("--ear", key)["ear"], public)
    tap.check("ear_raw_evidence" not in claims and "eat_nonce" not in claims, "evidence without being asked")
    policy = write("policy.json", json.dumps({"measurement": "00" * 48}))
    refused = run(LUCCA, "report", "verify", *base, "--policy", policy, status=5).splitlines()
    part = opened(refused[0], public)["submods"]["snp"]
    tap.equal((part["ear_status"], part["ear_trustworthiness_vector"]["executables"]), ("contraindicated", 96), "refused")
    forged = run(LUCCA, "report", "verify", "--ear", key, "--at", "2022-07-25", "--vek", data("bad/milan-v2-c-signature/vcek.pem"),
                 data("bad/milan-v2-c-signature/report.bin"), status=2).splitlines()
    tap.equal(opened(forged[0], public)["submods"]["snp"]["ear_trustworthiness_vector"]["hardware"], 99, "forged")
    unknown = run(LUCCA, "report", "verify", "--ear", key, data("parse-only/genoa-v2/report.bin"), status=3)
    tap.equal(opened(re.search(r"^e\S+$", unknown, re.M).group(), public)["submods"]["snp"]["ear_status"], "none", "no certificates")
    run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", at("p256.pem"))
    for wrong in at("p256.pem"), public, at("nowhere"), data("reports/milan-v3/vcek.der"):
        sentence("report", "verify", *base, "--ear", wrong)


# ---- emulated chips ----

def make_chips():
    for chip in CHIPS:
        run(LUCCA, "platform", "create", chip)
        run(LUCCA, "platform", "certs", chip, "--out", at(chip), "--vlek", "CN=lab")
        run(SNP_REPORT, chip, at(chip, "report.bin"))
        run(SNP_REPORT, chip, at(chip, "vlek-report.bin"), at(chip, "vlek.bin"))


def emulated_reports_need_leave():
    for chip, product in CHIPS.items():
        base = ["--vek", at(chip, "vcek.pem"), "--chain", at(chip, "cert_chain.pem"), at(chip, "report.bin")]
        result = verify(*base, status=2)
        tap.check("chain.emulated" in failed(result) and result["emulated"], f"{chip}: {failed(result)}")
        tap.check("chain.emulated" in failed(verify(*base, "--root", at(chip, "ark.pem"), status=2)), "--root is no leave")
        result = verify(*base, "--trust-emulated")
        tap.check(result["emulated"] and "EMULATED" in result["summary"], f"{chip}: it does not say so")
        tap.equal(result["chain"]["root"]["subject"], "ARK-" + product, "root")
        check_fits(published("report"), result, chip)
        text = run(LUCCA, "report", "verify", *base, "--trust-emulated", "--root", at(chip, "ark.pem"))
        tap.check(text.count("EMULATED") > 1, "text does not say so")
        verify("--trust-emulated", "--certs", at(chip, "certs.bin"), at(chip, "report.bin"))
        verify("--trust-emulated", "--certs", at(chip, "vlek-certs.bin"), at(chip, "vlek-report.bin"))
        verify("--trust-emulated", write("extended", read(at(chip, "report.bin")) + read(at(chip, "certs.bin"))))
        verify("--certs", at(chip, "certs.bin"), at(chip, "report.bin"), status=2)
        verify("--trust-emulated", "--certs", at(chip, "vlek-certs.bin"), at(chip, "report.bin"), status=2)
        token = run(LUCCA, "report", "verify", *base, "--trust-emulated", "--ear", at("ear.pem")).split("\n")[0]
        part = opened(token, at("ear.pub"))["submods"]["snp"]
        tap.equal((part["ear_status"], part["ear_verifier_claims"]["emulated"]), ("contraindicated", True), "token")
    verify("--trust-emulated", "--root", at("genoa", "ark.pem"), "--certs", at("milan", "certs.bin"), at("milan", "report.bin"), status=2)


# ---- key services ----

@contextlib.contextmanager
def kds(vlek=None):
    words = [LUCCA, "kds", "serve", "--listen", "127.0.0.1:0"] + (["--vlek", vlek] if vlek else [])
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as p:
        try:
            yield re.search(r"http://\S+", p.stdout.readline()).group().rstrip("/.,")
        finally:
            p.terminate()


def fetched_once_verified_ever():
    with kds() as url:
        for chip in CHIPS:
            report = at(chip, "report.bin")
            result = verify("--trust-emulated", report, status=3)
            tap.equal(failed(result), ["chain.certificates"], "without certificates")
            verify("--fetch", "--kds", url, report, status=2)
            result = verify("--trust-emulated", "--fetch", "--kds", url, report)
            tap.check(result["chain"]["revocation_list"], "the list was not fetched")
    for chip, product in CHIPS.items():
        raw = read(at(chip, "report.bin"))
        chip_id = raw[0x1A0:0x1A8 if chip == "turin" else 0x1E0].hex()
        path = at("cache/lucca/certs/emulated", product, chip_id, raw[0x180:0x188].hex() + ".der")
        tap.check(os.path.exists(path), f"the store lacks {path}")
        result = verify("--trust-emulated", "--policy", write("policy.json", '{"crl": "required"}'), at(chip, "report.bin"))
        tap.check(result["emulated"], "it does not say so")
        verify(at(chip, "report.bin"), status=2)
    tap.equal([n for n in everything(at("cache")) if not n.endswith((".der", ".crl"))], [], "half written")
    run("cp", "-r", at("cache/lucca/certs"), at("carried"))
    verify("--trust-emulated", "--cache", at("carried"), at("genoa", "report.bin"))
    verify("--trust-emulated", "--cache", at("empty-store"), at("genoa", "report.bin"), status=3)
    tap.check(not os.path.exists(at("empty-store")), "verifying made a store")


def several_fetch_at_once():
    with kds() as url:
        words = [LUCCA, "report", "verify", "--trust-emulated", "--fetch", "--kds", url, "--cache", at("shared"),
                 at("turin", "report.bin")]
        all_of_them = [subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(6)]
        said = [(p.communicate()[1], p.returncode) for p in all_of_them]
    tap.equal(said, [("", 0)] * 6, "what they say")
    verify("--trust-emulated", "--cache", at("shared"), at("turin", "report.bin"))


def certs_fetch_fills_a_store():
    with kds() as url:
        words = ["certs", "fetch", "--kds", url, "--cache", at("store")]
        said = json.loads(run(LUCCA, *words, "--json", at("genoa", "report.bin"), at("turin", "report.bin")))
        tap.equal({c["kind"] for c in said["certificates"]}, {"VCEK", "ASK", "ARK"}, "kinds")
        tap.equal(len(said["revocation_lists"]), 2, "lists")
        raw = read(at("milan", "report.bin"))
        run(LUCCA, *words, "--product", "milan", "--chip-id", raw[0x1A0:0x1E0].hex(), "--tcb", raw[0x180:0x188].hex())
        run(LUCCA, *words, "--product", "genoa")
        for chip in CHIPS:
            verify("--trust-emulated", "--cache", at("store"), at(chip, "report.bin"))
        tap.check("ASVK" in run(LUCCA, "certs", "show", *everything(at("store"))), "the chain of VLEKs")
        said = sentence(*words, "--product", "genoa", "--chip-id", "00" * 63 + "01", "--tcb", "00" * 8, status=3)
        tap.check("status 404" in said, said)
        sentence(*words, "--chip-id", "12", "--tcb", "00" * 8)
        sentence(*words, at("nowhere"))


def everything(folder):
    return [os.path.join(where, name) for where, _, names in os.walk(folder) for name in names]


class Busy(http.server.BaseHTTPRequestHandler):
    """Too many requests, as often as `times` says; then what `body` says."""
    times, body, header, asked = 0, b"", {}, []

    def do_GET(self):  # pylint: disable=invalid-name
        cls = type(self)
        cls.asked.append(self.path)
        busy = cls.times > 0
        cls.times -= busy
        self.send_response(429 if busy else 200)
        for name, value in (cls.header if busy else {}).items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(b"" if busy else cls.body() if callable(cls.body) else cls.body)

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


@contextlib.contextmanager
def busy(times, body, **header):
    Busy.times, Busy.body, Busy.asked = times, body, []
    Busy.header = {k.replace("_", "-"): v for k, v in header.items()}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def busy_services_are_waited_for():
    report, vcek = data("reports/milan-v2-b/report.bin"), read(data("reports/milan-v2-b/vcek.der"))
    words = ["--cache", at("busy"), "--at", "2023-07-02", "--fetch"]

    for header in {"Retry_After": "1"}, {}:
        shutil.rmtree(at("busy"), ignore_errors=True)
        with busy(1, vcek, **header) as url:
            done = subprocess.run([LUCCA, "report", "verify", *words, "--kds", url, report], capture_output=True, text=True,
                                  check=False)
            # That this service has neither chain nor list is said, and does no harm.
            tap.check("another certificate or list" in done.stderr, done.stderr)
            tap.check("asking again in 1 s" in done.stderr, done.stderr)
            tap.check(Busy.asked[0] == Busy.asked[1] and "/vcek/v1/Milan/" in Busy.asked[0], str(Busy.asked))
        tap.equal(done.returncode, 0, done.stdout[-300:])
    verify(*words[:-1], report)
    shutil.rmtree(at("busy"))
    with busy(99, vcek, Retry_After="100") as url:
        said = run(LUCCA, "report", "verify", *words, "--patience", "5", "--kds", url, report, status=3)
        tap.check("100 s" in said and "--patience is 5 s" in said, said)
        tap.equal(len(Busy.asked), 1, "requests")
        sentence("certs", "fetch", "--patience", "5", "--cache", at("busy"), "--kds", url, report, status=3)
    with busy(99, vcek) as url:
        said = run(LUCCA, "certs", "fetch", "--patience", "3", "--cache", at("busy"), "--kds", url, report, status=3)
        tap.equal((said.count("asking again in 1 s"), said.count("asking again in 2 s"), len(Busy.asked)), (1, 1, 3), "backoff")


def services_are_not_believed():
    report = data("reports/milan-v2-b/report.bin")
    other = read(data("reports/milan-v3/vcek.der"))
    for body, why in ((b"", "no certificate"), (b"<html>", "no certificate"), (other, "no VCEK of this chip"),
                      (read(data("bad/rogue-leaf/vcek.pem")), "no VCEK of this chip"), (bytes(2 << 20), "")):
        with busy(0, body) as url:
            said = sentence("certs", "fetch", "--cache", at("lies"), "--kds", url, report, status=3)
            tap.check(why in said, said)
        tap.check(not os.path.exists(at("lies")), "what is not wanted is kept")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{s.getsockname()[1]}"
    said = sentence("certs", "fetch", "--cache", at("lies"), "--kds", url, report, status=3)
    tap.check("connect" in said and url in said, said)
    for url in "ftp://127.0.0.1", "file:///etc/passwd", "127.0.0.1":
        tap.check("http" in sentence("certs", "fetch", "--kds", url, report, status=3), url)
    run(LUCCA, "report", "verify", "--fetch", "--kds", "http://127.0.0.1:9", "--cache", at("lies"), report, status=3)


# ---- the store ----

def certificates_are_shown_and_imported():
    store = at("imported")
    said = run(LUCCA, "certs", "import", "--cache", store, data("reports/milan-v3/vcek.der"), data("reports/milan-v3-vlek/vlek.der"),
               data("reports/genoa-v3/vcek.pem"), data("crl/milan-3-2022.crl"), SOURCE + "/src/attest/roots/milan_ask.pem")
    tap.equal([os.path.exists(p) for p in said.split("\n")[:-1]], [True] * 5, "files imported")
    verify("--cache", store, "--at", "2025-04-15", data("reports/milan-v3/report.bin"))
    verify("--cache", store, "--at", "2025-06-01", data("reports/milan-v3-vlek/report.bin"))
    verify("--cache", store, "--at", "2025-07-19", data("reports/genoa-v3/report.bin"))
    stale = verify("--cache", store, "--at", "2025-04-15", "--policy", write("policy.json", '{"crl": "required"}'),
                   data("reports/milan-v3/report.bin"), status=4)
    tap.equal(failed(stale), ["revocation.freshness", "policy.crl"], "a stale list")
    shown = json.loads(run(LUCCA, "certs", "show", "--json", data("reports/milan-v3-vlek/vlek.der"), data("crl/genoa-2-2022.crl")))
    tap.equal((shown[0]["certificates"][0]["kind"], shown[1]["revocation_lists"][0]["revoked"]), ("VLEK", 1), "shown")
    sentence("certs", "import", "--cache", store, data("bad/rogue-leaf/vcek.pem"))
    vcek = os.path.join(store, "Milan", read(data("reports/milan-v3/report.bin"))[0x1A0:0x1E0].hex(), "04000000000018db.der")
    with open(vcek, "wb") as f:
        f.write(read(data("bad/wrong-vcek/vcek.der")))
    verify("--cache", store, "--at", "2025-04-15", data("reports/milan-v3/report.bin"), status=2)
    with open(vcek, "wb") as f:
        f.write(b"rubbish")
    tap.check(vcek in sentence("report", "verify", "--cache", store, data("reports/milan-v3/report.bin"), status=3), "the file")


def revocation_decides():
    report = ["--at", "2023-04-24", "--vek", data("reports/milan-v2-azure-cvm/vcek.der"), data("reports/milan-v2-azure-cvm/report.bin")]
    required = ["--policy", write("policy.json", '{"crl": "required"}')]
    result = verify(*report, *required, "--crl", data("crl/milan-3-2022.crl"))
    tap.equal(result["chain"]["revocation_list"]["issuer"], "ARK-Milan", "list")
    verify(*report, *required, status=4)
    verify(*report, "--crl", data("crl/genoa-2-2022.crl"), status=4)
    later = ["--at", "2025-04-15", "--vek", data("reports/milan-v3/vcek.der"), data("reports/milan-v3/report.bin")]
    tap.equal(failed(verify(*later, "--crl", data("crl/milan-3-2022.crl"), status=4)), ["revocation.freshness"], "stale")


def fleets_are_checked():
    store, lines = at("fleet-store"), []
    run(LUCCA, "certs", "import", "--cache", store, data("reports/milan-v3/vcek.der"), data("reports/milan-v2-b/vcek.der"),
        data("crl/milan-3-2022.crl"))
    for name, report in ("new", "milan-v3"), ("old", "milan-v2-b"), ("lost", "milan-v3-b"):
        raw = read(data(f"reports/{report}/report.bin"))
        lines.append(f"milan {raw[0x1A0:0x1E0].hex()} {raw[0x180:0x188].hex()} {name}")
    check = ["certs", "check", "--cache", store, "--at", "2023-05-01"]

    def checked(some, status, *words):
        listed = write("fleet", "# a fleet\n\n" + "\n".join(some) + "\n")
        return json.loads(run(LUCCA, *check, "--json", *words, listed, status=status))
    said = checked(lines, 3)
    tap.equal([(c["name"], c["missing"], c["behind"]) for c in said["chips"]],
              [("new", False, False), ("old", False, True), ("lost", True, False)], "chips")
    tap.check("snp 8 of 24" in said["chips"][1]["behind_in"], "what is behind")
    checked(lines[:1], 4)
    checked(lines[:1], 0, "--within", "5")
    checked(lines[:2], 5, "--within", "5")
    checked(lines[:2], 3, "--within", "4000")
    policy = write("policy.json", '{"minimum_tcb": {"reported": {"snp": 8}}}')
    checked(lines[:2], 0, "--within", "5", "--policy", policy)
    text = run(LUCCA, *check, write("fleet", "\n".join(lines)), status=3)
    tap.check("BEHIND" in text and "no certificate" in text and "EXPIRES" in text, text)
    metrics = run(LUCCA, *check, "--prometheus", at("fleet"), status=3)
    for line in metrics.strip().split("\n"):
        tap.check(re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+\{(\w+="[^"\\]*",?)+\} \d+', line), line)
    tap.check('lucca_tcb_behind{chip="old",product="Milan"} 1' in metrics, metrics)
    for wrong in "milan", "rome 00 00", "milan 00 00", lines[0] + " a b", lines[0][:-6] + "0", "turin 0011223344556677 00":
        tap.check("line 2" in sentence(*check, write("fleet", "\n" + wrong)), wrong)


tap.run([("published schemas are those that are printed", schemas_are_published),
         ("every file gets its verdict", every_file_gets_its_verdict),
         ("an altered certificate is refused", altered_certificate_is_refused),
         ("fields are those of the bytes", fields_are_those_of_the_bytes),
         ("every wrapping is opened", every_wrapping_is_opened),
         ("evidence that lies is refused", evidence_that_lies_is_refused),
         ("what is no report ends in a sentence", what_is_no_report_ends_in_a_sentence),
         ("drafted policies fit their report", drafted_policies_fit),
         ("policies decide", policies_decide),
         ("wrong policies are refused with their path", wrong_policies_are_refused_with_their_path),
         ("nonces are compared", nonces_are_compared),
         ("tokens are signed", tokens_are_signed),
         ("chips, chains and reports", make_chips),
         ("emulated reports need leave", emulated_reports_need_leave),
         ("fetched once, verified ever", fetched_once_verified_ever),
         ("several fetch at once", several_fetch_at_once),
         ("certs fetch fills a store", certs_fetch_fills_a_store),
         ("busy services are waited for", busy_services_are_waited_for),
         ("services are not believed", services_are_not_believed),
         ("certificates are shown and imported", certificates_are_shown_and_imported),
         ("revocation decides", revocation_decides),
         ("fleets are checked", fleets_are_checked)])
