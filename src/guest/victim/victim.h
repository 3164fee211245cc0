/* What the victim shares with whoever plays with it: a page of its memory without the C-bit, a slot
 * for each processor. A command is its number in `command`; the victim answers with `answer` and
 * clears it. */
#ifndef LUCCA_GUEST_VICTIM_H
#define LUCCA_GUEST_VICTIM_H

#define VICTIM_BOX   0x300000 /* GPA of the shared page */
#define VICTIM_READY 0x59444552
#define VICTIM_SLOT  64
#define VICTIM_R15   0x600D /* R15 while it waits */

#ifndef __ASSEMBLER__
#include <stdint.h>

enum victim_command {
    VICTIM_IDLE,
    VICTIM_FILL,     /* the page at args[0] with the pattern of salt args[1] */
    VICTIM_COUNT,    /* the bytes of the page at args[0] that are not that pattern of args[1] */
    VICTIM_POKE,     /* eight bytes of args[1] at args[0] */
    VICTIM_PEEK,     /* the eight bytes at args[0] */
    VICTIM_R15_IS,   /* R15 as it was when the command came */
    VICTIM_ACCEPT,   /* PVALIDATE of args[0], size args[1]: RAX, and whether CF was set. Ends itself
                      * when the page was valid before, unless args[2] */
    VICTIM_ADJUST,   /* RMPADJUST of args[0], size args[1], RDX args[2]: RAX */
    VICTIM_GRANT,    /* its own image to VMPL args[0] */
    VICTIM_MAKE_CPU, /* a VMSA at VMPL args[0] for the processor of slot args[1]: its GPA */
    VICTIM_KEY,      /* VMPCK0, 32 bytes, to args[0]: no sane guest would */
    VICTIM_SHARE,    /* makes the page at args[0] shared */
};

struct victim_slot {
    volatile uint32_t ready, command;
    volatile uint64_t args[3], answer;
    volatile uint64_t vc_error, vc_cr2; /* the last #VC */
    uint64_t reserved;
};
_Static_assert(sizeof(struct victim_slot) == VICTIM_SLOT, "start.S counts on it");
#endif

#endif
