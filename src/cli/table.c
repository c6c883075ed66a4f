#include "table.h"

#include <stdio.h>
#include <string.h>

#define L OPTION_IN(MODE_LISTEN)
#define C OPTION_IN(MODE_CONNECT)
#define P OPTION_IN(MODE_PROBE)
#define B OPTION_IN(MODE_BENCH)
#define M OPTION_IN(MODE_BENCH_MERGE)
#define EACH (L | C | P | B | M)

#define LONGEST "168h"
#define OPTION(group_, kind_, name_, argument_, modes_, help_, ...)                                          \
    {                                                                                                        \
        .name = (name_), .group = OPTION_GROUP_##group_, .kind = OPTION_##kind_, .argument = (argument_),    \
        .modes = (modes_), .help = (help_), __VA_ARGS__                                                      \
    }
#define REPEATABLE .repeatable = true
#define DEFAULT(text) .fallback = (text)
#define KEPT(member) .field = offsetof(struct options, member)
#define RANGE(low, high) .least = (low), .most = (high)

const struct option_row option_rows[] = {
    OPTION(MODE, ENDPOINT, "listen", "[HOST] PORT", L, "serve the greeting dialogue; may be repeated",
           .mode = MODE_LISTEN, REPEATABLE),
    OPTION(MODE, PEER, "connect", "HOST PORT [NAME...]", C, "say the NAMEs to a server, then exit",
           .mode = MODE_CONNECT),
    OPTION(MODE, PEER, "probe", "HOST PORT [-- COMMAND...]", P, "try every address through every phase",
           .mode = MODE_PROBE),
    OPTION(MODE, PEER, "bench", "HOST PORT", B, "drive many dialogues, check and measure",
           .mode = MODE_BENCH),
    OPTION(MODE, FLAG, "bench-merge", "FILE...", M, "add up what benches wrote as JSON",
           .mode = MODE_BENCH_MERGE),

    OPTION(PATH, FLAG, "ipv4", NULL, L | C | P | B, "only IPv4, never IPv6", KEPT(ipv4_only), .letter = '4'),
    OPTION(PATH, FLAG, "ipv6", NULL, L | C | P | B, "only IPv6, never IPv4", KEPT(ipv6_only), .letter = '6'),
    OPTION(PATH, ADDRESS, "source", "ADDRESS", C | P | B, "connect from here (bench: FIRST-LAST)",
           KEPT(source)),
    OPTION(PATH, DURATION, "attempt-delay", "TIME", C | P | B, "client: wait before the next address",
           RANGE("10ms", "10s"), DEFAULT("250ms"), KEPT(attempt_delay_ms)),

    OPTION(TIME, DURATION, "connect-timeout", "TIME", C | P | B, "client: to resolve and connect",
           RANGE("1ms", LONGEST), DEFAULT("10s"), KEPT(connect_timeout_ms)),
    OPTION(TIME, DURATION, "timeout", "TIME", C | P, "client: for the whole run (none)",
           RANGE("1ms", LONGEST), KEPT(timeout_ms)),
    OPTION(TIME, DURATION, "answer-timeout", "TIME", C | P | B, "client: for each answer",
           RANGE("1ms", LONGEST), DEFAULT("10s"), KEPT(answer_timeout_ms)),
    OPTION(TIME, DURATION, "handshake-timeout", "TIME", L, "server: the TLS handshake", RANGE("1ms", LONGEST),
           DEFAULT("10s"), KEPT(handshake_timeout_ms)),
    OPTION(TIME, DURATION, "idle-timeout", "TIME", L, "server: silence before a name", RANGE("1ms", LONGEST),
           DEFAULT("300s"), KEPT(idle_timeout_ms)),
    OPTION(TIME, DURATION, "name-timeout", "TIME", L, "server: to end a name begun", RANGE("1ms", LONGEST),
           DEFAULT("30s"), KEPT(name_timeout_ms)),
    OPTION(TIME, DURATION, "drain-timeout", "TIME", L, "server: for dialogues when stopped",
           RANGE("0", LONGEST), DEFAULT("10s"), KEPT(drain_timeout_ms)),
    OPTION(TIME, DURATION, "pause", "TIME", L, "server: silence that ends a name", RANGE("0", "1m"),
           DEFAULT("300ms"), KEPT(pause_ms)),

    OPTION(TLS, FLAG, "tls", NULL, L | C | P | B, "speak TLS", KEPT(tls)),
    OPTION(TLS, TEXT, "ca", "PATH", C | P | B, "trust the CAs in this file or directory", KEPT(ca)),
    OPTION(TLS, TEXT, "servername", "NAME", C | P | B, "the name to ask and check for", KEPT(servername)),
    OPTION(TLS, FLAG, "insecure", NULL, L | C | P | B, "check nothing (server: a key open to others)",
           KEPT(insecure)),
    OPTION(TLS, PIN, "pin", "sha256:HEX", C | P | B, "accept only this public key; repeatable", KEPT(pins),
           REPEATABLE),
    OPTION(TLS, TEXT, "cert", "FILE", L | C | P | B, "our certificate chain; server: repeatable", KEPT(certs),
           REPEATABLE),
    OPTION(TLS, TEXT, "key", "FILE", L | C | P | B, "its private key (in the --cert file)", KEPT(keys),
           REPEATABLE),
    OPTION(TLS, TEXT, "key-passphrase-file", "FILE", L | C | P | B, "its pass phrase, the first line",
           KEPT(passphrase_file)),
    OPTION(TLS, TEXT, "client-ca", "PATH", L, "server: who signs client certificates", KEPT(client_ca)),
    OPTION(TLS, CHOICE, "client-auth", "require|request", L, "server: client certificates (require)",
           KEPT(client_auth)),
    OPTION(TLS, CHOICE, "tls-min", "1.2|1.3", L | C | P | B, "lowest version", DEFAULT("1.2"), KEPT(tls_min)),
    OPTION(TLS, ALPN, "alpn", "LIST", L | C | P | B, "protocols above TLS, with commas between", KEPT(alpn)),
    OPTION(TLS, TEXT, "ticket-keys", "FILE", L, "server: keys of session tickets", KEPT(ticket_keys)),

    OPTION(SERVER, INTEGER, "workers", "N", L | B, "threads (one a processor; --bench: 1)", RANGE("1", "256"),
           KEPT(workers)),
    OPTION(SERVER, INTEGER, "max-connections", "N", L, "at a time (from the descriptor limit)",
           RANGE("1", "10000000"), KEPT(max_connections)),
    OPTION(SERVER, INTEGER, "backlog", "N", L, "connections that may wait to be accepted",
           RANGE("1", "1000000"), KEPT(backlog)),
    OPTION(SERVER, MISBEHAVE, "misbehave", "KIND", L, "to test checks: see the manual"),

    OPTION(CLIENT, CHOICE, "framing", "auto|line|bare", C | P | B, "names sent with a newline or without",
           DEFAULT("auto"), KEPT(framing)),

    OPTION(PROBE, CHOICE, "until", "resolve|connect|tls|dialogue", P, "probe: the last phase",
           DEFAULT("dialogue"), KEPT(until)),
    OPTION(PROBE, INTEGER, "count", "N", P, "probe: so often, then a summary", RANGE("1", "1000000000"),
           KEPT(count)),
    OPTION(PROBE, DURATION, "interval", "TIME", P, "probe: from one round to the next",
           RANGE("10ms", LONGEST), KEPT(interval_ms)),
    OPTION(PROBE, DURATION, "retry", "TIME", P, "probe: until all is well, so long", RANGE("1ms", LONGEST),
           KEPT(retry_ms)),
    OPTION(PROBE, INTEGER, "expect-days", "N", P, "probe: certificate stays valid", RANGE("1", "36500"),
           KEPT(expect_days)),
    OPTION(PROBE, LIMITS, "warn", "SPEC", P, "probe: times that warn, as total=0.5", KEPT(warn)),
    OPTION(PROBE, LIMITS, "crit", "SPEC", P, "probe: times that are critical", KEPT(crit)),
    OPTION(PROBE, CHOICE, "require", "all|any", P, "probe: addresses that must be well", DEFAULT("all"),
           KEPT(require)),
    OPTION(PROBE, BYTES, "volume", "BYTES", P, "probe: also so much, in names (64k, 1M)", RANGE("1", "1024M"),
           KEPT(volume_bytes)),

    OPTION(BENCH, INTEGER, "connections", "N", B, "bench: at a time", RANGE("1", "1000000"), DEFAULT("50"),
           KEPT(connections)),
    OPTION(BENCH, DURATION, "duration", "TIME", B, "bench: how long", RANGE("10ms", LONGEST), DEFAULT("10s"),
           KEPT(duration_ms)),
    OPTION(BENCH, INTEGER, "names", "N", B, "bench: a connection, 0 keeps it", RANGE("0", "1000000000"),
           DEFAULT("0"), KEPT(names)),
    OPTION(BENCH, INTEGER, "rate", "N", B, "bench: names due a second (as fast as answers)",
           RANGE("1", "100000000"), KEPT(rate)),
    OPTION(BENCH, FLAG, "resume", NULL, B, "bench: resume TLS sessions", KEPT(resume)),

    OPTION(OUTPUT, CHOICE, "format", "text|json|prometheus|nagios", C | P | B | M,
           "results of probe, bench; nagios: probe", DEFAULT("text"), KEPT(format)),
    OPTION(OUTPUT, TEXT, "plot", "FILE.svg", P | B | M, "probe, bench: draw the result", KEPT(plot)),
    OPTION(OUTPUT, FLAG, "explain", NULL, L | C | P, "tell each step as it happens, and why", KEPT(explain)),
    OPTION(OUTPUT, CHOICE, "log-format", "text|json", EACH, "how log lines are written", DEFAULT("text"),
           KEPT(log_format)),
    OPTION(OUTPUT, FLAG, "verbose", NULL, EACH, "log more: which address won, silent peers", KEPT(verbose),
           .letter = 'v'),
    OPTION(OUTPUT, FLAG, "quiet", NULL, EACH, "log warnings and errors only", KEPT(quiet), .letter = 'q'),
    OPTION(OUTPUT, CHOICE, "color", "auto|always|never", EACH, "colours; auto: on a terminal",
           DEFAULT("auto"), KEPT(color)),

    OPTION(ABOUT, FLAG, "help", NULL, 0, "this text", .mode = MODE_HELP, .letter = 'h'),
    OPTION(ABOUT, FLAG, "version", NULL, 0, "the versions of tcpgreet and its libraries",
           .mode = MODE_VERSION, .letter = 'V'),
};

