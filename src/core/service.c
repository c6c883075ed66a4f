#include "tcpgreet/core/service.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool begins(struct bytes bytes, const char *prefix)
{
    size_t length = strlen(prefix);
    return bytes.length >= length && memcmp(bytes.data, prefix, length) == 0;
}

static bool equals(struct bytes word, const char *text)
{
    if (word.length != strlen(text))
        return false;
    for (size_t i = 0; i < word.length; i++)
        if (tolower((unsigned char)word.data[i]) != text[i])
            return false;
    return true;
}

static bool contains(struct bytes word, const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i + length <= word.length; i++)
        if (equals((struct bytes){word.data + i, length}, text))
            return true;
    return false;
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* Takes the next word from the front of rest. Returns: it; empty where none is complete. */
static struct bytes next_word(struct bytes *rest)
{
    size_t begin = 0, end;
    while (begin < rest->length && is_space(rest->data[begin]))
        begin++;
    for (end = begin; end < rest->length && !is_space(rest->data[end]); end++)
        ;
    struct bytes word = {rest->data + begin, end < rest->length ? end - begin : 0};
    rest->data += end;
    rest->length -= end;
    return word;
}

/* A reply of three digits. SMTP and LMTP name themselves in a word of its own (RFC 5321 section 4.2, RFC
 * 2033); FTP and NNTP servers do so by convention only, and a host name may hold those letters. */
static const char *identify_reply(struct bytes first)
{
    const char *found = NULL;
    bool is_ftp_code = begins(first, "220") || begins(first, "120") || begins(first, "421");
    bool is_nntp_code = begins(first, "200") || begins(first, "201");

    next_word(&first);
    for (struct bytes word = next_word(&first); word.length > 0; word = next_word(&first)) {
        bool is_host = memchr(word.data, '.', word.length) != NULL;
        if (equals(word, "smtp") || equals(word, "esmtp"))
            return "smtp";
        if (equals(word, "lmtp"))
            return "lmtp";
        if (is_ftp_code && !is_host && contains(word, "ftp"))
            found = "ftp";
        else if (is_nntp_code && !is_host && (contains(word, "nntp") || contains(word, "internetnews")))
            found = "nntp";
    }
    return found;
}

static bool is_reply(struct bytes first)
{
    return first.length >= 4 && isdigit((unsigned char)first.data[0]) &&
           isdigit((unsigned char)first.data[1]) && isdigit((unsigned char)first.data[2]) &&
           (first.data[3] == ' ' || first.data[3] == '-');
}

/* A packet of MySQL: its length in three bytes, the number 0, then a handshake of version 10 with the
 * server's version, or an error. Source: MySQL Internals, "Protocol::HandshakeV10", "ERR_Packet". */
static const char *identify_mysql(struct bytes first)
{
    enum { HEADER = 4, VERSION_10 = 0x0a, ERROR = 0xff, VERSION_MAX = 64, ERROR_HEADER = 3 };
    const unsigned char *at = (const unsigned char *)first.data;

    if (first.length <= HEADER || at[1] > 1 || at[2] != 0 || at[3] != 0)
        return NULL;
    struct bytes body = bytes_skip(first, HEADER);
    size_t length = at[0] + ((size_t)at[1] << 8);
    if (first.length < SERVICE_FIRST_BYTES && length != body.length)
        return NULL;
    if (at[HEADER] == ERROR && body.length > ERROR_HEADER)
        return contains(bytes_skip(body, ERROR_HEADER), "mariadb") ? "mariadb" : "mysql";
    const char *end = memchr(body.data, '\0', body.length);
    if (at[HEADER] != VERSION_10 || end == NULL || !isdigit((unsigned char)body.data[1]))
        return NULL;
    struct bytes version = {body.data + 1, (size_t)(end - body.data) - 1};
    return version.length > VERSION_MAX ? NULL : contains(version, "mariadb") ? "mariadb" : "mysql";
}

/* A command of option negotiation, WILL to DONT. Source: RFC 854. */
static bool is_telnet(struct bytes first)
{
    enum { WILL = 0xfb, DONT = 0xfe, IAC = 0xff, COMMAND = 3 };
    const unsigned char *at = (const unsigned char *)first.data;
    return first.length >= COMMAND && at[0] == IAC && at[1] >= WILL && at[1] <= DONT;
}

/* ":server NOTICE * :*** ...", or without the server. Source: RFC 2812 section 2.3. */
static bool is_irc(struct bytes first)
{
    struct bytes word = next_word(&first);
    if (word.length > 1 && word.data[0] == ':')
        word = next_word(&first);
    return equals(word, "notice") && next_word(&first).length > 0 &&
           begins((struct bytes){first.data + (first.length > 0), first.length - (first.length > 0)}, ":");
}

static const struct {
    const char *prefix;
    const char *word;
} prefixes[] = {
    {"SSH-", "ssh"},   /* RFC 4253 */
    {"RFB ", "vnc"},   /* RFC 6143 */
    {"HTTP/", "http"}, /* RFC 9112 */
    {"RTSP/", "rtsp"}, /* RFC 7826 */
    {"* OK", "imap"},  /* RFC 9051 */
    {"* PREAUTH", "imap"},
    {"* BYE", "imap"},
    {"+OK", "pop3"},                 /* RFC 1939 */
    {"\"IMPLEMENTATION\"", "sieve"}, /* RFC 5804 */
    {"-DENIED Redis", "redis"},
    {"@RSYNCD: ", "rsync"},
    {"( success ( ", "svn"},
    {"OK MPD ", "mpd"},
    {"INFO {", "nats"},
    {"Asterisk Call Manager/", "asterisk"},
};

const char *service_identify(struct bytes first)
{
    if (first.length == 0)
        return NULL;
    for (size_t i = 0; i < COUNT(prefixes); i++)
        if (begins(first, prefixes[i].prefix))
            return prefixes[i].word;
    if (is_reply(first))
        return identify_reply(first);
    if (is_telnet(first))
        return "telnet";
    if (is_irc(first))
        return "irc";
    return identify_mysql(first);
}
