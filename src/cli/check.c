#include "check.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "hint.h"
#include "measured.h"
#include "tcpgreet/base/escape.h"

enum { MODES_BYTES = 96 };

/* A value is stored in every configuration that has a field for it, so any of them can be read here. */
struct check {
    const struct options *options;
    const struct option_given *given;
    const struct option_row *mode;
    struct err *err;
};

static const char *shown(const char *word, char room[OPTION_SHOWN_BYTES])
{
    return escape_text((struct bytes){word, strlen(word)}, room, OPTION_SHOWN_BYTES);
}

/* Whether the command line itself has it, or the line of a list that is checked. */
static bool is_own(const struct check *check, const char *name)
{
    return check->given->rows[option_find(name, strlen(name)) - option_rows];
}

static bool is_given(const struct check *check, const char *name)
{
    const bool *base = check->given->base;
    return is_own(check, name) || (base != NULL && base[option_find(name, strlen(name)) - option_rows]);
}

/* Whether the command line is for a list, whose lines it has options for. */
static bool has_list(const struct check *check)
{
    return check->given->base == NULL && check->options->mode == MODE_PROBE &&
           check->options->targets.file != NULL;
}

/* Whether this run uses TLS, which --starttls, --until tls and --expect-alert imply. */
static bool uses_tls(const struct check *check)
{
    return check->options->probe.use_tls;
}

static int check_mode(const struct check *check)
{
    char modes[MODES_BYTES];
    unsigned all = 0;

    if (check->mode != NULL)
        return 0;
    for (size_t i = 0; option_rows[i].group == OPTION_GROUP_MODE; i++)
        all |= OPTION_IN(option_rows[i].mode);
    return err_set(check->err, ERR_USAGE, 0, "no mode is given: use %s",
                   option_modes_text(all, modes, sizeof(modes)));
}

/* Rejects options that the mode does not use. */
static int check_modes(const struct check *check)
{
    char title[OPTION_TITLE_BYTES];
    char modes[MODES_BYTES];

    for (size_t i = 0; i < option_row_count; i++) {
        const struct option_row *row = &option_rows[i];
        if (check->given->rows[i] && (option_modes(row) & OPTION_IN(check->mode->mode)) == 0)
            return err_set(check->err, ERR_USAGE, 0, "%s is for %s, not for --%s", option_title(row, title),
                           option_modes_text(option_modes(row), modes, sizeof(modes)), check->mode->name);
    }
    return 0;
}

static bool has(const struct check *check, const char *needed)
{
    return is_given(check, needed) || (strcmp(needed, "tls") == 0 && uses_tls(check));
}

static int check_needs(const struct check *check)
{
    if (has_list(check)) /* some lines may have what others lack */
        return 0;
    for (size_t i = 0; i < option_row_count; i++) {
        const struct option_row *row = &option_rows[i];
        if (!check->given->rows[i])
            continue;
        if (check->options->mode == MODE_EXPORTER && row->group == OPTION_GROUP_TLS && row->needs == NULL)
            continue; /* a query may ask for TLS */
        if (row->group == OPTION_GROUP_TLS && check->options->mode != MODE_EXPORTER && !uses_tls(check))
            return err_set(check->err, ERR_USAGE, 0, "--%s needs --tls", row->name);
        if (row->needs != NULL && !has(check, row->needs) &&
            (row->or_needs == NULL || !has(check, row->or_needs)))
            return err_set(check->err, ERR_USAGE, 0, "--%s needs --%s%s%s", row->name, row->needs,
                           row->or_needs != NULL ? " or --" : "", row->or_needs != NULL ? row->or_needs : "");
    }
    return 0;
}

static int check_family(const struct check *check, const char *option, const struct target *target)
{
    char room[OPTION_SHOWN_BYTES];

    if (check->options->probe.ipv4_only && target->kind == TARGET_IPV6)
        return err_set(check->err, ERR_USAGE, 0, "-4 allows IPv4 only, but the %s address %s is IPv6", option,
                       shown(target->host, room));
    if (check->options->probe.ipv6_only && target->kind == TARGET_IPV4)
        return err_set(check->err, ERR_USAGE, 0, "-6 allows IPv6 only, but the %s address %s is IPv4", option,
                       shown(target->host, room));
    return 0;
}

