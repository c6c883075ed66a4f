#include "table.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "tcpgreet/base/escape.h"
#include "tcpgreet/core/session.h"

enum { WORD_BYTES = 64, MODES_BYTES = 96 };

struct check {
    const struct options *options;
    const struct option_words *words;
    struct err *err;
};

static const char *shown(const char *word, char room[WORD_BYTES])
{
    return escape_text((struct bytes){word, strlen(word)}, room, WORD_BYTES);
}

static unsigned all_modes(void)
{
    unsigned modes = 0;

    for (size_t i = 0; option_rows[i].group == OPTION_GROUP_MODE; i++)
        modes |= OPTION_IN(option_rows[i].mode);
    return modes;
}

static int check_modes(const struct check *check)
{
    char title[OPTION_TITLE_BYTES];
    char modes[MODES_BYTES];

    if (check->words->mode == NULL) {
        return err_set(check->err, ERR_USAGE, 0, "no mode is chosen: give %s",
                       option_modes(all_modes(), modes, sizeof(modes)));
    }
    for (size_t i = 0; i < OPTION_ROWS; i++) {
        const struct option_row *row = &option_rows[i];
        if (check->words->given[i] && (row->modes & OPTION_IN(check->words->mode->mode)) == 0) {
            return err_set(check->err, ERR_USAGE, 0, "%s is for %s, not for --%s", option_title(row, title),
                           option_modes(row->modes, modes, sizeof(modes)), check->words->mode->name);
        }
    }
    return 0;
}

static int check_family(const struct check *check, const char *option, const struct target *target)
{
    const struct options *options = check->options;
    char room[WORD_BYTES];

    if (options->ipv4_only && target->kind == TARGET_IPV6) {
        return err_set(check->err, ERR_USAGE, 0, "-4 allows IPv4 only, but the %s address %s is IPv6", option,
                       shown(target->host, room));
    }
    if (options->ipv6_only && target->kind == TARGET_IPV4) {
        return err_set(check->err, ERR_USAGE, 0, "-6 allows IPv6 only, but the %s address %s is IPv4", option,
                       shown(target->host, room));
    }
    return 0;
}

/* Source: RFC 4007 section 6: such an address exists on every link, so the link must be told. */
static int check_zone(const struct check *check, const char *option, const struct target *target)
{
    struct in6_addr address;

    if (target->kind != TARGET_IPV6 || inet_pton(AF_INET6, target->host, &address) != 1 ||
        !IN6_IS_ADDR_LINKLOCAL(&address))
        return 0;
    return err_set(
        check->err, ERR_USAGE, 0,
        "the %s address %s exists on every link: say on which, as in %s%%eth0 (ip link lists them)", option,
        target->host, target->host);
}

static int check_listen(const struct check *check, size_t i)
{
    const struct target *target = &check->options->listen[i];
    char room[WORD_BYTES];

    for (size_t j = 0; j < i; j++) {
        const struct target *other = &check->options->listen[j];
        if (strcmp(target->service, "0") != 0 && strcmp(target->service, other->service) == 0 &&
            target->kind == other->kind && strcmp(target->host, other->host) == 0)
            return err_set(check->err, ERR_USAGE, 0, "--listen %s is given twice",
                           target_format(target, room, sizeof(room)));
    }
    return check_family(check, "--listen", target) != 0 ? -1 : check_zone(check, "--listen", target);
}

static bool is_literal(const struct target *target)
{
    return target->kind == TARGET_IPV4 || target->kind == TARGET_IPV6;
}

static int check_families(const struct check *check)
{
    const struct options *options = check->options;
    struct target source = {0};
    char peer[OPTION_TITLE_BYTES];

    if (options->ipv4_only && options->ipv6_only)
        return err_set(check->err, ERR_USAGE, 0, "-4 and -6 exclude each other: without them both are used");
    for (size_t i = 0; i < options->listen_count; i++)
        if (check_listen(check, i) != 0)
            return -1;
    snprintf(peer, sizeof(peer), "--%s", check->words->mode->name);
    if (check_family(check, peer, &options->target) != 0 || check_zone(check, peer, &options->target) != 0)
        return -1;
    if (options->source == NULL || options->mode == MODE_BENCH)
        return 0; /* of a bench it may be a range: it looks itself */
    if (strchr(options->source, '-') != NULL)
        return err_set(check->err, ERR_USAGE, 0,
                       "--source takes an IPv4 or IPv6 address; a range FIRST-LAST is for --bench");
    if (target_parse(&source, options->source, "0", check->err) != 0 ||
        check_family(check, "--source", &source) != 0)
        return -1;
    if (is_literal(&options->target) && options->target.kind != source.kind) {
        return err_set(check->err, ERR_USAGE, 0, "--source and %s name addresses of different families",
                       peer);
    }
    return 0;
}

