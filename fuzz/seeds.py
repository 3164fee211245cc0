#!/usr/bin/env python3
"""Inputs for fuzz targets to start from: well-formed, so that the fuzzer need not guess formats.

fuzz/seeds.py TARGET FOLDER
"""
import base64
import glob
import os
import struct
import sys


def le(fmt, *values):
    return struct.pack("<" + fmt, *values)


# ---- fuzz_asp: steps of (command, length, buffer); see step() ----
COMMANDS = ["INIT", "SHUTDOWN", "PLATFORM_RESET", "PLATFORM_STATUS", "PEK_GEN", "PEK_CSR",
            "PEK_CERT_IMPORT", "PDH_CERT_EXPORT", "PDH_GEN", "DF_FLUSH", "GET_ID", "INIT_EX", "NOP",
            "DECOMMISSION", "ACTIVATE", "DEACTIVATE", "GUEST_STATUS", "LAUNCH_START",
            "LAUNCH_UPDATE_DATA", "LAUNCH_UPDATE_VMSA", "LAUNCH_MEASURE", "LAUNCH_SECRET",
            "LAUNCH_FINISH", "ATTESTATION", "DBG_DECRYPT", "DBG_ENCRYPT"]
WBINVD = b"\x80\x01"


def cmd(name, buffer=b""):
    return bytes([COMMANDS.index(name), len(buffer)]) + buffer


