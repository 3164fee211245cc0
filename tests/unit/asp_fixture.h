/* What the tests of the secure processor's commands start from: a machine, and a look at it before
 * a refusal, which must leave no trace in memory, in the processor or in its store. */
#ifndef LUCCA_TESTS_ASP_FIXTURE_H
#define LUCCA_TESTS_ASP_FIXTURE_H

#include "asp_rig.h"

static struct rig rig;
static struct world before;

static int open_initialised(void **state)
{
    rig_open(&rig, CHIP_GENOA, NULL);
    rig_init(&rig);
    return 0;
}

static int close_rig(void **state)
{
    rig_close(&rig);
    return 0;
}

#define REFUSED(call, status)                                                                      \
    do {                                                                                           \
        look(&rig, &before);                                                                       \
        assert_int_equal(call, status);                                                            \
        assert_same_world(&rig, &before);                                                          \
    } while (0)

#endif
