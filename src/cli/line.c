#include "line.h"

#include <string.h>

/* The line as it is read and, never ahead of that, written. */
struct scan {
    const char *at;
    const char *end;
    char *to;
    struct err *err;
};

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* What a backslash takes the meaning from, within double quotes. */
static bool is_special(char byte)
{
    return byte == '"' || byte == '\\' || byte == '$' || byte == '`';
}

static int take_quoted(struct scan *scan, char quote)
{
    while (scan->at < scan->end && *scan->at != quote) {
        bool is_escape =
            quote == '"' && *scan->at == '\\' && scan->at + 1 < scan->end && is_special(scan->at[1]);
        scan->at += is_escape;
        *scan->to++ = *scan->at++;
    }
    if (scan->at == scan->end)
        return err_set(scan->err, ERR_USAGE, 0, "the quote %c is not closed", quote);
    scan->at++;
    return 0;
}

static int take_escaped(struct scan *scan)
{
    if (scan->at == scan->end)
        return err_set(scan->err, ERR_USAGE, 0, "a backslash at the end of the line: a target has one line");
    *scan->to++ = *scan->at++;
    return 0;
}

static int take_word(struct scan *scan)
{
    int result = 0;

    while (result == 0 && scan->at < scan->end && !is_space(*scan->at)) {
        char byte = *scan->at++;
        if (byte == '\'' || byte == '"')
            result = take_quoted(scan, byte);
        else if (byte == '\\')
            result = take_escaped(scan);
        else
            *scan->to++ = byte;
    }
    return result;
}

int option_split_line(char *text, size_t length, const char **words, struct err *err)
{
    struct scan scan = {text, text + length, text, err};
    int count = 0;

    if (length > OPTION_LINE_BYTES)
        return err_set(err, ERR_USAGE, 0, "the line has more than %d bytes", OPTION_LINE_BYTES);
    if (memchr(text, '\0', length) != NULL)
        return err_set(err, ERR_USAGE, 0, "the line has a NUL byte: text in UTF-8 is expected");
    for (;;) {
        while (scan.at < scan.end && is_space(*scan.at))
            scan.at++;
        if (scan.at == scan.end || *scan.at == '#')
            return count;
        words[count++] = scan.to;
        if (take_word(&scan) != 0)
            return -1;
        bool is_last = scan.at == scan.end;
        *scan.to++ = '\0'; /* at the latest over the space that ends the word, or the line's end */
        if (is_last)
            return count;
        scan.at++;
    }
}
