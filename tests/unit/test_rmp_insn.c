/* PVALIDATE, RMPADJUST and RMPQUERY, and who may execute them. */
#include "rmp_rig.h"

RIG_END

/* ---- PVALIDATE, RMPADJUST, RMPQUERY ------------------------------------------------------------
 */
/* What an instruction came to: DONE with a code, a fault, or #NPF. */
struct result {
    enum how how;
    uint64_t code; /* EAX, vector, EXITINFO1 */
    uint64_t more; /* carry, error code, EXITINFO2 */
};

static void expect(const char *law, const struct result *want, const struct outcome *out)
{
    struct result got = {out->how, rig.c->r[RAX], flags_read(rig.c) & FLAG_C};

    if (out->how == FAULT)
        got = (struct result){FAULT, (uint64_t)out->vec, out->error};
    if (out->how == EXIT)
        got = (struct result){EXIT, out->info1, out->info2};
    if (got.how != want->how || got.code != want->code || got.more != want->more)
        fail_msg("%s: %d %#llx %#llx, want %d %#llx %#llx", law, got.how,
                 (unsigned long long)got.code, (unsigned long long)got.more, want->how,
                 (unsigned long long)want->code, (unsigned long long)want->more);
}

static const struct {
    const char *law;
    enum entry_kind entry;
    bool nested_large;
    uint64_t rax, rcx, rdx;
    struct result want;
    bool valid; /* after it */
} validations[] = {
    {"validates", INVALID, 0, LA, 0, 1, {DONE, 0, 0}, 1},
    {"was valid", VALID, 0, LA, 0, 1, {DONE, 0, 1}, 1},
    {"rescinds", VALID, 0, LA, 0, 0, {DONE, 0, 0}, 0},
    {"was invalid", INVALID, 0, LA, 0, 0, {DONE, 0, 1}, 0},
    {"validates 2 MiB", LARGE_INVALID, 1, LA, 1, 1, {DONE, 0, 0}, 1},
    {"rescinds 2 MiB", LARGE, 1, LA, 1, 0, {DONE, 0, 0}, 0},
    {"2 MiB over 4 KiB", INVALID, 0, LA, 1, 1, {DONE, 6, 0}, 0},
    {"2 MiB over a smaller mapping", LARGE_INVALID, 0, LA, 1, 1, {DONE, 6, 0}, 0},
    {"4 KiB of 2 MiB", LARGE_INVALID, 1, LA, 0, 1, {EXIT, RMPFAULT | NPF_SIZEM, AREA_GPA}, 0},
    {"4 KiB of a larger mapping", INVALID, 1, LA, 0, 1, {EXIT, RMPFAULT | NPF_SIZEM, AREA_GPA}, 0},
    {"a size that is none", INVALID, 0, LA, 2, 1, {DONE, 1, 0}, 0},
    {"one bit of EDX counts", INVALID, 0, LA, 0, 0xFFFFFF01, {DONE, 0, 0}, 1},
    {"an odd address", INVALID, 0, LA + 8, 0, 1, {DONE, 1, 0}, 0},
    {"an odd 2 MiB address", LARGE_INVALID, 1, LA + 4096, 1, 1, {DONE, 1, 0}, 0},
    {"2 MiB at an odd guest address", LARGE_INVALID, 1, OTHER, 1, 1, {DONE, 1, 0}, 0},
    {"bits 63:32 of RCX and RDX do not count",
     INVALID,
     0,
     LA,
     BIT(32),
     BIT(33) | 1,
     {DONE, 0, 0},
     1},
    {"not assigned", FREE, 0, LA, 0, 1, {EXIT, RMPFAULT, AREA_GPA}, 0},
    {"another guest's", FOREIGN, 0, LA, 0, 1, {EXIT, RMPFAULT, AREA_GPA}, 1},
    {"of another address", ELSEWHERE, 0, LA, 0, 1, {EXIT, RMPFAULT, AREA_GPA}, 1},
    {"immutable", FIXED, 0, LA, 0, 1, {EXIT, RMPFAULT, AREA_GPA}, 1},
    {"C-bit clear", INVALID, 0, SHARED, 0, 1, {FAULT, EXC_PF, 9}, 0},
    {"no page", INVALID, 0, ABSENT, 0, 1, {FAULT, EXC_PF, 0}, 0},
    {"no memory",
     INVALID,
     0,
     NOWHERE,
     0,
     1,
     {EXIT, NPF_USER | NPF_FINAL | NPF_ENC, AREA_GPA * 2},
     0},
    {"not canonical", INVALID, 0, BIT(60), 0, 1, {FAULT, EXC_GP, 0}, 0},
};