def memory(at, data):
    data += b"\0" * (-len(data) % 8)
    return bytes([0xC0, len(data) // 8]) + le("H", at // 2) + data


def asp():
    init = cmd("INIT", bytes(0x14)) + WBINVD + cmd("DF_FLUSH")
    start = init + cmd("LAUNCH_START", le("IIQIIQI", 0, 0, 0, 0, 0, 0, 0))
    active = start + cmd("ACTIVATE", le("II", 1, 100))
    update = active + cmd("LAUNCH_UPDATE_DATA", le("IIQI", 1, 0, 0x4000, 0x1000))
    measured = update + cmd("LAUNCH_MEASURE", le("IIQI", 1, 0, 0x6000, 0x30))
    secret = memory(0x7000, bytes(0x34)) + cmd(
        "LAUNCH_SECRET", le("IIQIIQIIQI", 1, 0, 0x7000, 0x34, 0, 0x4000, 16, 0, 0x8000, 16))
    running = measured + cmd("LAUNCH_FINISH", le("I", 1))
    yield "status", cmd("PLATFORM_STATUS", bytes(12)) + cmd("GET_ID", le("QI", 0x3000, 0x40))
    yield "init-ex", cmd("INIT_EX", le("IHHQIIQI", 0x24, 0, 0, 0, 0, 0, 0x8000, 0x8000))
    yield "certificates", init + cmd("PEK_GEN") + cmd("PDH_GEN") + cmd(
        "PEK_CSR", le("QI", 0x3000, 0x824)) + cmd(
        "PDH_CERT_EXPORT", le("QIIQI", 0x3000, 0x824, 0, 0x4000, 0x186C))
    yield "own", init + cmd("PDH_CERT_EXPORT", le("QIIQI", 0x3000, 0x824, 0, 0x4000, 0x186C)) + cmd(
        "PEK_CERT_IMPORT", le("QIIQI", 0x4000, 0x824, 0, 0x4824, 0x824))
    yield "session", init + cmd(
        "PDH_CERT_EXPORT", le("QIIQI", 0x3000, 0x824, 0, 0x4000, 0x186C)) + cmd(
        "LAUNCH_START", le("IIQIIQI", 0, 1, 0x3000, 0x824, 0, 0x7000, 0x80))
    yield "secret", measured + secret
    yield "run", running + cmd("GUEST_STATUS", le("I", 1) + bytes(9)) + cmd(
        "ATTESTATION", le("IIQ", 1, 0, 0x9000) + bytes(16) + le("I", 0xD0))
    yield "debug", running + cmd("DBG_DECRYPT", le("IIQQI", 1, 0, 0x4000, 0xA000, 0x100)) + cmd(
        "DBG_ENCRYPT", le("IIQQI", 1, 0, 0xA000, 0x4000, 0x33))
    yield "end", running + cmd("DEACTIVATE", le("I", 1)) + cmd("DECOMMISSION", le("I", 1)) + \
        WBINVD + cmd("DF_FLUSH") + cmd("SHUTDOWN")


# ---- fuzz_snp_asp: steps; see step() ----
SNP_COMMANDS = ["INIT", "SHUTDOWN", "PLATFORM_STATUS", "DF_FLUSH", "INIT_EX", "SHUTDOWN_EX",
                "DECOMMISSION", "ACTIVATE", "GUEST_STATUS", "GCTX_CREATE", "GUEST_REQUEST",
                "ACTIVATE_EX", "LAUNCH_START", "LAUNCH_UPDATE", "LAUNCH_FINISH", "DBG_DECRYPT",
                "DBG_ENCRYPT", "PAGE_SWAP_OUT", "PAGE_SWAP_IN", "PAGE_MOVE", "PAGE_MD_INIT",
                "PAGE_SET_STATE", "PAGE_RECLAIM", "PAGE_UNSMASH", "CONFIG", "DOWNLOAD_FIRMWARE_EX",
                "COMMIT", "VLEK_LOAD", "FEATURE_INFO", "SEV INIT", "SEV SHUTDOWN",
                "SEV PLATFORM_STATUS", "SEV LAUNCH_START", "SEV ACTIVATE", "SEV LAUNCH_UPDATE_DATA",
                "SEV DBG_ENCRYPT", "SEV GET_ID"]
FLUSH = b"\xF1"
GCTX, LARGE = 0x8000, 0x200000


def snp(name, buffer=b""):
    return bytes([SNP_COMMANDS.index(name), len(buffer)]) + buffer


def rmpupdate(page, asid, assigned=True, immutable=True, gpa=5):
    return bytes([0xA0 | asid | 4 * assigned | 8 * immutable, page, gpa])


def snp_memory(at, data):
    return b"\xE0" + le("HB", at // 16, len(data) // 8) + data


def snp_asp():
    firmware = {p: rmpupdate(p, 0) for p in range(64)}
    create = firmware[8] + snp("GCTX_CREATE", le("Q", GCTX))
    start = create + snp("LAUNCH_START", le("QQQII", GCTX, 0xB0000, 0, 0, 0) + bytes(16))
    active = start + snp("ACTIVATE", le("QI", GCTX, 1))

    def update(page, kind, gpa=5):
        return rmpupdate(page, 1, gpa=gpa) + snp("LAUNCH_UPDATE", le(
            "QIIQQ", GCTX, kind << 1 | (page >= 128), 0, LARGE if page >= 128 else page << 12, 0))

    def swap(name, src, dst, flags):
        return snp(name, le("QQQQQII", GCTX, src, dst, 0xA000, 0, flags, 0))

    finish = snp("LAUNCH_FINISH", le("QQQQ", GCTX, 0, 0, 0) + bytes(32))
    running = active + update(16, 1) + finish
    metadata = firmware[10] + snp("PAGE_MD_INIT", le("QQ", GCTX, 0xA000))
    yield "platform", firmware[4] + snp("PLATFORM_STATUS", le("Q", 0x4000)) + snp(
        "FEATURE_INFO", le("IIQ", 16, 0, 0x4000)) + snp("CONFIG", bytes(64)) + snp(
        "COMMIT", le("I", 4)) + snp("VLEK_LOAD", le("IIQ", 16, 0, 0x5000))
    yield "firmware", snp_memory(0x5000, b"LUCCA-EMULATEDFW" + le("II", 1, 0x60) + bytes(72)) + snp(
        "DOWNLOAD_FIRMWARE_EX", le("IIQII", 0x18, 0, 0x5000, 0x60, 1))
    yield "again", FLUSH + FLUSH + snp("DF_FLUSH") + snp("SHUTDOWN_EX", le("II", 8, 0)) + snp(
        "INIT_EX", le("IIQ", 3, 0, 0x5000) + bytes(48))
    yield "types", active + b"".join(update(16 + t, t, 5 + t) for t in range(1, 7)) + finish
    yield "large", active + update(128, 1) + update(129, 3) + finish
    yield "cpuid", active + snp_memory(0x10000, le("IIQ", 1, 0, 0) + le("IIQQIIIIQ", 1, 0, 0, 0, 9, 9, 0x99, 9, 0)) + \
        update(16, 6) + update(16, 6)
    yield "id", active + snp_memory(0x5000, bytes(96)) + snp(
        "LAUNCH_FINISH", le("QQQQ", GCTX, 0x5000, 0x6000, 3) + bytes(32))
    yield "status", running + firmware[4] + snp("GUEST_STATUS", le("QQ", GCTX, 0x4000)) + snp(
        "GUEST_REQUEST", le("QQQ", GCTX, 0x5000, 0x4000)) + snp("DECOMMISSION", le("Q", GCTX))
    yield "debug", running + firmware[4] + snp("DBG_DECRYPT", le("QQQ", GCTX, 0x10000, 0x4000)) + \
        rmpupdate(18, 1) + snp("DBG_ENCRYPT", le("QQQ", GCTX, 0x4000, 0x12000))
    yield "swap", running + metadata + rmpupdate(20, 1) + firmware[11] + swap(
        "PAGE_SWAP_OUT", 0x14000, 0xB000, 0) + swap("PAGE_SWAP_IN", 0xB000, 0x14000, 0)
    yield "swap-root", running + metadata + firmware[11] + swap(
        "PAGE_SWAP_OUT", 0xA000, 0xB000, 0x12) + swap("PAGE_SWAP_IN", 0xB000, 0xA000, 0x12)
    yield "move", running + rmpupdate(20, 1) + rmpupdate(21, 1) + snp(
        "PAGE_MOVE", le("QIIQQ", GCTX, 0, 0, 0x14000, 0x15000))
    yield "move-metadata", running + metadata + firmware[11] + snp(
        "PAGE_MOVE", le("QIIQQ", GCTX, 0, 0, 0xA000, 0xB000))
    yield "reclaim", firmware[9] + snp("PAGE_RECLAIM", le("Q", 0x9000)) + rmpupdate(128, 1) + snp(
        "PAGE_RECLAIM", le("Q", LARGE | 1)) + snp("PAGE_UNSMASH", le("Q", LARGE))
    yield "agent", running + firmware[9] + snp("GCTX_CREATE", le("Q", 0x9000)) + snp(
        "LAUNCH_START", le("QQQII", 0x9000, 0x70000, GCTX, 1, 0) + bytes(16)) + snp(
        "ACTIVATE_EX", le("IIQIIQ", 0x20, 0, 0x9000, 2, 1, 0x5000))
    yield "legacy", snp("SEV INIT", bytes(0x14)) + snp(
        "SEV LAUNCH_START", bytes(0x24)) + firmware[1] + snp("SEV LAUNCH_START") + \
        rmpupdate(1, 0, False, False, 0) + snp("SEV ACTIVATE", le("II", 1, 100)) + snp(
        "SEV LAUNCH_UPDATE_DATA", le("IIQI", 1, 0, 0x6000, 64))


# ---- fuzz_board: ten bytes a step ----
def board_step(what, which, at, value, size=4):
    return le("BBII", what | {1: 0, 2: 16, 4: 32, 8: 48}[size], which, at, value)


def board():
    ports, pic, legacy, serial, fw, pm, pci, pio, ioapic, ecam, bars, bars64, tests, window = range(14)
    svr = board_step(4, 0, 0xF0, 0x1FF)
    yield "apic timer", svr + board_step(4, 0, 0x320, 0x20030) + board_step(4, 0, 0x3E0, 0xB) + \
        board_step(4, 0, 0x380, 1000) + board_step(8, 1, 0, 5000) + board_step(9, 0, 0, 0)
    yield "tsc deadline", svr + board_step(4, 0, 0x320, 0x40030) + board_step(6, 0, 0, 100) + \
        board_step(8, 1, 0, 5000)
    yield "start-up", board_step(4, 0, 0x310, 0x01000000) + board_step(4, 0, 0x300, 0x4500) + \
        board_step(9, 1, 0, 0) + board_step(4, 0, 0x300, 0x4608) + board_step(9, 1, 0, 0)
    yield "ioapic", svr + b"".join(
        board_step(0, ioapic, 0, 0x10 + 2 * n) + board_step(0, ioapic, 0x10, 0x40 + n | 0xA000)
        for n in range(4)) + board_step(10, 0, 4, 1) + board_step(9, 0, 0, 0)
    yield "pic", b"".join(board_step(0, ports, p, v, 1) for p, v in [
        (0x20, 0x11), (0x21, 0x30), (0x21, 4), (0x21, 1), (0xA0, 0x11), (0xA1, 0x38), (0xA1, 2),
        (0xA1, 1), (0x21, 0), (0xA1, 0)]) + board_step(10, 0, 4, 1) + board_step(9, 0, 0, 0)
    yield "pit", b"".join(board_step(0, ports, p, v, 1) for p, v in [
        (0x43, 0x34), (0x40, 0), (0x40, 1), (0x43, 0xB6), (0x42, 9), (0x42, 0), (0x61, 3)]) + \
        board_step(8, 1, 0, 10000000)
    yield "rtc", b"".join(board_step(0, ports, p, v, 1) for p, v in [
        (0x70, 0xB), (0x71, 0x72), (0x70, 0xA), (0x71, 0x26), (0x70, 1), (0x71, 0xC0)]) + \
        board_step(8, 1, 0, 2000000000) + board_step(3, ports, 0x71, 0, 1)
    yield "pci", board_step(0, pci, 0, 0x80000810) + board_step(0, pci, 4, 0xC0010000) + \
        board_step(0, ecam, 0x8004, 7) + board_step(0, ecam, 0x8018, 0xFFFFFFFF) + \
        board_step(3, ecam, 0x8018, 0) + board_step(0, bars, 0x1000, 5)
    yield "serial", b"".join(board_step(0, serial, o, v, 1) for o, v in [
        (3, 0x83), (0, 1), (1, 0), (3, 3), (2, 0xC7), (4, 0x1B), (1, 0xF), (0, 65)]) + \
        board_step(3, serial, 0, 0, 1) + board_step(8, 1, 0, 1000000)
    yield "power", board_step(0, ports, 0x602, 0x100, 2) + board_step(13, 0, 0, 0) + \
        board_step(0, ports, 0x604, 0x2001, 2) + board_step(0, ports, 0xCF9, 6, 1)


# ---- fuzz_boot: a byte of options, then the kernel's file ----
def boot():
    bz = bytearray(0xA00 + 0x800)
    bz[0x1F1] = 4
    bz[0x1FE:0x200] = b"\x55\xAA"
    bz[0x202:0x208] = b"HdrS\x0F\x02"
    bz[0x211] = 1
    for at, v in ((0x22C, 0x7FFFFFFF), (0x230, 0x200000), (0x238, 2047), (0x258, 0x1000000),
                  (0x260, 0x800000)):
        bz[at:at + 4] = le("I", v)
    bz[0x234] = 1
    bz[0x236] = 0x7F
    for how in (0, 3, 7, 0xFB):
        yield f"bzimage {how}", bytes([how]) + bz
    note = le("III", 4, 4, 18) + b"Xen\0" + le("I", 0x200010)
    eh = b"\x7fELF\x02\x01\x01" + bytes(9) + le("HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    at = 64 + 2 * 56
    pvh = eh + le("IIQQQQQQ", 1, 5, at, 0, 0x200000, 256, 0x3000, 1) + \
        le("IIQQQQQQ", 4, 4, at + 256, 0, 0, len(note), len(note), 4) + b"\x90" * 256 + note
    yield "pvh", b"\x03" + pvh
    yield "pvh with c-bit", b"\x07" + pvh
    header = le("III", 0x1BADB002, 3, (-0x1BADB002 - 3) & 0xFFFFFFFF)
    eh = b"\x7fELF\x01\x01\x01" + bytes(9) + le("HHIIIIIHHHHHH", 2, 3, 1, 0x100010, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    yield "multiboot elf", b"\x07" + eh + le("IIIIIIII", 1, 84, 0x100000, 0x100000, 64, 0x2000, 5, 1) + \
        header + bytes(52)
    flags = 0x10003
    yield "multiboot flat", b"\x06" + le("IIIIIIII", 0x1BADB002, flags, (-0x1BADB002 - flags) & 0xFFFFFFFF,
                                         0x100000, 0x100000, 0, 0x101000, 0x100020) + bytes(64)


# ---- fuzz_config ----
def config():
    yield "one", b'{"kernel": "vmlinuz", "cpus": 4, "memory": "1G", "sev": "sev", "policy": 1}'
    yield "lists", b'{"drive": ["file=a.img,if=scsi", "file=b.qcow2,format=qcow2,readonly=on"],' \
        b'"net": "user,hostfwd=tcp:127.0.0.1:2222-:22", "serial": ["stdio", "file:x", "none"],' \
        b'"device": ["debug-exit", "testdev"], "paused": true, "no-reboot": false}'
    yield "host", b'{"chip": "genoa", "clock": "virtual", "dram": "eager", "trace": "asp,irq",' \
        b'"host-memory": "4096M", "platform": "p", "name": "n", "qmp": "unix:/q", "append": "a b",' \
        b'"initrd": "i", "dh-cert-file": "c", "session-file": "s"}'


# ---- fuzz_decode: features, mode bits, the instruction ----
def decode():
    for n, text in enumerate(["48 8b 05 10 00 00 00", "f0 48 0f b1 0b", "66 2e 0f 1f 84 00 00 00 00 00",
                              "c4 e2 f0 f2 c3", "c4 e2 71 92 04 85 00 00 00 00", "67 a1 44 33 22 11",
                              "f3 48 a5", "c8 34 12 05", "d9 74 24 e4", "0f 01 d8", "ea 0 0 0 0 8 0",
                              "66 0f 3a 63 c1 0c", "f2 66 0f 38 f1 c1", "48 b8 1 2 3 4 5 6 7 8",
                              "c5 f8 77", "8f e8 78 c0 c1 01", "62 f1 7c 48 28 c1",
                              "66 66 66 66 66 66 66 66 66 66 66 66 66 66 90"]):
        yield f"{n:02}", b"\0\0" + bytes(int(b, 16) for b in text.split())


# ---- fuzz_fw_cfg: files, half of the rest memory, the rest steps ----
def fw_cfg():
    head = b"\x02\x05opt/a\x0bopt/b/c/d/e"
    ops = le("BBI", 1 | 16, 0, 0x19) + le("BBI", 0, 1, 0) * 4 + le("BBI", 2, 0, 0) + le("BBI", 2, 0, 16) + \
        le("BBI", 32, 4, 0)
    dma = struct.pack(">IIQ", 0x20 << 16 | 8 | 2, 64, 0x100) + struct.pack(">IIQ", 4, 9, 0)
    yield "dma", head + dma + bytes(len(ops) - len(dma)) + ops


# ---- fuzz_guest: options, the code ----
def guest():
    long_mode = ["48 89 c3 48 01 d8 f4", "f3 48 a5 f4", "0f a2 0f 31 f4", "48 8b 04 25 0 0 2 0",
                 "0f 20 d8 0f 22 d8 f4", "c5 fd 6f 00 c5 fd 7f 03 f4", "d9 eb d9 fe dd 18 f4",
                 "0f ae 23 0f ae 2b f4", "48 c7 c0 40 80 0 0 ff d0 90 cd 20 cc f1", "ea 0 0 0 0 8 0",
                 "48 0f c7 08 f0 48 0f c1 03", "e6 80 66 ed 6c f3 6e", "0f 01 f8 f3 0f ae d0 0f 05 0f 07",
                 "b9 80 0 0 c0 0f 32 0f 30 f4", "c6 04 25 8 80 0 0 f4 90 eb fe", "0f 38 00 c1 66 0f 3a 63 c1 c",
                 "c4 e2 fd 92 04 9d 0 0 0 0", "0f 77 0f c7 f0 f3 0f b8 c1 66 0f 38 dc c1", "cf 48 cf 9d ca 0 0",
                 "48 31 c0 48 f7 f0", "0f 00 d8 0f 01 10 0f 01 38 0f 08 0f 09"]
    for n, text in enumerate(long_mode):
        for how in (2, 3, 0x72) + ((0, 1) if n % 3 == 0 else ()):
            yield f"{n:02} {how:02x}", bytes([how]) + bytes(int(b, 16) for b in text.split())


# ---- fuzz_mmio: options, the instruction ----
def mmio():
    for n, text in enumerate(["89 08", "48 8b 08", "0f b6 08", "48 0f be 08", "c7 00 1 2 3 4", "f3 48 a5",
                              "a4", "66 f3 ab", "ac", "83 08 01", "f0 48 0f b1 08", "0f c1 08", "87 08",
                              "0f ba 28 03", "0f a3 08", "0f 38 f0 08", "0f 38 f1 08", "f6 18", "ff 00",
                              "48 a1 0 0 0 0 0 0 0 0", "64 67 8b 44 24 10", "85 08"]):
        for how in (1, 0x83, 0x82, 0x80):
            yield f"{n:02} {how:02x}", bytes([how]) + bytes(int(b, 16) for b in text.split())


# ---- fuzz_qcow2: an image ----
def qcow2():
    size, bits, cluster = 1 << 20, 9, 512
    l2_entries = cluster // 8
    l1 = -(-size // (cluster * l2_entries))
    head = struct.pack(">IIQIIQIIQQIIQQQQII", 0x514649FB, 3, 0, 0, bits, size, 0, l1, 4 * cluster,
                       cluster, 1, 0, 0, 0, 0, 0, 4, 104)
    table = struct.pack(">Q", 2 * cluster).ljust(cluster, b"\0")
    counts = (struct.pack(">H", 1) * 8).ljust(cluster, b"\0")
    refs = struct.pack(">Q", 5 * cluster | 1 << 63).ljust(cluster, b"\0")
    l2 = struct.pack(">QQ", 6 * cluster | 1 << 63, 1).ljust(cluster, b"\0")
    image = head.ljust(cluster, b"\0") + table + counts + bytes(cluster) + refs + l2 + b"d" * cluster
    yield "small", image
    yield "version 2", image[:4] + struct.pack(">I", 2) + image[8:72] + bytes(32) + image[104:]


# ---- fuzz_virtqueue: device, features, memory, steps ----
def virtqueue():
    for kind in range(4):
        ram = bytearray(0x1000)
        for q in range(3):
            base = 0x100 * q
            ram[base:base + 48] = le("QIHHQIHHQIHH", 0x800, 16, 1, 1, 0x900, 512, 1 | 2 * (q > 0), 2,
                                     0xF00, 64, 2, 0)
            ram[base + 0x80:base + 0x86] = le("HHH", 0, 1, 0)
        steps = b"".join(le("BBHI", 2, 1, q, 0) for q in range(3)) + le("BBHI", 5, 0, 0, 9)
        pad = len(ram) - len(steps)
        yield f"{kind}", bytes([kind]) + le("I", 0) + ram + steps + bytes(pad)


# ---- fuzz_qmp: a byte on the guest, then what a client sends ----
def qmp():
    def call(command, **arguments):
        names = ", ".join(f'"{k.replace("_", "-")}": {v}' for k, v in arguments.items())
        return f'{{"execute": "{command}", "arguments": {{{names}}}}}'

    def human(line):
        return call("x-human-command", command_line=f'"{line}"')

    plain, sev, paged, silent = 2, 3, 0x5A, 0x82
    for name, guest, calls in [
            ("control", plain, ['{"execute": "query-status", "id": [{}]}', call("stop"), call("cont"),
                                call("system_reset"), call("query-cpus-fast"), call("quit")]),
            ("commands", plain, [call("query-commands"), call("query-version"), call("query-name")]),
            ("sev", sev, [call("query-sev"), call("query-sev-launch-measure"),
                          call("query-sev-capabilities"),
                          call("sev-inject-launch-secret", packet_header='"AA=="', secret='"AA=="',
                               gpa=4096)]),
            ("dump", plain, [call("dump-guest-memory", paging="false", protocol='"file:x"', begin=0,
                                  length=4096), call("query-dump")]),
            ("detached", plain, [call("dump-guest-memory", paging="false", protocol='"file:x"',
                                      detach="true"), call("cont"), call("stop")]),
            ("human", plain, [human(x) for x in ("info registers -a", "xp /4gx 0x100+$rip", "help x",
                                                 "x/16c 0", "info sev", "info mtree",
                                                 "dump-guest-memory -d f 1 2")]),
            ("tables", paged, [human("info mem"), human("x /4gx 0x1000")]),
            ("silent", silent, [call("query-status"), call("qmp_capabilities"), call("stop")]),
            ("broken", plain, ["x", "[1]", "{]", '{"execute": 1}', '{"execute": "st\nop"}', "[" * 70,
                               '{"a": 1, "a": 2}', call("frob"), call("stop", x=1)])]:
        yield name, bytes([guest]) + "\n".join(calls).encode() + b"\n"


# ---- fuzz_gdb: a byte on the guest, then packets by line, or framed as a client does it ----
def gdb():
    packets = [b"qSupported:multiprocess+", b"?", b"g", b"p10", b"P10=0000000000000000", b"m1000,10",
               b"M1000,2:0102", b"X1000,2:}]a", b"Z1,1000,1", b"Z2,1000,8", b"z1,1000,1", b"vCont?",
               b"vCont;s:1;c", b"c", b"s", b"Hg2", b"T1", b"qfThreadInfo", b"qThreadExtraInfo,1", b"qC",
               b"qXfer:features:read:target.xml:0,fff", b"qRcmd," + b"view host".hex().encode(), b"g",
               b"m1000,10", b"qRcmd," + b"view guest".hex().encode(), b"D", b"k"]
    framed = b"".join(b"$" + p + b"#%02x" % (sum(p) & 255) for p in packets)
    for name, guest in ("plain", 0), ("paged", 0x5C), ("sev", 0x49), ("snp", 0x5F):
        yield name, bytes([guest]) + b"\n".join(packets)
        yield name + "-framed", bytes([guest | 0x80]) + framed + b"\x03-+$broken"


# ---- fuzz_attest_*: files that AMD's machines and key service made ----
# ---- fuzz_guest_msg: (guest, type, VMPCK, length / 16, payload) ----
def guest_msg():
    def ask(type_, payload, vmpck=0, guest=0):
        return bytes([guest, type_, vmpck, len(payload) // 16]) + payload

    def gctx(n):
        return le("Q", (16 + n) * 0x1000)

    context = bytearray(0x300)
    context[0x22A], context[0x230] = 0x06, 2  # policy: must be one, MIGRATE_MA; RUNNING
    valid = bytearray(context)
    valid[0x1F0] = 1  # root metadata
    yield "report", ask(5, bytes(range(64)) + bytes(32)) + ask(5, bytes(64) + le("II", 3, 1) + bytes(24), 2)
    yield "key", ask(3, le("IIQIIQ", 0, 0, 0x1F, 0, 0, 0)) + ask(3, le("IIQIIQ", 1, 0, 0x20, 3, 0, 1))
    yield "cpuid", ask(1, le("IIQ", 2, 0, 0) + le("IIQQIIIIQ", 1, 0, 0, 0, ~0 & 0xFFFFFFFF, 1, 2, 3, 0) +
                       le("IIQQIIIIQ", 0x80000008, 0, 0, 0, 48, 1, 2, 3, 0))
    yield "tsc", ask(0x11, bytes(0x80))
    yield "export", ask(7, gctx(1) + le("II", 1, 0)) + ask(7, gctx(1) + bytes(8)) + ask(7, gctx(0) + bytes(8))
    yield "import", ask(9, gctx(3) + le("II", 0x300, 3) + bytes(16) + valid)
    yield "absorb", ask(0xB, gctx(2) + le("II", 0x300, 3) + bytes(16) + context)
    yield "absorb noma", ask(0xF, le("QII", 0, 0x300, 3) + bytes(16) + context)
    yield "vmrk", ask(0xD, gctx(2) + bytes(24) + bytes(range(32)))
    yield "raw", b"\x80" + bytes(32) + le("QQ", 1, 0) + b"\1\1\x60\0\5\1\x60\0" + bytes(0x28 + 0x60)


def attestation(*patterns):
    data = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/data/attestation")
    for pattern in patterns:
        for path in sorted(glob.glob(os.path.join(data, pattern))):
            with open(path, "rb") as f:
                yield os.path.relpath(path, data).replace("/", "-"), f.read()


def attest_report():
    files = dict(attestation("reports/milan-v*c/report.bin", "reports/genoa-v3/*.bin",
                             "reports/milan-v3-azure-hcl/hcl-report.bin",
                             "parse-only/msg-report-rsp/*.bin"))
    yield from files.items()
    report = files["reports-genoa-v3-report.bin"]
    yield "extended", report + files["reports-genoa-v3-auxblob.bin"]
    yield "hex", report.hex().encode()
    yield "base64", base64.b64encode(report)


def attest_certs():
    yield from attestation("reports/milan-v3/vcek.der", "reports/genoa-v3/vcek.pem",
                           "bad/rogue-leaf/vcek.pem", "bad/vcek-legacy-encoding.der")
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../src/attest/roots")
    for name in ("turin_ark.pem", "milan_ask.pem", "genoa_asvk.pem"):
        with open(os.path.join(folder, name), "rb") as f:
            pem = f.read()
        yield name, pem
        yield name[:-3] + "der", base64.b64decode(b"".join(pem.splitlines()[1:-1]))


def attest_policy():
    yield "bits", b"debug=forbidden\nsmt=required\nplatform.alias_check=required\ncrl=required\n" \
        b"masked_chip_id=allowed\nprovisional_firmware=forbidden\n"
    yield "numbers", b"vmpl=0\nvmpl=2\nguest_svn=7\nguest_policy=0x30000\nabi=1.55\n" \
        b"minimum_tcb.reported.snp=22\nminimum_tcb.launch.fmc=1\nmitigations.current=0x3f\n" \
        b"minimum_firmware.current=1.55\nminimum_build.current=29\n"
    yield "words", b"product=milan\nproduct=turin\nsigning_key=vlek\ncsp_id=CN=cloud.example\n"
    yield "bytes", b"measurement=" + b"5a" * 48 + b"\nhost_data=" + b"00" * 32 + \
        b"\nchip_id=0011223344556677\nauthor_key_digest=" + b"01" * 48 + b"\n"


def attest_crl():
    yield from attestation("crl/*.crl")


# ---- fuzz_ghcb: a level, then steps; see step() ----
ES, SNP = b"\0", b"\1"
SCRATCH = 0x5800
VALID = {"scratch": 1 << 3, "rax": 1 << 4, "rbx": 1 << 5, "rcx": 1 << 6, "rdx": 1 << 7,
         "xcr0": 1 << 8}


def vmgexit(code, info1=0, info2=0, buffer=b"", scratch=SCRATCH, **regs):
    given = dict(regs, scratch=scratch)
    buffer += b"\0" * (-len(buffer) % 8)
    return b"\0" + le("H", 0x207 | sum(VALID[name] for name in given)) + le("3Q", code, info1, info2) + \
        b"".join(le("Q", given.get(name, 0)) for name in VALID) + bytes([len(buffer) // 8]) + buffer


def ghcb_msr(value, vcpu=0):
    return b"\1" + le("BQ", vcpu, value)


def psc(*entries, cur=0, end=None):
    end = len(entries) - 1 if end is None else end
    return vmgexit(0x80000010, buffer=le("HHI", cur, end, 0) + le(f"{len(entries)}Q", *entries))


def ghcb():
    private, shared, large = 1 << 52, 2 << 52, 1 << 56
    init_sipi = b"\3\1\5\0" + b"\3\1\6\x9A"
    yield "msr", ES + b"".join(ghcb_msr(v) for v in (2, 0x80, 0x4 | 1 << 63, 0x10, 0x6012))
    yield "terminate", ES + ghcb_msr(0x21100)
    yield "instructions", ES + vmgexit(0x72, rax=0xD, rcx=0, xcr0=7) + vmgexit(0x6E) + vmgexit(
        0x7C, rcx=0x10) + vmgexit(0x7C, 1, rax=1, rcx=0x200, rdx=2) + vmgexit(0x81, rax=1) + vmgexit(
        0x37, rax=0x400) + vmgexit(0x27) + vmgexit(0x89)
    yield "ports", ES + vmgexit(0x7B, 0x5100211) + vmgexit(0x7B, 0x5100210, rax=1) + vmgexit(
        0x7B, 0x510021D, 16) + vmgexit(0x7B, 0x510024C, 508, scratch=SCRATCH)
    yield "mmio", ES + vmgexit(0x80000001, 0xFE000000, 4) + vmgexit(
        0x80000002, 0xFE000008, 8, b"12345678") + vmgexit(0x80000001, 0xFEE00030, 4)
    yield "hold", ES + init_sipi + ghcb_msr(6, 1) + init_sipi + vmgexit(0x80000004) + init_sipi
    yield "table", ES + vmgexit(0x80000005, 0, 0x9000) + vmgexit(0x80000005, 1)
    yield "register", SNP + ghcb_msr(0x80) + ghcb_msr(0x10) + ghcb_msr(shared | 0x6014) + ghcb_msr(
        0x6012) + ghcb_msr(0x6000)
    yield "pages", SNP + psc(shared | 0x8000, shared | 0x9000, private | 0x8000) + psc(
        private | large | 0x200000) + psc(shared | 0x203000, shared | large | 0x200000)
    yield "turns", SNP + psc(*[(1 + i % 2) << 52 | large | 0x200000 for i in range(30)], end=252)
    yield "fault", SNP + psc(private | large | 0x200000) + b"\4" + le("2Q", 0xD80000005, 0x203000)
    yield "requests", SNP + psc(shared | 0x8000, shared | 0x9000) + vmgexit(
        0x80000011, 0x8000, 0x9000) + vmgexit(0x80000012, 0x8000, 0x9000, rax=0x8000, rbx=1)
    yield "create", SNP + vmgexit(0x80000013, 1 << 32 | 1, 0x8000, rax=1) + vmgexit(
        0x80000013, 1 << 32 | 2) + vmgexit(0x80000013, 1 << 32, 0x8000, rax=1) + init_sipi
    yield "levels", SNP + vmgexit(0x80000013, 1 << 16, 0x8000, rax=1) + vmgexit(0x80000018, 1) + \
        ghcb_msr(0x16) + vmgexit(0x80000013, 1 << 16 | 2)
    yield "raw", SNP + b"\2" + le("HB", 0x390, 8) + le("Q", 0x8000FFFD) + b"\2" + le(
        "HB", 0x3F0, 16) + b"\xFF" * 16


# ---- fuzz_ovmf, fuzz_launch_image, fuzz_session: public data, and images made by hand ----
def data(name):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data", name), "rb") as f:
        return f.read()


def ovmf():
    image = data("measure/ovmf_AmdSev_suffix.bin")
    svsm = bytearray(image)
    entry = image.index(bytes.fromhex("1f3755723b3a044b927b1da6efa8d454"))  # the hash table's entry
    svsm[entry:entry + 16] = bytes.fromhex("12a689a797054b4ca49fcbb1fe9d1ddd")
    svsm[entry - 10:entry - 6] = le("I", 0x20)
    for how, name in ((0, "sev"), (0x21, "es"), (0x11, "es-2"), (2, "snp"), (0x36, "snp-ec2"), (0x1a, "snp-gce")):
        yield name, bytes([how]) + image
    yield "svsm", b"\3" + bytes(svsm)
    yield "bare", b"\2" + bytes(4096)


def launch_image():
    head = b"lucca-launch-image 1\nmode "
    yield "snp", head + b"snp\n# x\nnormal 1000 1000 000000 a\nzero 200000 3000 010203,imi b\n" \
        b"secrets 5000 1000 000000 c\ncpuid 6000 1000 000000 d\nunmeasured 8000 1000 000000 e\n" \
        b"vmsa fffffffff000 1000 000000 VMSA of vCPU 0\n\n" + bytes(8192)
    yield "es", head + b"es\ndata 10000 20 000000 a\nvmsa fffffffff000 1000 000000 v\n\n" + bytes(4128)
    yield "sev", head + b"sev\ndata 10000 10 000000 a\n\n" + bytes(16)
    yield "raw", bytes(64)


def session():
    names = ["pdh", "pek", "oca", "cek", "ask", "ark"]
    yield "chain", b"\0" + b"".join(data(f"sev-legacy/rome/{name}.cert") for name in names)
    for name in names:
        yield name, b"\0" + data(f"sev-legacy/rome/{name}.cert")
    yield "key", b"\1" + data("idblock/id_key.pub.pem")
    yield "block", b"\2" + data("idblock/id_block.bin") + le("II", 1, 1) + bytes(0x238) + le("I", 2)
    guid = b"736869e5-84f0-4973-92ec-06879ce3da0b"
    yield "secrets", b"\3" + guid + le("H", 5) + b"hello" + guid + le("H", 100) + bytes(100)


def main():
    if len(sys.argv) != 3 or not callable(globals().get(sys.argv[1])):
        sys.exit(__doc__)
    os.makedirs(sys.argv[2], exist_ok=True)
    for name, data in globals()[sys.argv[1]]():
        with open(os.path.join(sys.argv[2], name.replace(" ", "-")), "wb") as f:
            f.write(bytes(data))


main()