static int check_names(const struct check *check)
{
    static const enum session_framing framings[] = {[FRAMING_AUTO] = SESSION_FRAMING_AUTO,
                                                    [FRAMING_LINE] = SESSION_FRAMING_LINE,
                                                    [FRAMING_BARE] = SESSION_FRAMING_BARE};
    const struct options *options = check->options;

    for (size_t i = 0; i < options->operand_count; i++) {
        struct bytes name = {options->operands[i], strlen(options->operands[i])};
        if (session_name_fits(framings[options->framing], name, check->err) != 0)
            return -1;
    }
    return 0;
}

static int check_operands(const struct check *check)
{
    const struct options *options = check->options;
    size_t surplus = options->mode == MODE_PROBE ? check->words->before_dashes : options->operand_count;
    char room[WORD_BYTES];

    if (options->mode == MODE_CONNECT)
        return check_names(check);
    if (options->mode == MODE_BENCH_MERGE) {
        return options->operand_count > 0
                   ? 0
                   : err_set(check->err, ERR_USAGE, 0, "--bench-merge needs at least one FILE");
    }
    if (surplus == 0)
        return 0;
    return err_set(check->err, ERR_USAGE, 0, "\"%s\" is one word too many for --%s%s%s",
                   shown(options->operands[0], room), check->words->mode->name,
                   check->words->mode->argument != NULL ? " " : "",
                   check->words->mode->argument != NULL ? check->words->mode->argument : "");
}

/* The options of TLS say nothing without it, and some go together. */
static int check_tls(const struct check *check)
{
    const struct options *options = check->options;

    for (size_t i = 0; i < OPTION_ROWS; i++) {
        const struct option_row *row = &option_rows[i];
        bool about_tls = row->group == OPTION_GROUP_TLS || strcmp(row->name, "handshake-timeout") == 0 ||
                         strcmp(row->name, "resume") == 0;
        if (about_tls && check->words->given[i] && !options->tls)
            return err_set(check->err, ERR_USAGE, 0, "--%s needs --tls", row->name);
        if (strcmp(row->name, "client-auth") == 0 && check->words->given[i] && options->client_ca == NULL)
            return err_set(check->err, ERR_USAGE, 0, "--client-auth needs --client-ca");
    }
    struct target name;
    if (options->servername != NULL && target_parse(&name, options->servername, "0", check->err) != 0)
        return err_context(check->err, "--servername");
    if (options->misbehave == MISBEHAVE_NO_CLOSE_NOTIFY && !options->tls)
        return err_set(check->err, ERR_USAGE, 0, "--misbehave no-close-notify needs --tls");
    if (options->keys.count != 0 && options->certs.count == 0)
        return err_set(check->err, ERR_USAGE, 0, "--key needs --cert");
    if (options->keys.count != 0 && options->keys.count != options->certs.count) {
        return err_set(check->err, ERR_USAGE, 0,
                       "--cert is given %zu time%s and --key %zu time%s: each certificate needs its key",
                       options->certs.count, options->certs.count == 1 ? "" : "s", options->keys.count,
                       options->keys.count == 1 ? "" : "s");
    }
    if (options->mode != MODE_LISTEN && options->certs.count > 1)
        return err_set(check->err, ERR_USAGE, 0, "--cert can be given once: a client has one certificate");
    if (options->passphrase_file != NULL && options->certs.count == 0)
        return err_set(check->err, ERR_USAGE, 0, "--key-passphrase-file needs --cert");
    return 0;
}

