"""Certificates of emulated chips, from files and over HTTP, against reports: nothing judges but openssl.

test_kds.py LUCCA FOLDER SNP_REPORT
"""
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import urllib.error
import urllib.request
import uuid

import tap

LUCCA, FOLDER, SNP_REPORT = sys.argv[1:4]
FOLDER += "/kds"
VERIFY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "verify_report.sh")
CHIPS = {"milan": "Milan", "genoa": "Genoa", "turin": "Turin"}
PARTS = {"milan": {"blSPL": 4, "teeSPL": 0, "snpSPL": 24, "ucodeSPL": 219},
         "genoa": {"blSPL": 10, "teeSPL": 0, "snpSPL": 23, "ucodeSPL": 84},
         "turin": {"fmcSPL": 1, "blSPL": 1, "teeSPL": 1, "snpSPL": 4, "ucodeSPL": 81}}

shutil.rmtree(FOLDER, ignore_errors=True)
os.makedirs(FOLDER)
os.environ["XDG_DATA_HOME"] = FOLDER


def run(*words, status=0):
    """What it prints; where it shall fail, what it complains of."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    tap.check(done.returncode == status,
              f"{' '.join(words)}: status {done.returncode}, {done.stderr.strip()}")
    return done.stderr if status else done.stdout


def at(*names):
    return os.path.join(FOLDER, *names)


def verify(chip, report, leaf="vcek.pem", by="ask.pem", status=0):
    return run(VERIFY, report, at(chip, "ark.pem"), at(chip, by), leaf if "/" in leaf else at(chip, leaf),
               status=status)


def genuine_reports_verify():
    """The judge itself: what AMD's chips and AMD's roots say."""
    here = os.path.join(os.path.dirname(VERIFY), "..", "..")
    for name in "milan-v2-b", "milan-v3", "genoa-v3-azure-aci", "milan-v2-c":
        root = [f"{here}/src/attest/roots/{name.split('-', 1)[0]}_{key}.pem" for key in ("ark", "ask")]
        folder = f"{here}/tests/data/attestation/reports/{name}"
        leaf = f"{folder}/vcek.pem"
        if not os.path.exists(leaf):
            leaf = at("vcek.pem")
            run("openssl", "x509", "-inform", "DER", "-in", f"{folder}/vcek.der", "-out", leaf)
        run(VERIFY, f"{folder}/report.bin", *root, leaf)
    bad = f"{here}/tests/data/attestation/bad/milan-v2-c-signature"
    run(VERIFY, f"{bad}/report.bin", f"{here}/src/attest/roots/milan_ark.pem",
        f"{here}/src/attest/roots/milan_ask.pem", f"{bad}/vcek.pem", status=1)


def make_chips():
    """Three chips, their chains, a report of each."""
    for chip in CHIPS:
        run(LUCCA, "platform", "create", chip)
        said = json.loads(run(LUCCA, "platform", "certs", chip, "--out", at(chip), "--vlek", "CN=lab",
                              "--json"))
        tap.check(said["emulated"], "the output does not say that this is emulated")
        tap.equal(set(said["files"]), set(os.listdir(at(chip))), "files listed and there")
        run(SNP_REPORT, chip, at(chip, "report.bin"))
        run(SNP_REPORT, chip, at(chip, "vlek-report.bin"), at(chip, "vlek.bin"))


def reports_verify():
    for chip, version in {"milan": 2, "genoa": 3, "turin": 5}.items():
        tap.check(f"version {version}," in verify(chip, at(chip, "report.bin")), "not that version")


def vlek_reports_verify():
    for chip in CHIPS:
        verify(chip, at(chip, "vlek-report.bin"), "vlek.pem", "asvk.pem")


def what_does_not_fit_is_refused():
    verify("genoa", at("genoa", "report.bin"), "vlek.pem", "asvk.pem", status=1)
    verify("genoa", at("genoa", "vlek-report.bin"), status=1)
    verify("genoa", at("milan", "report.bin"), status=1)
    with open(at("genoa", "report.bin"), "rb") as f:
        report = bytearray(f.read())
    for where in 0x50, 0x90, 0x180, 0x1A0, 0x29F, 0x2A0:
        report[where] ^= 1
        with open(at("altered.bin"), "wb") as f:
            f.write(report)
        report[where] ^= 1
        tap.check("signature" in verify("genoa", at("altered.bin"), status=1), "refused for what else?")


def another_tcb_is_another_key():
    run(LUCCA, "platform", "certs", "genoa", "--tcb", "snpSPL=22", "--out", at("older"))
    tap.check("signature" in verify("genoa", at("genoa", "report.bin"), at("older", "vcek.pem"), status=1),
              "the VCEK of another TCB verifies")


def every_name_says_emulated():
    for chip in CHIPS:
        for cert in ["ark", "ask", "asvk", "vcek", "vlek"]:
            text = run("openssl", "x509", "-in", at(chip, cert + ".pem"), "-noout", "-subject", "-issuer")
            tap.equal(text.count("serialNumber = EMULATED"), 2, f"{chip}, {cert}: names with EMULATED")


def nothing_is_revoked():
    for chip in CHIPS:
        run("openssl", "crl", "-inform", "DER", "-in", at(chip, "crl.der"), "-out", at(chip, "crl.pem"))
        for cert in "ask.pem", "asvk.pem":
            run("openssl", "verify", "-crl_check", "-CRLfile", at(chip, "crl.pem"), "-CAfile",
                at(chip, "ark.pem"), at(chip, cert))


def tables_hold_the_certificates():
    """As guests with extended reports get them: GUIDs in text order, offsets from the beginning."""
    vcek, vlek, ask, ark = [uuid.UUID(g).bytes for g in (
        "63da758d-e664-4564-adc5-f4b93be8accd", "a8074bc2-a25a-483e-aae6-39c045a0b8a1",
        "4ab7b379-bbac-4fe4-a02f-05aef327c782", "c0b406a4-a803-4952-9743-3fb6014cd0ae")]
    for chip in CHIPS:
        for name, wanted in {"certs.bin": {vcek: "vcek", ask: "ask", ark: "ark"},
                             "vlek-certs.bin": {vlek: "vlek", ask: "asvk", ark: "ark"}}.items():
            with open(at(chip, name), "rb") as f:
                table = f.read()
            for i, (guid, cert) in enumerate(wanted.items()):
                found, start, length = struct.unpack_from("<16sII", table, 24 * i)
                with open(at("der"), "wb") as f:
                    f.write(table[start:start + length])
                tap.equal(found, guid, f"{name}: GUID of {cert}")
                tap.equal(run("openssl", "x509", "-inform", "DER", "-in", at("der")),
                          run("openssl", "x509", "-in", at(chip, cert + ".pem")), f"{name}: {cert}")
            tap.equal(table[72:96], bytes(24), "the table's end")
            tap.equal(start + length, len(table), "where the last one ends")


def to_standard_output():
    text = run(LUCCA, "platform", "certs", "turin")
    tap.equal(text.count("BEGIN CERTIFICATE"), 3, "VCEK, ASK and ARK")


def misuse_is_one_sentence():
    for words in [["platform", "certs"], ["platform", "certs", "nobody"],
                  ["platform", "certs", "genoa", "--tcb", "fmcSPL=1"],
                  ["platform", "certs", "genoa", "--tcb", "blSPL=256"],
                  ["platform", "certs", "genoa", "--tcb", "blSPL"], ["platform", "certs", "genoa", "--vlek", "x"],
                  ["platform", "show", "genoa", "--tcb", "blSPL=1"], ["kds"], ["kds", "run"],
                  ["kds", "serve", "--listen", "8080"], ["kds", "serve", "--listen", "localhost:80"],
                  ["kds", "serve", "--listen", "127.0.0.1:70000"]]:
        tap.equal(run(LUCCA, *words, status=1).count("\n"), 1, f"lines for {' '.join(words)}")
    run(LUCCA, "platform", "create", "rome")
    tap.check("no SEV-SNP" in run(LUCCA, "platform", "certs", "rome", status=1), "why not?")


# ---- the service ----

class Service:
    def __init__(self, *options):
        self.process = subprocess.Popen([LUCCA, "kds", "serve", "--listen", "127.0.0.1:0", *options],
                                        stdout=subprocess.PIPE, text=True)
        self.base = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n",
                                 self.process.stdout.readline())[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        tap.equal(self.process.wait(10), 0, "exit status after SIGTERM")

    def get(self, path, method="GET"):
        """(status, type, body)"""
        request = urllib.request.Request(self.base + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as r:
                return r.status, r.headers["Content-Type"], r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers["Content-Type"], e.read()


def hwid(chip):
    return json.loads(run(LUCCA, "platform", "show", chip, "--json"))["snp"]["chip_id"]


def query(chip, **changes):
    return "&".join(f"{k}={v:02}" for k, v in {**PARTS[chip], **changes}.items())


def the_service_has_the_same():
    with Service("--vlek", "CN=lab") as kds:
        for chip, product in CHIPS.items():
            os.makedirs(at(chip, "fetched"), exist_ok=True)
            for key in "vcek", "vlek":
                status, kind, chain = kds.get(f"/{key}/v1/{product}/cert_chain")
                tap.equal((status, kind), (200, "application/x-pem-file"), "cert_chain")
                issuer, ark = re.findall(rb"-----BEGIN.*?END CERTIFICATE-----\n", chain, re.S)
                path = f"/vcek/v1/{product}/{hwid(chip)}" if key == "vcek" else f"/vlek/v1/{product}/cert"
                status, kind, leaf = kds.get(f"{path}?{query(chip)}")
                tap.equal((status, kind), (200, "application/pkix-cert"), path)
                for name, data in {"ark": ark, "issuer": issuer}.items():
                    with open(at(chip, "fetched", name), "wb") as f:
                        f.write(data)
                with open(at(chip, "fetched", "leaf.der"), "wb") as f:
                    f.write(leaf)
                run("openssl", "x509", "-inform", "DER", "-in", at(chip, "fetched", "leaf.der"), "-out",
                    at(chip, "fetched", "leaf"))
                report = "report.bin" if key == "vcek" else "vlek-report.bin"
                run(VERIFY, at(chip, report), *[at(chip, "fetched", n) for n in ("ark", "issuer", "leaf")])
                status, kind, crl = kds.get(f"/{key}/v1/{product}/crl")
                tap.equal((status, kind), (200, "application/pkix-crl"), "crl")
                with open(at(chip, "fetched", "crl.der"), "wb") as f:
                    f.write(crl)
                tap.check("ARK-" + product in run("openssl", "crl", "-inform", "DER", "-in", at(
                    chip, "fetched", "crl.der"), "-noout", "-issuer"), "whose list?")


def the_service_refuses():
    genoa, turin = hwid("genoa"), hwid("turin")
    other = ("0" if genoa[0] != "0" else "1") + genoa[1:]
    with Service() as kds:
        for path, want in {
                "/": 404, "/vcek/v2/Genoa/crl": 404, "/vcek/v1/Rome/cert_chain": 404, "/vcek/v1/Genoa": 404,
                "/vcek/v1/genoa/crl": 404, "/vcek/v1/Genoa/": 404, "/vcek/v1/Genoa/../Milan/crl": 404,
                f"/vcek/v1/Genoa/{other}?{query('genoa')}": 404,
                f"/vcek/v1/Genoa/{genoa[:127]}?{query('genoa')}": 404,
                f"/vcek/v1/Genoa/{genoa}0?{query('genoa')}": 404,
                f"/vcek/v1/Milan/{genoa}?{query('milan')}": 404,
                f"/vcek/v1/Turin/{genoa}?{query('turin')}": 404,
                f"/vcek/v1/Genoa/{genoa}": 400, f"/vcek/v1/Genoa/{genoa}?blSPL=10": 400,
                f"/vcek/v1/Genoa/{genoa}?{query('turin')}": 400,
                f"/vcek/v1/Turin/{turin}?{query('genoa')}": 400,
                f"/vcek/v1/Genoa/{genoa}?{query('genoa')}&blSPL=10": 400,
                f"/vcek/v1/Genoa/{genoa}?{query('genoa', blSPL=256)}": 400,
                f"/vcek/v1/Genoa/{genoa}?{query('genoa', blSPL=-1)}": 400,
                f"/vcek/v1/Genoa/{genoa}?{query('genoa')}&{'&'.join('x' * 20)}": 400,
                f"/vlek/v1/Genoa/cert?{query('genoa')}": 403, f"/vlek/v1/Genoa/{genoa}": 404}.items():
            status, kind, body = kds.get(path)
            tap.equal((status, kind.split(";")[0], body.count(b"\n")), (want, "text/plain", 1), path)
        tap.equal(kds.get("/vcek/v1/Genoa/crl", "POST")[0], 405, "POST")
        status, _, body = kds.get("/vcek/v1/Genoa/crl", "HEAD")
        tap.equal((status, body), (200, b""), "HEAD")


tap.run([("openssl alone verifies AMD's own reports", genuine_reports_verify),
         ("chips, chains and reports", make_chips),
         ("openssl alone verifies reports of each chip", reports_verify),
         ("and those signed by a VLEK", vlek_reports_verify),
         ("what does not fit is refused", what_does_not_fit_is_refused),
         ("another TCB is another key", another_tcb_is_another_key),
         ("every name says EMULATED", every_name_says_emulated),
         ("nothing is revoked", nothing_is_revoked),
         ("tables for extended reports", tables_hold_the_certificates),
         ("a chain on standard output", to_standard_output),
         ("misuse is answered in one sentence", misuse_is_one_sentence),
         ("the key service has the same certificates", the_service_has_the_same),
         ("the key service says what it refuses", the_service_refuses)])
