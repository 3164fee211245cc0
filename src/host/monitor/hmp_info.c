/* info: what can be said of the machine. Registers and the rest are laid out as QEMU does. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "host/device/bus.h"
#include "host/monitor/hmp.h"
#include "host/vm/base64.h"
#include "silicon/asp_abi.h"
#include "silicon/snp_abi.h"

#define INFO(name) static enum status name(struct hmp_call *c)

/* ---- small ones ------------------------------------------------------------------------------ */

INFO(info_status)
{
    const char *state = monitor_run_state(c->m);
    bool plain = !strcmp(state, "running") || !strcmp(state, "paused");

    fprintf(c->out, "VM status: %s", !strcmp(state, "running") ? "running" : "paused");
    fprintf(c->out, plain ? "\n" : " (%s)\n", state);
    return OK;
}

INFO(info_version)
{
    fprintf(c->out, "Lucca %s\n", LUCCA_VERSION);
    return OK;
}

INFO(info_name)
{
    fprintf(c->out, "%s\n", vm_config(c->m->vm)->name);
    return OK;
}

INFO(info_kvm)
{
    fprintf(c->out, "kvm support: not compiled\n");
    return OK;
}

INFO(info_cpus)
{
    for (unsigned i = 0; i < vm_vcpus(c->m->vm); i++) {
        struct vcpu *v = vm_vcpu(c->m->vm, i);
        struct vcpu_regs r;

        fprintf(c->out, "%c CPU #%u: ", i ? ' ' : '*', i);
        if (vcpu_get_regs(v, &r))
            fprintf(c->out, "pc=0x%016" PRIx64, r.rip);
        else
            fprintf(c->out, "pc=encrypted");
        fprintf(c->out, "%s thread_id=%d\n", vcpu_halted(v) ? " (halted)" : "", (int)getpid());
    }
    return OK;
}

INFO(info_dump)
{
    json_t *j = job_json(c->m);

    fprintf(c->out, "Status: %s\n", json_string_value(json_object_get(j, "status")));
    if (c->m->job.total)
        fprintf(c->out, "Finished: %.2f %%\n",
                100.0 * (double)c->m->job.completed / (double)c->m->job.total);
    json_decref(j);
    return OK;
}

/* ---- registers ------------------------------------------------------------------------------- */

#define CR0_PE   BIT(0)
#define EFER_LMA BIT(10)

#define ATTRIB_TYPE(a) ((a)&0xF)
#define ATTRIB_CODE    0x08u
#define ATTRIB_S       0x10u
#define ATTRIB_DPL(a)  ((a) >> 5 & 3)
#define ATTRIB_P       0x80u
#define ATTRIB_L       0x200u
#define ATTRIB_D       0x400u

static void print_gprs(FILE *out, const struct vcpu_regs *r, bool wide)
{
    static const struct {
        char name[4];
        uint8_t index;
    } order[16] = {{"AX", 0},  {"BX", 3},  {"CX", 1},  {"DX", 2}, {"SI", 6},  {"DI", 7},
                   {"BP", 5},  {"SP", 4},  {"8 ", 8},  {"9 ", 9}, {"10", 10}, {"11", 11},
                   {"12", 12}, {"13", 13}, {"14", 14}, {"15", 15}};

    for (unsigned i = 0; i < (wide ? 16 : 8); i++)
        fprintf(out, wide ? "R%s=%016" PRIx64 "%c" : "E%s=%08" PRIx64 "%c", order[i].name,
                wide ? r->gpr[order[i].index] : r->gpr[order[i].index] & 0xFFFFFFFF,
                i % 4 == 3 ? '\n' : ' ');
}

