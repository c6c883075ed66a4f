#include "table.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "hint.h"
#include "tcpgreet/base/escape.h"

#define LONGEST "168h"

static const struct option_word client_auths[] = {
    {"require", TLS_CLIENT_AUTH_REQUIRE}, {"request", TLS_CLIENT_AUTH_REQUEST}, {0}};
static const struct option_word tls_versions[] = {{"1.2", false}, {"1.3", true}, {0}};
static const struct option_word starttls_protocols[] = {
    {"smtp", STARTTLS_SMTP},   {"lmtp", STARTTLS_LMTP},
    {"imap", STARTTLS_IMAP},   {"pop3", STARTTLS_POP3},
    {"ftp", STARTTLS_FTP},     {"nntp", STARTTLS_NNTP},
    {"sieve", STARTTLS_SIEVE}, {"irc", STARTTLS_IRC},
    {"xmpp", STARTTLS_XMPP},   {"xmpp-server", STARTTLS_XMPP_SERVER},
    {"ldap", STARTTLS_LDAP},   {"postgres", STARTTLS_POSTGRES},
    {"mysql", STARTTLS_MYSQL}, {0}};
static const struct option_word framings[] = {
    {"auto", SESSION_FRAMING_AUTO}, {"line", SESSION_FRAMING_LINE}, {"bare", SESSION_FRAMING_BARE}, {0}};
static const struct option_word untils[] = {
    {"auto", PROBE_UNTIL_AUTO}, {"resolve", PROBE_UNTIL_RESOLVE},   {"connect", PROBE_UNTIL_CONNECT},
    {"tls", PROBE_UNTIL_TLS},   {"dialogue", PROBE_UNTIL_DIALOGUE}, {0}};
static const struct option_word proxy_versions[] = {{"v1", PROXY_HEADER_V1}, {"v2", PROXY_HEADER_V2}, {0}};
static const struct option_word requires[] = {{"all", false}, {"any", true}, {0}};
static const struct option_word formats[] = {{"text", FORMAT_TEXT},
                                             {"json", FORMAT_JSON},
                                             {"prometheus", FORMAT_PROMETHEUS},
                                             {"nagios", FORMAT_NAGIOS},
                                             {0}};
static const struct option_word log_formats[] = {{"text", LOG_TEXT}, {"json", LOG_JSON}, {0}};
static const struct option_word colors[] = {
    {"auto", FORMAT_COLOR_AUTO}, {"always", FORMAT_COLOR_ALWAYS}, {"never", FORMAT_COLOR_NEVER}, {0}};

#define OPTION(group_, kind_, name_, argument_, help_, ...)                                                  \
    {                                                                                                        \
        .name = (name_), .group = OPTION_GROUP_##group_, .kind = &option_##kind_, .argument = (argument_),   \
        .help = (help_), __VA_ARGS__                                                                         \
    }
#define REPEATABLE .repeatable = true
#define DEFAULT(text) .fallback = (text)
#define RANGE(low, high) .least = (low), .most = (high)
#define WORDS(list) .words = (list)
#define OF_RUN .of_run = true
#define NEEDS(option) .needs = (option)
#define OR_NEEDS(option) .or_needs = (option)
#define FIELD(configuration)                                                                                 \
    {                                                                                                        \
        offsetof(struct options, configuration), sizeof(((struct options *)0)->configuration)                \
    }

/* In which mode's configuration the value stands. */
#define IN(...) .fields = {__VA_ARGS__}
#define L(member) [MODE_LISTEN] = FIELD(server.member)
#define C(member) [MODE_CONNECT] = FIELD(client.member)
#define P(member) [MODE_PROBE] = FIELD(probe.member)
#define T(member) [MODE_PROBE] = FIELD(targets.member)
#define B(member) [MODE_BENCH] = FIELD(bench.member)
#define M(member) [MODE_BENCH_MERGE] = FIELD(merge.member)
#define ANY(mode, member) [mode] = FIELD(member)
#define X(member) [MODE_EXPORTER] = FIELD(exporter.member)

