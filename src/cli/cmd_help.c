/* lucca help [COMMAND] */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

int cmd_help(int argc, char **argv)
{
    char help[] = "--help";

    for (unsigned i = 0; argc > 1 && i < command_count; i++)
        if (!strcmp(commands[i].name, argv[1]) && commands[i].run != cmd_help) {
            char *args[] = {argv[1], help, NULL};

            return commands[i].run(2, args);
        }
    if (argc > 1 && strcmp(argv[1], "help") != 0) {
        fprintf(stderr, "lucca: no command '%s'; 'lucca help' lists them\n", argv[1]);
        return EXIT_ERROR;
    }
    printf("usage: lucca COMMAND ...\n\n");
    for (unsigned i = 0; i < command_count; i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].summary);
    printf("\n'lucca COMMAND --help' says more of each.\n");
    return EXIT_OK;
}
