#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "output.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/format/atomic_file.h"
#include "tcpgreet/format/message.h"

enum { COLUMNS_UNKNOWN = 80, COLUMNS_MAX = 10000 };

/* Source: environ(7), COLUMNS; tty_ioctl(4). */
static int columns_of(int fd)
{
    const char *variable = getenv("COLUMNS");
    long columns = variable != NULL ? strtol(variable, NULL, 10) : 0;
    struct winsize size;

    if (columns <= 0 && isatty(fd) == 1 && ioctl(fd, TIOCGWINSZ, &size) == 0)
        columns = size.ws_col;
    return columns > 0 && columns <= COLUMNS_MAX ? (int)columns : COLUMNS_UNKNOWN;
}

/* Source: https://no-color.org. */
static bool wants_color(enum format_color color, int fd)
{
    const char *none = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");

    if (color != FORMAT_COLOR_AUTO)
        return color == FORMAT_COLOR_ALWAYS;
    return isatty(fd) == 1 && (none == NULL || none[0] == '\0') && terminal != NULL &&
           strcmp(terminal, "dumb") != 0;
}

static bool has_command(const struct probe_config *config)
{
    return config->command != NULL;
}

/* Whether the plot is what standard output is for. */
static bool is_plot_output(const struct probe_config *config)
{
    return config->plot != NULL && strcmp(config->plot, "-") == 0;
}

/* Whether there is a report for people. */
static bool is_shown(const struct probe_output *output)
{
    return !output->config->quiet && !is_plot_output(output->config);
}

void probe_output_init(struct probe_output *output, const struct probe_config *config)
{
    bool aside = config->format == FORMAT_TEXT && has_command(config) &&
                 !is_plot_output(config); /* standard output is the command's */
    int fd = aside ? STDERR_FILENO : STDOUT_FILENO;

    *output = (struct probe_output){
        .config = config,
        .fd = fd,
        .style = {.columns = columns_of(fd),
                  .utf8 = escape_is_utf8_environment(),
                  .color = wants_color(config->color, fd),
                  .verbose = config->verbose},
    };
}

bool probe_output_is_complete(const struct probe_output *output)
{
    if (is_plot_output(output->config))
        return output->config->quiet;
    return output->config->quiet || output->config->format == FORMAT_TEXT ||
           output->config->format == FORMAT_NAGIOS;
}

static int queue_report(struct probe_output *output, struct err *err)
{
    return output_text_close(&output->at, output->queue, err);
}

static int write_plot(struct probe_output *output, const struct probe_result *result, struct err *err)
{
    const struct probe_config *config = output->config;
    struct atomic_file file;

    if (config->plot == NULL)
        return 0;
    if (is_plot_output(config)) {
        if (output_text_open(&output->at, err) < 0)
            return -1;
        probe_report_plot(result, output->at.file);
        return queue_report(output, err);
    }
    if (atomic_file_open(&file, "--plot", config->plot, err) < 0)
        return -1;
    probe_report_plot(result, file.out);
    return atomic_file_close(&file, "--plot", err);
}

static void write_text(struct probe_output *output, const struct probe_result *result)
{
    bool ok = result->verdict.reason == ERR_OK;

    if (is_shown(output) && !(ok && has_command(output->config)))
        probe_report_text(result, &output->style, output->at.file);
}

int probe_output_result(struct probe_output *output, const struct probe_result *result, struct err *err)
{
    const struct probe_config *config = output->config;
    bool is_plugin = config->format == FORMAT_NAGIOS;

    if (is_plugin && write_plot(output, result, err) < 0)
        return -1; /* a plugin has one line, and it is about this failure */
    if (output_text_open(&output->at, err) < 0)
        return -1;
    switch (config->format) {
    case FORMAT_TEXT:
        write_text(output, result);
        break;
    case FORMAT_JSON:
        probe_report_json(result, output->at.file);
        break;
    case FORMAT_PROMETHEUS:
        probe_report_prometheus(result, output->at.file);
        break;
    case FORMAT_NAGIOS:
        output->plugin_code = probe_report_nagios(result, &config->limits, output->at.file);
        break;
    }
    if (queue_report(output, err) < 0)
        return -1;
    return is_plugin ? 0 : write_plot(output, result, err);
}

int probe_output_round(struct probe_output *output, const struct probe_result *result, const char *changes,
                       struct err *err)
{
    if (output_text_open(&output->at, err) < 0)
        return -1;
    if (output->config->format == FORMAT_JSON) {
        if (changes[0] != '\0' && !output->config->quiet)
            message_event(&(struct log_event){LOG_NOTICE, "change",
                                              LOG_FACTS(log_text("target", result->target),
                                                        log_text("changes", changes))},
                          "tcpgreet: %s: %s", result->target, changes);
        probe_report_json(result, output->at.file);
    } else if (is_shown(output)) {
        probe_summary_round(result, changes, &output->style, output->at.file);
    }
    return queue_report(output, err);
}

int probe_output_summary(struct probe_output *output, const struct probe_summary *summary,
                         const struct probe_result *last, struct err *err)
{
    if (output_text_open(&output->at, err) < 0)
        return -1;
    if (output->config->format == FORMAT_JSON)
        probe_summary_json(summary, output->at.file);
    else if (is_shown(output))
        probe_summary_text(summary, &output->style, output->at.file);
    return queue_report(output, err) < 0 ? -1 : write_plot(output, last, err);
}

/* Its time is that of the line. */
static void log_attempt(const struct probe_result *result)
{
    struct probe_brief brief = probe_result_brief(result);
    char line[PROBE_LINE_BYTES];

    message_event(
        &(struct log_event){LOG_NOTICE, "attempt",
                            LOG_FACTS(log_text("target", brief.target),
                                      log_text("reason", err_word(brief.reason)),
                                      log_text("error", brief.sentence), log_text("verified", brief.verified),
                                      log_number("duration_seconds", (double)brief.total_ns / 1e9))},
        "tcpgreet: %s: %s", brief.target, probe_result_line(result, line));
}

void probe_output_attempt(const struct probe_output *output, const struct probe_result *result)
{
    char *text = NULL;
    size_t length = 0;

    if (!output->config->verbose)
        return;
    if (message_format() == LOG_JSON) {
        log_attempt(result);
        return;
    }
    FILE *out = open_memstream(&text, &length);
    if (out == NULL)
        return;
    probe_summary_round(result, "", &output->style, out);
    bool is_whole = fclose(out) == 0;
    for (char *rest = is_whole ? text : NULL, *line; (line = strsep(&rest, "\n")) != NULL && rest != NULL;)
        message_print("%s", line);
    free(text);
}