static void pvalidate(void **state)
{
    struct cpu *c = rig.c;

    for (size_t i = 0; i < COUNT(validations); i++) {
        struct outcome out;

        put_kind(validations[i].entry);
        map_area(validations[i].nested_large);
        c->r[RAX] = validations[i].rax;
        c->r[RCX] = validations[i].rcx;
        c->r[RDX] = validations[i].rdx;
        flags_write(c, OSZAPC);
        out = try_insn(&rig, PVALIDATE);
        expect(validations[i].law, &validations[i].want, &out);
        if (rmp_get(t, AREA).validated != validations[i].valid)
            fail_msg("%s: wrong state", validations[i].law);
    }
}

static void pvalidate_in_32_bit_code(void **state)
{
    struct cpu *c = rig.c;

    put_kind(INVALID);
    mode(&rig, 0, false);
    c->r[RAX] = BIT(40) | LA;
    c->r[RCX] = 0;
    c->r[RDX] = 1;
    assert_int_equal(try_insn(&rig, PVALIDATE).how, DONE);
    assert_int_equal(c->r[RAX], 0);
    assert_true(rmp_get(t, AREA).validated);
    assert_int_equal(try_insn(&rig, RMPADJUST).vec, EXC_UD); /* 64-bit mode alone */
    assert_int_equal(try_insn(&rig, RMPQUERY).vec, EXC_UD);
}

static void who_may_execute_them(void **state)
{
    static const uint8_t code[][4] = {
        {0xF2, 0x0F, 0x01, 0xFF}, {0xF3, 0x0F, 0x01, 0xFE}, {0xF3, 0x0F, 0x01, 0xFD}};
    /* RMPUPDATE, PSMASH, RMPREAD are the host's. */
    static const uint8_t hosts[][4] = {
        {0xF2, 0x0F, 0x01, 0xFE}, {0xF3, 0x0F, 0x01, 0xFF}, {0xF2, 0x0F, 0x01, 0xFD}};
    struct cpu *c = rig.c;

    for (size_t i = 0; i < COUNT(code); i++) {
        assert_int_equal(try_insn(&rig, hosts[i], 4).vec, EXC_UD);
        mode(&rig, 3, true);
        assert_int_equal(try_insn(&rig, code[i], 4).vec, EXC_GP);
        c->snp = false;
        assert_int_equal(try_insn(&rig, code[i], 4).vec, EXC_UD);
        c->snp = true;
        mode(&rig, 0, true);
    }
    c->vmpl = 1;
    assert_int_equal(try_insn(&rig, PVALIDATE).vec, EXC_GP);
    rig_stop(&rig);
    make(CHIP_MILAN, 1);
    rig.c->snp = rig.c->guest = true;
    mode(&rig, 0, true);
    rig.c->decode |= 2;
    assert_int_equal(try_insn(&rig, RMPQUERY).vec, EXC_UD); /* comes with Genoa */
}