static void print_flags(FILE *out, const struct vcpu_regs *r, bool wide, bool halted)
{
    static const struct {
        char letter;
        uint8_t bit;
    } flags[] = {{'D', 10}, {'O', 11}, {'S', 7}, {'Z', 6}, {'A', 4}, {'P', 2}, {'C', 0}};

    fprintf(out,
            wide ? "RIP=%016" PRIx64 " RFL=%08" PRIx64 " ["
                 : "EIP=%08" PRIx64 " EFL=%08" PRIx64 " [",
            r->rip, r->rflags);
    for (size_t i = 0; i < COUNT(flags); i++)
        fputc(r->rflags >> flags[i].bit & 1 ? flags[i].letter : '-', out);
    fprintf(out, "] CPL=%u HLT=%d\n", r->cpl, halted);
}

/* What kind of segment, where the processor looks at that: not in real mode. */
static void print_segment_kind(FILE *out, unsigned a, bool wide)
{
    static const char *const systems[16] = {
        [1] = "TSS16-avl",   [2] = "LDT",         [3] = "TSS16-busy", [4] = "CallGate16",
        [5] = "TaskGate",    [6] = "IntGate16",   [7] = "TrapGate16", [9] = "TSS32-avl",
        [11] = "TSS32-busy", [12] = "CallGate32", [14] = "IntGate32", [15] = "TrapGate32"};
    unsigned type = ATTRIB_TYPE(a);

    fprintf(out, " DPL=%u ", ATTRIB_DPL(a));
    if (!(a & ATTRIB_S))
        fprintf(out, "%s",
                wide && (type == 9 || type == 11) ? (type == 9 ? "TSS64-avl" : "TSS64-busy")
                : systems[type]                   ? systems[type]
                                                  : "Reserved");
    else if (type & ATTRIB_CODE)
        fprintf(out, "CS%s [%c%c%c]",
                a & ATTRIB_L   ? "64"
                : a & ATTRIB_D ? "32"
                               : "16",
                type & 4 ? 'C' : '-', type & 2 ? 'R' : '-', type & 1 ? 'A' : '-');
    else
        fprintf(out, "DS%s [%c%c%c]", a & ATTRIB_D || wide ? "  " : "16", type & 4 ? 'E' : '-',
                type & 2 ? 'W' : '-', type & 1 ? 'A' : '-');
}

static void print_segment(FILE *out, const char *name, const struct vmcb_seg *s,
                          const struct vcpu_regs *r, bool wide)
{
    fprintf(out, wide ? "%-3s=%04x %016" PRIx64 " %08x %08x" : "%-3s=%04x %08" PRIx64 " %08x %08x",
            name, s->selector, s->base, s->limit,
            (s->attrib & 0xFFu) << 8 | (s->attrib & 0xF00u) << 12);
    if (r->cr0 & CR0_PE && s->attrib & ATTRIB_P)
        print_segment_kind(out, s->attrib, wide);
    fputc('\n', out);
}

static void print_segments(FILE *out, const struct vcpu_regs *r, bool wide)
{
    const struct {
        const char *name;
        const struct vmcb_seg *seg;
    } segs[] = {{"ES", &r->es}, {"CS", &r->cs}, {"SS", &r->ss},    {"DS", &r->ds},
                {"FS", &r->fs}, {"GS", &r->gs}, {"LDT", &r->ldtr}, {"TR", &r->tr}},
      tables[] = {{"GDT", &r->gdtr}, {"IDT", &r->idtr}};

    for (size_t i = 0; i < COUNT(segs); i++)
        print_segment(out, segs[i].name, segs[i].seg, r, wide);
    for (size_t i = 0; i < COUNT(tables); i++)
        fprintf(out, wide ? "%s=     %016" PRIx64 " %08x\n" : "%s=     %08" PRIx64 " %08x\n",
                tables[i].name, tables[i].seg->base, tables[i].seg->limit);
}

