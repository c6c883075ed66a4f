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

/* The one table of words. `unit` is one of what a result counts. */
static const struct words {
    const char *title;
    enum form form;
    const char *unit;
    const char *why;
} table[TRACE_STEPS] = {
    [TRACE_RESOLVE] =
        {"getaddrinfo", CALL, NULL,
         "A name has to become addresses. IPv6 (AAAA) and IPv4 (A) are asked for side by side, so that a slow answer of one does not hold up the other; a name of /etc/hosts once for both (AF_UNSPEC)."},
    [TRACE_RESOLVED] =
        {"getaddrinfo answers for", NOTE, "address",
         "The resolver has looked in /etc/hosts or asked a name server. No address of one kind is no failure while there is the other."},
    [TRACE_RACE_HOLD] =
        {"race: hold", NOTE, NULL,
         "Nothing to start yet. IPv4 addresses that come first wait 50 ms for the IPv6 ones, which are preferred (RFC 8305, Happy Eyeballs)."},
    [TRACE_RACE_NEXT] =
        {"race: an attempt is under way, the next thing is due in", NOTE, NULL,
         "If this address does not answer soon, the next one is tried beside it; the first that connects is kept. So a dead path costs a quarter of a second, not a minute."},
    [TRACE_SOCKET] =
        {"socket", CALL, NULL,
         "A socket is this program's end of a conversation, a descriptor like a file's. Non-blocking: one slow peer must not hold up the others. Close-on-exec: no other program inherits it."},
    [TRACE_V6ONLY] =
        {"setsockopt IPV6_V6ONLY", CALL, NULL,
         "This socket is for IPv6 alone; IPv4 has one of its own. Otherwise it depends on the system whether IPv4 guests appear here as ::ffff:1.2.3.4."},
    [TRACE_REUSEADDR] =
        {"setsockopt SO_REUSEADDR", CALL, NULL,
         "After a restart, connections of the last run may linger in TIME_WAIT for a minute. This lets the port be used again at once."},
    [TRACE_REUSEPORT] =
        {"setsockopt SO_REUSEPORT", CALL, NULL,
         "Several workers listen on the same port, and the kernel deals the connections out."},
    [TRACE_NODELAY] =
        {"setsockopt TCP_NODELAY", CALL, NULL,
         "Send at once. Nagle's algorithm would hold a small answer back until the last one is acknowledged, which can take 40 ms."},
    [TRACE_BIND_NO_PORT] =
        {"setsockopt IP_BIND_ADDRESS_NO_PORT", CALL, NULL,
         "The address is taken now, the port when connecting: then it need only be unused towards that destination, and each destination has all ports again."},
    [TRACE_BIND] = {"bind", CALL, NULL,
                    "Gives the socket its own address and port. Port 0 lets the kernel choose a free one."},
    [TRACE_LISTEN] =
        {"listen", CALL, NULL,
         "From now on the kernel shakes hands for us (SYN, SYN-ACK, ACK). The number is the backlog: how many finished connections may wait in its queue to be accepted."},
    [TRACE_WAIT] =
        {"wait for something to happen", NOTE, NULL,
         "One thread waits for all sockets at once (epoll, kqueue), instead of one thread for each guest."},
    [TRACE_ACCEPT] =
        {"accept4", CALL, NULL,
         "Takes a finished connection out of the queue. It gets a socket of its own; the listening one stays for the next guest."},
    [TRACE_CONNECT] =
        {"connect", CALL, NULL,
         "Sends a SYN. The answer comes later: a SYN-ACK connects, an RST refuses, silence is tried again after 1, 3, 7... seconds."},
    [TRACE_CONNECTED] =
        {"connect finishes", CALL, NULL,
         "The time is one round trip to the other side and back, plus one for each SYN that was lost."},
    [TRACE_RACE_WON] = {"race: this connection is kept", NOTE, NULL,
                        "It answered first. Whatever else is under way is closed."},
    [TRACE_RACE_LOST] = {"race: this attempt is given up", NOTE, NULL, "Another address was faster."},
    [TRACE_READ] =
        {"recv", CALL, "byte",
         "TCP is a stream of bytes without message boundaries: one recv may bring half a name, or ten of them."},
    [TRACE_END] =
        {"recv", CALL, "byte",
         "A FIN came. The other direction is still open: what it asked last can still be answered (half-close)."},
    [TRACE_WRITE] =
        {"send", CALL, "byte",
         "Hands the bytes to the kernel, which sends and, where packets are lost, sends again. Everything that is to be said now goes out in one call."},
    [TRACE_NAME_PAUSE] =
        {"a pause ends the name", NOTE, NULL,
         "No newline came, and nothing more for a while: this peer sends bare names, and waits for the answer."},
    [TRACE_NAME_SPLIT] =
        {"what was read does not end where a name ends", NOTE, "name",
         "The rest is kept until its newline comes. A program that takes each recv for one message breaks here."},
    [TRACE_SHUTDOWN] =
        {"shutdown", CALL, NULL,
         "Ends our side: a FIN goes out after the last byte. What the peer still sends can be read, so nothing is cut off."},
    [TRACE_TLS_CLIENT_HELLO] =
        {"TLS ClientHello", NOTE, NULL,
         "The client offers versions, ciphers and key shares, and names the host it wants (SNI). Nothing is encrypted yet."},
    [TRACE_TLS_SERVER_HELLO] =
        {"TLS ServerHello", NOTE, NULL,
         "The server settles version and cipher. With its key share both sides can compute the same secret; TLS 1.3 encrypts from here on."},
    [TRACE_TLS_HELLO_RETRY_REQUEST] =
        {"TLS HelloRetryRequest", NOTE, NULL,
         "The server wants another key exchange group than the client guessed: the hello is said again, at the price of one round trip."},
    [TRACE_TLS_ENCRYPTED_EXTENSIONS] =
        {"TLS EncryptedExtensions", NOTE, NULL,
         "What the server settles besides the keys: the protocol above (ALPN), for example."},
    [TRACE_TLS_CERTIFICATE_REQUEST] = {"TLS CertificateRequest", NOTE, NULL,
                                       "The server asks who the client is (mutual TLS)."},
    [TRACE_TLS_CERTIFICATE] =
        {"TLS Certificate", NOTE, NULL,
         "Says who this side is: its certificate, and those of the CAs above it up to one that the other side trusts."},
    [TRACE_TLS_CERTIFICATE_STATUS] = {"TLS CertificateStatus", NOTE, NULL,
                                      "A fresh word of the CA that the certificate is not revoked (OCSP)."},
    [TRACE_TLS_CERTIFICATE_VERIFY] =
        {"TLS CertificateVerify", NOTE, NULL,
         "A signature over everything said so far: it proves that this side has the certificate's key."},
    [TRACE_TLS_SERVER_KEY_EXCHANGE] = {"TLS ServerKeyExchange", NOTE, NULL,
                                       "TLS 1.2: the server's share for the secret, signed with its key."},
    [TRACE_TLS_SERVER_HELLO_DONE] = {"TLS ServerHelloDone", NOTE, NULL,
                                     "TLS 1.2: the server has said its part; it is the client's turn."},
    [TRACE_TLS_CLIENT_KEY_EXCHANGE] = {"TLS ClientKeyExchange", NOTE, NULL,
                                       "TLS 1.2: the client's share; now both sides have the secret."},
    [TRACE_TLS_FINISHED] =
        {"TLS Finished", NOTE, NULL,
         "A checksum over the whole handshake under the new keys: nobody has changed a byte of it on the way."},
    [TRACE_TLS_NEW_SESSION_TICKET] =
        {"TLS NewSessionTicket", NOTE, NULL,
         "With this the client can come back without certificates and signatures (resumption). The server keeps nothing."},
    [TRACE_TLS_KEY_UPDATE] = {"TLS KeyUpdate", NOTE, NULL, "From here on this side sends under fresh keys."},
    [TRACE_TLS_CHANGE_CIPHER_SPEC] =
        {"TLS ChangeCipherSpec", NOTE, NULL,
         "TLS 1.2: from here on this side encrypts. TLS 1.3 sends it only so that old middleboxes see what they expect."},
    [TRACE_TLS_OTHER_MESSAGE] = {"TLS message", NOTE, NULL, "A message without a name here."},
    [TRACE_TLS_CLOSE_NOTIFY] =
        {"TLS close_notify", NOTE, NULL,
         "The last word of this side, encrypted: an end without it may be an attacker's cut."},
    [TRACE_TLS_ALERT] = {"TLS alert", NOTE, NULL, "One side refuses to go on, and says why."},
    [TRACE_TLS_AGREED] =
        {"TLS is up:", NOTE, NULL,
         "Version, cipher and key exchange are settled, and every byte from here on is encrypted and guarded against change."},
    [TRACE_DEADLINE] = {"a time limit is over", NOTE, NULL,
                        "Nobody may hold a connection open for ever without saying anything."},
    [TRACE_CLOSE] =
        {"close", CALL, NULL,
         "Gives the descriptor back. Bytes that were never read would make the kernel send an RST, so the peer's end was awaited first."},
};

