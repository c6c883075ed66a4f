#include "tcpgreet/explain/explain.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "tcpgreet/base/escape.h"

enum form {
    CALL, /* title(fd, arguments) = result */
    NOTE  /* title: arguments, result */
};

/* The one table of titles and reasons. `unit` is one of what a result counts. clang-format would indent all
 * of it anew with a new entry. */
/* clang-format off */
static const struct step_text {
    const char *title;
    enum form form;
    const char *unit;
    const char *why;
} table[TRACE_STEPS] = {
    [TRACE_RESOLVE] =
        {"getaddrinfo", CALL, NULL,
         "The host name is resolved to addresses. IPv6 (AAAA) and IPv4 (A) are queried in parallel, so that a slow answer to one does not delay the other. A name in /etc/hosts is looked up once for both (AF_UNSPEC)."},
    [TRACE_RESOLVED] =
        {"getaddrinfo result for", NOTE, "address",
         "The resolver has read /etc/hosts or queried a name server. If only one family has addresses, the other one's empty answer is not an error."},
    [TRACE_RESOLVE_CANCEL] =
        {"getaddrinfo: cancel for", NOTE, NULL,
         "The result is no longer needed: the run ended, or another address connected. A query that was sent to a name server cannot be recalled; its answer is ignored."},
    [TRACE_RACE_HOLD] =
        {"race: wait", NOTE, NULL,
         "No attempt starts yet. If the IPv4 addresses arrive first, they wait 50 ms for the IPv6 addresses, which are preferred (RFC 8305, Happy Eyeballs)."},
    [TRACE_RACE_NEXT] =
        {"race: an attempt is in progress, next step in", NOTE, NULL,
         "If this address does not answer in time, the next one is tried in parallel; the first connection to succeed is used. An unreachable address therefore costs a quarter of a second, not minutes."},
    [TRACE_SOCKET] =
        {"socket", CALL, NULL,
         "A socket is this program's endpoint of a connection, a descriptor like that of a file. It is non-blocking, so that a slow peer does not delay the others, and close-on-exec, so that no other program inherits it."},
    [TRACE_V6ONLY] =
        {"setsockopt IPV6_V6ONLY", CALL, NULL,
         "This socket accepts IPv6 only; IPv4 has a socket of its own. Without this option, it depends on the system whether IPv4 connections appear here as ::ffff:1.2.3.4."},
    [TRACE_REUSEADDR] =
        {"setsockopt SO_REUSEADDR", CALL, NULL,
         "After a restart, connections of the previous process may stay in TIME_WAIT for a minute. This option lets a new listener use the port at once."},
    [TRACE_REUSEPORT] =
        {"setsockopt SO_REUSEPORT", CALL, NULL,
         "Several workers listen on the same port, and the kernel distributes the connections among them."},
    [TRACE_NODELAY] =
        {"setsockopt TCP_NODELAY", CALL, NULL,
         "Data is sent at once. Nagle's algorithm would delay a small write until the previous one is acknowledged, which can take 40 ms."},
    [TRACE_BIND_NO_PORT] =
        {"setsockopt IP_BIND_ADDRESS_NO_PORT", CALL, NULL,
         "The local address is set now, the local port when connecting: the port then needs to be unused only for that destination, so each destination has the whole port range."},
    [TRACE_BIND] = {"bind", CALL, NULL,
                    "Assigns the local address and port. With port 0, the kernel chooses a free one."},
    [TRACE_LISTEN] =
        {"listen", CALL, NULL,
         "From now on the kernel completes TCP handshakes for this port (SYN, SYN-ACK, ACK). The number is the backlog: how many established connections may be queued until they are accepted."},
    [TRACE_WAIT] =
        {"wait for events", NOTE, NULL,
         "One thread waits for all sockets at once (epoll, kqueue), instead of one thread per connection."},
    [TRACE_ACCEPT] =
        {"accept4", CALL, NULL,
         "Takes an established connection from the queue. It gets a socket of its own; the listening socket stays open for the next one."},
    [TRACE_CONNECT] =
        {"connect", CALL, NULL,
         "Sends a SYN. The result arrives later: a SYN-ACK establishes the connection, an RST refuses it; without an answer, the SYN is retransmitted after 1, 3, 7... seconds."},
    [TRACE_CONNECTED] =
        {"connect completed", CALL, NULL,
         "The time is one round trip to the peer, plus the retransmission timeout of each SYN that was lost."},
    [TRACE_RACE_WON] = {"race: this connection is used", NOTE, NULL,
                        "It was established first. All other attempts are closed."},
    [TRACE_RACE_LOST] = {"race: this attempt is cancelled", NOTE, NULL, "Another address was faster."},
    [TRACE_PROXY] =
        {"proxy: request a connection to", NOTE, NULL,
         "The TCP connection ends at the proxy. It is given the target as the user wrote it, resolves the name and connects itself; which address that is cannot be seen from here."},
    [TRACE_PROXY_CONNECTED] =
        {"proxy: connected to", NOTE, NULL,
         "From here on, the proxy passes all bytes between this side and the target. TLS is with the target: the proxy cannot read or change what it encrypts."},
    [TRACE_PROXIED] =
        {"PROXY header received:", NOTE, NULL,
         "A proxy forwards a client's connection and sends the client's address in these first bytes. From here on, that address is logged and limited as the peer's."},
    [TRACE_PROXY_HEADER] =
        {"PROXY header sent:", NOTE, NULL,
         "The first bytes, before TLS, carry the addresses of this connection, as a load balancer sends them. A server that does not expect them treats them as data."},
    [TRACE_READ] =
        {"recv", CALL, "byte",
         "TCP is a stream of bytes without message boundaries: one recv may return part of a name, or several names."},
    [TRACE_END] =
        {"recv", CALL, "byte",
         "The peer sent a FIN. The other direction is still open, so its last requests can still be answered (half-close)."},
    [TRACE_WRITE] =
        {"send", CALL, "byte",
         "Copies the bytes to the kernel, which sends them and retransmits lost packets. All pending output is sent with one call."},
    [TRACE_NAME_PAUSE] =
        {"a pause ends the name", NOTE, NULL,
         "No newline and no further byte arrived for a while: this peer sends names without a newline and waits for the answer."},
    [TRACE_NAME_SPLIT] =
        {"the data read does not end where a name ends", NOTE, "name",
         "The rest is kept until its newline arrives. A program that treats each recv as one message fails here."},
    [TRACE_SHUTDOWN] =
        {"shutdown", CALL, NULL,
         "Closes the sending direction: a FIN follows the last byte. Data from the peer can still be received, so nothing is lost."},
    [TRACE_STARTTLS] =
        {"STARTTLS complete", NOTE, NULL,
         "The peer has agreed in plain text to begin TLS. A third party on the path could have changed every byte so far, so nothing of it is used, and there is no way on without TLS."},
    [TRACE_TLS_CLIENT_HELLO] =
        {"TLS ClientHello", NOTE, NULL,
         "The client offers versions, cipher suites and key shares, and sends the server name it wants (SNI). Nothing is encrypted yet."},
    [TRACE_TLS_SERVER_HELLO] =
        {"TLS ServerHello", NOTE, NULL,
         "The server selects the version and the cipher suite. With its key share, both sides can compute the shared secret; TLS 1.3 encrypts everything after this message."},
    [TRACE_TLS_HELLO_RETRY_REQUEST] =
        {"TLS HelloRetryRequest", NOTE, NULL,
         "The server wants another key exchange group than those the client sent key shares for: the client sends a second ClientHello, which costs one round trip."},
    [TRACE_TLS_ENCRYPTED_EXTENSIONS] =
        {"TLS EncryptedExtensions", NOTE, NULL,
         "Parameters that the server selects in addition to the keys, for example the application protocol (ALPN)."},
    [TRACE_TLS_CERTIFICATE_REQUEST] = {"TLS CertificateRequest", NOTE, NULL,
                                       "The server requests a client certificate (mutual TLS)."},
    [TRACE_TLS_CERTIFICATE] =
        {"TLS Certificate", NOTE, NULL,
         "Identifies this side: its certificate and the intermediate certificates, up to a CA that the peer trusts."},
    [TRACE_TLS_CERTIFICATE_STATUS] =
        {"TLS CertificateStatus", NOTE, NULL,
         "A recent statement signed by the CA that the certificate is not revoked (OCSP stapling)."},
    [TRACE_TLS_CERTIFICATE_VERIFY] =
        {"TLS CertificateVerify", NOTE, NULL,
         "A signature over the handshake so far: it proves that this side holds the private key of its certificate."},
    [TRACE_TLS_SERVER_KEY_EXCHANGE] = {"TLS ServerKeyExchange", NOTE, NULL,
                                       "TLS 1.2: the server's key share, signed with its private key."},
    [TRACE_TLS_SERVER_HELLO_DONE] =
        {"TLS ServerHelloDone", NOTE, NULL,
         "TLS 1.2: the server has sent its part of the handshake; the client continues."},
    [TRACE_TLS_CLIENT_KEY_EXCHANGE] =
        {"TLS ClientKeyExchange", NOTE, NULL,
         "TLS 1.2: the client's key share; both sides can now compute the shared secret."},
    [TRACE_TLS_FINISHED] =
        {"TLS Finished", NOTE, NULL,
         "A checksum over the whole handshake with the new keys: it proves that no byte was modified in transit."},
    [TRACE_TLS_NEW_SESSION_TICKET] =
        {"TLS NewSessionTicket", NOTE, NULL,
         "With this ticket the client can resume the session without certificates and signatures (resumption). The server stores nothing."},
    [TRACE_TLS_KEY_UPDATE] = {"TLS KeyUpdate", NOTE, NULL, "From here on this side encrypts with new keys."},
    [TRACE_TLS_CHANGE_CIPHER_SPEC] =
        {"TLS ChangeCipherSpec", NOTE, NULL,
         "TLS 1.2: this side encrypts everything after this message. TLS 1.3 sends it only for compatibility with old middleboxes."},
    [TRACE_TLS_OTHER_MESSAGE] = {"TLS message", NOTE, NULL,
                                 "A message type that this program does not know."},
    [TRACE_TLS_CLOSE_NOTIFY] =
        {"TLS close_notify", NOTE, NULL,
         "This side sends no more data. Without this message, a peer cannot distinguish an orderly shutdown from a truncation attack."},
    [TRACE_TLS_ALERT] = {"TLS alert", NOTE, NULL, "One side aborts the connection and sends the reason."},
    [TRACE_TLS_AGREED] =
        {"TLS handshake complete:", NOTE, NULL,
         "Version, cipher suite and key exchange group are negotiated; all data from here on is encrypted and authenticated."},
    [TRACE_SCRIPT_SEND] = {"--send", NOTE, NULL,
                           "The bytes are sent as they were given: nothing is added, no line end either."},
    [TRACE_SCRIPT_EXPECT] = {"matched: --expect", NOTE, NULL,
                             "The pattern is searched in what was received since the last --send, 64 KiB at most. A match counts once its line is complete, or after 300 ms without a further byte: what may still come cannot change it."},
    [TRACE_SCRIPT_REJECT] = {"matched: --reject", NOTE, NULL,
                             "What was received has what must not be in it: the exchange has failed."},
    [TRACE_DEADLINE] = {"a timeout expired", NOTE, NULL,
                        "A peer cannot keep a connection open forever without sending anything."},
    [TRACE_CLOSE] =
        {"close", CALL, NULL,
         "Releases the descriptor. A connection attempt in progress is abandoned; a connection that is still open ends with a FIN, or with an RST if received bytes were not read."},
};
/* clang-format on */