/* Source: RFC 4007 section 6: such an address exists on every link. */
int option_check_zone(const char *option, const struct target *target, struct err *err)
{
    struct in6_addr address;
    char without[INET6_ADDRSTRLEN];
    size_t length = strcspn(target->host, "%");

    if (target->kind != TARGET_IPV6 || length >= sizeof(without))
        return 0;
    memcpy(without, target->host, length);
    without[length] = '\0';
    if (inet_pton(AF_INET6, without, &address) != 1)
        return 0;
    bool is_link_local = IN6_IS_ADDR_LINKLOCAL(&address) || IN6_IS_ADDR_MC_LINKLOCAL(&address);
    bool has_zone = target->host[length] == '%';
    if (has_zone && !is_link_local)
        return err_set(err, ERR_USAGE, 0, "the %s address %s is not link-local and has no zone: write %s",
                       option, target->host, without);
    if (has_zone || !IN6_IS_ADDR_LINKLOCAL(&address))
        return 0;
    return err_set(
        err, ERR_USAGE, 0,
        "the %s address %s is link-local: append its interface, as in %s%%eth0 (ip link lists them)", option,
        target->host, target->host);
}

/* A probe of the name alone. */
static int check_resolve(const struct check *check)
{
    if (check->options->mode != MODE_PROBE || check->options->probe.until != PROBE_UNTIL_RESOLVE)
        return 0;
    if (is_given(check, "proxy"))
        return err_set(check->err, ERR_USAGE, 0,
                       "--until resolve and --proxy exclude each other: the proxy resolves the name");
    if (is_given(check, "send-proxy"))
        return err_set(check->err, ERR_USAGE, 0,
                       "--until resolve and --send-proxy exclude each other: no connection is made");
    return 0;
}

/* The proxy is what is connected to. */
static int check_proxy(const struct check *check)
{
    const struct target *at = &check->options->client.proxy.at;

    return check_family(check, "--proxy", at) != 0 ? -1 : option_check_zone("--proxy", at, check->err);
}

static int check_listen(const struct check *check, const struct target *list, size_t i)
{
    const struct target *target = &list[i];
    char room[OPTION_SHOWN_BYTES];

    for (size_t j = 0; j < i; j++)
        if (strcmp(target->service, "0") != 0 && strcmp(target->service, list[j].service) == 0 &&
            target->kind == list[j].kind && strcmp(target->host, list[j].host) == 0)
            return err_set(check->err, ERR_USAGE, 0, "--%s %s is given twice", check->mode->name,
                           target_format(target, room, sizeof(room)));
    return 0;
}

/* A mode that lacks its argument, and what may stand in its place. */
static int check_argument(const struct check *check)
{
    const struct option_row *row = check->mode;

    if (row->instead == NULL || is_given(check, row->instead) ||
        check->options->probe.target.service[0] != '\0')
        return 0;
    return err_set(check->err, ERR_USAGE, 0, "--%s needs a value: --%s %s, or --%s FILE", row->name,
                   row->name, row->argument, row->instead);
}

/* The addresses to listen on or to connect to. -4 and -6 are not about an exporter's listeners. */
static int check_targets(const struct check *check)
{
    const struct option_field *field = &check->mode->fields[check->mode->mode];
    const struct target *list =
        (const struct target *)(const void *)((const char *)check->options + field->offset);
    char option[OPTION_TITLE_BYTES];

    if (is_given(check, "metrics") &&
        option_check_zone("--metrics", &check->options->server.metrics, check->err) != 0)
        return -1;
    if (check_resolve(check) != 0 || (is_given(check, "proxy") && check_proxy(check) != 0))
        return -1;
    if (is_given(check, "proxy") && check->options->mode != MODE_EXPORTER)
        return 0; /* the target's address is the proxy's matter */
    snprintf(option, sizeof(option), "--%s", check->mode->name);
    for (size_t i = 0; i < field->size / sizeof(*list) && list[i].service[0] != '\0'; i++)
        if (check_listen(check, list, i) != 0 ||
            (check->options->mode != MODE_EXPORTER && check_family(check, option, &list[i]) != 0) ||
            option_check_zone(option, &list[i], check->err) != 0)
            return -1;
    return 0;
}

