/* The debug port: see silicon/probe.h. */
#include "silicon/cpu/probe.h"

#include "silicon/cpu/block.h"

/* ---- what cores ask ---- */
static const struct probe_point *find(const struct cpu *c, uint64_t la, unsigned len,
                                      unsigned kinds)
{
    if (LIKELY(!c->probe) || !c->guest)
        return NULL;
    for (unsigned i = 0; i < c->probe->points; i++) {
        const struct probe_point *p = &c->probe->point[i];

        if (kinds >> p->kind & 1 && p->asid == c->vmcb.asid && p->la < la + len &&
            la < p->la + p->len)
            return p;
    }
    return NULL;
}

#define ON_CODE (1u << PROBE_CODE)
static unsigned kinds_of(enum access acc)
{
    return 1u << PROBE_ACCESS | (acc == ACCESS_WRITE ? 1u << PROBE_WRITE : 0);
}

static void stopped_by(struct cpu *c, const struct probe_point *p)
{
    if (!p || c->probe_stopped)
        return;
    c->probe_stopped = true;
    c->probe_where = (unsigned)(p - c->probe->point);
}

bool probe_at_code(const struct cpu *c, uint64_t la)
{
    return find(c, la, 1, ON_CODE);
}

bool probe_on_data(const struct cpu *c, uint64_t la, unsigned len, enum access acc)
{
    return find(c, la, len, kinds_of(acc));
}

void probe_note_data(struct cpu *c, uint64_t la, unsigned len, enum access acc)
{
    stopped_by(c, find(c, la, len, kinds_of(acc)));
}

void probe_look(struct cpu *c)
{
    stopped_by(c, find(c, code_linear(c, c->rip), 1, ON_CODE));
}

/* It is no instruction: the block counted it, so it gives that back. The same code may be mapped
 * where there is no point: it goes on there. */
void probe_op(struct cpu *c, const struct op *o)
{
    stopped_by(c, find(c, code_linear(c, op_rip(c, o)), 1, ON_CODE));
    if (c->probe_stopped)
        cpu_exit(c, o, VMEXIT_INTR, 0, 0);
    c->budget++;
    NEXT(c, o);
}

/* ---- what the debugger asks ---- */
static struct dram *dram_of(struct soc *s)
{
    return soc_core(s, 0)->dram;
}

static dram_key key_of(struct soc *s, uint32_t asid)
{
    return asid && asid <= soc_chip(s)->sev_asids ? dram_bound(dram_of(s), asid) : DRAM_PLAIN;
}

bool probe_read(struct soc *s, uint32_t asid, uint64_t spa, void *to, size_t len)
{
    return dram_read(dram_of(s), spa, key_of(s, asid), to, len);
}

bool probe_write(struct soc *s, uint32_t asid, uint64_t spa, const void *from, size_t len)
{
    return dram_write(dram_of(s), spa, key_of(s, asid), from, len);
}

bool probe_read_vmsa(struct soc *s, uint32_t asid, uint64_t spa, struct vmsa *to)
{
    return probe_read(s, asid, spa, to, sizeof(*to));
}

bool probe_write_vmsa(struct soc *s, uint32_t asid, uint64_t spa, const struct vmsa *from)
{
    if (!probe_write(s, asid, spa, from, sizeof(*from)))
        return false;
    if (!(from->sev_features & SEV_FEATURE_SNP_ACTIVE))
        soc_vmsa_seal(s, spa, key_of(s, asid), from);
    return true;
}

/* Cores forget what they decoded and translated without the points. */
static void points_changed(struct soc *s)
{
    struct probe *p = soc_probe(s);
    struct cpu *c;

    p->data = 0;
    for (unsigned i = 0; i < p->points; i++)
        p->data += p->point[i].kind != PROBE_CODE;
    for (unsigned i = 0; (c = soc_core(s, i)); i++) {
        c->probe = p->points ? p : NULL;
        blocks_drop_all(c);
        mmu_flush_all(c);
    }
}

static struct probe_point *find_point(struct probe *p, const struct probe_point *like)
{
    for (unsigned i = 0; i < p->points; i++)
        if (p->point[i].kind == like->kind && p->point[i].asid == like->asid &&
            p->point[i].la == like->la && p->point[i].len == like->len)
            return &p->point[i];
    return NULL;
}

bool probe_set(struct soc *s, const struct probe_point *point)
{
    struct probe *p = soc_probe(s);

    if (find_point(p, point))
        return true;
    if (p->points == PROBE_POINTS)
        return false;
    p->point[p->points++] = *point;
    points_changed(s);
    return true;
}

bool probe_clear(struct soc *s, const struct probe_point *point)
{
    struct probe *p = soc_probe(s);
    struct probe_point *at = find_point(p, point);

    if (!at)
        return false;
    *at = p->point[--p->points];
    points_changed(s);
    return true;
}

bool probe_hit(struct soc *s, unsigned core, struct probe_point *point)
{
    struct cpu *c = soc_core(s, core);

    if (!c || !c->probe_stopped || !c->probe)
        return false;
    *point = c->probe->point[c->probe_where];
    c->probe_stopped = false;
    return true;
}
