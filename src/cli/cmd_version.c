/* lucca version */
#include <stdio.h>

#include "cli/cli.h"

int cmd_version(int argc, char **argv)
{
    printf("lucca %s\n", LUCCA_VERSION);
    return EXIT_OK;
}