static bool is_literal(const struct target *target)
{
    return target->kind == TARGET_IPV4 || target->kind == TARGET_IPV6;
}

/* --bench checks it itself: it may be a range. */
static int check_source(const struct check *check)
{
    const struct target *peer = is_given(check, "proxy")               ? &check->options->client.proxy.at
                                : check->options->mode == MODE_CONNECT ? &check->options->client.target
                                                                       : &check->options->probe.target;
    const char *word = check->options->client.source;
    struct target source;

    if (word == NULL || check->options->mode == MODE_BENCH)
        return 0;
    if (strchr(word, '-') != NULL)
        return err_set(check->err, ERR_USAGE, 0,
                       "--source takes an IPv4 or IPv6 address; a range FIRST-LAST is for --bench");
    if (target_parse(&source, word, "0", check->err) != 0 || check_family(check, "--source", &source) != 0 ||
        option_check_zone("--source", &source, check->err) != 0)
        return -1;
    if (is_literal(peer) && peer->kind != source.kind)
        return err_set(check->err, ERR_USAGE, 0, "--source and --%s name addresses of different families",
                       is_given(check, "proxy") ? "proxy" : check->mode->name);
    return 0;
}

static int check_families(const struct check *check)
{
    if (check->options->probe.ipv4_only && check->options->probe.ipv6_only)
        return err_set(check->err, ERR_USAGE, 0,
                       "-4 and -6 exclude each other (both families are used without them)");
    return check_targets(check) != 0 ? -1 : check_source(check);
}

static int check_names(const struct check *check)
{
    const struct client_config *client = &check->options->client;

    for (size_t i = 0; i < client->name_count; i++) {
        struct bytes name = {client->names[i], strlen(client->names[i])};
        if (session_name_fits(client->framing, name, check->err) != 0)
            return -1;
    }
    return 0;
}

/* What only the greeting dialogue has. */
static int check_raw(const struct check *check)
{
    static const char *const others[] = {"framing", "answer-timeout"};
    char room[OPTION_SHOWN_BYTES];

    if (check->options->mode == MODE_CONNECT && is_given(check, "starttls") && !is_given(check, "raw"))
        return err_set(check->err, ERR_USAGE, 0, "--starttls with --connect needs --raw");
    if (!is_given(check, "raw"))
        return 0;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (is_given(check, others[i]))
            return err_set(check->err, ERR_USAGE, 0,
                           "--raw and --%s exclude each other: --%s is for the greeting dialogue", others[i],
                           others[i]);
    if (check->options->operand_count > 0)
        return err_set(check->err, ERR_USAGE, 0,
                       "--raw and NAMEs exclude each other: with --raw, standard input is sent, not \"%s\"",
                       shown(check->options->operands[0], room));
    return 0;
}

static int check_operands(const struct check *check)
{
    const struct options *options = check->options;
    size_t surplus = options->mode == MODE_PROBE ? check->given->before_dashes : options->operand_count;
    const char *argument = check->mode->argument;
    char room[OPTION_SHOWN_BYTES];

    if (options->mode == MODE_CONNECT)
        return check_names(check);
    if (options->mode == MODE_BENCH_MERGE)
        return options->operand_count > 0
                   ? 0
                   : err_set(check->err, ERR_USAGE, 0, "--bench-merge needs at least one FILE");
    if (surplus == 0)
        return 0;
    return err_set(
        check->err, ERR_USAGE, 0, "unexpected argument: \"%s\" (--%s takes %s)",
        escape_quoted((struct bytes){options->operands[0], strlen(options->operands[0])}, room, sizeof(room)),
        check->mode->name, argument);
}

