#include "pem.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "context.h"
#include "tcpgreet/base/escape.h"

int tls_check_mode(const char *what, const char *path, const struct file *file, struct err *err)
{
    if ((file->mode & (S_IRWXO | S_IWGRP)) == 0)
        return 0;
    return err_set(err, ERR_SYSTEM_PERMISSION, 0,
                   "%s %s is accessible to others (mode %04o): chmod 600 %s, or --insecure", what, path,
                   (unsigned)file->mode & 07777, path);
}

BIO *tls_file_bio(const struct file *file, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(file->data, (int)file->length);
    if (bio == NULL)
        tls_fail(err, ERR_INTERNAL, "reading a file");
    return bio;
}

#define BEGIN BYTES_LITERAL("-----BEGIN ")
#define END BYTES_LITERAL("-----END ")
#define DASHES BYTES_LITERAL("-----")

/* The position of a check in a file. */
struct scan {
    const char *what;
    const char *path;
    int line;
    int block;          /* the number of the last one that began */
    struct bytes label; /* its label while it is open, else empty */
    struct err *err;
};

static bool begins_with(struct bytes text, struct bytes start)
{
    return text.length >= start.length && memcmp(text.data, start.data, start.length) == 0;
}

static bool ends_with(struct bytes text, struct bytes end)
{
    return text.length >= end.length && begins_with(bytes_skip(text, text.length - end.length), end);
}

static bool contains(struct bytes text, struct bytes part)
{
    return memmem(text.data, text.length, part.data, part.length) != NULL;
}

static int fail_cut(const struct scan *scan)
{
    char label[48];
    return err_set(scan->err, ERR_SYSTEM_FILE, 0,
                   "%s %s is damaged: block %d (%s) was cut off, its END line is missing", scan->what,
                   scan->path, scan->block, escape_quoted(scan->label, label, sizeof label));
}

static int fail_line(const struct scan *scan)
{
    return err_set(
        scan->err, ERR_SYSTEM_FILE, 0,
        "%s %s is damaged: in line %d a BEGIN or END is not on a line of its own (a newline is missing, or something stands in front of it)",
        scan->what, scan->path, scan->line);
}

/* A line that begins with one of the marks. Returns: its label; data NULL where it does not end after it. */
static struct bytes label_of(struct bytes line, struct bytes mark)
{
    struct bytes rest = bytes_skip(line, mark.length);
    if (!ends_with(rest, DASHES))
        return (struct bytes){0};
    rest.length -= DASHES.length;
    if (contains(rest, DASHES))
        return (struct bytes){0};
    return rest;
}

static int check_line(struct scan *scan, struct bytes line)
{
    bool is_open = scan->label.data != NULL;
    if (begins_with(line, BEGIN)) {
        if (is_open)
            return fail_cut(scan);
        scan->block++;
        scan->label = label_of(line, BEGIN);
        return scan->label.data != NULL ? 0 : fail_line(scan);
    }
    if (begins_with(line, END)) {
        struct bytes label = label_of(line, END);
        if (label.data == NULL)
            return fail_line(scan);
        if (!is_open || label.length != scan->label.length || !begins_with(label, scan->label))
            return err_set(scan->err, ERR_SYSTEM_FILE, 0,
                           "%s %s is damaged: the END in line %d has no BEGIN before it", scan->what,
                           scan->path, scan->line);
        scan->label = (struct bytes){0};
        return 0;
    }
    bool is_comment = !is_open && line.length > 0 && line.data[0] == '#';
    return !is_comment && contains(line, is_open ? END : BEGIN) ? fail_line(scan) : 0;
}

int tls_pem_check(const char *what, const char *path, const struct file *file, struct err *err)
{
    struct scan scan = {.what = what, .path = path, .err = err};
    struct bytes rest = {file->data, file->length};

    while (rest.length > 0) {
        const char *newline = memchr(rest.data, '\n', rest.length);
        struct bytes line = {rest.data, newline != NULL ? (size_t)(newline - rest.data) : rest.length};
        rest = bytes_skip(rest, line.length + (newline != NULL));
        while (line.length > 0 && strchr(" \t\r", line.data[line.length - 1]) != NULL)
            line.length--;
        scan.line++;
        if (check_line(&scan, line) < 0)
            return -1;
    }
    return scan.label.data != NULL ? fail_cut(&scan) : 0;
}
