/* The victim: a guest of SEV, SEV-ES or SEV-SNP that has private pages and says what it finds in
 * them, and under SNP keeps the rules that a guest has to keep by itself: it ends when memory that
 * it has is not valid, or is valid when it should not be. It shares one page (victim.h) and makes
 * no other exit than PAUSE and the GHCB's MSR protocol. */
#include "guest/victim/victim.h"

#include <stddef.h>

#define PAGE         4096u
#define SHARED(p)    ((void *)((uintptr_t)(p) + UINT64_C(0x100000000)))
#define MSR_GHCB     0xC0010130u
#define SNP_ACTIVE   4u
#define SECRETS      0xFE000u /* where the loader puts the page (SNP ABI, secrets page) */
#define SECRETS_KEY0 0x20u

#define GHCB_TERMINATE 0x100u
#define PSC_SHARED     (UINT64_C(2) << 52 | 0x14)
#define PSC_ANSWER     0x15u

extern uint64_t sev_status;
extern char start[], image_end[], cpu_stack[], vc_entry[], gp_entry[], victim_cpu[];

void victim_start(void);
void victim_do(struct victim_slot *s, uint64_t r15);
void victim_vc(uint64_t error, uint64_t cr2);
void victim_gp(void);

static _Alignas(PAGE) uint8_t save_area[2][PAGE];
static _Alignas(16) uint64_t idt[32][2];
static struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
} idt_pointer = {sizeof(idt) - 1, 0};

static struct victim_slot *slot(unsigned n)
{
    return (struct victim_slot *)SHARED(VICTIM_BOX) + n;
}

/* ---- the hypervisor -------------------------------------------------------------------------- */

static uint64_t ask(uint64_t value)
{
    uint32_t low = (uint32_t)value, high = (uint32_t)(value >> 32);

    __asm__ volatile("wrmsr; .byte 0xF3, 0x0F, 0x01, 0xD9; rdmsr" /* VMGEXIT */
                     : "+a"(low), "+d"(high)
                     : "c"(MSR_GHCB)
                     : "memory");
    return (uint64_t)high << 32 | low;
}

/* Reason sets: 0 the standard's, 1 as Linux has it, 2 exceptions by vector (GHCB 2.03, 4.1.14). */
static _Noreturn void terminate(unsigned set, unsigned code)
{
    for (;;)
        ask((uint64_t)code << 16 | set << 12 | GHCB_TERMINATE);
}

/* The guest's own rule: no page becomes valid, or stops being so, without its doing. */
void victim_vc(uint64_t error, uint64_t cr2)
{
    slot(0)->vc_error = error;
    slot(0)->vc_cr2 = cr2;
    terminate(0, 0);
}

void victim_gp(void)
{
    terminate(2, 13);
}

/* ---- pages ----------------------------------------------------------------------------------- */

static uint64_t validate(uint64_t at, uint64_t size, unsigned on, uint8_t *same)
{
    uint64_t rax = at;

    __asm__ volatile(".byte 0xF2, 0x0F, 0x01, 0xFF\n\tsetc %1"
                     : "+a"(rax), "=qm"(*same)
                     : "c"(size), "d"((uint64_t)on)
                     : "memory", "cc");
    return rax;
}

static uint64_t adjust(uint64_t at, uint64_t size, uint64_t rdx)
{
    uint64_t rax = at;

    __asm__ volatile(".byte 0xF3, 0x0F, 0x01, 0xFE"
                     : "+a"(rax)
                     : "c"(size), "d"(rdx)
                     : "memory", "cc");
    return rax;
}

static uint64_t accept(struct victim_slot *s)
{
    uint8_t same = 0;
    uint64_t rax = validate(s->args[0], s->args[1], 1, &same);

    if (same && !s->args[2])
        terminate(1, 2);
    return rax | (uint64_t)same << 32;
}

static void share(uint64_t at)
{
    uint8_t same = 0;

    if (!(sev_status & SNP_ACTIVE))
        return;
    if (validate(at, 0, 0, &same) || same || ask(at | PSC_SHARED) != PSC_ANSWER)
        terminate(1, 1);
}

static uint8_t pattern(unsigned i, uint64_t salt)
{
    return (uint8_t)((i >> 4) * 7 + i * 13 + salt);
}

static void fill(uint64_t at, uint64_t salt)
{
    volatile uint8_t *p = (uint8_t *)at;

    for (unsigned i = 0; i < PAGE; i++)
        p[i] = pattern(i, salt);
}

static uint64_t count(uint64_t at, uint64_t salt)
{
    const volatile uint8_t *p = (uint8_t *)at;
    uint64_t n = 0;

    for (unsigned i = 0; i < PAGE; i++)
        n += p[i] != pattern(i, salt);
    return n;
}

/* ---- processors of its own making ------------------------------------------------------------ */

static uint64_t grant(uint64_t vmpl)
{
    for (uintptr_t at = (uintptr_t)start & ~(uintptr_t)(PAGE - 1); at < (uintptr_t)image_end;
         at += PAGE) {
        uint64_t rax = adjust(at, 0, 0xF00 | vmpl);

        if (rax)
            return rax;
    }
    return 0;
}

static void put(uint8_t *page, unsigned at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        page[at + i] = (uint8_t)(value >> 8 * i);
}

