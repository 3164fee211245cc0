/* A builder of ACPI machine language (ACPI 6.3 chapter 20): bytes appended to a buffer that grows,
 * packages that get their length when they end. After a failed allocation everything does nothing
 * and `failed` stays set. */
#ifndef LUCCA_HOST_DEVICE_AML_H
#define LUCCA_HOST_DEVICE_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
    uint8_t *bytes;
    size_t len, room;
    bool failed;
};

/* ---- bytes, which tables other than AML are made of too ---- */
void aml_bytes(struct aml *a, const void *bytes, size_t n);
void aml_u8(struct aml *a, uint8_t v);
void aml_u16(struct aml *a, uint16_t v);
void aml_u32(struct aml *a, uint32_t v);
void aml_u64(struct aml *a, uint64_t v);
/* Zeros up to a multiple of `unit`. */
void aml_align(struct aml *a, size_t unit);

/* ---- terms. `name`: segments of four characters, with dots between and perhaps a leading \. ----
 */
/* What begins with a package length returns a mark for aml_end. */
size_t aml_scope(struct aml *a, const char *name);
size_t aml_device(struct aml *a, const char *name);
size_t aml_method(struct aml *a, const char *name, unsigned args);
size_t aml_package(struct aml *a, uint8_t count);
void aml_end(struct aml *a, size_t mark);

void aml_name(struct aml *a, const char *name); /* Name(name, the next object) */
void aml_int(struct aml *a, uint64_t v);
void aml_eisaid(struct aml *a, const char *id); /* "PNP0A03" */
void aml_string(struct aml *a, const char *s);
void aml_named_int(struct aml *a, const char *name, uint64_t v);
void aml_named_eisaid(struct aml *a, const char *name, const char *id);

/* ---- resource templates (ACPI 6.3 6.4): Name(_CRS, ResourceTemplate() {...}) ---- */
size_t aml_crs(struct aml *a);
void aml_crs_end(struct aml *a, size_t mark);
void aml_io(struct aml *a, uint16_t base, uint8_t len);
void aml_irq(struct aml *a, unsigned irq); /* edge, active high, not shared */
void aml_memory32(struct aml *a, uint32_t base, uint32_t len);
/* Windows that a bridge passes on. */
void aml_bus_window(struct aml *a, uint16_t first, uint16_t last);
void aml_io_window(struct aml *a, uint16_t first, uint16_t last);
void aml_memory32_window(struct aml *a, uint32_t first, uint32_t last);
void aml_memory64_window(struct aml *a, uint64_t first, uint64_t last);

#endif
