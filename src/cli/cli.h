/* The `lucca` command: one file for each subcommand, all in the table of main.c. */
#ifndef LUCCA_CLI_CLI_H
#define LUCCA_CLI_CLI_H

/* What the shell sees. A guest's debug-exit device may choose any other status. */
enum exit_status {
    EXIT_OK = 0,
    EXIT_ERROR = 1, /* bad arguments, or this machine refuses */
    EXIT_CRASH = 2, /* the guest crashed */
};

struct command {
    const char *name, *summary;
    /* argv[0] is the subcommand's name. */
    int (*run)(int argc, char **argv);
};
extern const struct command commands[];
extern const unsigned command_count;

int cmd_run(int argc, char **argv);
int cmd_monitor(int argc, char **argv);
int cmd_platform(int argc, char **argv);
int cmd_kds(int argc, char **argv);
int cmd_measure(int argc, char **argv);
int cmd_idblock(int argc, char **argv);
int cmd_owner(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_certs(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);

#endif
