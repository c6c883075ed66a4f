#include <ctype.h>
#include <string.h>

#include "starttls_reply.h"

/* XMPP, tag by tag, without a document: what is asked is what tag stands where. The XML of a stream has
 * neither comments nor declarations of types (RFC 6120 section 11.1). */

#define TLS_NAMESPACE "urn:ietf:params:xml:ns:xmpp-tls"

struct tag {
    struct bytes text; /* from '<' to '>' */
    struct bytes name; /* without its prefix */
    bool is_end;       /* </name> */
    bool is_empty;     /* <name/> */
    bool is_declaration;
};

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static bool is_name_byte(char byte)
{
    return isalnum((unsigned char)byte) || byte == '_' || byte == '-' || byte == '.' || byte == ':' ||
           (unsigned char)byte >= 0x80;
}

static bool is_named(const struct tag *tag, const char *name)
{
    return bytes_equal(tag->name, (struct bytes){name, strlen(name)});
}

static bool holds(struct bytes text, const char *part)
{
    size_t length = strlen(part);
    for (size_t i = 0; i + length <= text.length; i++)
        if (memcmp(text.data + i, part, length) == 0)
            return true;
    return false;
}

/* Takes a whole tag apart. Returns: false where it is none. */
static bool parse(struct bytes text, struct tag *tag)
{
    size_t at = 1, begin;
    *tag = (struct tag){.text = text, .is_declaration = text.data[1] == '?'};
    if (tag->is_declaration)
        return text.length > 5 && text.data[text.length - 2] == '?' && memcmp(text.data, "<?xml", 5) == 0;
    tag->is_end = text.data[1] == '/';
    tag->is_empty = !tag->is_end && text.data[text.length - 2] == '/';
    begin = at += tag->is_end;
    for (; is_name_byte(text.data[at]); at++)
        if (text.data[at] == ':')
            begin = at + 1;
    tag->name = (struct bytes){text.data + begin, at - begin};
    char next = text.data[at];
    return tag->name.length > 0 && (is_space(next) || next == '>' || (next == '/' && tag->is_empty));
}

/* Where a '>' ends a tag: not inside a quoted value. Returns: its length; 0 where it is not whole yet. */
static size_t tag_length(struct bytes in)
{
    char quote = '\0';
    for (size_t i = 1; i < in.length; i++) {
        char byte = in.data[i];
        if (quote != '\0' && byte == quote)
            quote = '\0';
        else if (quote == '\0' && (byte == '"' || byte == '\''))
            quote = byte;
        else if (quote == '\0' && byte == '>')
            return i + 1;
    }
    return 0;
}

/* Skips what stands between tags, where some may. Returns: STARTTLS_NEXT with a tag. */
static enum starttls_verdict read_tag(struct starttls *starttls, struct bytes in, struct tag *tag,
                                      size_t *length)
{
    bool may_be_text = starttls->depth > 1;
    if (in.data[0] != '<') {
        for (*length = 0; *length < in.length && in.data[*length] != '<'; ++*length)
            if (in.data[*length] == '\0' || (!may_be_text && !is_space(in.data[*length])))
                return starttls_end_with(starttls, STARTTLS_UNEXPECTED);
        return STARTTLS_AGAIN;
    }
    *length = tag_length(in);
    if (*length > STARTTLS_LINE_MAX || (*length == 0 && in.length >= STARTTLS_LINE_MAX)) {
        *length = in.length;
        return starttls_end_with(starttls, STARTTLS_TOO_LONG);
    }
    if (*length == 0)
        return STARTTLS_MORE;
    if (*length < 3 || !parse((struct bytes){in.data, *length}, tag))
        return starttls_end_with(starttls, STARTTLS_UNEXPECTED);
    return STARTTLS_NEXT;
}

static enum starttls_verdict end_with_tag(struct starttls *starttls, const struct tag *tag,
                                          enum starttls_end end)
{
    starttls_keep_only(starttls, tag->text);
    return starttls_end_with(starttls, end);
}

/* Counts how deep the next tag stands: the stream itself is 1, its children are 2. Returns: how deep this one
 * does. */
static unsigned enter(struct starttls *starttls, const struct tag *tag)
{
    unsigned depth = tag->is_end ? starttls->depth : starttls->depth + 1u;
    if (tag->is_end && starttls->depth > 0)
        starttls->depth--;
    else if (!tag->is_end && !tag->is_empty)
        starttls->depth++;
    return depth;
}

/* <stream:stream>, then <stream:features> with <starttls/> in it, or <stream:error> with the reason in it. */
enum starttls_verdict starttls_read_xmpp_features(struct starttls *starttls, struct bytes in, size_t *length)
{
    struct tag tag = {0};
    enum starttls_verdict verdict = read_tag(starttls, in, &tag, length);
    if (verdict != STARTTLS_NEXT || tag.is_declaration)
        return verdict == STARTTLS_NEXT ? STARTTLS_AGAIN : verdict;
    unsigned depth = enter(starttls, &tag);
    if (depth == 1)
        return is_named(&tag, "stream") && !tag.is_end && !tag.is_empty
                   ? STARTTLS_AGAIN
                   : end_with_tag(starttls, &tag, tag.is_end ? STARTTLS_REFUSED : STARTTLS_UNEXPECTED);
    if (starttls->is_failing)
        return end_with_tag(starttls, &tag, STARTTLS_REFUSED);
    if (depth == 2 && is_named(&tag, "error"))
        starttls->is_failing = true;
    else if (depth == 2 && !is_named(&tag, "features"))
        return end_with_tag(starttls, &tag, STARTTLS_UNEXPECTED);
    else if (depth == 3 && is_named(&tag, "starttls") && holds(tag.text, TLS_NAMESPACE))
        starttls->is_offered = true;
    if (depth > 2 || starttls->is_failing || !(tag.is_end || tag.is_empty))
        return STARTTLS_AGAIN;
    return starttls->is_offered ? STARTTLS_NEXT : starttls_end_with(starttls, STARTTLS_NOT_OFFERED);
}

/* <proceed/> or <failure/>; an empty element may have an end tag of its own. */
enum starttls_verdict starttls_read_xmpp_go(struct starttls *starttls, struct bytes in, size_t *length)
{
    struct tag tag = {0};
    enum starttls_verdict verdict = read_tag(starttls, in, &tag, length);
    if (verdict != STARTTLS_NEXT)
        return verdict;
    unsigned depth = tag.is_declaration ? 0 : enter(starttls, &tag);
    if (starttls->is_failing)
        return end_with_tag(starttls, &tag, STARTTLS_REFUSED);
    if (depth == 2 && is_named(&tag, "proceed") && (tag.is_end || holds(tag.text, TLS_NAMESPACE)))
        return tag.is_end || tag.is_empty ? STARTTLS_NEXT : STARTTLS_AGAIN;
    if (depth == 2 && is_named(&tag, "error")) {
        starttls->is_failing = true;
        return STARTTLS_AGAIN;
    }
    bool is_refusal = is_named(&tag, "failure") || (tag.is_end && depth == 1);
    return end_with_tag(starttls, &tag, is_refusal ? STARTTLS_REFUSED : STARTTLS_UNEXPECTED);
}
