#!/usr/bin/env python3
"""The owner's view of a launch: the measurement is the one that an independent computation gives for
what the guest was started with; a sealed secret arrives; a bit off, and it is refused.

test_launch.py LUCCA FOLDER PROBE PROBE32
"""
import base64
import re
import struct
import subprocess
import sys
import tempfile

import guests
import tap
from machine import Machine
from owner import CERT_BYTES, Owner

LUCCA, PROBE, PROBE32 = sys.argv[1], sys.argv[3], sys.argv[4]
CBIT = {"naples": 47, "rome": 47, "milan": 51, "genoa": 51, "turin": 51}
SECRET_AT = 0x800000
REGION = re.compile(r"^sev: launch region +([0-9a-f]+) \.\. +([0-9a-f]+) (.*)$", re.M)


class Platform:
    """A chip of the test's own."""

    def __init__(self, folder, chip):
        self.name, self.chip = f"{folder}/chip", chip
        lucca = lambda *args: subprocess.run([LUCCA, "platform", *args], check=True,
                                             stdout=subprocess.DEVNULL)
        lucca("create", chip, self.name)
        lucca("show", self.name, "--export", f"{folder}/export")
        with open(f"{folder}/export/pdh.cert", "rb") as f:
            self.pdh = f.read()
        tap.equal(len(self.pdh), CERT_BYTES, "bytes of the PDH certificate")

    def options(self):
        return ["--chip", self.chip, "--platform", self.name]


def paused(platform, owner, guest, *more):
    """The guest, launched and measured; it waits for its owner."""
    return Machine(LUCCA, ["--sev", "sev", "--paused", *platform.options(), *owner.options(), *guest,
                           *more])


def measurement(machine):
    data = base64.b64decode(machine.qmp("query-sev-launch-measure")["data"])
    tap.equal(len(data), 48, "bytes of the measurement")
    return data[:32], data[32:]


def core_memory(path):
    """The physical memory of an ELF core, as read(address, length)."""
    with open(path, "rb") as f:
        core = f.read()
    offset, = struct.unpack_from("<Q", core, 32)
    size, count = struct.unpack_from("<HH", core, 54)
    loads = []
    for i in range(count):
        kind, _, at, _, paddr, filesz = struct.unpack_from("<IIQQQQ", core, offset + i * size)
        if kind == 1:
            loads.append((paddr, filesz, at))

    def read(address, length):
        for paddr, filesz, at in loads:
            if paddr <= address and address + length <= paddr + filesz:
                return core[at + address - paddr:at + address - paddr + length]
        raise RuntimeError(f"the core has no memory at {address:#x}")
    return read


def with_cbit(tables, cbit):
    """Page tables of the loader: under SEV what they map is private."""
    entries = struct.unpack(f"<{len(tables) // 8}Q", tables)
    return struct.pack(f"<{len(entries)}Q", *(e | 1 << cbit if e & 0x81 == 0x81 else e for e in entries))


def started_with(folder, platform, guest, regions):
    """What the loader puts into the regions: read from a guest without SEV, before it runs."""
    core = f"{folder}/core"
    with Machine(LUCCA, ["--sev", "off", "--paused", "--chip", platform.chip, *guest]) as m:
        m.qmp("dump-guest-memory", paging=False, protocol=f"file:{core}")
        m.qmp("quit")
        m.wait(60)
    read = core_memory(core)
    pieces = {}
    for first, last, what in regions:
        data = read(int(first, 16), int(last, 16) + 1 - int(first, 16))
        pieces[int(first, 16), what] = with_cbit(data, CBIT[platform.chip]) if what == "page tables" else data
    return pieces


