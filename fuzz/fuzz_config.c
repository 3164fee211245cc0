/* Fuzzes JSON configurations of `lucca run`: the input is the file. */
#include "rig.h"

#include <sys/mman.h>
#include <unistd.h>

#include "cli/run_options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"run", "--kernel", "vmlinuz"};
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    char path[64], *argv[COUNT(names) + 3];
    int argc = 0;
    struct error err = {0};
    bool help = false;
    struct run r;

    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    for (; argc < (int)COUNT(names); argc++)
        argv[argc] = (char *)(uintptr_t)names[argc];
    argv[argc++] = path;
    argv[argc++] = path; /* a second guest */
    argv[argc] = NULL;
    if (run_parse(argc, argv, &r, &help, &err) == OK) {
        MUST(r.guests == 2 && r.chip && !help);
        for (unsigned i = 0; i < 2; i++)
            MUST(r.guest[i].cpus >= 1 && r.guest[i].cpus <= VM_MAX_VCPUS && r.guest[i].memory &&
                 r.guest[i].memory % 0x200000 == 0 && r.guest[i].serials <= VM_SERIALS &&
                 r.guest[i].drive_count <= VM_MAX_DRIVES);
    } else {
        MUST(err.code != OK && err.text[0]);
    }
    run_free(&r);
    close(fd);
    return 0;
}
