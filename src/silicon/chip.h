/* The chips: what differs from one EPYC generation to the next. One table, in chip.c. */
#ifndef LUCCA_SILICON_CHIP_H
#define LUCCA_SILICON_CHIP_H

#include <stdint.h>

enum chip_id { CHIP_NAPLES, CHIP_ROME, CHIP_MILAN, CHIP_GENOA, CHIP_TURIN, CHIPS };

/* The widest wall a chip can build; each level includes those before it. */
enum sev_level { SEV_OFF, SEV_PLAIN, SEV_ES, SEV_SNP };

struct chip {
    enum chip_id id;
    const char *name;      /* "genoa": as users spell it */
    const char *brand;     /* CPUID 80000002..4 */
    uint32_t signature;    /* CPUID 1 EAX: family, model, stepping */
    uint8_t cbit;          /* CPUID 8000001F EBX[5:0] */
    uint8_t pa_reduction;  /* CPUID 8000001F EBX[11:6] */
    uint8_t pa_bits;       /* CPUID 80000008 EAX[7:0]; the chip does not take pa_reduction off */
    uint8_t la_bits;       /* CPUID 80000008 EAX[15:8] */
    uint8_t vmpls;         /* CPUID 8000001F EBX[15:12] */
    uint32_t sev_features; /* CPUID 8000001F EAX, as the part reports it: all that it can do */
    uint16_t sev_asids;    /* CPUID 8000001F ECX: highest ASID that can hold a key */
    uint16_t min_sev_asid; /* CPUID 8000001F EDX: lowest for SEV without ES; a BIOS setting, here
                            * one that leaves room for both kinds of guest */
    enum sev_level level;
    uint8_t api_major, api_minor, api_build; /* SEV firmware that ships with it */
};

/* NULL for a name that is no chip's. */
const struct chip *chip_by_name(const char *name);
const struct chip *chip_by_id(enum chip_id id);

#endif