static int check_format(const struct check *check)
{
    const struct options *options = check->options;
    bool measures = options->mode == MODE_BENCH || options->mode == MODE_BENCH_MERGE;

    if (options->format == FORMAT_TEXT || options->mode == MODE_PROBE ||
        (measures && options->format != FORMAT_NAGIOS))
        return 0;
    return err_set(check->err, ERR_USAGE, 0, "--format %s is for %s, not for --%s",
                   options->format == FORMAT_JSON         ? "json"
                   : options->format == FORMAT_PROMETHEUS ? "prometheus"
                                                          : "nagios",
                   options->format == FORMAT_NAGIOS ? "--probe" : "--probe, --bench or --bench-merge",
                   check->words->mode->name);
}

/* Returns: the first limit on a time that will not be measured, NULL where there is none. */
static const char *unmeasured(const struct options *options, const struct threshold_list *limits)
{
    static const struct {
        const char *name;
        enum options_until until; /* the least that measures it */
    } times[] = {{"connect", UNTIL_CONNECT}, {"tls", UNTIL_TLS},        {"welcome", UNTIL_DIALOGUE},
                 {"name", UNTIL_DIALOGUE},   {"close", UNTIL_DIALOGUE}, {"volume", UNTIL_DIALOGUE}};

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        const char *name = times[i].name;
        if (threshold_find(limits, name) != NULL &&
            (options->until < times[i].until || (strcmp(name, "tls") == 0 && !options->tls) ||
             (strcmp(name, "volume") == 0 && options->volume_bytes == 0)))
            return name;
    }
    return NULL;
}

static int check_limits(const struct check *check)
{
    const struct options *options = check->options;
    const char *warn = unmeasured(options, &options->warn);
    const char *crit = unmeasured(options, &options->crit);

    if (warn != NULL || crit != NULL) {
        return err_set(check->err, ERR_USAGE, 0,
                       "%s limits %s, which is not measured: see --until, --tls and "
                       "--volume",
                       warn != NULL ? "--warn" : "--crit", warn != NULL ? warn : crit);
    }
    if (options->expect_days > 0 && !options->tls)
        return err_set(check->err, ERR_USAGE, 0, "--expect-days needs --tls");
    if (options->expect_days > 0 && options->until < UNTIL_TLS)
        return err_set(check->err, ERR_USAGE, 0, "--expect-days needs a handshake: --until tls or dialogue");
    return 0;
}

/* One round, a series of rounds, or rounds until all is well. */
static int check_rounds(const struct check *check)
{
    const struct options *options = check->options;
    bool series = options->count > 0 || options->interval_ms >= 0;
    const char *what = options->count > 0 ? "--count" : "--interval";

    if (series && options->retry_ms >= 0) {
        return err_set(
            check->err, ERR_USAGE, 0,
            "--retry and %s exclude each other: --retry tries again until all is well, at its own pace",
            what);
    }
    if (series && options->operand_count > 0) {
        return err_set(check->err, ERR_USAGE, 0,
                       "%s and a COMMAND exclude each other: to wait until all is well, give --retry", what);
    }
    if (series && (options->format == FORMAT_PROMETHEUS || options->format == FORMAT_NAGIOS)) {
        return err_set(check->err, ERR_USAGE, 0, "--format %s tells one round: it cannot be used with %s",
                       options->format == FORMAT_NAGIOS ? "nagios" : "prometheus", what);
    }
    return 0;
}

static int check_probe(const struct check *check)
{
    const struct options *options = check->options;

    if (options->until == UNTIL_TLS && !options->tls)
        return err_set(check->err, ERR_USAGE, 0, "--until tls needs --tls");
    if (options->volume_bytes > 0 && options->until < UNTIL_DIALOGUE)
        return err_set(check->err, ERR_USAGE, 0,
                       "--volume is a part of the dialogue: --until ends before it");
    return check_limits(check) != 0 ? -1 : check_rounds(check);
}

int options_check(const struct options *options, const struct option_words *words, struct err *err)
{
    struct check check = {options, words, err};

    if (check_modes(&check) != 0 || check_operands(&check) != 0 || check_families(&check) != 0 ||
        check_tls(&check) != 0 || check_format(&check) != 0 ||
        (options->mode == MODE_PROBE && check_probe(&check) != 0))
        return -1;
    if (options->verbose && options->quiet)
        return err_set(err, ERR_USAGE, 0, "-v and -q exclude each other");
    return 0;
}
