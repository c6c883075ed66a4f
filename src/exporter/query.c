#include "query.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tcpgreet/base/escape.h"
#include "tcpgreet/core/query.h"
#include "tcpgreet/format/text.h"

enum { SHOWN_BYTES = 96, MARGIN_MS = 500, MARGIN_SHARE = 5, SECONDS_MAX = 24 * 3600 };

/* A parameter, and the option of --probe with the same meaning. What can read files, execute commands, send
 * bytes or choose another way to the target is not in the list. */
static const struct allowed {
    const char *name;
    const char *option;
} allowed[] = {
    {"target", NULL},
    {"tls", "tls"},
    {"ipv4", "ipv4"},
    {"ipv6", "ipv6"},
    {"starttls", "starttls"},
    {"servername", "servername"},
    {"pin", "pin"},
    {"alpn", "alpn"},
    {"tls_min", "tls-min"},
    {"until", "until"},
    {"expect_days", "expect-days"},
    {"expect_alert", "expect-alert"},
    {"require", "require"},
    {"connect_timeout", "connect-timeout"},
    {"answer_timeout", "answer-timeout"},
    {"timeout", "timeout"},
};
enum { ALLOWED = sizeof(allowed) / sizeof(allowed[0]), TARGET = 0, TLS, IPV4, IPV6, FLAGS_END };
enum { STARTTLS = FLAGS_END, SERVERNAME, PIN, ALPN, TLS_MIN, UNTIL, EXPECT_DAYS };

struct parse {
    struct exporter_query *query;
    const struct exporter_config *config;
    bool given[ALLOWED];
    struct err *err;
};

static const char *shown(const char *text, char room[SHOWN_BYTES])
{
    return escape_quoted((struct bytes){text, strlen(text)}, room, SHOWN_BYTES);
}

static int refuse_unknown(const struct parse *parse, const char *name)
{
    char room[SHOWN_BYTES];
    struct text_line names = {0};

    for (size_t i = 0; i < ALLOWED; i++)
        text_append(&names, "%s%s", i > 0 ? ", " : "", allowed[i].name);
    return err_set(parse->err, ERR_USAGE, 0, "unknown parameter: \"%s\" (there are %s)", shown(name, room),
                   names.text);
}

static int set_target(const struct parse *parse, const char *value)
{
    struct target *target = &parse->query->probe.target;
    char room[SHOWN_BYTES];

    if (!target_is_one_word(value))
        return err_set(parse->err, ERR_USAGE, 0, "target takes HOST:PORT or [IPV6]:PORT, not \"%s\"",
                       shown(value, room));
    if (target_parse_word(target, value, parse->err) != 0)
        return err_context(parse->err, "target");
    if (target->kind == TARGET_EVERY_ADDRESS || strcmp(target->service, "0") == 0)
        return err_set(parse->err, ERR_USAGE, 0, "target needs a host, and a port from 1 to 65535");
    return 0;
}

static int set_flag(const struct parse *parse, size_t which, const char *value)
{
    struct probe_config *probe = &parse->query->probe;
    bool *flags[FLAGS_END] = {
        [TLS] = &probe->use_tls, [IPV4] = &probe->ipv4_only, [IPV6] = &probe->ipv6_only};
    char room[SHOWN_BYTES];

    if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
        return err_set(parse->err, ERR_USAGE, 0, "%s takes 1 or 0, not \"%s\"", allowed[which].name,
                       shown(value, room));
    *flags[which] = value[0] == '1';
    return 0;
}

/* The probe borrows the word: it is kept beside it. */
static int set_option(const struct parse *parse, size_t which, const char *value)
{
    struct exporter_query *query = parse->query;
    char *word = query->words + query->length;
    size_t size = strlen(value) + 1;

    if (size == 1)
        return err_set(parse->err, ERR_USAGE, 0, "%s needs a value", allowed[which].name);
    if (size > sizeof(query->words) - query->length)
        return err_set(parse->err, ERR_USAGE, 0, "the query is too long");
    memcpy(word, value, size);
    query->length += size;
    if (parse->config->parser.set(&query->probe, allowed[which].option, word, parse->err) != 0)
        return err_context(parse->err, "parameter %s", allowed[which].name);
    return 0;
}

