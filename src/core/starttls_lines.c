#include <ctype.h>
#include <string.h>

#include "starttls_reply.h"

/* The line protocols. Sources: RFC 5321 section 4.2 and RFC 3207 (SMTP), RFC 2033 (LMTP), RFC 9051 (IMAP),
 * RFC 2595 (POP3), RFC 959 section 4.2 and RFC 4217 (FTP), RFC 3977 and RFC 4642 (NNTP), RFC 5804
 * (ManageSieve), RFC 1459 section 2.3 and the tls extension of IRCv3 (IRC). */

static bool begins(struct bytes bytes, const char *prefix)
{
    size_t length = strlen(prefix);
    if (bytes.length < length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (toupper((unsigned char)bytes.data[i]) != prefix[i])
            return false;
    return true;
}

static bool is_separator(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* Returns: whether bytes begin with a word, in any case, and nothing else of a word follows. */
static bool begins_word(struct bytes bytes, const char *word)
{
    size_t length = strlen(word);
    return begins(bytes, word) && (bytes.length == length || is_separator(bytes.data[length]));
}

/* Returns: whether a word stands somewhere in a list that spaces and brackets separate. */
static bool lists(struct bytes list, const char *word)
{
    size_t length = strlen(word);
    for (size_t i = 0; i + length <= list.length; i++) {
        bool is_start = i == 0 || is_separator(list.data[i - 1]) || list.data[i - 1] == '[';
        bool is_end =
            i + length == list.length || is_separator(list.data[i + length]) || list.data[i + length] == ']';
        if (is_start && is_end && begins(bytes_skip(list, i), word))
            return true;
    }
    return false;
}

/* Text: no control characters but those between words. IRC has others, for colours. */
static bool is_binary(const struct starttls *starttls, char byte)
{
    unsigned char value = (unsigned char)byte;
    return value == 0 || (value < ' ' && !is_separator(byte) && starttls->protocol != STARTTLS_IRC);
}

/* Finds the line that ends behind from. Returns: STARTTLS_NEXT once it is there. */
static enum starttls_verdict find_line_end(struct starttls *starttls, struct bytes in, size_t from,
                                           size_t *length)
{
    for (size_t i = from; i < in.length; i++) {
        if (i == STARTTLS_LINE_MAX)
            return starttls_end_with(starttls, STARTTLS_TOO_LONG);
        *length = i + 1;
        if (in.data[i] == '\n')
            return STARTTLS_NEXT;
        if (is_binary(starttls, in.data[i]))
            return starttls_end_with(starttls, STARTTLS_UNEXPECTED);
    }
    return STARTTLS_MORE;
}

/* Writes: *line, without its end. Returns: STARTTLS_NEXT once a whole line is there. */
static enum starttls_verdict read_line(struct starttls *starttls, struct bytes in, struct bytes *line,
                                       size_t *length)
{
    enum starttls_verdict verdict = find_line_end(starttls, in, 0, length);
    if (verdict != STARTTLS_NEXT)
        return verdict;
    *line = (struct bytes){in.data, *length - 1};
    if (line->length > 0 && line->data[line->length - 1] == '\r')
        line->length--;
    return STARTTLS_NEXT;
}

/* The deciding line is what is quoted, not what came before it; one byte of its end belongs to it. */
static enum starttls_verdict end_with_line(struct starttls *starttls, struct bytes line,
                                           enum starttls_end end)
{
    starttls_keep_only(starttls, (struct bytes){line.data, line.length + 1});
    return starttls_end_with(starttls, end);
}

/* Three digits, then '-' where lines follow. */
static bool is_reply(struct bytes line)
{
    for (size_t i = 0; i < 3; i++)
        if (line.length < 3 || !isdigit((unsigned char)line.data[i]))
            return false;
    return line.length == 3 || line.data[3] == ' ' || line.data[3] == '-';
}

/* Whether the reply goes on behind this line. Source: RFC 959 section 4.2: between its first and its last
 * line any text may stand; elsewhere each has the code. */
static bool goes_on(struct starttls *starttls, struct bytes line, bool *is_text)
{
    bool is_first = starttls->lines == 0;
    *is_text = !is_first && starttls->protocol == STARTTLS_FTP &&
               (!is_reply(line) || memcmp(line.data, starttls->code, sizeof starttls->code) != 0);
    if (*is_text)
        return true;
    if (is_first && is_reply(line))
        memcpy(starttls->code, line.data, sizeof starttls->code);
    return line.length > 3 && line.data[3] == '-';
}

static bool is_code(const struct starttls *starttls, const char *code)
{
    return memcmp(starttls->code, code, sizeof starttls->code) == 0;
}

/* One line of a reply with a code. Returns: STARTTLS_NEXT with its last line. */
static enum starttls_verdict read_reply(struct starttls *starttls, struct bytes in, struct bytes *line,
                                        size_t *length)
{
    bool is_text = false;
    enum starttls_verdict verdict = read_line(starttls, in, line, length);
    if (verdict != STARTTLS_NEXT)
        return verdict;
    bool more = goes_on(starttls, *line, &is_text);
    if (!is_text && (!is_reply(*line) || memcmp(line->data, starttls->code, sizeof starttls->code) != 0))
        return end_with_line(starttls, *line, STARTTLS_UNEXPECTED);
    starttls->lines = more ? (uint16_t)(starttls->lines + 1) : 0;
    return more ? STARTTLS_AGAIN : STARTTLS_NEXT;
}

/* A reply that has to have a code; another one of this protocol is a refusal. */
static enum starttls_verdict want_code(struct starttls *starttls, struct bytes in, const char *code,
                                       size_t *length)
{
    struct bytes line = {0};
    enum starttls_verdict verdict = read_reply(starttls, in, &line, length);
    if (verdict != STARTTLS_NEXT || is_code(starttls, code))
        return verdict;
    return starttls_end_with(starttls, STARTTLS_REFUSED);
}

enum starttls_verdict starttls_read_smtp_greeting(struct starttls *starttls, struct bytes in, size_t *length)
{
    return want_code(starttls, in, "220", length);
}

/* The first line is the server's name, each of the others an extension. */
enum starttls_verdict starttls_read_smtp_hello(struct starttls *starttls, struct bytes in, size_t *length)
{
    struct bytes line = {0};
    bool is_first = starttls->lines == 0;
    enum starttls_verdict verdict = read_reply(starttls, in, &line, length);
    if (verdict != STARTTLS_NEXT && verdict != STARTTLS_AGAIN)
        return verdict;
    if (!is_first && line.length > 4 && begins_word(bytes_skip(line, 4), "STARTTLS"))
        starttls->is_offered = true;
    if (verdict == STARTTLS_AGAIN || (is_code(starttls, "250") && starttls->is_offered))
        return verdict;
    bool is_unknown = is_code(starttls, "250") || is_code(starttls, "500") || is_code(starttls, "502");
    return starttls_end_with(starttls, is_unknown ? STARTTLS_NOT_OFFERED : STARTTLS_REFUSED);
}

enum starttls_verdict starttls_read_smtp_go(struct starttls *starttls, struct bytes in, size_t *length)
{
    return want_code(starttls, in, "220", length);
}

/* 120: it takes a while, and 220 follows. */
enum starttls_verdict starttls_read_ftp_greeting(struct starttls *starttls, struct bytes in, size_t *length)
{
    struct bytes line = {0};
    enum starttls_verdict verdict = read_reply(starttls, in, &line, length);
    if (verdict == STARTTLS_NEXT && is_code(starttls, "120"))
        return STARTTLS_AGAIN;
    if (verdict != STARTTLS_NEXT || is_code(starttls, "220"))
        return verdict;
    return starttls_end_with(starttls, STARTTLS_REFUSED);
}

/* Source: RFC 4217 section 4; 500 and 502: the command is not known. */
static enum starttls_verdict read_go(struct starttls *starttls, struct bytes in, const char *code,
                                     size_t *length)
{
    struct bytes line = {0};
    enum starttls_verdict verdict = read_reply(starttls, in, &line, length);
    if (verdict != STARTTLS_NEXT || is_code(starttls, code))
        return verdict;
    bool is_unknown = is_code(starttls, "500") || is_code(starttls, "502") || is_code(starttls, "504");
    return starttls_end_with(starttls, is_unknown ? STARTTLS_NOT_OFFERED : STARTTLS_REFUSED);
}

enum starttls_verdict starttls_read_ftp_go(struct starttls *starttls, struct bytes in, size_t *length)
{
    return read_go(starttls, in, "234", length);
}

/* 201: no posting. */
enum starttls_verdict starttls_read_nntp_greeting(struct starttls *starttls, struct bytes in, size_t *length)
{
    struct bytes line = {0};
    enum starttls_verdict verdict = read_reply(starttls, in, &line, length);
    if (verdict != STARTTLS_NEXT || is_code(starttls, "200") || is_code(starttls, "201"))
        return verdict;
    return starttls_end_with(starttls, STARTTLS_REFUSED);
}

enum starttls_verdict starttls_read_nntp_go(struct starttls *starttls, struct bytes in, size_t *length)
{
    return read_go(starttls, in, "382", length);
}

/* Greeting and answer. */
enum starttls_verdict starttls_read_pop3(struct starttls *starttls, struct bytes in, size_t *length)
{
    struct bytes line = {0};
    enum starttls_verdict verdict = read_line(starttls, in, &line, length);
    if (verdict != STARTTLS_NEXT || begins_word(line, "+OK"))
        return verdict;
    return end_with_line(starttls, line, begins_word(line, "-ERR") ? STARTTLS_REFUSED : STARTTLS_UNEXPECTED);
}

static void note_capabilities(struct starttls *starttls, struct bytes list)
{
    starttls->is_listed = true;
    starttls->is_offered = starttls->is_offered || lists(list, "STARTTLS");
}

/* "* OK [CAPABILITY ...] ..."; a server that has authenticated its peer already cannot start TLS (RFC 9051
 * section 7.1.4). */
enum starttls_verdict starttls_read_imap_greeting(struct starttls *starttls, struct bytes in, size_t *length)
{
    struct bytes line = {0};
    enum starttls_verdict verdict = read_line(starttls, in, &line, length);
    if (verdict != STARTTLS_NEXT)
        return verdict;
    if (begins_word(line, "* PREAUTH"))
        return end_with_line(starttls, line, STARTTLS_NOT_OFFERED);
    if (begins_word(line, "* BYE"))
        return end_with_line(starttls, line, STARTTLS_REFUSED);
    if (!begins_word(line, "* OK"))
        return end_with_line(starttls, line, STARTTLS_UNEXPECTED);
    if (begins(line, "* OK [CAPABILITY "))
        note_capabilities(starttls, line);
    if (starttls->is_listed && !starttls->is_offered)
        return end_with_line(starttls, line, STARTTLS_NOT_OFFERED);
    return STARTTLS_NEXT;
}

/* Untagged data, then the answer with the tag. */
static enum starttls_verdict read_imap(struct starttls *starttls, struct bytes in, const char *tag,
                                       size_t *length)
{
    struct bytes line = {0};
    enum starttls_verdict verdict = read_line(starttls, in, &line, length);
    if (verdict != STARTTLS_NEXT)
        return verdict;
    if (begins_word(line, "* BYE"))
        return end_with_line(starttls, line, STARTTLS_REFUSED);
    if (begins_word(line, "* CAPABILITY"))
        note_capabilities(starttls, line);
    if (begins(line, "* "))
        return STARTTLS_AGAIN;
    if (!begins_word(line, tag))
        return end_with_line(starttls, line, STARTTLS_UNEXPECTED);
    struct bytes answer = bytes_skip(line, strlen(tag) < line.length ? strlen(tag) + 1 : line.length);
    if (begins_word(answer, "OK"))
        return STARTTLS_NEXT;
    bool is_unknown = begins_word(answer, "BAD");
    bool is_no = begins_word(answer, "NO");
    return end_with_line(starttls, line,
                         is_unknown ? STARTTLS_NOT_OFFERED
                         : is_no    ? STARTTLS_REFUSED
                                    : STARTTLS_UNEXPECTED);
}

enum starttls_verdict starttls_read_imap_capability(struct starttls *starttls, struct bytes in,
                                                    size_t *length)
{
    enum starttls_verdict verdict = read_imap(starttls, in, "A1", length);
    if (verdict == STARTTLS_NEXT && !starttls->is_offered)
        return starttls_end_with(starttls, STARTTLS_NOT_OFFERED);
    return verdict;
}

enum starttls_verdict starttls_read_imap_go(struct starttls *starttls, struct bytes in, size_t *length)
{
    return read_imap(starttls, in, "A2", length);
}

/* A line that ends in "{N}" or "{N+}" goes on behind N bytes of any kind. Returns: whether this one does. */
static bool announces_literal(struct bytes line, size_t *size)
{
    size_t at = line.length, digits = 0, place = 1, value = 0;

    if (at == 0 || line.data[--at] != '}')
        return false;
    if (at > 0 && line.data[at - 1] == '+')
        at--;
    for (; at > 0 && isdigit((unsigned char)line.data[at - 1]) && digits < 6; digits++, place *= 10)
        value += place * (size_t)(line.data[--at] - '0');
    *size = value;
    return digits > 0 && at > 0 && line.data[at - 1] == '{';
}

/* Writes: *line, with its literals. */
static enum starttls_verdict read_sieve_line(struct starttls *starttls, struct bytes in, struct bytes *line,
                                             size_t *length)
{
    size_t literal = 0;
    enum starttls_verdict verdict = read_line(starttls, in, line, length);
    struct bytes piece = *line;

    while (verdict == STARTTLS_NEXT && announces_literal(piece, &literal)) {
        size_t from = *length + literal;
        if (from > STARTTLS_LINE_MAX)
            return starttls_end_with(starttls, STARTTLS_TOO_LONG);
        verdict = from < in.length ? find_line_end(starttls, in, from, length) : STARTTLS_MORE;
        if (verdict != STARTTLS_NEXT)
            break;
        size_t end = *length - 1 > from && in.data[*length - 2] == '\r' ? *length - 2 : *length - 1;
        piece = (struct bytes){in.data + from, end - from};
        *line = (struct bytes){in.data, end};
    }
    return verdict;
}

/* Returns: whether a capability's name, a quoted string or a literal, is a word. */
static bool is_capability(struct bytes line, const char *word)
{
    size_t length = strlen(word);
    if (line.length > 0 && line.data[0] == '{') {
        const char *end = memchr(line.data, '\n', line.length);
        return end != NULL && begins_word(bytes_skip(line, (size_t)(end - line.data) + 1), word);
    }
    return line.length > length + 1 && line.data[0] == '"' && begins(bytes_skip(line, 1), word) &&
           line.data[length + 1] == '"';
}

static enum starttls_verdict judge_sieve(struct starttls *starttls, struct bytes line)
{
    if (begins_word(line, "OK") || begins(line, "OK("))
        return STARTTLS_NEXT;
    bool is_refusal =
        begins_word(line, "NO") || begins(line, "NO(") || begins_word(line, "BYE") || begins(line, "BYE(");
    return end_with_line(starttls, line, is_refusal ? STARTTLS_REFUSED : STARTTLS_UNEXPECTED);
}

/* Capabilities, one a line, then OK. */
enum starttls_verdict starttls_read_sieve_greeting(struct starttls *starttls, struct bytes in, size_t *length)
{
    struct bytes line = {0};
    enum starttls_verdict verdict = read_sieve_line(starttls, in, &line, length);
    if (verdict != STARTTLS_NEXT)
        return verdict;
    if (line.length > 0 && (line.data[0] == '"' || line.data[0] == '{')) {
        starttls->is_offered = starttls->is_offered || is_capability(line, "STARTTLS");
        return STARTTLS_AGAIN;
    }
    verdict = judge_sieve(starttls, line);
    return verdict == STARTTLS_NEXT && !starttls->is_offered
               ? starttls_end_with(starttls, STARTTLS_NOT_OFFERED)
               : verdict;
}

enum starttls_verdict starttls_read_sieve_go(struct starttls *starttls, struct bytes in, size_t *length)
{
    struct bytes line = {0};
    enum starttls_verdict verdict = read_sieve_line(starttls, in, &line, length);
    return verdict == STARTTLS_NEXT ? judge_sieve(starttls, line) : verdict;
}

/* A numeric comes with the server's name in front. */
static enum starttls_verdict judge_irc_numeric(struct starttls *starttls, struct bytes line,
                                               struct bytes message)
{
    if (begins_word(message, "670"))
        return STARTTLS_NEXT;
    if (begins_word(message, "691"))
        return end_with_line(starttls, line, STARTTLS_REFUSED);
    if (begins_word(message, "421") || begins_word(message, "451")) /* unknown, or only once registered */
        return end_with_line(starttls, line, STARTTLS_NOT_OFFERED);
    return STARTTLS_AGAIN;
}

enum starttls_verdict starttls_read_irc(struct starttls *starttls, struct bytes in, size_t *length)
{
    static const char *const ignored[] = {"NOTICE", "CAP", "PONG"};
    struct bytes line = {0};
    enum starttls_verdict verdict = read_line(starttls, in, &line, length);
    if (verdict != STARTTLS_NEXT)
        return verdict;
    struct bytes message = line;
    const char *space = line.length > 0 && line.data[0] == ':' ? memchr(line.data, ' ', line.length) : NULL;
    if (space != NULL)
        message = bytes_skip(line, (size_t)(space - line.data) + 1);
    if (begins_word(message, "PING"))
        return STARTTLS_ANSWER;
    if (begins_word(message, "ERROR"))
        return end_with_line(starttls, line, STARTTLS_REFUSED);
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        if (begins_word(message, ignored[i]))
            return STARTTLS_AGAIN;
    if (space == NULL || message.length < 3 || !isdigit((unsigned char)message.data[0]))
        return end_with_line(starttls, line, STARTTLS_UNEXPECTED);
    return judge_irc_numeric(starttls, line, message);
}
