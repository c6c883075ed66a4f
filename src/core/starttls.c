#include "tcpgreet/core/starttls.h"

#include <string.h>

#include "starttls_name.h"
#include "starttls_reply.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/core/service.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define STREAM(namespace)                                                                                    \
    "<?xml version='1.0'?><stream:stream to='%' version='1.0' xmlns='" namespace "' xmlns:stream='http://etherx.jabber.org/streams'>"
#define XMPP_STARTTLS "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"

/* ExtendedRequest, message 1: StartTLS. Source: RFC 4511 sections 4.12, 4.14.1. */
#define LDAP_REQUEST                                                                                         \
    "\x30\x1d\x02\x01\x01\x77\x18\x80\x16"                                                                   \
    "1.3.6.1.4.1.1466.20037"

/* Source: PostgreSQL documentation, "SSLRequest"; not the TLS from the start that version 17 brought. */
#define POSTGRES_REQUEST "\0\0\0\x08\x04\xd2\x16\x2f"

/* A packet of 32 bytes, number 1: PROTOCOL_41, SSL, SECURE_CONNECTION; 16 MiB; utf8mb4. Source: MySQL Source
 * Code Documentation, "Protocol::SSLRequest". */
#define MYSQL_REQUEST                                                                                        \
    "\x20\0\0\x01"                                                                                           \
    "\0\x8a\0\0"                                                                                             \
    "\0\0\0\x01"                                                                                             \
    "\x2d"                                                                                                   \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

#define SEND(text)                                                                                           \
    {                                                                                                        \
        (text), sizeof(text) - 1                                                                             \
    }
#define NOTHING                                                                                              \
    {                                                                                                        \
        NULL, 0                                                                                              \
    }

enum { STEPS_MAX = 3, QUOTED_BYTES = 4 * STARTTLS_QUOTE_BYTES + 4 };

/* '%' in what is sent stands for the name of a side: SMTP and LMTP send this one's, XMPP the peer's. No
 * reader: it is over once that is sent. */
struct step {
    struct bytes send;
    starttls_reader *read;
};

struct script {
    const char *word;
    const char *name;
    const char *service; /* as service_identify knows it; NULL: it does not, or by another's */
    uint16_t tls_port;
    struct step steps[STEPS_MAX];
};

static const struct script scripts[STARTTLS_PROTOCOLS] = {
    [STARTTLS_SMTP] = {"smtp",
                       "SMTP",
                       "smtp",
                       465,
                       {{NOTHING, starttls_read_smtp_greeting},
                        {SEND("EHLO %\r\n"), starttls_read_smtp_hello},
                        {SEND("STARTTLS\r\n"), starttls_read_smtp_go}}},
    [STARTTLS_LMTP] = {"lmtp",
                       "LMTP",
                       "lmtp",
                       0,
                       {{NOTHING, starttls_read_smtp_greeting},
                        {SEND("LHLO %\r\n"), starttls_read_smtp_hello},
                        {SEND("STARTTLS\r\n"), starttls_read_smtp_go}}},
    [STARTTLS_IMAP] = {"imap",
                       "IMAP",
                       "imap",
                       993,
                       {{NOTHING, starttls_read_imap_greeting},
                        {SEND("a1 CAPABILITY\r\n"), starttls_read_imap_capability},
                        {SEND("a2 STARTTLS\r\n"), starttls_read_imap_go}}},
    [STARTTLS_POP3] = {"pop3",
                       "POP3",
                       "pop3",
                       995,
                       {{NOTHING, starttls_read_pop3}, {SEND("STLS\r\n"), starttls_read_pop3}}},
    [STARTTLS_FTP] = {"ftp",
                      "FTP",
                      "ftp",
                      990,
                      {{NOTHING, starttls_read_ftp_greeting}, {SEND("AUTH TLS\r\n"), starttls_read_ftp_go}}},
    [STARTTLS_NNTP] = {"nntp",
                       "NNTP",
                       "nntp",
                       563,
                       {{NOTHING, starttls_read_nntp_greeting},
                        {SEND("STARTTLS\r\n"), starttls_read_nntp_go}}},
    [STARTTLS_SIEVE] = {"sieve",
                        "ManageSieve",
                        "sieve",
                        0,
                        {{NOTHING, starttls_read_sieve_greeting},
                         {SEND("STARTTLS\r\n"), starttls_read_sieve_go}}},
    [STARTTLS_IRC] = {"irc", "IRC", "irc", 6697, {{SEND("STARTTLS\r\n"), starttls_read_irc}}},
    [STARTTLS_XMPP] = {"xmpp",
                       "XMPP",
                       NULL,
                       5223,
                       {{SEND(STREAM("jabber:client")), starttls_read_xmpp_features},
                        {SEND(XMPP_STARTTLS), starttls_read_xmpp_go}}},
    [STARTTLS_XMPP_SERVER] = {"xmpp-server",
                              "XMPP",
                              NULL,
                              5270,
                              {{SEND(STREAM("jabber:server")), starttls_read_xmpp_features},
                               {SEND(XMPP_STARTTLS), starttls_read_xmpp_go}}},
    [STARTTLS_LDAP] = {"ldap", "LDAP", NULL, 636, {{SEND(LDAP_REQUEST), starttls_read_ldap}}},
    [STARTTLS_POSTGRES] =
        {"postgres", "PostgreSQL", NULL, 0, {{SEND(POSTGRES_REQUEST), starttls_read_postgres}}},
    [STARTTLS_MYSQL] =
        {"mysql", "MySQL", "mysql", 0, {{NOTHING, starttls_read_mysql}, {SEND(MYSQL_REQUEST), NULL}}},
};