static size_t count_files(const struct options *options, bool keys)
{
    const struct tls_files *list = options->server.tls.identities;
    size_t count = 0;

    while (count < TLS_FILES_MAX && (keys ? list[count].key : list[count].cert) != NULL)
        count++;
    return count;
}

static int check_identities(const struct check *check)
{
    size_t certs = count_files(check->options, false);
    size_t keys = count_files(check->options, true);

    if (keys != 0 && keys != certs)
        return err_set(check->err, ERR_USAGE, 0,
                       "--cert is given %zu time%s and --key %zu time%s: each certificate needs its key",
                       certs, certs == 1 ? "" : "s", keys, keys == 1 ? "" : "s");
    if (check->options->mode != MODE_LISTEN && certs > 1)
        return err_set(check->err, ERR_USAGE, 0, "--cert can be given once: a client has one certificate");
    return 0;
}

static int check_tls(const struct check *check)
{
    const char *servername = check->options->client.tls.servername;

    if (servername != NULL && hint_name("--servername", servername, check->err) != 0)
        return -1;
    if (check->options->mode == MODE_LISTEN && is_given(check, "crl") && !is_given(check, "client-ca"))
        return err_set(check->err, ERR_USAGE, 0,
                       "--crl with --listen checks client certificates: it needs --client-ca");
    if (check->options->mode != MODE_LISTEN && is_given(check, "crl") && is_given(check, "insecure"))
        return err_set(check->err, ERR_USAGE, 0, "--crl cannot be checked with --insecure");
    if (check->options->server.misbehaviour.kind == STREAM_MISBEHAVE_NO_CLOSE_NOTIFY &&
        !is_given(check, "tls"))
        return err_set(check->err, ERR_USAGE, 0, "--misbehave no-close-notify needs --tls");
    if (is_given(check, "watch") && !is_given(check, "cert") && !is_given(check, "ticket-keys"))
        return err_set(check->err, ERR_USAGE, 0, "--watch has no files: it needs --cert or --ticket-keys");
    return check_identities(check);
}

static const char *format_name(enum format format)
{
    const struct option_word *word = option_find("format", strlen("format"))->words;

    while (word->value != (int)format)
        word++;
    return word->name;
}

static int check_format(const struct check *check)
{
    const char *plot = check->options->probe.plot;
    enum options_mode mode = check->options->mode;
    enum format format = check->options->probe.format;
    bool measures = mode == MODE_BENCH || mode == MODE_BENCH_MERGE;

    if (plot != NULL && strcmp(plot, "-") == 0 && format != FORMAT_TEXT)
        return err_set(check->err, ERR_USAGE, 0,
                       "--plot - and --format %s exclude each other: both are for standard output",
                       format_name(format));
    if (format == FORMAT_TEXT || mode == MODE_PROBE || (measures && format != FORMAT_NAGIOS))
        return 0;
    return err_set(check->err, ERR_USAGE, 0, "--format %s is for %s, not for --%s", format_name(format),
                   format == FORMAT_NAGIOS ? "--probe" : "--probe, --bench or --bench-merge",
                   check->mode->name);
}

static int check_limits(const struct check *check)
{
    const struct probe_config *probe = &check->options->probe;
    const char *warn = is_own(check, "warn") ? option_unmeasured(probe, &probe->limits.warn) : NULL;
    const char *crit = is_own(check, "crit") ? option_unmeasured(probe, &probe->limits.crit) : NULL;

    if (warn != NULL || crit != NULL)
        return err_set(
            check->err, ERR_USAGE, 0,
            "%s limits %s, which is not measured (see --until, --proxy, --tls, --starttls, --volume and --expect)",
            warn != NULL ? "--warn" : "--crit", warn != NULL ? warn : crit);
    if (is_own(check, "expect-days") && probe->until < PROBE_UNTIL_TLS)
        return err_set(check->err, ERR_USAGE, 0, "--expect-days needs a handshake: --until tls or dialogue");
    return 0;
}

