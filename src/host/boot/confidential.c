/* What a guest with encrypted state finds at its start where no firmware has prepared it.
 *
 * SEV-SNP: a page for the CPUID table and one for secrets, and the blob that says where they are
 * (Linux, Documentation/arch/x86/amd-memory-encryption.rst and struct cc_blob_sev_info), which the
 * kernel finds by a node of type 7 in its setup_data list. SEV-ES: the hypervisor cannot set the
 * registers of a processor that gets a SIPI, so each begins with code that was launched, and goes
 * where the guest's kernel has written into the jump table (GHCB 2.03, 4.1.4 and 4.3). All is in
 * memory that the E820 map gives as ACPI's, which a kernel leaves alone. */
#include <string.h>

#include "base/bytes.h"
#include "host/boot/place.h"

#define PAGE 0x1000u

#define SETUP_CC_BLOB 7u
#define BLOB_MAGIC    0x45444D41u /* "AMDE" */
#define BLOB_VERSION  1u

struct setup_node {
    uint64_t next;
    uint32_t type, len;
    uint32_t blob; /* its address */
} __attribute__((packed));

struct cc_blob {
    uint32_t magic;
    uint16_t version, reserved;
    uint64_t secrets;
    uint32_t secrets_len, reserved1;
    uint64_t cpuid;
    uint32_t cpuid_len, reserved2;
};
static_assert(sizeof(struct cc_blob) == 0x28, "struct cc_blob_sev_info");

#define BLOB_AT 0x40u /* in its page, behind the node */

/* 16-bit code at an address whose segment it runs in, the jump table in the page after it: waits in
 * the hypervisor for a SIPI while the table is empty, then goes there. */
static const uint8_t ap_code[] = {
    0xFA,                                     /* 00 cli */
    0x66, 0xB9, 0x30, 0x01, 0x01, 0xC0,       /* 01 mov ecx, C0010130h: the GHCB MSR */
    0x2E, 0x66, 0x83, 0x3E, 0x00, 0x10, 0x00, /* 07 cmp dword cs:[1000h], 0 */
    0x75, 0x11,                               /* 0E jne 21h */
    0x66, 0xB8, 0x06, 0x00, 0x00, 0x00,       /* 10 mov eax, 6: AP reset hold */
    0x66, 0x31, 0xD2,                         /* 16 xor edx, edx */
    0x0F, 0x30,                               /* 19 wrmsr */
    0xF3, 0x0F, 0x01, 0xD9,                   /* 1B vmgexit */
    0xEB, 0xE6,                               /* 1F jmp 07h */
    0x2E, 0xFF, 0x2E, 0x00, 0x10,             /* 21 jmp far cs:[1000h] */
};

static enum status place(struct boot_job *job, uint64_t gpa, const void *bytes, uint64_t len,
                         const char *what, enum boot_page page)
{
    enum status s = boot_place(job, gpa, bytes, len, PAGE, what);

    for (unsigned i = 0; s == OK && i < job->plan->regions; i++)
        if (job->plan->region[i].gpa == gpa)
            job->plan->region[i].page = page;
    return s;
}

static enum status place_blob(struct boot_job *job)
{
    const struct setup_node node = {
        .type = SETUP_CC_BLOB, .len = 4, .blob = BOOT_BLOB_PAGE + BLOB_AT};
    const struct cc_blob blob = {.magic = BLOB_MAGIC,
                                 .version = BLOB_VERSION,
                                 .secrets = BOOT_SECRETS_PAGE,
                                 .secrets_len = PAGE,
                                 .cpuid = BOOT_CPUID_PAGE,
                                 .cpuid_len = PAGE};
    uint8_t bytes[BLOB_AT + sizeof(blob)] = {0};

    memcpy(bytes, &node, sizeof(node));
    memcpy(bytes + BLOB_AT, &blob, sizeof(blob));
    job->plan->setup_data = BOOT_BLOB_PAGE;
    return place(job, BOOT_BLOB_PAGE, bytes, sizeof(bytes), "confidential blob", BOOT_MEASURED);
}

enum status boot_confidential(struct boot_job *job)
{
    enum status s = OK;

    if (job->req->snp) {
        s = place(job, BOOT_CPUID_PAGE, NULL, 0, "CPUID page", BOOT_CPUID);
        if (s == OK)
            s = place(job, BOOT_SECRETS_PAGE, NULL, 0, "secrets page", BOOT_SECRETS);
        if (s == OK)
            s = place_blob(job);
    }
    if (s == OK && job->req->park_aps) {
        static_assert(BOOT_AP_JUMP_TABLE == BOOT_AP_CODE + PAGE, "as the code has it");
        job->plan->ap_code = BOOT_AP_CODE;
        job->plan->ap_jump_table = BOOT_AP_JUMP_TABLE;
        s = place(job, BOOT_AP_CODE, ap_code, sizeof(ap_code), "AP code", BOOT_MEASURED);
        if (s == OK)
            s = place(job, BOOT_AP_JUMP_TABLE, NULL, 0, "AP jump table", BOOT_MEASURED);
    }
    return s;
}
