/* Fuzzes the gdb server: the input is what a client sends, to a guest whose memory and registers
 * are made from it too. Whatever it is, what is answered are packets. */
#define FAKE_LOW_BYTES  0x10000u /* little, to be quick */
#define FAKE_HIGH_BYTES 0x1000u

#include "rig.h"
#include "../tests/unit/fake_vm.h"

#include "debug/internal.h"

/* ---- what a debugger has of the hypervisor and of the debug port -------------------------------
 */
static struct vm *the_vm;

void vm_debug(struct vm *vm, const struct vm_debugger *d)
{
}

void vm_step(struct vm *vm, struct vcpu *v)
{
    MUST(vm->state == VM_PAUSED || vm->state == VM_ENDED);
    v->regs.rip++;
}

unsigned vcpu_index(const struct vcpu *v)
{
    return (unsigned)(v - the_vm->vcpu);
}

unsigned vcpu_core(const struct vcpu *v)
{
    return vcpu_index(v);
}

struct vm *vcpu_vm(const struct vcpu *v)
{
    return the_vm;
}

uint64_t vcpu_vmsa(const struct vcpu *v)
{
    return 0x2000;
}

uint32_t vm_asid(const struct vm *vm)
{
    return 1;
}

bool vm_gpa_to_spa(const struct vm *vm, uint64_t gpa, uint64_t *spa)
{
    *spa = gpa;
    return gpa < FAKE_LOW_BYTES;
}

bool vcpu_set_regs(struct vcpu *v, const struct vcpu_regs *regs)
{
    v->regs = *regs;
    return true;
}

bool probe_read(struct soc *s, uint32_t asid, uint64_t spa, void *to, size_t len)
{
    MUST((spa & 4095) + len <= 4096); /* a guest's pages do not follow one another */
    return vm_read_phys(the_vm, spa, to, len);
}

bool probe_write(struct soc *s, uint32_t asid, uint64_t spa, const void *from, size_t len)
{
    MUST((spa & 4095) + len <= 4096);
    return vm_write_phys(the_vm, spa, from, len);
}

bool probe_read_vmsa(struct soc *s, uint32_t asid, uint64_t spa, struct vmsa *to)
{
    return vm_read_phys(the_vm, spa, to, sizeof(*to));
}

bool probe_write_vmsa(struct soc *s, uint32_t asid, uint64_t spa, const struct vmsa *from)
{
    return vm_write_phys(the_vm, spa, from, sizeof(*from));
}

static unsigned points;

bool probe_set(struct soc *s, const struct probe_point *p)
{
    MUST(p->len && p->len <= 4096);
    return points < PROBE_POINTS && ++points;
}

bool probe_clear(struct soc *s, const struct probe_point *p)
{
    return points && points--;
}

bool probe_hit(struct soc *s, unsigned core, struct probe_point *p)
{
    *p = (struct probe_point){.kind = PROBE_WRITE, .la = core};
    return core;
}

/* ---- the client --------------------------------------------------------------------------------
 */
void gdb_send(struct gdb *g, const char *data, size_t len)
{
    static char framed[2 * GDB_PACKET + 8];
    static struct packet_reader r;
    size_t n;

    MUST(len <= GDB_PACKET);
    n = packet_frame(data, len, framed);
    MUST(n <= sizeof(framed));
    for (size_t i = 0; i < n; i++)
        MUST((packet_take(&r, (uint8_t)framed[i]) == PACKET_READY) == (i == n - 1));
    MUST(r.len == len && !memcmp(r.data, data, len));
}

void gdb_tell_stop(struct gdb *g, unsigned n, unsigned sig, const struct probe_point *p)
{
    MUST(n < g->vm->cfg.vcpus);
    g->running = false;
}

void gdb_drop_points(struct gdb *g)
{
    g->point_count = 0;
}

static void make_guest(struct vm *vm, const uint8_t *data, size_t size)
{
    fake_vm_init(vm);
    the_vm = vm;
    points = 0;
    vm->state = VM_PAUSED;
    vm->cfg.sev = (enum sev_level)(data[0] & 3);
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        vm->vcpu[i].regs.cr0 = (uint64_t)(data[0] >> 3 & 1) << 31 | 1;
        vm->vcpu[i].regs.cr4 = (uint64_t)(data[0] >> 4 & 3) << 4;
        vm->vcpu[i].regs.efer = (uint64_t)(data[0] >> 6 & 1) << 10;
    }
    for (size_t i = 0; i < FAKE_LOW_BYTES; i++) /* page tables, sometimes */
        vm->ram[i] = data[i % size];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct packet_reader in;
    static struct gdb g;
    static struct vm vm;

    if (size < 2)
        return 0;
    make_guest(&vm, data, size);
    memset(&g, 0, sizeof(g));
    memset(&in, 0, sizeof(in));
    g.vm = &vm;
    /* Framed as a client does it, or bare packets by line: half of all inputs each. */
    if (data[0] & 0x80) {
        for (size_t i = 1; i < size; i++)
            if (packet_take(&in, data[i]) == PACKET_READY)
                gdb_command(&g, in.data, in.len);
    } else {
        for (size_t i = 1, n; i < size; i += n + 1) {
            const uint8_t *end = memchr(data + i, '\n', size - i);

            n = MIN(end ? (size_t)(end - data) - i : size - i, GDB_PACKET);
            gdb_command(&g, (const char *)data + i, n);
        }
    }
    fake_vm_done(&vm);
    return 0;
}
