/* What the tests of the SNP firmware start from. */
#ifndef LUCCA_TESTS_SNP_FIXTURE_H
#define LUCCA_TESTS_SNP_FIXTURE_H

#include "snp_rig.h"

static struct rig rig;

static int open_initialised(void **state)
{
    rig_open(&rig, CHIP_GENOA);
    rig_init(&rig);
    return 0;
}

static int close_rig(void **state)
{
    rig_close(&rig);
    return 0;
}

static inline void fill(uint8_t *to, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)(seed += 97 + (unsigned)i % 31);
}

static inline void assert_state(uint64_t spa, enum rmp_state state)
{
    assert_int_equal(rmp_state(rig.rmp, spa), state);
}

#endif