static const struct {
    const char *law;
    enum entry_kind entry;
    bool nested_large;
    unsigned vmpl;
    uint64_t rax, rcx, rdx;
    struct result want;
    uint8_t perms[4];
    bool vmsa; /* after it */
} adjustments[] = {
    {"gives", VALID, 0, 0, LA, 0, 0x0102, {DONE, 0, 0}, {15, 15, 1, 0}, 0},
    {"takes", VALID, 0, 0, LA, 0, 0x0001, {DONE, 0, 0}, {15, 0, 0, 0}, 0},
    {"makes a VMSA", VALID, 0, 0, LA, 0, 0x10001, {DONE, 0, 0}, {15, 0, 0, 0}, 1},
    {"VMPL1 gives to VMPL2", VALID, 0, 1, LA, 0, 0x0702, {DONE, 0, 0}, {15, 15, 7, 0}, 0},
    {"VMPL1 makes no VMSA", VALID, 0, 1, LA, 0, 0x10702, {DONE, 0, 0}, {15, 15, 7, 0}, 0},
    {"to itself", VALID, 0, 1, LA, 0, 0x0701, {DONE, 2, 0}, {15, 15, 0, 0}, 0},
    {"upwards", VALID, 0, 1, LA, 0, 0x0700, {DONE, 2, 0}, {15, 15, 0, 0}, 0},
    {"more than it has", VALID, 0, 2, LA, 0, 0x0103, {DONE, 2, 0}, {15, 15, 0, 0}, 0},
    {"no such VMPL", VALID, 0, 0, LA, 0, 0x0104, {DONE, 1, 0}, {15, 15, 0, 0}, 0},
    {"reserved permissions", VALID, 0, 0, LA, 0, 0x1001, {DONE, 1, 0}, {15, 15, 0, 0}, 0},
    {"reserved bits", VALID, 0, 0, LA, 0, 0x20001, {DONE, 1, 0}, {15, 15, 0, 0}, 0},
    {"reserved bits, high", VALID, 0, 0, LA, 0, BIT(63) | 1, {DONE, 1, 0}, {15, 15, 0, 0}, 0},
    {"no such size", VALID, 0, 0, LA, 2, 0x0001, {DONE, 1, 0}, {15, 15, 0, 0}, 0},
    {"an odd address", VALID, 0, 0, LA + 1, 0, 0x0001, {DONE, 1, 0}, {15, 15, 0, 0}, 0},
    {"2 MiB", LARGE, 1, 0, LA, 1, 0x0F03, {DONE, 0, 0}, {15, 15, 0, 15}, 0},
    {"2 MiB over 4 KiB", VALID, 0, 0, LA, 1, 0x0F03, {DONE, 6, 0}, {15, 15, 0, 0}, 0},
    {"4 KiB of 2 MiB",
     LARGE,
     1,
     0,
     LA,
     0,
     1,
     {EXIT, RMPFAULT | NPF_SIZEM, AREA_GPA},
     {15, 15, 0, 0},
     0},
    {"not validated", INVALID, 0, 0, LA, 0, 1, {FAULT, EXC_VC, 0x404}, {15, 15, 0, 0}, 0},
    {"another guest's", FOREIGN, 0, 0, LA, 0, 1, {EXIT, RMPFAULT, AREA_GPA}, {15, 15, 0, 0}, 0},
    {"not assigned", FREE, 0, 0, LA, 0, 1, {EXIT, RMPFAULT, AREA_GPA}, {0, 0, 0, 0}, 0},
    {"C-bit clear", VALID, 0, 0, SHARED, 0, 1, {FAULT, EXC_PF, 9}, {15, 15, 0, 0}, 0},
};

static void rmpadjust(void **state)
{
    struct cpu *c = rig.c;

    for (size_t i = 0; i < COUNT(adjustments); i++) {
        struct outcome out;
        struct rmp_entry e;

        put_kind(adjustments[i].entry);
        c->vmpl = (uint8_t)adjustments[i].vmpl;
        mmu_world(c, TABLE_GPA);
        map_area(adjustments[i].nested_large);
        c->r[RAX] = adjustments[i].rax;
        c->r[RCX] = adjustments[i].rcx;
        c->r[RDX] = adjustments[i].rdx;
        flags_write(c, 0);
        out = try_insn(&rig, RMPADJUST);
        expect(adjustments[i].law, &adjustments[i].want, &out);
        e = rmp_get(t, AREA);
        if (memcmp(e.perms, adjustments[i].perms, 4) || e.vmsa != adjustments[i].vmsa)
            fail_msg("%s: permissions %#x, VMSA %d", adjustments[i].law, load32(e.perms), e.vmsa);
    }
}