/* Everything set before the first event. */
static struct {
    enum log_format format;
    explain_line_fn *line;
    void *context;
    uint64_t start_ns;
    atomic_bool explained[TRACE_STEPS];
} explain;

const char *explain_title(enum trace_step step)
{
    return step < TRACE_STEPS ? table[step].title : NULL;
}

const char *explain_why(enum trace_step step)
{
    return step < TRACE_STEPS ? table[step].why : NULL;
}

__attribute__((format(printf, 3, 4))) static void put(char *text, size_t room, const char *format, ...)
{
    size_t length = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + length, room - length, format, arguments);
    va_end(arguments);
}

static void put_head(const struct trace_event *event, const struct step_text *step, char *text, size_t room)
{
    bool has_arguments = event->arguments != NULL;

    put(text, room, "%s", step->title);
    if (step->form == CALL) {
        put(text, room, "(");
        if (event->fd >= 0)
            put(text, room, "%d%s", event->fd, has_arguments ? ", " : "");
        put(text, room, "%s)", has_arguments ? event->arguments : "");
    } else {
        if (has_arguments)
            put(text, room, " %s", event->arguments);
        if (event->fd >= 0)
            put(text, room, " (socket %d)", event->fd);
    }
}

/* The bytes of a TLS connection are counted and not shown, nor are those that may hold a password. */
static void put_count(const struct trace_event *event, const char *unit, const char *equals, char *text,
                      size_t room)
{
    const char *plural = event->result == 1 ? "" : strcmp(unit, "address") == 0 ? "es" : "s";
    enum trace_bytes bytes = event->data.length > 0 ? event->bytes : TRACE_BYTES_PLAIN;

    put(text, room, "%s %lld %s%s%s%s", equals, (long long)event->result,
        bytes == TRACE_BYTES_ENCRYPTED ? "encrypted " : "", unit, plural,
        bytes == TRACE_BYTES_HANDSHAKE ? " during the TLS handshake"
        : bytes == TRACE_BYTES_SECRET  ? " with credentials, not shown"
                                       : "");
}