static struct starttls *of(struct dialogue *dialogue)
{
    return (struct starttls *)dialogue;
}

static const struct script *script_of(const struct starttls *starttls)
{
    return &scripts[starttls->protocol];
}

static const struct step *step_of(const struct starttls *starttls)
{
    return &script_of(starttls)->steps[starttls->step];
}

static bool put_name(const struct starttls *starttls, struct sink *out)
{
    bool is_xmpp = starttls->protocol == STARTTLS_XMPP || starttls->protocol == STARTTLS_XMPP_SERVER;
    return is_xmpp ? starttls_put_domain(starttls->name, out) : starttls_put_address(&starttls->local, out);
}

/* Returns: false, with nothing appended, where it does not fit. */
static bool put_command(const struct starttls *starttls, struct sink *out)
{
    struct bytes text = step_of(starttls)->send;
    const char *name = text.length > 0 ? memchr(text.data, '%', text.length) : NULL;
    size_t before = name != NULL ? (size_t)(name - text.data) : text.length, length = out->length;

    if (sink_put(out, (struct bytes){text.data, before}) &&
        (name == NULL || (put_name(starttls, out) && sink_put(out, bytes_skip(text, before + 1)))))
        return true;
    out->length = length;
    return false;
}

/* Sends this step's command, where that has not been done. */
static void send_command(struct starttls *starttls, struct sink *out)
{
    starttls->is_sent = starttls->is_sent || put_command(starttls, out);
    if (!starttls->is_sent)
        starttls->dialogue.state = DIALOGUE_SENDING;
    else
        starttls->dialogue.state = step_of(starttls)->read != NULL ? DIALOGUE_RUNNING : DIALOGUE_OVER;
}

static void enter_step(struct starttls *starttls, unsigned step, struct sink *out)
{
    starttls->step = step;
    starttls->reply_bytes = 0;
    starttls->lines = 0;
    starttls->quote_count = 0;
    starttls->is_sent = false;
    send_command(starttls, out);
}

/* The reply is as wanted. Shape: rest: what follows it. */
static void follow(struct starttls *starttls, struct bytes rest, struct sink *out)
{
    unsigned next = starttls->step + 1;
    if (starttls->is_listed && starttls->step == 0)
        next++;
    bool is_over = next == STEPS_MAX || (script_of(starttls)->steps[next].read == NULL &&
                                         script_of(starttls)->steps[next].send.length == 0);
    bool is_last = is_over || script_of(starttls)->steps[next].read == NULL;
    if (is_last && rest.length > 0) {
        starttls_keep_only(starttls, rest);
        starttls_end_with(starttls, STARTTLS_INJECTED);
    } else if (is_over) {
        starttls->dialogue.state = DIALOGUE_OVER;
    } else {
        enter_step(starttls, next, out);
    }
}

/* Shape: line: "PING ...", perhaps with a prefix, and its end. Returns: false where the answer does not fit.
 */
static bool put_pong(struct bytes line, struct sink *out)
{
    size_t length = out->length;
    if (line.data[0] == ':')
        line = bytes_skip(line, (size_t)((const char *)memchr(line.data, ' ', line.length) - line.data) + 1);
    if (sink_put(out, BYTES_LITERAL("PONG")) && sink_put(out, bytes_skip(line, sizeof "PING" - 1)))
        return true;
    out->length = length;
    return false;
}

/* What is quoted where the reader did not choose it. */
static void keep_last(struct starttls *starttls, struct bytes in, size_t length)
{
    if (starttls->is_quoted)
        return;
    if (starttls->end == STARTTLS_UNEXPECTED || starttls->end == STARTTLS_TOO_LONG)
        starttls_keep_only(starttls, in);
    else
        starttls_keep(starttls, (struct bytes){in.data, length});
}

