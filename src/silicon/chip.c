/* What is known of each generation, from CPUID dumps and kernel logs of real parts. */
#include "silicon/chip.h"

#include <stddef.h>
#include <string.h>

/* C-bit, reduction, VMPLs and ASID counts are dumps of CPUID 8000001F: Rome EBX 0000016F, Milan
 * 00004173, Genoa 000041B3; ECX 509, 509 (not 1006, as is often said) and 1006. EAX is from dumps
 * of Rome and Milan and from Genoa's firmware; no dump of Naples' or Turin's EAX is at hand: Naples
 * has the bits that its level needs, Turin has Genoa's. The API versions are those of firmware in
 * the field for each part; Milan and Turin report what their last public images report. */
static const struct chip chips[CHIPS] = {
    [CHIP_NAPLES] = {.id = CHIP_NAPLES,
                     .name = "naples",
                     .brand = "AMD EPYC 7601 32-Core Processor",
                     .signature = 0x00800F12,
                     .cbit = 47,
                     .pa_reduction = 5,
                     .pa_bits = 48,
                     .la_bits = 48,
                     .sev_features = 0x00000007,
                     .sev_asids = 15,
                     .min_sev_asid = 1,
                     .level = SEV_PLAIN,
                     .api_major = 0,
                     .api_minor = 17,
                     .api_build = 22},
    [CHIP_ROME] = {.id = CHIP_ROME,
                   .name = "rome",
                   .brand = "AMD EPYC 7702 64-Core Processor",
                   .signature = 0x00830F10,
                   .cbit = 47,
                   .pa_reduction = 5,
                   .pa_bits = 48,
                   .la_bits = 48,
                   .sev_features = 0x0001000F,
                   .sev_asids = 509,
                   .min_sev_asid = 100,
                   .level = SEV_ES,
                   .api_major = 0,
                   .api_minor = 24,
                   .api_build = 15},
    [CHIP_MILAN] = {.id = CHIP_MILAN,
                    .name = "milan",
                    .brand = "AMD EPYC 7763 64-Core Processor",
                    .signature = 0x00A00F11,
                    .cbit = 51,
                    .pa_reduction = 5,
                    .pa_bits = 48,
                    .la_bits = 48,
                    .vmpls = 4,
                    .sev_features = 0x0101FD3F,
                    .sev_asids = 509,
                    .min_sev_asid = 100,
                    .level = SEV_SNP,
                    .api_major = 1,
                    .api_minor = 55,
                    .api_build = 3},
    [CHIP_GENOA] = {.id = CHIP_GENOA,
                    .name = "genoa",
                    .brand = "AMD EPYC 9654 96-Core Processor",
                    .signature = 0x00A10F11,
                    .cbit = 51,
                    .pa_reduction = 6,
                    .pa_bits = 52,
                    .la_bits = 57,
                    .vmpls = 4,
                    .sev_features = 0x030FFFFF,
                    .sev_asids = 1006,
                    .min_sev_asid = 100,
                    .level = SEV_SNP,
                    .api_major = 1,
                    .api_minor = 55,
                    .api_build = 21},
    [CHIP_TURIN] = {.id = CHIP_TURIN,
                    .name = "turin",
                    .brand = "AMD EPYC 9755 128-Core Processor",
                    .signature = 0x00B00F21,
                    .cbit = 51,
                    .pa_reduction = 6,
                    .pa_bits = 52,
                    .la_bits = 57,
                    .vmpls = 4,
                    .sev_features = 0x030FFFFF,
                    .sev_asids = 1006,
                    .min_sev_asid = 100,
                    .level = SEV_SNP,
                    .api_major = 1,
                    .api_minor = 58,
                    .api_build = 1},
};

const struct chip *chip_by_name(const char *name)
{
    for (size_t i = 0; i < CHIPS; i++)
        if (!strcmp(chips[i].name, name))
            return &chips[i];
    return NULL;
}

const struct chip *chip_by_id(enum chip_id id)
{
    return &chips[id];
}