def measured(folder, platform, owner, guest, contains):
    """The heart of it: the chip's measurement against the owner's own."""
    with paused(platform, owner, guest, "--trace", "sev") as m:
        measure, mnonce = measurement(m)
        info, status = m.qmp("query-sev"), m.qmp("query-status")
        capabilities = m.qmp("query-sev-capabilities")
        m.qmp("quit")
        m.wait(60)
        regions = REGION.findall(m.stderr())
    tap.check(regions, "the trace names no regions")
    tap.equal(status["running"], False, "the guest runs")
    tap.equal(info["policy"], owner.policy, "query-sev's policy")
    tap.equal(base64.b64decode(capabilities["pdh"]), platform.pdh, "the PDH of query-sev-capabilities")
    tap.equal(capabilities["cbitpos"], CBIT[platform.chip], "the C-bit of query-sev-capabilities")
    pieces = started_with(folder, platform, guest, regions)
    for what, data in contains:
        found = b"".join(piece for (_, name), piece in pieces.items() if name == what)
        tap.check(data in found, f"the {what} region has not what it is made from")
    wanted = owner.measure((info["api-major"], info["api-minor"]), info["build-id"],
                           b"".join(pieces.values()), mnonce)
    tap.equal(measure.hex(), wanted.hex(), "the measurement")
    return measure, pieces


def probe_guest(folder):
    """A multiboot guest with a module, and what of it must be found in its regions."""
    with open(f"{folder}/module", "wb") as f:
        f.write(b"a module of the guest" * 1000)
    with open(PROBE32, "rb") as f:
        image = f.read()
    offset, vaddr, _, filesz = struct.unpack_from("<IIII", image, struct.unpack_from("<I", image, 28)[0] + 4)
    tap.equal(vaddr, 0x100000, "where the probe is linked")
    return (["--memory", "16M", "--kernel", PROBE32, "--initrd", f"{folder}/module", "--append", "hello"],
            [("kernel", image[offset:offset + filesz]), ("module", b"a module of the guest" * 1000),
             ("command line", b" hello\0")])


def small(chip, policy):
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        platform = Platform(folder, chip)
        guest, contains = probe_guest(folder)
        owner = Owner(folder, platform.pdh, policy)
        first, pieces = measured(folder, platform, owner, guest, contains)
        # Another command line is another guest, and the owner would notice.
        guest[-1] = "hello!"
        second, others = measured(folder, platform, owner, guest, contains[:2])
        tap.check(pieces != others and first != second, "nothing changed")


def debian():
    """A stock kernel with its initrd, in 64-bit mode from the start."""
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        platform = Platform(folder, "genoa")
        kernel = f"{guests.tool('kernel', '6.1-cloud')}/vmlinuz"
        initrd = guests.initrd(folder, "6.1-cloud", guests.SHELL)
        with open(kernel, "rb") as f:
            image = f.read()
        with open(initrd, "rb") as f:
            archive = f.read()
        measured(folder, platform, Owner(folder, platform.pdh, 1),
                 ["--memory", "128M", "--kernel", kernel, "--initrd", initrd, "--append", "console=ttyS0"],
                 [("kernel", image[(image[0x1F1] + 1) * 512:]), ("initrd", archive),
                  ("command line", b"console=ttyS0\0")])


def flipped(data, bit):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def inject(machine, header, sealed):
    machine.qmp("sev-inject-launch-secret", packet_header=base64.b64encode(header).decode(),
                secret=base64.b64encode(sealed).decode(), gpa=SECRET_AT)


def refusal(machine, header, sealed):
    try:
        inject(machine, header, sealed)
    except RuntimeError as e:
        return str(e)
    raise RuntimeError("a packet that is not the owner's was taken")


def secret():
    sentence = b"the disk's key is correct horse battery staple"
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        platform = Platform(folder, "genoa")
        owner = Owner(folder, platform.pdh, 1)
        guest = ["--memory", "16M", "--kernel", PROBE, "--append", f"secret {SECRET_AT:#x} {len(sentence)}"]
        with paused(platform, owner, guest) as m:
            measure, _ = measurement(m)
            header, sealed = owner.seal(sentence.ljust(64, b"\0"), measure)
            for what, bad in (("IV", (flipped(header, 8 * 4), sealed)),
                              ("MAC", (flipped(header, 8 * 0x14 + 255), sealed)),
                              ("ciphertext", (header, flipped(sealed, 3))),
                              ("ciphertext's end", (header, flipped(sealed, 8 * 63))),
                              ("length", (header, sealed[:48])),
                              ("measurement", owner.seal(bytes(64), flipped(measure, 0)))):
                why = refusal(m, *bad)
                tap.check("LAUNCH_SECRET with BAD_MEASUREMENT (0x0b)" in why, f"a wrong {what}: {why}")
            # The lowest bit of the flags says "compressed", which no firmware has.
            why = refusal(m, flipped(header, 0), sealed)
            tap.check("LAUNCH_SECRET with UNSUPPORTED (0x15)" in why, f"wrong flags: {why}")
            inject(m, header, sealed)
            tap.equal(measurement(m)[0], measure, "the measurement after the secret")
            m.qmp("cont")
            found = m.expect(r"secret=([0-9 ]*)\n", timeout=60, regex=True).group(1)
            tap.equal(bytes(int(n) for n in found.split()), sentence, "the secret in the guest")
            tap.equal(m.wait(60), 0, "exit status")