/* One line, message or tag. Returns: how many bytes it consumed; 0: it waits, or it is over. */
static size_t read_one(struct starttls *starttls, struct bytes in, struct sink *out)
{
    size_t length = 0;
    enum starttls_verdict verdict = step_of(starttls)->read(starttls, in, &length);

    if (verdict == STARTTLS_MORE)
        return 0;
    if (verdict == STARTTLS_ENDS) {
        keep_last(starttls, in, length);
        return 0;
    }
    if (verdict == STARTTLS_ANSWER && !put_pong((struct bytes){in.data, length}, out)) {
        starttls->dialogue.state = DIALOGUE_SENDING;
        return 0;
    }
    starttls->reply_bytes += (uint32_t)length;
    starttls_keep(starttls, (struct bytes){in.data, length});
    if (starttls->reply_bytes > STARTTLS_REPLY_MAX)
        starttls_end_with(starttls, STARTTLS_TOO_LONG);
    else if (verdict == STARTTLS_NEXT)
        follow(starttls, bytes_skip(in, length), out);
    return length;
}

static void begin(struct dialogue *dialogue, struct sink *out, int64_t now_ms)
{
    (void)now_ms;
    enter_step(of(dialogue), 0, out);
}

static size_t receive(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    struct starttls *starttls = of(dialogue);
    size_t consumed = 0, length = 1;
    (void)now_ms;

    starttls->is_received = starttls->is_received || in.length > 0;
    if (dialogue->state == DIALOGUE_SENDING)
        send_command(starttls, out);
    while (dialogue->state == DIALOGUE_RUNNING && consumed < in.length && length > 0)
        consumed += length = read_one(starttls, bytes_skip(in, consumed), out);
    return consumed;
}

static size_t end_with_peer(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    (void)out;
    (void)now_ms;
    starttls_keep(of(dialogue), in);
    starttls_end_with(of(dialogue), STARTTLS_CLOSED);
    return 0;
}

static size_t expire(struct dialogue *dialogue, struct bytes in, struct sink *out, int64_t now_ms)
{
    (void)out;
    if (now_ms < dialogue->deadline_ms)
        return 0;
    starttls_keep(of(dialogue), in);
    starttls_end_with(of(dialogue), STARTTLS_EXPIRED);
    return 0;
}

/* A record of TLS, an alert usually: what a server that uses TLS from the start answers to a plain command.
 */
static bool is_tls(const struct starttls *starttls)
{
    enum { CHANGE_CIPHER_SPEC = 20, APPLICATION_DATA = 23, MAJOR = 3 };
    unsigned char type = (unsigned char)starttls->quote[0];
    return starttls->quote_count > 0 && type >= CHANGE_CIPHER_SPEC && type <= APPLICATION_DATA &&
           (starttls->quote_count == 1 || starttls->quote[1] == MAJOR);
}

static void fail_unexpected(const struct starttls *starttls, const char *quote, const struct err_facts *facts,
                            struct err *err)
{
    const struct script *script = script_of(starttls);
    struct bytes first = {starttls->quote, starttls->quote_count};
    enum starttls_protocol protocol;

    if (first.length > SERVICE_FIRST_BYTES)
        first.length = SERVICE_FIRST_BYTES;
    const char *service = starttls->step == 0 ? service_identify(first) : NULL;
    if (starttls->step == 0 && is_tls(starttls))
        err_set_facts(err, ERR_TLS_STARTTLS, facts,
                      "%s uses TLS from the start on this port (give --tls instead of --starttls %s)",
                      starttls->host, script->word);
    else if (starttls_of_service(service, &protocol) && protocol != starttls->protocol)
        err_set_facts(err, ERR_TLS_STARTTLS, facts,
                      "%s does not use %s on this port: it sent \"%s\" (give --starttls %s)", starttls->host,
                      script->name, quote, scripts[protocol].word);
    else if (service != NULL)
        err_set_facts(err, ERR_TLS_STARTTLS, facts, "%s does not use %s on this port: it sent \"%s\" (%s)",
                      starttls->host, script->name, quote, service);
    else
        err_set_facts(err, ERR_TLS_STARTTLS, facts, "%s does not use %s on this port: it sent \"%s\"",
                      starttls->host, script->name, quote);
}

static void fail_incomplete(const struct starttls *starttls, const char *quote, const struct err_facts *facts,
                            struct err *err)
{
    const struct script *script = script_of(starttls);
    const char *ended = dialogue_ended(&starttls->dialogue);
    const char *last = starttls->quote_count > 0 ? ", having sent \"" : "", *end = *last != '\0' ? "\"" : "";