#define IGNORED(...) .ignored = (__VA_ARGS__)
#define LISTEN OPTION_IN(MODE_LISTEN)
#define CONNECT OPTION_IN(MODE_CONNECT)
#define PROBE OPTION_IN(MODE_PROBE)
#define BENCH OPTION_IN(MODE_BENCH)
#define MERGE OPTION_IN(MODE_BENCH_MERGE)

const struct option_row option_rows[] = {
    OPTION(MODE, listener, "listen", "[HOST] PORT", "serve the greeting dialogue; repeatable",
           .mode = MODE_LISTEN, REPEATABLE, IN(L(listen))),
    OPTION(MODE, peer, "connect", "HOST PORT [NAME...]", "send the NAMEs to a server, then exit",
           .mode = MODE_CONNECT, IN(C(target))),
    OPTION(MODE, peer, "probe", "HOST PORT [-- COMMAND...]", "check a service on every address",
           .mode = MODE_PROBE, .instead = "targets", IN(P(target))),
    OPTION(MODE, peer, "bench", "HOST PORT", "run many dialogues, verify and measure them",
           .mode = MODE_BENCH, IN(B(target))),
    OPTION(MODE, flag, "bench-merge", "FILE...", "add up the JSON results of benches",
           .mode = MODE_BENCH_MERGE),
    OPTION(MODE, listener, "exporter", "[HOST] PORT", "probe what Prometheus asks for; repeatable",
           .mode = MODE_EXPORTER, REPEATABLE, IN([MODE_EXPORTER] = FIELD(exporter.listen))),

    OPTION(PATH, flag, "ipv4", NULL, "use IPv4 only", .letter = '4',
           IN(L(ipv4_only), C(ipv4_only), P(ipv4_only), B(ipv4_only))),
    OPTION(PATH, flag, "ipv6", NULL, "use IPv6 only", .letter = '6',
           IN(L(ipv6_only), C(ipv6_only), P(ipv6_only), B(ipv6_only))),
    OPTION(PATH, source, "source", "ADDRESS", "local address (bench: FIRST-LAST)",
           IN(C(source), P(source), B(source))),
    OPTION(PATH, proxy, "proxy", "URL", "connect through an HTTP or SOCKS5 proxy",
           IN(C(proxy), P(proxy), B(proxy))),
    OPTION(PATH, choice, "send-proxy", NULL, "send a PROXY header first, as a balancer does",
           WORDS(proxy_versions), IN(C(send_proxy), P(send_proxy), B(send_proxy))),
    OPTION(PATH, duration, "attempt-delay", "TIME", "delay before trying the next address",
           RANGE("10ms", "10s"), DEFAULT("250ms"), IN(C(attempt_delay_ms), P(attempt_delay_ms))),

    OPTION(TIME, duration, "connect-timeout", "TIME", "resolve, connect and handshake together",
           RANGE("1ms", LONGEST), DEFAULT("10s"),
           IN(C(connect_timeout_ms), P(connect_timeout_ms), B(connect_timeout_ms))),
    OPTION(TIME, duration, "timeout", "TIME", "limit for the whole run (none)", RANGE("1ms", LONGEST),
           IN(C(timeout_ms), P(timeout_ms))),
    OPTION(TIME, duration, "answer-timeout", "TIME", "limit for each answer of the server",
           RANGE("1ms", LONGEST), DEFAULT("10s"),
           IN(C(answer_timeout_ms), P(answer_timeout_ms), B(answer_timeout_ms))),
    OPTION(TIME, duration, "handshake-timeout", "TIME", "server: limit for PROXY header and TLS",
           RANGE("1ms", LONGEST), DEFAULT("10s"), NEEDS("tls"), OR_NEEDS("proxy-protocol"),
           IN(L(handshake_timeout_ms))),
    OPTION(TIME, duration, "idle-timeout", "TIME", "server: limit for the next name", RANGE("1ms", LONGEST),
           DEFAULT("300s"), IN(L(idle_timeout_ms))),
    OPTION(TIME, duration, "name-timeout", "TIME", "server: limit for the rest of a name",
           RANGE("1ms", LONGEST), DEFAULT("30s"), IN(L(name_timeout_ms))),
    OPTION(TIME, duration, "drain-timeout", "TIME", "server: limit for draining at shutdown",
           RANGE("0", LONGEST), DEFAULT("7s"), IN(L(drain_timeout_ms))),
    OPTION(TIME, duration, "pause", "TIME", "server: pause that ends a name", RANGE("0", "1m"),
           DEFAULT("300ms"), IN(L(pause_ms))),

    OPTION(TLS, flag, "tls", NULL, "use TLS", IN(L(use_tls), C(use_tls), P(use_tls), B(use_tls))),
    OPTION(TLS, choice, "starttls", "PROTOCOL", "TLS by STARTTLS of smtp, imap, ldap, mysql...",
           WORDS(starttls_protocols), IN(C(starttls), P(starttls))),
    OPTION(TLS, text, "ca", "PATH", "trusted CAs: a file or a directory",
           IN(C(tls.ca), P(tls.ca), B(tls.ca))),
    OPTION(TLS, text, "crl", "FILE", "revocation lists to check",
           IN(L(tls.policy.crl), C(tls.policy.crl), P(tls.policy.crl), B(tls.policy.crl))),
    OPTION(TLS, text, "servername", "NAME", "name for SNI and verification",
           IN(C(tls.servername), P(tls.servername), B(tls.servername))),
    OPTION(
        TLS, flag, "insecure", NULL, "do not verify (server: ignore key file mode)",
        IN(L(tls.policy.insecure), C(tls.policy.insecure), P(tls.policy.insecure), B(tls.policy.insecure))),
    OPTION(TLS, pin, "pin", "sha256:HEX", "accept only this public key; repeatable", REPEATABLE,
           IN(C(tls.pins), P(tls.pins), B(tls.pins))),
    OPTION(TLS, cert, "cert", "FILE", "certificate chain to use; server: repeatable", REPEATABLE,
           IN(L(tls.identities), C(tls.identity), P(tls.identity), B(tls.identity))),
    OPTION(TLS, key, "key", "FILE", "its private key (in the --cert file)", REPEATABLE, NEEDS("cert"),
           IN(L(tls.identities), C(tls.identity), P(tls.identity), B(tls.identity))),
    OPTION(TLS, text, "key-passphrase-file", "FILE", "file whose first line is its passphrase", NEEDS("cert"),
           IN(L(tls.policy.passphrase_file), C(tls.policy.passphrase_file), P(tls.policy.passphrase_file),
              B(tls.policy.passphrase_file))),
    OPTION(TLS, text, "client-ca", "PATH", "server: CAs for client certificates", IN(L(tls.client_ca))),
    OPTION(TLS, choice, "client-auth", NULL, "server: ask for client certificates (require)",
           NEEDS("client-ca"), WORDS(client_auths), IN(L(tls.client_auth))),
    OPTION(TLS, either, "tls-min", NULL, "lowest TLS version", WORDS(tls_versions), DEFAULT("1.2"),
           IN(L(tls.policy.tls13_only), C(tls.policy.tls13_only), P(tls.policy.tls13_only),
              B(tls.policy.tls13_only))),
    OPTION(TLS, alpn, "alpn", "LIST", "application protocols, comma-separated",
           IN(L(tls.policy.alpn), C(tls.policy.alpn), P(tls.policy.alpn), B(tls.policy.alpn))),
    OPTION(TLS, text, "ticket-keys", "FILE", "server: session ticket keys", IN(L(tls.ticket_keys))),
    OPTION(TLS, flag, "watch", NULL, "server: reload when these files change", NEEDS("tls"), IN(L(watch))),

    OPTION(SERVER, integer, "workers", "N", "threads (one per processor; bench: 1)", RANGE("1", "256"),
           IN(L(workers), B(workers))),
    OPTION(SERVER, integer, "max-connections", "N", "concurrent connections (descriptors, memory)",
           RANGE("1", "10000000"), IN(L(max_connections))),
    OPTION(SERVER, integer, "max-per-address", "N", "of them from one address (half)", RANGE("1", "10000000"),
           IN(L(max_per_address))),
    OPTION(SERVER, integer, "max-rate-per-address", "N", "new ones a second from an address (any)",
           RANGE("1", "1000000"), IN(L(max_rate_per_address))),
    OPTION(SERVER, integer, "max-handshakes", "N", "concurrent TLS handshakes (a quarter)",
           RANGE("1", "10000000"), NEEDS("tls"), IN(L(max_handshakes))),
    OPTION(SERVER, integer, "backlog", "N", "length of the accept queue (SOMAXCONN)", RANGE("1", "1000000"),
           IN(L(backlog))),
    OPTION(SERVER, flag, "proxy-protocol", NULL, "connections begin with a PROXY header",
           IN(L(proxy_protocol))),
    OPTION(SERVER, prefix, "proxy-from", "CIDR", "who may send one (any); repeatable", REPEATABLE,
           NEEDS("proxy-protocol"), IN(L(proxy_from))),
    OPTION(SERVER, flag, "whoami", NULL, "answer \"whoami\" with the connection's facts", IN(L(whoami))),
    OPTION(SERVER, listener, "metrics", "[HOST] PORT", "metrics for Prometheus, and health", IN(L(metrics))),
    OPTION(SERVER, misbehave, "misbehave", "KIND", "misbehave on purpose, to test checks",
           IN(L(misbehaviour))),
    OPTION(SERVER, text, "user", "NAME", "switch to this user after start", IN(L(user), X(user))),
    OPTION(SERVER, flag, "no-sandbox", NULL, "keep all system calls, files and capabilities",
           IN(L(no_sandbox), X(no_sandbox))),

    OPTION(CLIENT, choice, "framing", NULL, "send names with a newline or without", WORDS(framings),
           DEFAULT("auto"), IN(C(framing), P(framing), B(framing))),
    OPTION(CLIENT, flag, "raw", NULL, "no dialogue: copy input to the peer and back", IN(C(raw))),

    OPTION(PROBE, choice, "until", NULL, "last phase to check", WORDS(untils), DEFAULT("auto"), IN(P(until))),
    OPTION(PROBE, send, "send", "BYTES", "send \\r \\n \\t \\0 \\xHH \\\\ and other bytes", REPEATABLE,
           IN(P(script))),
    OPTION(PROBE, expect, "expect", "REGEX", "what the server must send after that", REPEATABLE,
           IN(P(script))),
    OPTION(PROBE, reject, "reject", "REGEX", "what it must not send until the next --send", REPEATABLE,
           IN(P(script))),
    OPTION(PROBE, alert, "expect-alert", "NAME", "the server must refuse with this TLS alert",
           IN(P(expect_alert))),
    OPTION(PROBE, integer, "count", "N", "number of rounds, then print a summary", RANGE("1", "1000000000"),
           OF_RUN, IN(P(count))),
    OPTION(PROBE, duration, "interval", "TIME", "time from one round to the next", RANGE("10ms", LONGEST),
           OF_RUN, IN(P(interval_ms))),
    OPTION(PROBE, duration, "retry", "TIME", "repeat until OK, for at most TIME", RANGE("1ms", LONGEST),
           OF_RUN, IN(P(retry_ms))),
    OPTION(PROBE, days, "expect-days", "WARN[,CRIT]", "days that certificates must stay valid",
           RANGE("1", "36500"), NEEDS("tls"), IN(P(limits.expect_days))),
    OPTION(PROBE, limits, "warn", "SPEC", "warning limits, such as total=0.5", IN(P(limits.warn))),
    OPTION(PROBE, limits, "crit", "SPEC", "critical limits, such as total=2", IN(P(limits.crit))),
    OPTION(PROBE, either, "require", NULL, "addresses that must be OK", WORDS(requires), DEFAULT("all"),
           IN(P(require_any))),
    OPTION(PROBE, bytes, "volume", "BYTES", "also transfer BYTES, such as 64k or 1M", RANGE("1", "1024M"),
           IN(P(volume_bytes))),
    OPTION(PROBE, text, "targets", "FILE", "probe each line's HOST PORT [OPTION...]", OF_RUN, IN(T(file))),
    OPTION(PROBE, integer, "parallel", "N", "targets at a time", RANGE("1", "10000"), DEFAULT("64"),
           NEEDS("targets"), OF_RUN, IN(T(parallel))),

    OPTION(BENCH, integer, "connections", "N", "concurrent connections", RANGE("1", "1000000"), DEFAULT("50"),
           IN(B(connections))),
    OPTION(BENCH, duration, "duration", "TIME", "length of the run", RANGE("10ms", LONGEST), DEFAULT("10s"),
           IN(B(duration_ms))),
    OPTION(BENCH, integer, "names", "N", "names per connection, 0: no limit", RANGE("0", "1000000000"),
           DEFAULT("0"), IN(B(names))),
    OPTION(BENCH, integer, "rate", "N", "open loop: names per second (closed loop)", RANGE("1", "100000000"),
           IN(B(rate))),
    OPTION(BENCH, flag, "resume", NULL, "resume TLS sessions", NEEDS("tls"), IN(B(resume))),

    OPTION(OUTPUT, choice, "format", NULL, "result format; nagios: probe only", WORDS(formats),
           DEFAULT("text"), OF_RUN, IN(P(format), B(format), M(format)), IGNORED(CONNECT)),
    OPTION(OUTPUT, text, "plot", "FILE.svg", "write a plot; -: standard output", OF_RUN,
           IN(P(plot), B(plot), M(plot))),
    OPTION(OUTPUT, flag, "explain", NULL, "print each step and why it happens", OF_RUN,
           IN(L(explain), C(explain), P(explain))),
    OPTION(OUTPUT, choice, "log-format", NULL, "format of log lines", WORDS(log_formats), DEFAULT("text"),
           OF_RUN,
           IN(L(log_format), X(log_format), ANY(MODE_CONNECT, log_format), ANY(MODE_PROBE, log_format),
              ANY(MODE_BENCH, log_format), ANY(MODE_BENCH_MERGE, log_format))),
    OPTION(OUTPUT, flag, "verbose", NULL, "log more: the address used, silent peers", .letter = 'v',
           REPEATABLE, OF_RUN, IN(L(verbose), C(verbose), P(verbose), X(verbose)), IGNORED(BENCH | MERGE)),
    OPTION(OUTPUT, flag, "quiet", NULL, "log warnings and errors only", .letter = 'q', OF_RUN,
           IN(L(quiet), P(quiet), X(quiet), B(quiet)), IGNORED(CONNECT | MERGE)),
    OPTION(OUTPUT, choice, "color", NULL, "colored output; auto: on a terminal", WORDS(colors),
           DEFAULT("auto"), OF_RUN, IN(P(color)),
           IGNORED(LISTEN | CONNECT | BENCH | MERGE | OPTION_IN(MODE_EXPORTER))),

    OPTION(ABOUT, flag, "help", NULL, "print this help", .mode = MODE_HELP, .letter = 'h'),
    OPTION(ABOUT, flag, "version", NULL, "print the versions of program and libraries", .mode = MODE_VERSION,
           .letter = 'V'),
};