static void put_result(const struct trace_event *event, const struct step_text *step, char *text, size_t room)
{
    const char *equals = step->form == CALL ? " =" : ":";

    if (event->result < 0 && event->native != 0)
        put(text, room, "%s %s", equals, strerror(event->native));
    else if (event->result < 0)
        put(text, room, "%s failed", equals);
    else if (step->unit != NULL)
        put_count(event, step->unit, equals, text, room);
    else if (event->step == TRACE_RACE_HOLD || event->step == TRACE_RACE_NEXT)
        put(text, room, "%s %lld ms", equals, (long long)event->result);
    else if (event->step == TRACE_SOCKET || event->step == TRACE_ACCEPT)
        put(text, room, "%s %lld", equals, (long long)event->result);
}

const char *explain_format(const struct trace_event *event, uint64_t start_ns, uint64_t now_ns, char *text,
                           size_t room)
{
    enum { SHOWN = 300 };
    const struct step_text *step = &table[event->step];
    char data[SHOWN];

    snprintf(text, room, "%10.3f ms  ", (double)(now_ns - start_ns) / 1e6);
    put_head(event, step, text, room);
    put_result(event, step, text, room);
    if (event->data.length > 0 && event->bytes == TRACE_BYTES_PLAIN)
        put(text, room, ": \"%s\"", escape_quoted(event->data, data, sizeof data));
    if (event->begin_ns != 0 && now_ns >= event->begin_ns)
        put(text, room, "  [%.3f ms]", (double)(now_ns - event->begin_ns) / 1e6);
    return text;
}

