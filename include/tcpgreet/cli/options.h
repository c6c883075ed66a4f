/* The command line, as configurations of the modes. */
#ifndef TCPGREET_CLI_OPTIONS_H
#define TCPGREET_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "tcpgreet/base/err.h"
#include "tcpgreet/bench/bench.h"
#include "tcpgreet/client/client.h"
#include "tcpgreet/exporter/exporter.h"
#include "tcpgreet/probe/probe.h"
#include "tcpgreet/probe/targets.h"
#include "tcpgreet/server/serve.h"

enum options_mode {
    MODE_NONE,
    MODE_LISTEN,
    MODE_CONNECT,
    MODE_PROBE,
    MODE_BENCH,
    MODE_BENCH_MERGE,
    MODE_EXPORTER,
    MODE_HELP,
    MODE_VERSION,
    MODE_COUNT
};

struct option_list;

/* A value is stored in the configuration of every mode that has a field for it, since the mode may come last.
 * Texts are borrowed from argv. */
struct options {
    enum options_mode mode;
    enum log_format log_format; /* of every mode */
    struct server_config server;
    struct client_config client;
    struct probe_config probe;
    struct exporter_config exporter;
    struct bench_config bench;
    struct bench_merge_config merge;
    struct probe_targets targets; /* file NULL: the one of probe */
    struct option_list *list;     /* what targets are read from */
    bool *given;                  /* for each row of the table; ours */
    const char **operands;        /* NAMEs, FILEs, or COMMAND; the array is ours; ends at NULL */
    size_t operand_count;
    char proxy_password[PROXY_USER_MAX + 1]; /* that the configurations refer to */
};

/* Parses argv[1..argc-1] and checks what the arguments alone show. Shape: options is all zero. After a
 * failure, probe.format and log_format are still the requested ones if they could be found: a monitoring
 * system reads an error in its own format. Borrows: argv, which must outlive options. options_fini frees the
 * rest, also after a failure. Errors: usage: a sentence that names the option and what is valid; internal. */
int options_parse(struct options *options, int argc, const char *const *argv, struct err *err);

/* Takes the password of a proxy's user out of the environment, so that neither COMMAND nor the process list
 * has it: its memory there is overwritten. Does nothing where no proxy has a user.
 * Errors: usage: there is none, or it is too long. Thread: before any other thread starts. */
int options_take_password(struct options *options, struct err *err);

/* Checks that this build can do what options ask for, and that files are readable, without opening any.
 * Errors: usage: names the option; system-permission: a file may not be read. */
int options_check_system(const struct options *options, struct err *err);

/* Reads the list of --targets and checks every line as the two functions above check the command line.
 * Reports up to 10 wrong lines on standard error. Waits for standard input, which SIGINT and SIGTERM
 * interrupt, at most for --timeout. Shape: without --targets nothing is done. Errors: of the first wrong
 * line, "FILE:12: ..."; usage: the list is empty or too long, or a line is; as file_read; as input_read_all.
 */
int options_read_targets(struct options *options, struct err *err);

/* Frees that list. Shape: there need be none. */
void options_free_targets(struct options *options);

void options_fini(struct options *options);

/* The text of --help, grouped, at most 80 columns wide. */
void options_help(FILE *out);

#endif
