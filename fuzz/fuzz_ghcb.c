/* Fuzzes the hypervisor's side of the GHCB: the input is what a guest puts into its page and its
 * MSR, and where it faults. Whatever it asks, each page keeps one owner, and who lives is answered.
 */
#include <stdio.h>

#include "ghcb_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A law that does not hold ends the run, as a sanitizer does. */
#define MUST(law)                                                                                  \
    do {                                                                                           \
        if (!(law)) {                                                                              \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #law);               \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static struct rig rig;

static void put(struct ghcb *g, size_t offset, uint64_t value, bool valid)
{
    memcpy((uint8_t *)g + offset, &value, 8);
    if (valid)
        ghcb_set_bit(g->valid, offset);
}

/* What the guest asked is answered in its own page, unless it holds or has ended. */
static void check_answer(void)
{
    struct ghcb g;

    if (rig_crashed(&rig) || rig.vcpu[0].held != AP_RUNS)
        return;
    MUST(vm_read_phys(&rig.vm, RIG_GHCB, &g, sizeof(g)));
    MUST(ghcb_bit(g.valid, offsetof(struct ghcb, exitinfo1)));
    MUST(ghcb_bit(g.valid, offsetof(struct ghcb, exitinfo2)));
    MUST(g.exitinfo1 <= GHCB_REFUSED);
    MUST(g.exitinfo1 != GHCB_REFUSED || (g.exitinfo2 >= 1 && g.exitinfo2 <= GHCB_BAD_EVENT));
}

/* Which inputs are valid, then the inputs, then the beginning of the buffer. */
static void ask(struct cursor *c)
{
    static const size_t offsets[] = {
        offsetof(struct ghcb, exitcode),  offsetof(struct ghcb, exitinfo1),
        offsetof(struct ghcb, exitinfo2), offsetof(struct ghcb, scratch),
        offsetof(struct ghcb, rax),       offsetof(struct ghcb, rbx),
        offsetof(struct ghcb, rcx),       offsetof(struct ghcb, rdx),
        offsetof(struct ghcb, xcr0),
    };
    uint16_t valid = cursor_u16(c);
    struct ghcb g = {.usage = valid >> 15, .version = 2};
    size_t n;

    for (size_t i = 0; i < COUNT(offsets); i++)
        put(&g, offsets[i], cursor_u64(c), valid >> i & 1);
    if (valid & 0x200)
        ghcb_set_bit(g.valid, offsetof(struct ghcb, cpl));
    n = cursor_u8(c) * 8u;
    n = MIN(MIN(n, c->left), sizeof(g.buffer));
    memcpy(g.buffer, cursor_take(c, n), n);
    if (!vm_write_phys(&rig.vm, RIG_GHCB, &g, sizeof(g)))
        return; /* the guest has made it private */
    rig_vmgexit(&rig, 0, RIG_GHCB);
    check_answer();
}

/* Anything anywhere in the page. */
static void ask_raw(struct cursor *c)
{
    uint16_t at = cursor_u16(c) % PAGE;
    size_t n = cursor_u8(c);

    n = MIN(MIN(n, PAGE - at), c->left);
    if (!vm_write_phys(&rig.vm, RIG_GHCB + at, cursor_take(c, n), n))
        return;
    rig_vmgexit(&rig, 0, RIG_GHCB);
    check_answer();
}

static void fault(struct cursor *c)
{
    struct vmcb_control *v = &rig.vcpu[0].vmcb.control;

    v->exitcode = VMEXIT_NPF;
    v->exitinfo1 = cursor_u64(c);
    v->exitinfo2 = cursor_u64(c);
    vcpu_exit(&rig.vcpu[0]);
}

static void message(struct cursor *c)
{
    struct apic_msg m = {.dest = cursor_u8(c), .mode = cursor_u8(c) & 7, .vector = cursor_u8(c)};

    (void)apic_deliver(rig.vm.board, &m);
}

static void step(struct cursor *c)
{
    switch (cursor_u8(c) % 5) {
    case 0:
        ask(c);
        break;
    case 1:
        rig_vmgexit(&rig, cursor_u8(c) % RIG_VCPUS, cursor_u64(c));
        break;
    case 2:
        ask_raw(c);
        break;
    case 3:
        message(c);
        break;
    default:
        fault(c);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c = cursor_over(data, size);

    MUST(rig_new(&rig, cursor_u8(&c) & 1 ? SEV_SNP : SEV_ES));
    for (unsigned n = 0; n < 64 && c.left && !rig_crashed(&rig); n++) {
        step(&c);
        for (unsigned i = 0; i < RIG_VCPUS; i++)
            (void)vcpu_runnable(&rig.vcpu[i]);
        MUST(!rig_law(&rig));
    }
    MUST(rmp_release_all(&rig.vm));
    rig_free(&rig);
    return 0;
}
