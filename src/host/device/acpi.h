/* ACPI 6 tables for the machine that pc.h and pci.h describe. */
#ifndef LUCCA_HOST_DEVICE_ACPI_H
#define LUCCA_HOST_DEVICE_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct acpi_config {
    unsigned vcpus;
    bool serial[4]; /* which of COM1..COM4 exist */
    bool fw_cfg;    /* describe the fw_cfg ports */
};

/* RSDP, XSDT, FADT, FACS, DSDT, MADT and MCFG as one block of bytes whose addresses hold when it is
 * placed at the base that acpi_build was given. */
struct acpi_blob {
    uint8_t *bytes;
    size_t size;
    uint64_t rsdp; /* guest physical address; at the start of the block */
};

/* `base_gpa`: 4 KiB aligned, the block below 4 GiB. About 4 KiB plus 24 bytes a vCPU. */
enum status acpi_build(const struct acpi_config *cfg, uint64_t base_gpa, struct acpi_blob *out,
                       struct error *err) MUST_USE;
void acpi_blob_free(struct acpi_blob *b);

#endif