    if (starttls->end == STARTTLS_CLOSED && !starttls->is_received)
        err_set(err, ERR_TLS_STARTTLS, 0, "%s %s the connection without sending anything for STARTTLS (%s)",
                starttls->host, ended, script->name);
    else if (starttls->end == STARTTLS_CLOSED)
        err_set_facts(err, ERR_TLS_STARTTLS, facts, "%s %s the connection during STARTTLS (%s)%s%s%s",
                      starttls->host, ended, script->name, last, quote, end);
    else if (!starttls->is_received)
        err_set(
            err, ERR_TLS_SILENT_PEER, 0,
            "%s sent nothing while STARTTLS (%s) was awaited (the port may use TLS from the start, or another protocol)",
            starttls->host, script->name);
    else
        err_set_facts(err, ERR_TLS_TIMEOUT, facts, "STARTTLS (%s) with %s took too long%s%s%s", script->name,
                      starttls->host, starttls->quote_count > 0 ? "; it sent \"" : "", quote, end);
}

static void failure(const struct dialogue *dialogue, struct bytes rest, struct err *err)
{
    const struct starttls *starttls = (const struct starttls *)dialogue;
    const char *name = script_of(starttls)->name;
    struct err_facts facts = {.received =
                                  escape_without_end((struct bytes){starttls->quote, starttls->quote_count})};
    char quote[QUOTED_BYTES];
    (void)rest;

    escape_quoted(facts.received, quote, sizeof quote);
    if (starttls->end == STARTTLS_NOT_OFFERED)
        err_set_facts(err, ERR_TLS_STARTTLS, &facts, "%s does not offer STARTTLS (%s): it sent \"%s\"",
                      starttls->host, name, quote);
    else if (starttls->end == STARTTLS_REFUSED)
        err_set_facts(err, ERR_TLS_STARTTLS, &facts, "%s refused %s (%s): it sent \"%s\"", starttls->host,
                      starttls->step == 0 && step_of(starttls)->send.length == 0 ? "the session" : "STARTTLS",
                      name, quote);
    else if (starttls->end == STARTTLS_INJECTED)
        err_set_facts(
            err, ERR_TLS_STARTTLS, &facts,
            "%s sent data behind its reply to STARTTLS, before TLS began (command injection): \"%s\"",
            starttls->host, quote);
    else if (starttls->end == STARTTLS_TOO_LONG)
        err_set_facts(err, ERR_TLS_STARTTLS, &facts,
                      "%s sent a longer %s reply than this side takes (%d KiB, %d KiB a line): \"%s\"",
                      starttls->host, name, STARTTLS_REPLY_MAX / 1024, STARTTLS_LINE_MAX / 1024, quote);
    else if (starttls->end == STARTTLS_UNEXPECTED)
        fail_unexpected(starttls, quote, &facts, err);
    else
        fail_incomplete(starttls, quote, &facts, err);
}

static const struct dialogue_ops starttls_ops = {
    .begin = begin, .receive = receive, .eof = end_with_peer, .expire = expire, .failure = failure};

void starttls_init(struct starttls *starttls, const struct starttls_config *config, const char *host,
                   const struct endpoint *local)
{
    *starttls = (struct starttls){
        .dialogue = {.ops = &starttls_ops, .deadline_ms = DIALOGUE_NEVER, .state = DIALOGUE_RUNNING},
        .host = host,
        .name = config->servername != NULL ? config->servername : host,
        .protocol = config->protocol};
    if (local != NULL)
        starttls->local = *local;
}

const char *starttls_word(enum starttls_protocol protocol)
{
    return scripts[protocol].word;
}

bool starttls_parse(const char *word, enum starttls_protocol *protocol)
{
    for (size_t i = STARTTLS_NONE + 1; i < COUNT(scripts); i++) {
        if (strcmp(scripts[i].word, word) != 0)
            continue;
        *protocol = (enum starttls_protocol)i;
        return true;
    }
    return false;
}

bool starttls_of_service(const char *service, enum starttls_protocol *protocol)
{
    if (service != NULL && strcmp(service, "mariadb") == 0)
        service = "mysql";
    for (size_t i = 0; service != NULL && i < COUNT(scripts); i++) {
        if (scripts[i].service == NULL || strcmp(scripts[i].service, service) != 0)
            continue;
        *protocol = (enum starttls_protocol)i;
        return true;
    }
    return false;
}

uint16_t starttls_tls_port(enum starttls_protocol protocol)
{
    return scripts[protocol].tls_port;
}
