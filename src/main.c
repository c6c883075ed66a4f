#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tcpgreet/bench/bench.h"
#include "tcpgreet/cli/options.h"
#include "tcpgreet/client/client.h"
#include "tcpgreet/core/script.h"
#include "tcpgreet/exporter/exporter.h"
#include "tcpgreet/format/message.h"
#include "tcpgreet/http/http.h"
#include "tcpgreet/net/resolver.h"
#include "tcpgreet/os/loop.h"
#include "tcpgreet/os/process.h"
#include "tcpgreet/os/sandbox.h"
#include "tcpgreet/os/service_manager.h"
#include "tcpgreet/os/version.h"
#include "tcpgreet/probe/probe.h"
#include "tcpgreet/probe/targets.h"
#include "tcpgreet/server/serve.h"
#include "tcpgreet/tls/tls.h"

static int flush_output(struct err *err)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    return err_set(err, ERR_SYSTEM_OUTPUT, 0, "cannot write to standard output");
}

static int help(struct err *err)
{
    options_help(stdout);
    return flush_output(err);
}

static int version(struct err *err)
{
    char pcre2[96];

    version_put(stdout);
    tls_version_put(stdout);
    if (script_pattern_version(pcre2, sizeof(pcre2)) != NULL)
        printf("PCRE2 %s\n", pcre2);
    http_version_put(stdout);
    sandbox_version_put(stdout);
    return flush_output(err);
}

/* COMMAND of a probe keeps what the service manager has for its process. */
static int open_service_manager(struct options *options, struct service_manager *manager, struct err *err)
{
    if (options->mode != MODE_LISTEN && options->mode != MODE_EXPORTER)
        return 0;
    options->server.manager = options->exporter.manager = manager;
    return service_manager_open(manager, err);
}

/* Returns: the exit code, unless err has another one. */
static int run(const struct options *options, struct err *err)
{
    switch (options->mode) {
    case MODE_LISTEN:
        return serve(&options->server, err);
    case MODE_CONNECT:
        return client_run(&options->client, err);
    case MODE_PROBE:
        return options->targets.file != NULL ? probe_targets(&options->targets, &options->probe, err)
                                             : probe(&options->probe, err);
    case MODE_EXPORTER:
        return exporter(&options->exporter, err);
    case MODE_BENCH:
        return bench(&options->bench, err);
    case MODE_BENCH_MERGE:
        return bench_merge(&options->merge, err);
    case MODE_HELP:
        return help(err);
    case MODE_VERSION:
        return version(err);
    default:
        return err_set(err, ERR_INTERNAL, 0, "no mode");
    }
}

/* Source: Monitoring Plugins Development Guidelines: one line on standard output; what follows a bar is
 * performance data. */
static int report_plugin(struct err *err)
{
    enum { PLUGIN_UNKNOWN = 3 };

    for (char *bar = err->text; (bar = strchr(bar, '|')) != NULL;)
        *bar = '/';
    if (poll(&(struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT}, 1, 0) == 1) /* else it would block */
        printf("TCPGREET UNKNOWN - %s (%s)\n", err->text, err_word(err->reason));
    else
        message_failure(err);
    if (fflush(stdout) != 0 || ferror(stdout)) /* musl writes a first line at once */
        message_failure(err);
    return PLUGIN_UNKNOWN;
}

static int report(struct err *err, enum format format)
{
    if (format == FORMAT_NAGIOS)
        return report_plugin(err);
    message_failure(err);
    if (err->reason == ERR_USAGE)
        message_print("Try: tcpgreet --help");
    return err_exit_code(err->reason);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    static struct options options; /* 130 KiB with the next: a mode touches a few of its pages */
    static struct service_manager manager;
    int code = 0;

    tls_watch_memory();
    signal(SIGPIPE, SIG_IGN);
    bool parsed = process_guard_standard(&err) == 0 &&
                  options_parse(&options, argc, (const char *const *)argv, &err) == 0;
    message_set_format(options.log_format);
    if (parsed && options_take_password(&options, &err) == 0 && options_check_system(&options, &err) == 0 &&
        options_read_targets(&options, &err) == 0 && open_service_manager(&options, &manager, &err) == 0)
        code = run(&options, &err);
    service_manager_close(options.server.manager);
    options_free_targets(&options);
    options_fini(&options);

    if (err.reason != ERR_OK)
        code = report(&err, options.probe.format);
    message_close();
    if (resolver_leave() || loop_is_left())
        _exit(code); /* exit could wait for the C library's resolver, whose answer is no longer needed */
    return code;
}