const size_t option_row_count = sizeof(option_rows) / sizeof(option_rows[0]);

static_assert(sizeof(option_rows) / sizeof(option_rows[0]) <= OPTION_ROWS_MAX, "room for what was given");

const struct option_row *option_find(const char *name, size_t length)
{
    for (size_t i = 0; i < option_row_count; i++)
        if (strncmp(option_rows[i].name, name, length) == 0 && option_rows[i].name[length] == '\0')
            return &option_rows[i];
    return NULL;
}

const struct option_row *option_find_letter(char letter)
{
    for (size_t i = 0; letter != '\0' && i < option_row_count; i++)
        if (option_rows[i].letter == letter)
            return &option_rows[i];
    return NULL;
}

/* The options of --probe that an exporter's own command line has: what concerns every probe, and what no
 * query may set. Each value stands in exporter.probe as it does in probe. */
static bool is_for_exporter(const struct option_row *row)
{
    static const char *const names[] = {"ipv4",
                                        "ipv6",
                                        "source",
                                        "proxy",
                                        "send-proxy",
                                        "attempt-delay",
                                        "connect-timeout",
                                        "timeout",
                                        "answer-timeout",
                                        "tls",
                                        "ca",
                                        "crl",
                                        "insecure",
                                        "cert",
                                        "key",
                                        "key-passphrase-file",
                                        "tls-min",
                                        "until",
                                        "send",
                                        "expect",
                                        "reject",
                                        "require"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(row->name, names[i]) == 0)
            return true;
    return false;
}