static int take(struct parse *parse, const struct query_parameter *parameter)
{
    size_t which = 0;

    while (which < ALLOWED && strcmp(allowed[which].name, parameter->name) != 0)
        which++;
    if (which == ALLOWED)
        return refuse_unknown(parse, parameter->name);
    if (parse->given[which])
        return err_set(parse->err, ERR_USAGE, 0, "parameter %s is given twice", parameter->name);
    parse->given[which] = true;
    return which == TARGET     ? set_target(parse, parameter->value)
           : which < FLAGS_END ? set_flag(parse, which, parameter->value)
                               : set_option(parse, which, parameter->value);
}

static int refuse(const struct parse *parse, enum query_result why, const char *name)
{
    char room[SHOWN_BYTES];

    return err_set(parse->err, ERR_USAGE, 0, "parameter \"%s\": %s", shown(name, room),
                   why == QUERY_BAD_ESCAPE ? "a percent sign needs two hexadecimal digits behind it"
                   : why == QUERY_BAD_BYTE ? "it contains a NUL byte"
                                           : "it is too long");
}

/* Shape: the probe is complete: other parameters may imply TLS. */
static int check_needs(const struct parse *parse)
{
    static const size_t of_tls[] = {SERVERNAME, PIN, ALPN, TLS_MIN, EXPECT_DAYS};

    for (size_t i = 0; i < sizeof(of_tls) / sizeof(of_tls[0]) && !parse->query->probe.use_tls; i++)
        if (parse->given[of_tls[i]])
            return err_set(parse->err, ERR_USAGE, 0, "%s needs tls=1", allowed[of_tls[i]].name);
    return 0;
}

int exporter_query_parse(struct exporter_query *query, const struct exporter_config *config, const char *text,
                         struct err *err)
{
    struct parse parse = {.query = query, .config = config, .err = err};
    struct query_parameter parameter;
    enum query_result result;

    query->probe = config->probe;
    query->length = 0;
    while ((result = query_next(&text, &parameter)) == QUERY_PARAMETER)
        if (take(&parse, &parameter) != 0)
            return -1;
    if (result != QUERY_END)
        return refuse(&parse, result, parameter.name);
    if (!parse.given[TARGET])
        return err_set(err, ERR_USAGE, 0, "parameter target is missing: target=HOST:PORT");
    if (query->probe.timeout_ms == 0)
        query->probe.timeout_ms = EXPORTER_TIMEOUT_MS;
    bool is_plain = parse.given[TLS] && !query->probe.use_tls;
    if (config->parser.complete(&query->probe, err) != 0)
        return -1;
    if (is_plain && query->probe.use_tls)
        return err_set(err, ERR_USAGE, 0, "tls=0 excludes starttls, expect_alert and until=tls");
    return check_needs(&parse);
}

/* White space around a field's value is no part of it (RFC 9110 section 5.5). Returns: 0 for what is no
 * number of seconds. */
static double parse_seconds(const char *text)
{
    static const char digits[] = "0123456789", space[] = " \t";

    text += strspn(text, space);
    size_t length = strspn(text, digits);
    if (text[length] == '.')
        length += 1 + strspn(text + length + 1, digits);
    bool is_all = text[length + strspn(text + length, space)] == '\0';
    return length > 0 && length < 32 && is_all ? strtod(text, NULL) : 0;
}

int exporter_query_limit(struct exporter_query *query, const char *seconds, struct err *err)
{
    char room[SHOWN_BYTES];

    if (seconds == NULL)
        return 0;
    double given = parse_seconds(seconds);
    if (given <= 0)
        return err_set(err, ERR_USAGE, 0,
                       "X-Prometheus-Scrape-Timeout-Seconds takes a number of seconds above 0, not \"%s\"",
                       shown(seconds, room));
    int64_t limit_ms = (int64_t)(fmin(given, SECONDS_MAX) * 1000);
    int64_t share_ms = limit_ms / MARGIN_SHARE;
    limit_ms -= share_ms < MARGIN_MS ? share_ms : MARGIN_MS;
    if (limit_ms < 1)
        limit_ms = 1;
    if (limit_ms < query->probe.timeout_ms)
        query->probe.timeout_ms = limit_ms;
    return 0;
}