/* Everything set before the first event. */
static struct {
    explain_line_fn *line;
    void *context;
    uint64_t start_ns;
    atomic_bool told[TRACE_STEPS];
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

static void put_head(const struct trace_event *event, const struct words *words, char *text, size_t room)
{
    bool has_arguments = event->arguments != NULL;

    put(text, room, "%s", words->title);
    if (words->form == CALL) {
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

static void put_result(const struct trace_event *event, const struct words *words, char *text, size_t room)
{
    const char *equals = words->form == CALL ? " =" : ":";

    if (event->result < 0 && event->native != 0)
        put(text, room, "%s %s", equals, strerror(event->native));
    else if (event->result < 0)
        put(text, room, "%s failed", equals);
    else if (words->unit != NULL)
        put(text, room, "%s %lld %s%s", equals, (long long)event->result, words->unit,
            event->result == 1                    ? ""
            : strcmp(words->unit, "address") == 0 ? "es"
                                                  : "s");
    else if (event->step == TRACE_RACE_HOLD || event->step == TRACE_RACE_NEXT)
        put(text, room, "%s %lld ms", equals, (long long)event->result);
    else if (event->step == TRACE_SOCKET || event->step == TRACE_ACCEPT)
        put(text, room, "%s %lld", equals, (long long)event->result);
}

const char *explain_format(const struct trace_event *event, uint64_t start_ns, uint64_t now_ns, char *text,
                           size_t room)
{
    enum { SHOWN = 300 };
    const struct words *words = &table[event->step];
    char data[SHOWN];

    snprintf(text, room, "%10.3f ms  ", (double)(now_ns - start_ns) / 1e6);
    put_head(event, words, text, room);
    put_result(event, words, text, room);
    if (event->data.length > 0)
        put(text, room, ": \"%s\"", escape_quoted(event->data, data, sizeof data));
    if (event->begin_ns != 0 && now_ns >= event->begin_ns)
        put(text, room, "  [%.3f ms]", (double)(now_ns - event->begin_ns) / 1e6);
    return text;
}

/* The reason, in lines that fit a terminal. */
static void tell_why(const char *why)
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
        explain.line(explain.context, line);
        why += length;
        why += strspn(why, " ");
    }
}

static void on_step(void *context, const struct trace_event *event)
{
    char text[1024];
    (void)context;
    explain_format(event, explain.start_ns, uv_hrtime(), text, sizeof text);
    explain.line(explain.context, text);
    if (!atomic_exchange(&explain.told[event->step], true))
        tell_why(table[event->step].why);
}

void explain_start(explain_line_fn *line, void *context)
{
    explain.line = line;
    explain.context = context;
    explain.start_ns = uv_hrtime();
    trace_to(on_step, NULL);
}