unsigned option_modes(const struct option_row *row)
{
    unsigned modes = (is_for_exporter(row) ? OPTION_IN(MODE_EXPORTER) : 0) | row->ignored |
                     (row->mode != MODE_NONE ? OPTION_IN(row->mode) : 0);

    for (unsigned mode = 0; mode < MODE_COUNT; mode++)
        if (row->fields[mode].size > 0)
            modes |= OPTION_IN(mode);
    return modes;
}

const char *option_modes_text(unsigned modes, char *text, size_t room)
{
    size_t length = 0;

    text[0] = '\0';
    for (size_t i = 0; i < option_row_count && length < room; i++) {
        const struct option_row *row = &option_rows[i];
        if (row->mode == MODE_NONE || (modes & OPTION_IN(row->mode)) == 0)
            continue;
        modes &= ~OPTION_IN(row->mode);
        const char *joint = length == 0 ? "" : modes == 0 ? " or " : ", ";
        int n = snprintf(text + length, room - length, "%s--%s", joint, row->name);
        length += n > 0 ? (size_t)n : 0;
    }
    return text;
}

const char *option_title(const struct option_row *row, char title[OPTION_TITLE_BYTES])
{
    if (row->letter != '\0')
        snprintf(title, OPTION_TITLE_BYTES, "-%c/--%s", row->letter, row->name);
    else
        snprintf(title, OPTION_TITLE_BYTES, "--%s", row->name);
    return title;
}