static struct outcome query(uint64_t la, uint64_t target)
{
    rig.c->r[RAX] = la;
    rig.c->r[RCX] = 99;
    rig.c->r[RDX] = target;
    return try_insn(&rig, RMPQUERY);
}

static void rmpquery(void **state)
{
    struct rmp_entry e = guest_page(AREA_GPA, false);
    struct cpu *c = rig.c;

    e.vmsa = true;
    e.perms[2] = 5;
    rmp_put(t, AREA, &e);
    assert_int_equal(query(LA, 2).how, DONE);
    assert_int_equal(c->r[RAX], 0);
    assert_int_equal(c->r[RCX], 0);
    assert_int_equal(c->r[RDX], 0x10502);
    assert_int_equal(query(LA, 4).how, DONE);
    assert_int_equal(c->r[RAX], RMP_FAIL_INPUT);
    assert_int_equal(c->r[RDX], 4);
    c->vmpl = 1;
    assert_int_equal(query(LA, 0).how, DONE);
    assert_int_equal(c->r[RAX], RMP_FAIL_PERMISSION);
    c->vmpl = 0;
    put_kind(LARGE);
    map_area(true);
    assert_int_equal(query(LA + 0x3000, 1).how, DONE);
    assert_int_equal(c->r[RCX], 1);
    assert_int_equal(c->r[RDX], 0x0F01);
    map_area(false);
    assert_int_equal(query(LA, 1).info1, RMPFAULT);
    put_kind(INVALID);
    assert_int_equal(query(LA, 1).error, 0x404);
    assert_int_equal(c->cr2, LA);
    put_kind(FOREIGN);
    assert_int_equal(query(LA, 1).info1, RMPFAULT);
}

/* The area that a core runs on does not change under it (APM2 15.36.12). */
static void a_running_vmsa_is_in_use(void **state)
{
    struct cpu *c = rig.c;

    put_kind(VALID);
    c->vmsa_spa = AREA;
    mmu_world(c, TABLE_GPA);
    c->r[RAX] = LA;
    c->r[RCX] = c->r[RDX] = 0;
    assert_int_equal(try_insn(&rig, PVALIDATE).how, DONE);
    assert_int_equal(c->r[RAX], RMP_FAIL_INUSE);
    c->r[RAX] = LA;
    c->r[RDX] = 1;
    assert_int_equal(try_insn(&rig, RMPADJUST).how, DONE);
    assert_int_equal(c->r[RAX], RMP_FAIL_INUSE);
    assert_int_equal(try_access(&rig, LA, ACCESS_READ).how, DONE);
    assert_int_equal(try_access(&rig, LA, ACCESS_WRITE).info1, RMPFAULT | NPF_WRITE);
    c->vmsa_spa = SPARE; /* another of its guest's runs */
    mmu_world(c, TABLE_GPA);
    assert_int_equal(try_access(&rig, LA, ACCESS_WRITE).how, DONE);
    c->vmsa_spa = AREA;
    mmu_world(c, TABLE_GPA);
    assert_int_equal(try_access(&rig, LA, ACCESS_WRITE).info1, RMPFAULT | NPF_WRITE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN(pvalidate, snp_guest),
        IN(pvalidate_in_32_bit_code, snp_guest),
        IN(who_may_execute_them, snp_guest),
        IN(rmpadjust, snp_guest),
        IN(rmpquery, snp_guest),
        IN(a_running_vmsa_is_in_use, snp_guest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