static void put_segment(uint8_t *page, unsigned at, uint16_t selector, uint16_t attributes,
                        uint32_t limit, uint64_t base)
{
    put(page, at, selector, 2);
    put(page, at + 2, attributes, 2);
    put(page, at + 4, limit, 4);
    put(page, at + 8, base, 8);
}

static uint64_t control(unsigned n)
{
    uint64_t v;

    if (n == 0)
        __asm__ volatile("mov %%cr0, %0" : "=r"(v));
    else if (n == 3)
        __asm__ volatile("mov %%cr3, %0" : "=r"(v));
    else
        __asm__ volatile("mov %%cr4, %0" : "=r"(v));
    return v;
}

/* A save area (APM2 table B-4) that goes on at victim_cpu. */
static uint64_t make_cpu(uint64_t vmpl, uint64_t n)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } gdt;
    uint8_t *p = save_area[n & 1];

    __asm__ volatile("sgdt %0" : "=m"(gdt));
    for (unsigned i = 0; i < PAGE; i++)
        p[i] = 0;
    for (unsigned at = 0; at < 0x60; at += 0x10)
        put_segment(p, at, 0x10, 0xC93, UINT32_MAX, 0);
    put_segment(p, 0x10, 0x08, 0xA9B, UINT32_MAX, 0);
    put_segment(p, 0x60, 0, 0, gdt.limit, gdt.base);
    put_segment(p, 0x70, 0, 0x82, 0xFFFF, 0);
    put_segment(p, 0x80, 0, 0, sizeof(idt) - 1, (uintptr_t)idt);
    put_segment(p, 0x90, 0, 0x8B, 0x67, 0);
    put(p, 0x0CA, vmpl, 1);
    put(p, 0x0D0, 0x1500, 8); /* EFER: SVME, LMA, LME */
    put(p, 0x148, control(4), 8);
    put(p, 0x150, control(3), 8);
    put(p, 0x158, control(0), 8);
    put(p, 0x160, 0x400, 8);      /* DR7 */
    put(p, 0x168, 0xFFFF0FF0, 8); /* DR6 */
    put(p, 0x170, 2, 8);          /* RFLAGS */
    put(p, 0x178, (uintptr_t)victim_cpu, 8);
    put(p, 0x1D8, (uintptr_t)cpu_stack, 8);
    put(p, 0x268, UINT64_C(0x0007040600070406), 8); /* PAT */
    put(p, 0x338, n, 8);                            /* RDI */
    put(p, 0x3B0, 1, 8);                            /* SEV_FEATURES: SNP */
    put(p, 0x3E8, 1, 8);                            /* XCR0 */
    put(p, 0x408, 0x1F80, 4);                       /* MXCSR */
    put(p, 0x410, 0x37F, 2);                        /* x87 control word */
    return adjust((uintptr_t)p, 0, 1 << 16 | 1) ? 0 : (uintptr_t)p;
}

/* ---- commands -------------------------------------------------------------------------------- */

static void give_key(uint64_t at)
{
    volatile uint8_t *to = SHARED(at);

    for (unsigned i = 0; i < 32; i++)
        to[i] = ((volatile uint8_t *)SECRETS)[SECRETS_KEY0 + i];
}

static uint64_t run(struct victim_slot *s, uint64_t r15)
{
    switch (s->command) {
    case VICTIM_FILL:
        fill(s->args[0], s->args[1]);
        return 0;
    case VICTIM_COUNT:
        return count(s->args[0], s->args[1]);
    case VICTIM_POKE:
        *(volatile uint64_t *)s->args[0] = s->args[1];
        return 0;
    case VICTIM_PEEK:
        return *(volatile uint64_t *)s->args[0];
    case VICTIM_R15_IS:
        return r15;
    case VICTIM_ACCEPT:
        return accept(s);
    case VICTIM_ADJUST:
        return adjust(s->args[0], s->args[1], s->args[2]);
    case VICTIM_GRANT:
        return grant(s->args[0]);
    case VICTIM_MAKE_CPU:
        return make_cpu(s->args[0], s->args[1]);
    case VICTIM_KEY:
        give_key(s->args[0]);
        return 0;
    case VICTIM_SHARE:
        share(s->args[0]);
        return 0;
    default:
        return UINT64_MAX;
    }
}

void victim_do(struct victim_slot *s, uint64_t r15)
{
    s->answer = run(s, r15);
    s->command = VICTIM_IDLE;
}

static void set_gate(unsigned vector, const void *entry)
{
    uint64_t at = (uintptr_t)entry;

    idt[vector][0] = (at & 0xFFFF) | 8u << 16 | UINT64_C(0x8E) << 40 | (at >> 16 & 0xFFFF) << 48;
    idt[vector][1] = at >> 32;
}

void victim_start(void)
{
    set_gate(13, gp_entry);
    set_gate(29, vc_entry);
    idt_pointer.base = (uintptr_t)idt;
    __asm__ volatile("lidt %0" : : "m"(idt_pointer));
    share(VICTIM_BOX);
    for (unsigned i = 0; i < PAGE / 8; i++)
        ((volatile uint64_t *)SHARED(VICTIM_BOX))[i] = 0;
}
