#include "pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
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

/* Adds every certificate of a file to the store, and its subject to names, if there are any. Returns: how
 * many; -1. */
static int add_all(X509_STORE *store, BIO *bio, STACK_OF(X509_NAME) * names)
{
    for (int count = 0;; count++) {
        X509 *certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
        if (certificate == NULL)
            return count;
        X509_NAME *name = names != NULL ? X509_NAME_dup(X509_get_subject_name(certificate)) : NULL;
        bool added = X509_STORE_add_cert(store, certificate) == 1 && (names == NULL || name != NULL) &&
                     (names == NULL || sk_X509_NAME_push(names, name) > 0);
        X509_free(certificate);
        if (!added) {
            X509_NAME_free(name);
            return -1;
        }
    }
}

int tls_pem_add_cas(X509_STORE *store, const char *what, const char *path, STACK_OF(X509_NAME) * names,
                    struct err *err)
{
    struct file file;
    if (file_read(what, path, &file, err) < 0)
        return -1;
    if (tls_pem_check(what, path, &file, err) < 0) {
        file_free(&file);
        return -1;
    }
    ERR_clear_error();
    BIO *bio = tls_file_bio(&file, err);
    int count = bio != NULL ? add_all(store, bio, names) : -1;
    bool whole = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    BIO_free(bio);
    file_free(&file);
    if (count < 0)
        return tls_fail(err, ERR_INTERNAL, "adding a CA certificate");
    ERR_clear_error();
    if (!whole)
        return err_set(err, ERR_SYSTEM_FILE, 0, "certificate %d in %s %s is damaged", count + 1, what, path);
    if (count == 0)
        return err_set(err, ERR_SYSTEM_FILE, 0, "there is no CA certificate in %s %s (PEM is expected)", what,
                       path);
    return 0;
}

/* The rest of a file of revocation lists. */
struct lists {
    const char *what;
    const char *path;
    BIO *pem; /* NULL: DER */
    const unsigned char *der, *end;
    int count; /* that were read */
};

/* Returns: the next list; NULL at the end, or where it is none. */
static X509_CRL *next_list(struct lists *lists)
{
    if (lists->pem != NULL)
        return PEM_read_bio_X509_CRL(lists->pem, NULL, NULL, NULL);
    return lists->der < lists->end ? d2i_X509_CRL(NULL, &lists->der, lists->end - lists->der) : NULL;
}

/* OpenSSL would take a delta list for a complete one, or pass it over, depending on its flags. */
static int add_list(X509_STORE *store, const struct lists *lists, X509_CRL *crl, struct err *err)
{
    if (X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) >= 0)
        return err_set(
            err, ERR_SYSTEM_FILE, 0,
            "revocation list %d in %s %s is a delta CRL, which is not supported: use the complete list of its CA",
            lists->count + 1, lists->what, lists->path);
    return X509_STORE_add_crl(store, crl) == 1 ? 0 : tls_fail(err, ERR_INTERNAL, "adding a revocation list");
}

static int add_lists(X509_STORE *store, struct lists *lists, struct err *err)
{
    ERR_clear_error();
    for (X509_CRL *crl; (crl = next_list(lists)) != NULL; lists->count++) {
        int added = add_list(store, lists, crl, err);
        X509_CRL_free(crl);
        if (added < 0)
            return -1;
    }
    bool is_whole = lists->pem != NULL ? ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE
                                       : lists->der == lists->end || lists->count == 0;
    ERR_clear_error();
    if (lists->count == 0 && is_whole)
        return err_set(err, ERR_SYSTEM_FILE, 0,
                       "there is no revocation list in %s %s (PEM or DER is expected)", lists->what,
                       lists->path);
    return is_whole ? 0
                    : err_set(err, ERR_SYSTEM_FILE, 0, "revocation list %d in %s %s is damaged",
                              lists->count + 1, lists->what, lists->path);
}

/* A list in DER is a SEQUENCE, with its length in more than one byte unless it is tiny. */
static bool is_der(const struct file *file)
{
    bool is_long = file->length > 1 && file->data[0] == 0x30 && (file->data[1] & 0x80) != 0;
    return is_long || !contains((struct bytes){file->data, file->length}, BEGIN);
}

int tls_pem_add_crls(X509_STORE *store, const char *what, const char *path, struct err *err)
{
    struct file file;
    int result = -1;

    if (file_read(what, path, &file, err) < 0)
        return -1;
    struct lists lists = {.what = what, .path = path, .der = (const unsigned char *)file.data};
    lists.end = lists.der + file.length;
    if (is_der(&file) ||
        (tls_pem_check(what, path, &file, err) == 0 && (lists.pem = tls_file_bio(&file, err)) != NULL))
        result = add_lists(store, &lists, err);
    BIO_free(lists.pem);
    file_free(&file);
    return result;
}
