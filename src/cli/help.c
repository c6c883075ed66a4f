#include "tcpgreet/cli/options.h"

#include <string.h>

#include "table.h"

enum { HELP_COLUMN = 34, HELP_LEFT_BYTES = 80 };

static const char *const group_titles[OPTION_GROUPS] = {
    [OPTION_GROUP_MODE] = "Modes (exactly one)",
    [OPTION_GROUP_PATH] = "Family and path",
    [OPTION_GROUP_TIME] = "Time limits",
    [OPTION_GROUP_TLS] = "TLS",
    [OPTION_GROUP_SERVER] = "Server",
    [OPTION_GROUP_CLIENT] = "Client",
    [OPTION_GROUP_PROBE] = "Probe",
    [OPTION_GROUP_BENCH] = "Bench",
    [OPTION_GROUP_OUTPUT] = "Output",
    [OPTION_GROUP_ABOUT] = "About",
};

static void help_usage(FILE *out)
{
    const char *lead = "Usage:";

    for (const struct option_row *row = option_rows; row->group == OPTION_GROUP_MODE; row++) {
        const char *command = strstr(row->argument, " [-- "); /* options come before it */
        size_t length = command != NULL ? (size_t)(command - row->argument) : strlen(row->argument);
        fprintf(out, "%-6s tcpgreet --%s %.*s [OPTION...]%s\n", lead, row->name, (int)length, row->argument,
                command != NULL ? command : "");
        lead = "";
        if (row->instead != NULL)
            fprintf(out, "%-6s tcpgreet --%s --%s %s [OPTION...]\n", lead, row->name, row->instead,
                    option_find(row->instead, strlen(row->instead))->argument);
    }
}

static void help_row(const struct option_row *row, FILE *out)
{
    char left[HELP_LEFT_BYTES];
    char letter[] = {'-', row->letter, ',', '\0'};
    char argument[OPTION_EXPECTED_BYTES];

    int width = snprintf(left, sizeof(left), "  %-3s --%s %s", row->letter != '\0' ? letter : "", row->name,
                         option_argument(row, argument, sizeof(argument)));
    fputs(left, out);
    if (width >= HELP_COLUMN) {
        fputc('\n', out);
        width = 0;
    }
    fprintf(out, "%*s%s", HELP_COLUMN - width, "", row->help);
    if (row->fallback != NULL)
        fprintf(out, " (%s)", row->fallback);
    fputc('\n', out);
}

void options_help(FILE *out)
{
    enum option_group group = OPTION_GROUPS;

    help_usage(out);
    fputs("\nServe a greeting dialogue over TCP or TLS, connect to a server, probe a service\n"
          "on every address, or measure a server under load.\n"
          "HOST is a name, an IPv4 or an IPv6 address; HOST:PORT and [IPV6]:PORT also work.\n"
          "The client sends the NAMEs, or else the lines of standard input, then exit.\n",
          out);
    for (size_t i = 0; i < option_row_count; i++) {
        if (option_rows[i].group != group) {
            group = option_rows[i].group;
            fprintf(out, "\n%s:\n", group_titles[group]);
        }
        help_row(&option_rows[i], out);
    }
    fputs("\nDefaults are in parentheses. A TIME has a unit: 500ms, 1.5s, 5m, 1h.\n"
          "Options may appear anywhere; arguments after -- are not options.\n"
          "\nExit codes: 0 OK, 1 internal, 2 usage, 3 resolve, 4 connect, 5 TLS,\n"
          "6 certificate, 7 dialogue, 8 system, 9 degraded, 10 threshold,\n"
          "130 SIGINT, 143 SIGTERM\n"
          "See also: man tcpgreet, docs/exit-codes.md\n",
          out);
}
