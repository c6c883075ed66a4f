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

/* Returns: the next list; NULL at the end, or where it is none. */
static X509_CRL *next_crl(BIO *bio, bool is_pem)
{
    return is_pem ? PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL) : d2i_X509_CRL_bio(bio, NULL);
}

static int add_crls(X509_STORE *store, BIO *bio, const char *what, const char *path, bool is_pem,
                    struct err *err)
{
    int count = 0;
    for (X509_CRL *crl; (count == 0 || is_pem) && (crl = next_crl(bio, is_pem)) != NULL; count++) {
        bool added = X509_STORE_add_crl(store, crl) == 1;
        X509_CRL_free(crl);
        if (!added)
            return tls_fail(err, ERR_INTERNAL, "adding a revocation list");
    }
    bool whole = !is_pem || ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    if (count == 0 && whole)
        return err_set(err, ERR_SYSTEM_FILE, 0,
                       "there is no revocation list in %s %s (PEM or DER is expected)", what, path);
    return whole ? 0
                 : err_set(err, ERR_SYSTEM_FILE, 0, "revocation list %d in %s %s is damaged", count + 1, what,
                           path);
}

int tls_pem_add_crls(X509_STORE *store, const char *what, const char *path, struct err *err)
{
    static const char mark[] = "-----BEGIN ";
    struct file file;
    BIO *bio = NULL;
    int result = -1;

    if (file_read(what, path, &file, err) < 0)
        return -1;
    bool is_pem = memmem(file.data, file.length, mark, sizeof mark - 1) != NULL;
    ERR_clear_error();
    if ((!is_pem || tls_pem_check(what, path, &file, err) == 0) && (bio = tls_file_bio(&file, err)) != NULL)
        result = add_crls(store, bio, what, path, is_pem, err);
    BIO_free(bio);
    file_free(&file);
    return result;
}