static void print_system(FILE *out, const struct vcpu_regs *r, bool wide)
{
    fprintf(out,
            wide ? "CR0=%08" PRIx64 " CR2=%016" PRIx64 " CR3=%016" PRIx64 " CR4=%08" PRIx64 "\n"
                 : "CR0=%08" PRIx64 " CR2=%08" PRIx64 " CR3=%08" PRIx64 " CR4=%08" PRIx64 "\n",
            r->cr0, r->cr2, r->cr3, r->cr4);
    for (unsigned i = 0; i < 4; i++)
        fprintf(out, "DR%u=%016" PRIx64 "%c", i, r->dr[i], i == 3 ? '\n' : ' ');
    fprintf(out, "DR6=%016" PRIx64 " DR7=%016" PRIx64 "\n", r->dr6, r->dr7);
    fprintf(out, "EFER=%016" PRIx64 " XCR0=%016" PRIx64 "\n", r->efer, r->xcr0);
}

/* The image is FXSAVE's (APM2 11.4.4): control words first, x87 at 32, XMM at 160. */
static void print_vectors(FILE *out, const struct vcpu_regs *r, bool wide)
{
    const uint8_t *x = r->xsave;
    unsigned fsw = load16(x + 2);

    fprintf(out, "FCW=%04x FSW=%04x [ST=%u] FTW=%02x MXCSR=%08x\n", load16(x), fsw & ~0x3800u,
            fsw >> 11 & 7, x[4], load32(x + 24));
    for (unsigned i = 0; i < 8; i++)
        fprintf(out, "FPR%u=%016" PRIx64 " %04x%c", i, load64(x + 32 + 16 * i),
                load16(x + 40 + 16 * i), i % 2 ? '\n' : ' ');
    for (unsigned i = 0; i < (wide ? 16 : 8); i++)
        fprintf(out, "XMM%02u=%016" PRIx64 " %016" PRIx64 "%c", i, load64(x + 168 + 16 * i),
                load64(x + 160 + 16 * i), i % 2 ? '\n' : ' ');
}

static void print_registers(struct hmp_call *c, unsigned n)
{
    struct vcpu *v = vm_vcpu(c->m->vm, n);
    struct vcpu_regs r;
    bool wide;

    fprintf(c->out, "\nCPU#%u\n", n);
    if (!vcpu_get_regs(v, &r)) {
        fprintf(c->out, "the registers are encrypted: the host sees none of them%s\n",
                vcpu_halted(v) ? " (halted)" : "");
        return;
    }
    wide = r.efer & EFER_LMA;
    print_gprs(c->out, &r, wide);
    print_flags(c->out, &r, wide, vcpu_halted(v));
    print_segments(c->out, &r, wide);
    print_system(c->out, &r, wide);
    print_vectors(c->out, &r, wide);
}

