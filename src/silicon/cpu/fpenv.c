/* The host's floating-point environment while guest code runs, and MXCSR as one register. */
#include "silicon/cpu/fp.h"

#if FP_NATIVE
/* The guest's controls with every exception masked: routines that must raise one do not use the
 * host's unit. */
static _Thread_local uint32_t host_mxcsr;
static _Thread_local bool inside;

static uint32_t host_get(void)
{
    uint32_t v;

    __asm__ volatile("stmxcsr %0" : "=m"(v)::"memory");
    return v;
}

static void host_set(uint32_t v)
{
    __asm__ volatile("ldmxcsr %0" ::"m"(v) : "memory");
}

void fpenv_enter(struct cpu *c)
{
    if (!inside)
        host_mxcsr = host_get();
    inside = true;
    host_set((c->mxcsr & ~MXCSR_MM) | MXCSR_MASKS);
}

void fpenv_leave(struct cpu *c)
{
    if (!inside)
        return;
    c->mxcsr |= host_get() & MXCSR_FLAGS;
    inside = false;
    host_set(host_mxcsr);
}

uint32_t mxcsr_read(struct cpu *c)
{
    if (inside)
        c->mxcsr |= host_get() & MXCSR_FLAGS;
    return c->mxcsr;
}

void mxcsr_write(struct cpu *c, uint32_t v)
{
    c->mxcsr = v & MXCSR_VALID;
    if (inside)
        fpenv_enter(c);
}
#else
void fpenv_enter(struct cpu *c)
{
}

void fpenv_leave(struct cpu *c)
{
}

uint32_t mxcsr_read(struct cpu *c)
{
    return c->mxcsr;
}

void mxcsr_write(struct cpu *c, uint32_t v)
{
    c->mxcsr = v & MXCSR_VALID;
}
#endif