const char *option_argument(const struct option_row *row, char *text, size_t room)
{
    if (row->words != NULL && row->argument == NULL)
        return option_words(row->words, "|", "|", text, room);
    snprintf(text, room, "%s", row->argument != NULL ? row->argument : "");
    return text;
}

static int refuse(const struct option_row *row, const char *word, struct err *err)
{
    char title[OPTION_TITLE_BYTES];
    char expected[OPTION_EXPECTED_BYTES];
    char shown[OPTION_SHOWN_BYTES];
    char meant[OPTION_SHOWN_BYTES];
    bool is_near = hint_value(row, word, meant, sizeof(meant));

    row->kind->expected(row, expected, sizeof(expected));
    return err_set(err, ERR_USAGE, 0, "%s takes %s, not \"%s\"%s%s%s", option_title(row, title), expected,
                   escape_quoted((struct bytes){word, strlen(word)}, shown, sizeof(shown)),
                   is_near ? " (did you mean " : "", is_near ? meant : "", is_near ? "?)" : "");
}

/* Shape: from: what the field's offset counts from. */
static int store(const struct option_row *row, const char *word, char *from, const struct option_field *field,
                 struct err *err)
{
    struct option_value value = {row, word, from + field->offset, field->size, err};

    if (field->size == 0 || row->kind->read(&value) == 0)
        return 0;
    return err != NULL && err->reason != ERR_OK ? -1 : refuse(row, word, err);
}

int option_store_probe(const struct option_row *row, const char *word, struct probe_config *probe,
                       struct err *err)
{
    struct option_field field = row->fields[MODE_PROBE];

    field.offset -= offsetof(struct options, probe);
    return store(row, word, (char *)probe, &field, err);
}

int option_store(const struct option_row *row, const char *word, struct options *options, struct err *err)
{
    for (size_t mode = 0; mode < MODE_COUNT; mode++)
        if (store(row, word, (char *)options, &row->fields[mode], err) != 0)
            return -1;
    return is_for_exporter(row) ? option_store_probe(row, word, &options->exporter.probe, err) : 0;
}