def late_secret():
    """Once it runs, a guest takes no more secrets."""
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        platform = Platform(folder, "genoa")
        owner = Owner(folder, platform.pdh, 1)
        with paused(platform, owner, ["--memory", "16M", "--kernel", PROBE, "--append", "wait"]) as m:
            measure, _ = measurement(m)
            m.qmp("cont")
            m.expect("waiting\n")
            why = refusal(m, *owner.seal(bytes(16), measure))
            tap.check("before the guest starts" in why, f"a late secret: {why}")


def refused(what, platform, owner, why, *options):
    """No guest, one sentence, status 1."""
    done = subprocess.run([LUCCA, "run", "--sev", "sev", "--memory", "16M", "--kernel", PROBE,
                           *platform.options(), *owner.options(), *options], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False)
    tap.equal((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1),
              f"status, output and sentences with {what} ({done.stderr})")
    tap.check(why in done.stderr, f"{what}: {done.stderr}")


def wrong_session(what, change, why):
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        platform = Platform(folder, "genoa")
        owner = Owner(folder, platform.pdh, 1)
        with open(owner.session_file, "rb") as f:
            session = f.read()
        with open(owner.session_file, "wb") as f:
            f.write(change(session))
        refused(f"a wrong {what}", platform, owner, why)


def wrong_policy():
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        platform = Platform(folder, "genoa")
        for what, policy in (("a reserved bit", 0x41), ("firmware from the future", 0x00FF0001)):
            refused(what, platform, Owner(folder, platform.pdh, policy), "POLICY_FAILURE (0x07)")
        refused("a policy that the owner did not sign", platform, Owner(folder, platform.pdh, 1),
                "BAD_MEASUREMENT (0x0b)", "--policy", "0")


def another_chip():
    """A session for one chip opens on no other."""
    with tempfile.TemporaryDirectory(prefix="lucca-test-") as folder:
        with tempfile.TemporaryDirectory(prefix="lucca-test-") as elsewhere:
            mine, other = Platform(folder, "genoa"), Platform(elsewhere, "genoa")
            tap.check(mine.pdh != other.pdh, "two chips with one key")
            refused("another chip", other, Owner(folder, mine.pdh, 1), "BAD_MEASUREMENT (0x0b)")


SESSIONS = [("nonce", lambda s: flipped(s, 0), "LAUNCH_START with BAD_MEASUREMENT (0x0b)"),
            ("wrapped key", lambda s: flipped(s, 8 * 0x10), "LAUNCH_START with BAD_MEASUREMENT (0x0b)"),
            ("MAC", lambda s: flipped(s, 8 * 0x40), "LAUNCH_START with BAD_MEASUREMENT (0x0b)"),
            ("policy's MAC", lambda s: flipped(s, 8 * 0x60), "LAUNCH_START with BAD_MEASUREMENT (0x0b)"),
            ("length", lambda s: s[:-1], "128 bytes")]
CASES = [(f"the measurement on {chip}, policy {policy:#x}", lambda a=chip, b=policy: small(a, b))
         for chip, policy in (("naples", 0), ("rome", 1), ("milan", 3), ("genoa", 1), ("turin", 9))]
CASES += [("the measurement of a Debian kernel and its initrd", debian),
          ("a sealed secret arrives, one with a flipped bit is refused", secret),
          ("a running guest takes no secret", late_secret)]
CASES += [(f"a session with a wrong {what}", lambda row=(what, change, status): wrong_session(*row))
          for what, change, status in SESSIONS]
CASES += [("policies that the platform cannot keep", wrong_policy),
          ("a session for another chip", another_chip)]
tap.run(CASES)
