/* lucca: confidential virtual machines on an emulated EPYC. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "cli/cli.h"

const struct command commands[] = {
    {"run", "run virtual machines", cmd_run},
    {"monitor", "look at a running machine and control it", cmd_monitor},
    {"platform", "make, list, show and delete emulated chips; their certificates", cmd_platform},
    {"kds", "serve their certificates as AMD's key service does", cmd_kds},
    {"measure", "compute the digest of a launch, or say why it is another", cmd_measure},
    {"idblock", "sign ID blocks of SEV-SNP guests", cmd_idblock},
    {"owner", "verify a SEV platform, make sessions, check measurements, seal secrets", cmd_owner},
    {"report", "show and verify attestation reports of SEV-SNP guests", cmd_report},
    {"policy", "say what a report must say", cmd_policy},
    {"certs", "get, keep and verify the certificates of reports", cmd_certs},
    {"version", "say which version this is", cmd_version},
    {"help", "say what there is, or how a command is used", cmd_help},
};
const unsigned command_count = COUNT(commands);

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "help";

    signal(SIGPIPE, SIG_IGN); /* a write to a closed socket is an error to handle, not the end */
    if (!strcmp(name, "--version") || !strcmp(name, "-V"))
        name = "version";
    if (!strcmp(name, "--help") || !strcmp(name, "-h"))
        name = "help";
    for (unsigned i = 0; i < command_count; i++)
        if (!strcmp(commands[i].name, name))
            return commands[i].run(argc > 1 ? argc - 1 : argc, argc > 1 ? argv + 1 : argv);
    fprintf(stderr, "lucca: no command '%s'; 'lucca help' lists them\n", name);
    return EXIT_ERROR;
}