const struct option_row *option_find(const char *name, size_t length)
{
    for (size_t i = 0; i < OPTION_ROWS; i++)
        if (strncmp(option_rows[i].name, name, length) == 0 && option_rows[i].name[length] == '\0')
            return &option_rows[i];
    return NULL;
}

const struct option_row *option_find_letter(char letter)
{
    for (size_t i = 0; letter != '\0' && i < OPTION_ROWS; i++)
        if (option_rows[i].letter == letter)
            return &option_rows[i];
    return NULL;
}

enum { NEAR_BYTES = 24, NEAR_EDITS = 2 };

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Returns: insertions, deletions, replacements and swaps of neighbours that turn a into b (optimal string
 * alignment). Shape: both lengths <= NEAR_BYTES. */
static size_t edits(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t d[NEAR_BYTES + 1][NEAR_BYTES + 1];

    for (size_t i = 0; i <= a_length; i++) {
        for (size_t j = 0; j <= b_length; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            d[i][j] = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = least_of(d[i][j], least_of(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least_of(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[a_length][b_length];
}

const struct option_row *option_nearest(const char *name, size_t length)
{
    const struct option_row *nearest = NULL;
    size_t best = NEAR_EDITS + 1;

    if (length < 2 || length > NEAR_BYTES)
        return NULL;
    for (size_t i = 0; i < OPTION_ROWS; i++) {
        size_t distance = edits(name, length, option_rows[i].name, strlen(option_rows[i].name));
        if (length > NEAR_EDITS && strncmp(option_rows[i].name, name, length) == 0)
            distance = least_of(distance, NEAR_EDITS);
        if (distance < best && distance < length - 1) {
            best = distance;
            nearest = &option_rows[i];
        }
    }
    return nearest;
}

const char *option_title(const struct option_row *row, char title[OPTION_TITLE_BYTES])
{
    if (row->letter != '\0')
        snprintf(title, OPTION_TITLE_BYTES, "-%c/--%s", row->letter, row->name);
    else
        snprintf(title, OPTION_TITLE_BYTES, "--%s", row->name);
    return title;
}

const char *option_modes(unsigned modes, char *text, size_t room)
{
    size_t length = 0;

    text[0] = '\0';
    for (size_t i = 0; i < OPTION_ROWS && length < room; i++) {
        const struct option_row *row = &option_rows[i];
        if (row->mode != MODE_NONE && (modes & OPTION_IN(row->mode)) != 0) {
            modes &= ~OPTION_IN(row->mode);
            const char *joint = length == 0 ? "" : modes == 0 ? " or " : ", ";
            int n = snprintf(text + length, room - length, "%s--%s", joint, row->name);
            length += n > 0 ? (size_t)n : 0;
        }
    }
    return text;
}
