/* Inside the MMU: what its files share, and accesses with a privilege of their own. */
#ifndef LUCCA_SILICON_CPU_MMU_H
#define LUCCA_SILICON_CPU_MMU_H

#include "silicon/cpu/cpu.h"

/* Who looks at a page. Each address space has one TLB context per view, in this order. Nothing is
 * cached for VIEW_ALIGN (a user with alignment checks on), so that all its accesses are slow. */
enum view { VIEW_SYSTEM, VIEW_SMAP, VIEW_USER, VIEW_ALIGN, VIEWS };

#define CAN(acc) (1u << (acc)) /* rights: bit per enum access */

/* A translation as one view may use it. Writing is among the rights once the page is dirty. */
struct page {
    uint64_t tag; /* linear page | context, as in the TLB; 0: none */
    uint64_t spa;
    dram_key key;   /* of data accesses */
    uint8_t rights; /* CAN() bits */
    uint8_t shift;  /* log2 of the guest's page size */
};

/* A nested translation of one guest-physical page. */
struct nested_page {
    uint64_t tag; /* guest-physical page | 1; 0: none */
    uint64_t spa;
    uint8_t rights;
};
#define NESTED_PAGES 1024u

/* The way to a page table of the guest's in long mode: what its three directories came to. INVLPG
 * forgets all of them (APM2 5.5.2). */
struct directory {
    uint64_t tag;   /* (la >> 21) << 12 | space; 0: none */
    uint64_t table; /* system-physical */
    uint64_t all, any;
};
#define DIRECTORIES 64u

struct walk_cache {
    uint64_t space; /* first context of the current address space */
    struct directory directories[DIRECTORIES];
    struct nested_page nested[NESTED_PAGES]; /* of the guest that ran last */
};

struct walk_fault {
    bool nested;      /* #VMEXIT(NPF), else #PF */
    uint64_t info;    /* EXITINFO1, or the error code */
    uint64_t address; /* guest-physical, or linear */
};

/* ---- walk.c ---- */
/* Translates `la` for an access, setting A and D bits; false: `f` says why not. */
bool mmu_walk(struct cpu *c, struct walk_cache *cache, uint64_t la, enum access acc, enum view view,
              struct page *p, struct walk_fault *f);
/* Bits of a CR3 that must be zero in the current mode (APM2 5.2.1, 5.3.2). */
uint64_t cr3_reserved(const struct cpu *c);
/* Without nested paging: the legacy PAE page-directory pointers at `cr3` that are present have
 * their reserved bits clear, else #GP when CR3 is loaded (APM2 5.2.3). Walks read them from memory
 * every time, as processors with nested paging do (APM2 15.25.10). */
bool pdptes_legal(const struct cpu *c, uint64_t cr3);

/* ---- mmu.c ---- */
static inline bool canonical(uint64_t la)
{
    return (uint64_t)((int64_t)(la << 16) >> 16) == la;
}

/* A store as code at `cpl` would make it, whatever c->cpl is: frames of far transfers. */
void mmu_store_as(struct cpu *c, const struct op *o, unsigned cpl, uint64_t la, const void *from,
                  unsigned size);
#endif