/* One round, a series of rounds, or rounds until every check passes. */
static int check_rounds(const struct check *check)
{
    enum format format = check->options->probe.format;
    const char *series = is_given(check, "count")      ? "--count"
                         : is_given(check, "interval") ? "--interval"
                                                       : NULL;

    if (series == NULL)
        return 0;
    if (is_given(check, "retry"))
        return err_set(check->err, ERR_USAGE, 0,
                       "--retry and %s exclude each other: --retry repeats the probe at its own pace",
                       series);
    if (check->options->probe.command != NULL)
        return err_set(check->err, ERR_USAGE, 0,
                       "%s and a COMMAND exclude each other: to wait until every check passes, use --retry",
                       series);
    if (format == FORMAT_PROMETHEUS || format == FORMAT_NAGIOS)
        return err_set(check->err, ERR_USAGE, 0, "--format %s reports one round: it cannot be used with %s",
                       format_name(format), series);
    return 0;
}

/* An exchange stands for the greeting dialogue. */
static int check_script(const struct check *check)
{
    static const char *const steps[] = {"send", "expect", "reject"}, *const others[] = {"expect-alert",
                                                                                        "volume", "framing"};
    const struct probe_config *probe = &check->options->probe;
    const char *step = NULL;

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && step == NULL; i++)
        step = is_given(check, steps[i]) ? steps[i] : NULL;
    if (step == NULL)
        return 0;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (is_given(check, others[i]))
            return err_set(check->err, ERR_USAGE, 0, "--%s cannot be used with --%s", others[i], step);
    if (probe->until != PROBE_UNTIL_EXCHANGE)
        return err_set(check->err, ERR_USAGE, 0,
                       "--%s demands an exchange after TCP and TLS: it cannot be used with another --until",
                       step);
    return 0;
}

/* Each target of a list is probed once, and many at a time. */
static int check_list(const struct check *check)
{
    static const char *const others[] = {"count", "interval", "retry", "plot", "explain"};
    const struct options *options = check->options;

    if (options->probe.target.service[0] != '\0')
        return err_set(check->err, ERR_USAGE, 0,
                       "--targets lists what to probe: --probe takes no HOST PORT with it");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (is_given(check, others[i]))
            return err_set(check->err, ERR_USAGE, 0,
                           "--%s is for one target: it cannot be used with --targets", others[i]);
    if (options->probe.command != NULL)
        return err_set(check->err, ERR_USAGE, 0,
                       "a COMMAND is for one target: it cannot be used with --targets");
    return 0;
}

static int check_probe(const struct check *check)
{
    const struct probe_config *probe = &check->options->probe;

    if (check->options->mode != MODE_PROBE)
        return 0;
    if (has_list(check))
        return check_list(check);
    if (check_script(check) != 0)
        return -1;
    if (probe->expect_alert > 0 && probe->until != PROBE_UNTIL_TLS)
        return err_set(check->err, ERR_USAGE, 0,
                       "--expect-alert ends the probe with TLS: it cannot be used with another --until");
    if (probe->volume_bytes > 0 && probe->until < PROBE_UNTIL_DIALOGUE)
        return err_set(check->err, ERR_USAGE, 0,
                       "--volume is a part of the dialogue: --until ends before it");
    return check_limits(check) != 0 ? -1 : check_rounds(check);
}

static int check_verbosity(const struct check *check)
{
    if (is_given(check, "verbose") && is_given(check, "quiet"))
        return err_set(check->err, ERR_USAGE, 0, "-v and -q exclude each other");
    return 0;
}

int option_check(const struct options *options, const struct option_given *given, struct err *err)
{
    static int (*const checks[])(const struct check *) = {
        check_mode,  check_modes, check_argument, check_raw,   check_operands, check_families,
        check_needs, check_tls,   check_format,   check_probe, check_verbosity};
    struct check check = {options, given, given->mode, err};

    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
        if (checks[i](&check) != 0)
            return -1;
    return 0;
}