INFO(info_registers)
{
    const char *which = hmp_word(c);
    unsigned vcpus = vm_vcpus(c->m->vm);
    char *end;
    unsigned long n;

    if (which && !strcmp(which, "-a")) {
        for (unsigned i = 0; i < vcpus; i++)
            print_registers(c, i);
        return OK;
    }
    n = which ? strtoul(which, &end, 10) : 0;
    if (which && (*end || n >= vcpus))
        return fail(&c->err, ERR_ARG, "'%.20s' is not -a or the number of a vCPU below %u", which,
                    vcpus);
    print_registers(c, (unsigned)n);
    return OK;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void print_mapping(void *ctx, uint64_t first, uint64_t last, uint64_t rights)
{
    fprintf(ctx, "%016" PRIx64 "-%016" PRIx64 " %016" PRIx64 " %cr%c\n", first, last + 1,
            last - first + 1, rights & PAGE_RIGHT_USER ? 'u' : '-',
            rights & PAGE_RIGHT_WRITE ? 'w' : '-');
}

INFO(info_mem)
{
    struct vcpu_regs r;
    struct paging p;

    if (vcpu_get_regs(vm_vcpu(c->m->vm, 0), &r) && !paging_of(&r, &p)) {
        fprintf(c->out, "PG disabled\n");
        return OK;
    }
    if (vm_config(c->m->vm)->sev != SEV_OFF)
        return fail(&c->err, ERR_STATE,
                    "the guest's page tables are encrypted (SEV): the host cannot read them");
    if (!paging_each(c->m->vm, &r, print_mapping, c->out))
        fprintf(c->out, "(and more: there are too many page tables to list)\n");
    return OK;
}

static void print_region(void *ctx, uint64_t base, uint64_t size, const char *name)
{
    fprintf(ctx, "  %016" PRIx64 "-%016" PRIx64 " (prio 0, i/o): %s\n", base, base + (size - 1),
            name);
}

INFO(info_mtree)
{
    struct bus *bus = board_bus(vm_board(c->m->vm));
    struct vm_ram ram[2];
    unsigned n = vm_ram_ranges(c->m->vm, ram);

    fprintf(c->out, "address-space: memory\n");
    for (unsigned i = 0; i < n; i++)
        fprintf(c->out, "  %016" PRIx64 "-%016" PRIx64 " (prio 0, ram): ram%u\n", ram[i].gpa,
                ram[i].gpa + ram[i].size - 1, i);
    bus_each(bus, BUS_MEMORY, print_region, c->out);
    fprintf(c->out, "\naddress-space: I/O\n");
    bus_each(bus, BUS_PORTS, print_region, c->out);
    return OK;
}

/* ---- SEV ------------------------------------------------------------------------------------- */

static const char *on_off(bool on)
{
    return on ? "on" : "off";
}

INFO(info_sev)
{
    uint8_t measurement[SEV_MEASUREMENT_BYTES];
    struct sev_info info;
    char *text;

    if (vm_config(c->m->vm)->sev == SEV_OFF) {
        fprintf(c->out, "SEV is not enabled\n");
        return OK;
    }
    if (vm_sev_info(c->m->vm, &info, &c->err) != OK)
        return c->err.code;
    if (vm_config(c->m->vm)->sev == SEV_SNP) {
        fprintf(c->out,
                "asid: %" PRIu32 "\nstate: %s\nbuild: %u\napi version: %u.%u\n"
                "snp-policy: 0x%" PRIx64 "\ndebug: %s\nsmt allowed: %s\n",
                info.asid, sev_state_name(info.state), info.build, info.api_major, info.api_minor,
                info.policy, on_off(info.policy & SNP_POLICY_DEBUG),
                on_off(info.policy & SNP_POLICY_SMT));
        return OK;
    }
    fprintf(c->out,
            "handle: %" PRIu32 "\nasid: %" PRIu32 "\nstate: %s\nbuild: %u\napi version: %u.%u\n"
            "policy: 0x%" PRIx64 "\ndebug: %s\nkey-sharing: %s\n",
            info.handle, info.asid, sev_state_name(info.state), info.build, info.api_major,
            info.api_minor, info.policy, on_off(!(info.policy & SEV_POLICY_NODBG)),
            on_off(!(info.policy & SEV_POLICY_NOKS)));
    if (vm_sev_measurement(c->m->vm, measurement, &c->err) != OK)
        return OK; /* not yet */
    text = base64_encode(measurement, sizeof(measurement));
    if (text)
        fprintf(c->out, "measurement and nonce: %s\n", text);
    free(text);
    return OK;
}

/* ---- the table ------------------------------------------------------------------------------- */

const struct hmp_command hmp_info_commands[] = {
    {"cpus", "", "", "the guest's processors", info_cpus},
    {"dump", "", "", "how far the last dump is", info_dump},
    {"kvm", "", "", "there is none", info_kvm},
    {"mem", "", "", "what the guest's page tables map, and its rights", info_mem},
    {"mtree", "", "", "what answers at which address and port", info_mtree},
    {"name", "", "", "the guest's name", info_name},
    {"registers", "", "[-a|vcpu]", "registers of the first, all or one of the processors",
     info_registers},
    {"sev", "", "", "the guest as the secure processor knows it", info_sev},
    {"status", "", "", "whether the guest runs", info_status},
    {"version", "", "", "which Lucca this is", info_version},
};
const size_t hmp_info_count = COUNT(hmp_info_commands);