static void print(const char *line)
{
    explain.line(explain.context, &(struct log_event){LOG_NOTICE, "step", NULL}, line);
}

/* The reason, in lines that fit a terminal. */
static void print_why(const char *why)
{
    enum { WIDTH = 65 }; /* with the indent, 80 columns */
    char line[WIDTH + 32];

    while (*why != '\0') {
        size_t length = strlen(why);
        if (length > WIDTH) {
            length = WIDTH;
            while (why[length] != ' ')
                length--;
        }
        snprintf(line, sizeof line, "               %.*s", (int)length, why);
        print(line);
        why += length;
        why += strspn(why, " ");
    }
}

/* One event, with what the line has as facts. Shape: why is NULL from the second time on. */
static void print_event(const struct trace_event *event, uint64_t now_ns, const char *why, const char *line)
{
    enum { FACTS = 7, SHOWN = 300 };
    const struct step_text *step = &table[event->step];
    struct log_field facts[FACTS + 1] = {log_text("call", step->title),
                                         log_text("arguments", event->arguments), log_text("why", why)};
    size_t count = 3;
    char data[SHOWN];

    if (event->fd >= 0)
        facts[count++] = log_count("fd", (uint64_t)event->fd);
    if (event->result >= 0 && (step->form == CALL || event->result > 0))
        facts[count++] = log_count("result", (uint64_t)event->result);
    if (event->result < 0 && event->native != 0)
        facts[count++] = log_text("error", strerror(event->native));
    else if (event->result < 0 && event->data.length > 0)
        facts[count++] = log_text("error", escape_text(event->data, data, sizeof data));
    if (event->begin_ns != 0 && now_ns >= event->begin_ns)
        facts[count++] = log_number("duration_seconds", (double)(now_ns - event->begin_ns) / 1e9);
    explain.line(explain.context, &(struct log_event){LOG_NOTICE, "step", facts}, line + strspn(line, " "));
}

static void on_step(void *context, const struct trace_event *event)
{
    char text[1024];
    uint64_t now_ns = uv_hrtime();
    bool is_first = !atomic_exchange(&explain.explained[event->step], true);
    const char *why = is_first ? table[event->step].why : NULL;

    (void)context;
    explain_format(event, explain.start_ns, now_ns, text, sizeof text);
    if (explain.format == LOG_JSON) {
        print_event(event, now_ns, why, text);
    } else {
        print(text);
        if (why != NULL)
            print_why(why);
    }
}

void explain_start(enum log_format format, explain_line_fn *line, void *context)
{
    explain.format = format;
    explain.line = line;
    explain.context = context;
    explain.start_ns = uv_hrtime();
    trace_to(on_step, NULL);
}
