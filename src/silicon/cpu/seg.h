/* Descriptors, for the files that transfer control or load segments (APM2 4.7 .. 4.8). */
#ifndef LUCCA_SILICON_CPU_SEG_H
#define LUCCA_SILICON_CPU_SEG_H

#include "silicon/cpu/cpu.h"

/* Bits of seg.attrib's type, for S set. */
#define TYPE_ACCESSED   0x1u
#define TYPE_WRITE      0x2u /* data */
#define TYPE_READ       0x2u /* code */
#define TYPE_DOWN       0x4u /* data: expands down */
#define TYPE_CONFORMING 0x4u /* code */
#define TYPE_CODE       0x8u

/* Types with S clear. Long mode knows LDT, TSS, BUSY_TSS, CALL, INTERRUPT and TRAP alone. */
enum system_type {
    SYS_TSS16 = 1,
    SYS_LDT = 2,
    SYS_BUSY_TSS16 = 3,
    SYS_CALL16 = 4,
    SYS_TASK_GATE = 5,
    SYS_INTERRUPT16 = 6,
    SYS_TRAP16 = 7,
    SYS_TSS = 9,
    SYS_BUSY_TSS = 11,
    SYS_CALL = 12,
    SYS_INTERRUPT = 14,
    SYS_TRAP = 15,
};

#define SEL_RPL(sel)  ((sel)&3u)
#define SEL_NULL(sel) (((sel)&0xFFFCu) == 0)

/* A descriptor as read from its table. `high`: bytes 8 to 15 of system descriptors in long mode. */
struct descriptor {
    uint16_t selector;
    uint64_t low, high;
    uint64_t la; /* where it was read */
};

static inline uint16_t desc_attrib(const struct descriptor *d)
{
    return (uint16_t)((d->low >> 40 & 0xFF) | (d->low >> 44 & 0xF00));
}
static inline bool is_code(uint16_t attrib)
{
    return attrib & SEG_S && attrib & TYPE_CODE;
}
static inline bool is_writable_data(uint16_t attrib)
{
    return attrib & SEG_S && !(attrib & TYPE_CODE) && attrib & TYPE_WRITE;
}
static inline bool is_conforming(uint16_t attrib)
{
    return attrib & TYPE_CONFORMING;
}

/* #vec with a selector's error code; EXT when an event that is no INT n is being delivered. */
_Noreturn void fault_selector(struct cpu *c, const struct op *o, int vec, uint32_t selector);
uint32_t error_ext(const struct cpu *c);

/* False: the selector is beyond its table, or there is no LDT. */
bool desc_find(struct cpu *c, const struct op *o, uint16_t selector, struct descriptor *d);
/* As desc_find, or #vec(selector). */
void desc_read(struct cpu *c, const struct op *o, uint16_t selector, int vec, struct descriptor *d);
/* Reads bytes 8 to 15: a system descriptor in long mode is two entries long. */
void desc_read_high(struct cpu *c, const struct op *o, int vec, struct descriptor *d);
/* The segment it describes; sets the accessed bit in the table. */
struct seg desc_segment(const struct descriptor *d);
void desc_mark_accessed(struct cpu *c, const struct op *o, struct descriptor *d);

/* [off, off + size) lies within the segment. */
bool seg_within(const struct seg *s, uint64_t off, unsigned size);
/* Data segments that code at the new, lower privilege may not use become null. */
void seg_drop_privileged(struct cpu *c);

/* ---- far transfers ---- */
/* The stack an inner privilege level starts with, from the TSS (APM2 8.7.4, 8.9.3). */
struct stack {
    struct seg ss;
    uint64_t sp;
    unsigned cpl;
    bool flat;      /* 64-bit: no limit, no mask */
    uint32_t error; /* of #SS when a push does not fit */
};
void inner_stack(struct cpu *c, const struct op *o, unsigned cpl, struct stack *s);
struct stack current_stack(const struct cpu *c);
/* Pushes n values of `slot` bytes: none is written when one would fault. */
void push_frame(struct cpu *c, const struct op *o, struct stack *s, unsigned slot,
                const uint64_t *values, unsigned n);
/* SS and RSP become the stack's. */
void commit_stack(struct cpu *c, const struct stack *s);
/* Where a code segment may be entered: #GP(0) beyond its limit or at a non-canonical address. */
void check_target(struct cpu *c, const struct op *o, const struct seg *cs, uint64_t rip);

/* ---- task.c ---- */
enum task_switch { TASK_JMP, TASK_CALL, TASK_IRET };
/* Hardware task switch to the TSS `selector` names (APM2 12.5); c->rip is where the old task goes
 * on. TASK_CALL also for gates of events. `error` is pushed when has_error. */
void task_switch(struct cpu *c, const struct op *o, uint16_t selector, enum task_switch how,
                 uint64_t old_rip, bool has_error, uint32_t error);

#endif
