/* Inside the MMU: what its files share, and accesses with a privilege of their own. */
#ifndef LUCCA_SILICON_CPU_MMU_H
#define LUCCA_SILICON_CPU_MMU_H

#include "silicon/cpu/cpu.h"
#include "silicon/rmp/rmp.h"

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
    uint8_t rights; /* CAN() bits, by the nested tables */
    uint8_t shift;  /* log2 of the nested page's size */
    /* By the reverse map table: */
    uint8_t private;   /* VMPL_ bits of a private access, at the VMPL that runs */
    bool shared_write; /* the page (or all 2 MiB) is the hypervisor's */
};
#define NESTED_PAGES 1024u

/* The way to a page table of the guest's in long mode: what its three directories came to. INVLPG
 * forgets all of them (APM2 5.5.2). */
struct directory {
    uint64_t tag;   /* (la >> 21) << 12 | space; 0: none */
    uint64_t table; /* system-physical */
    uint64_t all, any;
    bool fixed; /* A and D cannot be set there: walk it all, for the fault */
};
#define DIRECTORIES 64u

struct walk_cache {
    uint64_t space; /* first context of the current address space */
    struct directory directories[DIRECTORIES];
    struct nested_page nested[NESTED_PAGES]; /* of the guest that ran last */
};

enum walk_end { WALK_PF, WALK_NPF, WALK_VC };

struct walk_fault {
    enum walk_end kind;
    uint64_t info;    /* error code of #PF and #VC, EXITINFO1 */
    uint64_t address; /* guest-physical for #VMEXIT(NPF), else linear */
};

/* An access to guest-physical memory. */
struct reach {
    enum access acc; /* of a walk: a write, since A and D may be set (APM2 15.25.5) */
    uint64_t where;  /* NPF_WALK or NPF_FINAL */
    bool private;    /* under the guest's key: data as the C-bit says, fetches and walks always */
    bool user;       /* at CPL 3 */
};

/* ---- walk.c ---- */
/* Translates `la` for an access, setting A and D bits; false: `f` says why not. */
bool mmu_walk(struct cpu *c, struct walk_cache *cache, uint64_t la, enum access acc, enum view view,
              struct page *p, struct walk_fault *f);
/* As PVALIDATE and its kin walk: a read of a page that must be private, judged by the guest's and
 * the nested tables alone. */
bool mmu_walk_private(struct cpu *c, struct walk_cache *cache, uint64_t la, enum view view,
                      uint64_t *gpa, struct nested_page *np, struct walk_fault *f);
/* #NPF's error code for an access, with NPF_PRESENT, NPF_RSVD and NPF_RMP as given. */
uint64_t npf_info(const struct cpu *c, const struct reach *r, uint64_t why);
/* Bits of a CR3 that must be zero in the current mode (APM2 5.2.1, 5.3.2). */
uint64_t cr3_reserved(const struct cpu *c);
/* Without nested paging: the legacy PAE page-directory pointers at `cr3` that are present have
 * their reserved bits clear, else #GP when CR3 is loaded (APM2 5.2.3). Walks read them from memory
 * every time, as processors with nested paging do (APM2 15.25.10). */
bool pdptes_legal(const struct cpu *c, uint64_t cr3);

/* ---- rmp_check.c ---- */
/* Fills in what the table gives to the page of np->spa and np->shift. */
void rmp_judge(const struct cpu *c, struct rmp *t, uint64_t gpa, struct nested_page *np);
/* CAN() bits of data accesses, private or shared, and of fetches. */
uint8_t rmp_rights(const struct cpu *c, const struct nested_page *np, bool private, bool user);
bool rmp_allows(const struct cpu *c, const struct nested_page *np, const struct reach *r);
/* Says why not. The address of a #VC is left to the walk, which knows it. */
void rmp_refuse(const struct cpu *c, const struct rmp *t, uint64_t gpa,
                const struct nested_page *np, const struct reach *r, struct walk_fault *f);
/* A nested page table may lie there. */
bool rmp_host_page(const struct rmp *t, uint64_t spa);

/* ---- mmu.c ---- */
/* The reverse map table takes away what it allowed of a page (2 MiB: `large`), or RMP_EVERY_PAGE:
 * translations of it go before the core runs a guest's next instruction. */
void mmu_drop_page(struct cpu *c, uint64_t spa, bool large);
/* The page of a linear address for PVALIDATE and its kin: a private read at CPL 0, judged by guest
 * and nested tables alone. `gpa` and `np` come from the nested tables. Unwinds on a fault. */
void mmu_locate(struct cpu *c, const struct op *o, uint64_t la, uint64_t *gpa,
                struct nested_page *np);
static inline bool canonical(uint64_t la)
{
    return (uint64_t)((int64_t)(la << 16) >> 16) == la;
}

/* A store as code at `cpl` would make it, whatever c->cpl is: frames of far transfers. */
void mmu_store_as(struct cpu *c, const struct op *o, unsigned cpl, uint64_t la, const void *from,
                  unsigned size);
#endif
