/* What a malicious hypervisor tries on a guest that runs. It has what every hypervisor has: the
 * pins of the chip (soc.h), the guest's nested tables and VMCBs. An attack says how the chip took
 * the hypervisor's own step; what became of the guest shows when it runs on, in its fate and in
 * what it says. docs/attacks.md has the outcomes. */
#ifndef LUCCA_HOST_ATTACK_ATTACK_H
#define LUCCA_HOST_ATTACK_ATTACK_H

#include "host/vm/vm.h"

/* At whom, and where. */
struct attack_aim {
    struct vm *vm;
    unsigned vcpu;
    uint64_t gpa, other_gpa; /* 2 MiB of the guest's memory each, aligned; all of it private */
    struct vm *foreign;      /* another guest of the host, which has the same addresses; or NULL */
    uint64_t vmsa; /* "run-vmsa", "forge-vmsa": the page that the guest made a VMSA (GPA) */
    uint64_t request, response; /* "stale-request": shared pages, with a message that was sent */
    uint8_t kept[4096];         /* what the first half of an attack keeps for the second */
};

enum attack_end {
    ATTACK_DONE,       /* nothing stopped the hypervisor's step */
    ATTACK_RMP_FAULT,  /* its store was #PF with the RMP bit (APM2 15.36.10) */
    ATTACK_REFUSED,    /* the firmware refused; `code` is its status */
    ATTACK_EXIT,       /* the guest was run as the attack has it: `code` and `info` of its exit */
    ATTACK_IMPOSSIBLE, /* this aim has not what it takes */
};

struct attack_result {
    enum attack_end end;
    uint64_t code, info;
};

struct attack {
    const char *name, *does;
    enum sev_level from, to; /* the modes in which it can be tried */
    /* The first half, before the guest changes what it has; or NULL. False: ATTACK_IMPOSSIBLE. */
    bool (*begin)(struct attack_aim *a);
    struct attack_result (*run)(struct attack_aim *a);
};

/* In the order of docs/attacks.md; the last has no name. */
extern const struct attack attacks[];
const struct attack *attack_find(const char *name);

#endif
