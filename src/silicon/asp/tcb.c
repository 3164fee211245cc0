/* TCB versions; see tcb.h. */
#include "silicon/asp/tcb.h"

#include "base/bytes.h"

#define NO (-1)

/* SEV-SNP ABI, TCB_VERSION. */
static const int8_t until_genoa[TCB_PARTS] = {
    [TCB_FMC] = NO, [TCB_BOOTLOADER] = 0, [TCB_TEE] = 1, [TCB_SNP] = 6, [TCB_MICROCODE] = 7};
static const int8_t since_turin[TCB_PARTS] = {
    [TCB_FMC] = 0, [TCB_BOOTLOADER] = 1, [TCB_TEE] = 2, [TCB_SNP] = 3, [TCB_MICROCODE] = 7};

/* As genuine reports of each generation show them. */
static const uint8_t factory[CHIPS][TCB_PARTS] = {
    [CHIP_MILAN] = {[TCB_BOOTLOADER] = 4, [TCB_SNP] = 0x18, [TCB_MICROCODE] = 0xDB},
    [CHIP_GENOA] = {[TCB_BOOTLOADER] = 0x0A, [TCB_SNP] = 0x17, [TCB_MICROCODE] = 0x54},
    [CHIP_TURIN] =
        {[TCB_FMC] = 1, [TCB_BOOTLOADER] = 1, [TCB_TEE] = 1, [TCB_SNP] = 4, [TCB_MICROCODE] = 0x51},
};

int tcb_place(const struct chip *chip, enum tcb_part part)
{
    return chip->id >= CHIP_TURIN ? since_turin[part] : until_genoa[part];
}

uint8_t tcb_get(const struct chip *chip, uint64_t tcb, enum tcb_part part)
{
    int at = tcb_place(chip, part);

    return at == NO ? 0 : (uint8_t)(tcb >> (8 * at));
}

uint64_t tcb_set(const struct chip *chip, uint64_t tcb, enum tcb_part part, uint8_t level)
{
    int at = tcb_place(chip, part);

    if (at == NO)
        return tcb;
    return (tcb & ~(UINT64_C(0xFF) << (8 * at))) | (uint64_t)level << (8 * at);
}

bool tcb_well_formed(const struct chip *chip, uint64_t tcb)
{
    for (enum tcb_part p = 0; p < TCB_PARTS; p++)
        tcb = tcb_set(chip, tcb, p, 0);
    return !tcb;
}

bool tcb_within(const struct chip *chip, uint64_t tcb, uint64_t limit)
{
    for (enum tcb_part p = 0; p < TCB_PARTS; p++)
        if (tcb_get(chip, tcb, p) > tcb_get(chip, limit, p))
            return false;
    return tcb_well_formed(chip, tcb);
}

uint64_t tcb_number(const struct chip *chip, uint64_t tcb)
{
    uint64_t number = 0;

    for (enum tcb_part p = 0; p < TCB_PARTS; p++)
        number = number << 8 | tcb_get(chip, tcb, p);
    return number;
}

struct snp_versions snp_versions_default(const struct chip *chip)
{
    struct snp_firmware fw = {
        .major = chip->api_major, .minor = chip->api_minor, .build = chip->api_build};

    for (enum tcb_part p = 0; p < TCB_PARTS; p++)
        fw.tcb = tcb_set(chip, fw.tcb, p, factory[chip->id][p]);
    return (struct snp_versions){.current = fw, .committed = fw};
}
