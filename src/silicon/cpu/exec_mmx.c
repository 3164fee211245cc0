/* MMX. */
#include "silicon/cpu/exec.h"
#include "silicon/cpu/x87.h"

static void emms(struct cpu *c, const struct op *o)
{
    x87_wait(c, o);
    c->x87.valid = 0;
    NEXT(c, o);
}
EXEC_ANY(emms, emms);
