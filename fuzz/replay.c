/* Runs a fuzz target over files instead of inventing inputs: each as it is, then with bytes changed
 * by a fixed seed. So what fuzzing found once is tested with every compiler.
 *
 * fuzz_NAME [FOLDER]...; prints TAP, one line a file. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUTANTS   200u
#define INPUT_MAX (1u << 20)

static uint64_t next(uint64_t *s)
{
    uint64_t z = *s += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static void mutate(uint8_t *bytes, size_t *size, uint64_t *seed)
{
    unsigned changes = 1 + (unsigned)(next(seed) % 6);

    for (unsigned i = 0; i < changes && *size; i++) {
        size_t at = next(seed) % *size;

        switch (next(seed) % 5) {
        case 0:
            bytes[at] ^= (uint8_t)(1u << (next(seed) & 7));
            break;
        case 1:
            bytes[at] = (uint8_t)next(seed);
            break;
        case 2:
            bytes[at] = next(seed) & 1 ? 0xFF : 0;
            break;
        case 3:
            memmove(bytes + at, bytes + next(seed) % *size, 1);
            break;
        default:
            if (next(seed) % 8 == 0)
                *size = at;
        }
    }
}

/* In a buffer of its very size, for a sanitizer to guard. */
static void one_input(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);

    if (!exact)
        exit(1);
    memcpy(exact, bytes, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static bool replay(const char *path)
{
    static uint8_t bytes[INPUT_MAX], mutant[INPUT_MAX];
    FILE *f = fopen(path, "rbe");
    uint64_t seed = 1;
    size_t size;

    if (!f)
        return false;
    size = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    one_input(bytes, size);
    for (unsigned i = 0; i < MUTANTS; i++) {
        size_t n = size;

        memcpy(mutant, bytes, size);
        mutate(mutant, &n, &seed);
        one_input(mutant, n);
    }
    return true;
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    unsigned number = 0, bad = 0;

    for (int i = 1; i < argc; i++) {
        struct dirent **names;
        int n = scandir(argv[i], &names, visible, alphasort);

        if (n < 0) {
            printf("not ok %u - %s cannot be read\n", ++number, argv[i]);
            bad++;
            continue;
        }
        for (int k = 0; k < n; k++) {
            char path[4096];
            bool good;

            snprintf(path, sizeof(path), "%s/%s", argv[i], names[k]->d_name);
            good = replay(path);
            bad += !good;
            printf("%sok %u - %s\n", good ? "" : "not ", ++number, names[k]->d_name);
            fflush(stdout);
            free(names[k]);
        }
        free(names);
    }
    printf("1..%u\n", number);
    return bad > 0;
}
