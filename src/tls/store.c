#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "context.h"
#include "memory.h"
#include "pem.h"

/* The one file of all CAs takes 40 ms to parse. Where the system keeps them also in a folder, by their names'
 * hashes, the one or two that are needed are found there, and the file is read only for what the folder
 * lacks. */

static X509_LOOKUP_METHOD *late_method;

/* What a lookup for a late file holds. */
struct late {
    const char *file;
    bool read;
};

static X509 *find(X509_STORE *store, const X509_NAME *name)
{
    X509 *found = NULL;
    if (X509_STORE_lock(store) != 1)
        return NULL;
    X509_OBJECT *object = X509_OBJECT_retrieve_by_subject(X509_STORE_get0_objects(store), X509_LU_X509, name);
    if (object != NULL)
        found = X509_OBJECT_get0_X509(object);
    X509_STORE_unlock(store);
    return found;
}

/* Asked where neither the store nor the lookups before this one know a CA. */
static int late_by_subject(X509_LOOKUP *lookup, X509_LOOKUP_TYPE type, const X509_NAME *name,
                           X509_OBJECT *result)
{
    struct late *late = X509_LOOKUP_get_method_data(lookup);
    X509_STORE *store = X509_LOOKUP_get_store(lookup);

    if (type != X509_LU_X509 || late->read)
        return 0;
    ERR_set_mark(); /* a system may do without this file */
    X509_STORE_load_file(store, late->file);
    ERR_pop_to_mark();
    late->read = !tls_memory_is_short();
    X509 *found = find(store, name);
    if (found == NULL || X509_OBJECT_set1_X509(result, found) != 1)
        return 0;
    X509_free(found); /* OpenSSL's caller takes one more reference; the store has its own */
    return 1;
}

static void late_free(X509_LOOKUP *lookup)
{
    free(X509_LOOKUP_get_method_data(lookup));
}

static bool make_late_method(void)
{
    late_method = X509_LOOKUP_meth_new("late file");
    if (late_method != NULL && (X509_LOOKUP_meth_set_get_by_subject(late_method, late_by_subject) != 1 ||
                                X509_LOOKUP_meth_set_free(late_method, late_free) != 1)) {
        X509_LOOKUP_meth_free(late_method);
        late_method = NULL;
    }
    return late_method != NULL;
}

int tls_store_add_late(X509_STORE *store, const char *file)
{
    static struct tls_once once = TLS_ONCE_INIT;
    X509_LOOKUP *lookup =
        tls_once(&once, make_late_method) ? X509_STORE_add_lookup(store, late_method) : NULL;
    struct late *late = lookup != NULL ? calloc(1, sizeof *late) : NULL;
    if (late == NULL)
        return -1;
    late->file = file;
    X509_LOOKUP_set_method_data(lookup, late);
    return 0;
}

static bool same_file(const char *a, const char *b)
{
    struct stat one, other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

/* OpenSSL ignores what it cannot read of it, which may be the CA that is needed. That it is missing is not an
 * error: the directory may be enough. */
static int check_chosen(const char *path, struct err *err)
{
    struct file file;
    struct err ignored = {0};
    if (file_read("SSL_CERT_FILE", path, &file, &ignored) < 0)
        return 0;
    int result = tls_pem_check("SSL_CERT_FILE", path, &file, err);
    file_free(&file);
    return result;
}

/* Another file that the environment names is read at once: it may hold other CAs of the same names. */
static int trust_system(SSL_CTX *context, struct err *err)
{
    const char *chosen = tls_getenv(X509_get_default_cert_file_env());
    if (chosen != NULL && !same_file(chosen, X509_get_default_cert_file())) {
        if (check_chosen(chosen, err) < 0)
            return -1;
        return SSL_CTX_set_default_verify_paths(context) == 1 ? 0 : -1;
    }
    return SSL_CTX_set_default_verify_dir(context) == 1
               ? tls_store_add_late(SSL_CTX_get_cert_store(context), X509_get_default_cert_file())
               : -1;
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

static int add_file(X509_STORE *store, const char *what, const char *path, STACK_OF(X509_NAME) * names,
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
        return err_set(err, ERR_SYSTEM_FILE, 0, "there is no CA certificate in %s (PEM is expected)", path);
    return 0;
}

const char *tls_store_file(void)
{
    const char *chosen = tls_getenv(X509_get_default_cert_file_env());
    return chosen != NULL ? chosen : X509_get_default_cert_file();
}

const char *tls_store_directory(void)
{
    const char *chosen = tls_getenv(X509_get_default_cert_dir_env());
    return chosen != NULL ? chosen : X509_get_default_cert_dir();
}

enum directory { DIRECTORY_EMPTY, DIRECTORY_UNHASHED, DIRECTORY_HASHED, DIRECTORY_UNREADABLE };

/* "5ed36f99.0": the name of a link as `openssl rehash` makes it. */
static bool is_hashed(const char *name)
{
    enum { HASH_DIGITS = 8 };
    return strspn(name, "0123456789abcdef") == HASH_DIGITS && name[HASH_DIGITS] == '.' &&
           name[HASH_DIGITS + 1] != '\0' &&
           strspn(name + HASH_DIGITS + 1, "0123456789") == strlen(name + HASH_DIGITS + 1);
}

/* Returns: the next entry; NULL at the end, and then errno is 0, or where it cannot be read. */
static struct dirent *next_entry(DIR *directory)
{
    errno = 0;
    return readdir(directory);
}

/* Whether OpenSSL can find something by an entry: links that lead nowhere do not count. A file whose kind
 * this process may not learn counts. */
static bool is_file(DIR *directory, const char *name)
{
    struct stat status;
    if (fstatat(dirfd(directory), name, &status, 0) == 0)
        return S_ISREG(status.st_mode);
    return errno != ENOENT && errno != ELOOP && errno != ENOTDIR;
}

/* What OpenSSL can find in a directory. Returns: DIRECTORY_UNREADABLE with errno. */
static enum directory look_into(const char *path)
{
    enum directory found = DIRECTORY_EMPTY;
    struct dirent *entry;
    DIR *directory = opendir(path);
    if (directory == NULL)
        return DIRECTORY_UNREADABLE;
    while (found != DIRECTORY_HASHED && (entry = next_entry(directory)) != NULL)
        if (is_file(directory, entry->d_name))
            found = is_hashed(entry->d_name) ? DIRECTORY_HASHED : DIRECTORY_UNHASHED;
    if (found != DIRECTORY_HASHED && errno != 0)
        found = DIRECTORY_UNREADABLE;
    int failure = errno;
    closedir(directory);
    errno = failure;
    return found;
}

static bool has_certificate(X509_STORE *store)
{
    bool found = false;
    if (X509_STORE_lock(store) != 1)
        return true;
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
    for (int i = 0; i < sk_X509_OBJECT_num(objects) && !found; i++)
        found = X509_OBJECT_get_type(sk_X509_OBJECT_value(objects, i)) == X509_LU_X509;
    X509_STORE_unlock(store);
    return found;
}

enum tls_store_fault tls_store_fault(X509_STORE *store, const char **directory, int *native)
{
    enum tls_store_fault fault = TLS_STORE_EMPTY;
    char path[PATH_MAX];
    const char *list = tls_store_directory();

    if (has_certificate(store))
        return TLS_STORE_USABLE;
    *directory = list;
    for (size_t length; fault != TLS_STORE_USABLE && list[0] != '\0';
         list += length + (list[length] == ':')) {
        length = strcspn(list, ":");
        if (snprintf(path, sizeof path, "%.*s", (int)length, list) >= (int)sizeof path)
            continue;
        enum directory found = look_into(path);
        if (found == DIRECTORY_HASHED)
            fault = TLS_STORE_USABLE;
        else if (found == DIRECTORY_UNHASHED)
            fault = TLS_STORE_UNHASHED;
        else if (found == DIRECTORY_UNREADABLE && errno != ENOENT && fault == TLS_STORE_EMPTY) {
            fault = TLS_STORE_UNREADABLE;
            *native = errno;
        }
    }
    return fault;
}

/* Of errno. */
static int fail_unreadable(const char *what, const char *path, struct err *err)
{
    enum err_reason reason = err_reason_of_system(errno);
    if (reason != ERR_SYSTEM_PERMISSION && reason != ERR_SYSTEM_DESCRIPTORS && reason != ERR_INTERNAL)
        reason = ERR_SYSTEM_FILE;
    return err_set(err, reason, errno, "%s %s cannot be read: %s", what, path, strerror(errno));
}

/* Shape: found: not DIRECTORY_HASHED. */
static int fail_directory(const char *what, const char *path, enum directory found, struct err *err)
{
    if (found == DIRECTORY_UNREADABLE)
        return fail_unreadable(what, path, err);
    return err_set(
        err, ERR_SYSTEM_FILE, 0,
        "%s %s has no hashed links, by which certificates in a directory are found: run openssl rehash %s",
        what, path, path);
}

static int add_directory(SSL_CTX *context, const char *what, const char *path, struct err *err)
{
    enum directory found = look_into(path);
    if (found != DIRECTORY_HASHED)
        return fail_directory(what, path, found, err);
    if (SSL_CTX_load_verify_dir(context, path) == 1)
        return 0;
    ERR_clear_error();
    return err_set(err, ERR_SYSTEM_FILE, 0, "%s %s cannot be used as a directory of certificates", what,
                   path);
}

/* Returns: the next list; NULL at the end, or where it is none. */
static X509_CRL *next_crl(BIO *bio, bool is_pem)
{
    return is_pem ? PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL) : d2i_X509_CRL_bio(bio, NULL);
}

static int add_crls(X509_STORE *store, BIO *bio, const char *path, bool is_pem, struct err *err)
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
                       "there is no revocation list in --crl %s (PEM or DER is expected)", path);
    return whole ? 0
                 : err_set(err, ERR_SYSTEM_FILE, 0, "revocation list %d in --crl %s is damaged", count + 1,
                           path);
}

int tls_store_add_crls(SSL_CTX *context, const char *path, struct err *err)
{
    static const char mark[] = "-----BEGIN ";
    struct file file;
    BIO *bio = NULL;
    int result = -1;

    if (file_read("--crl", path, &file, err) < 0)
        return -1;
    bool is_pem = memmem(file.data, file.length, mark, sizeof mark - 1) != NULL;
    ERR_clear_error();
    if (X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context),
                                    X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) != 1)
        tls_fail(err, ERR_INTERNAL, "setting the TLS policy");
    else if ((!is_pem || tls_pem_check("--crl", path, &file, err) == 0) &&
             (bio = tls_file_bio(&file, err)) != NULL)
        result = add_crls(SSL_CTX_get_cert_store(context), bio, path, is_pem, err);
    BIO_free(bio);
    file_free(&file);
    return result;
}

/* No stat first: a process that may not search the directory may still have the file opened. Returns: 0, -1;
 * with *is_directory and without err where it is one. */
static int add_unless_directory(SSL_CTX *context, const char *what, const char *path,
                                STACK_OF(X509_NAME) * names, bool *is_directory, struct err *err)
{
    struct err why = {0};

    *is_directory = false;
    if (X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN) != 1)
        return tls_fail(err, ERR_INTERNAL, "setting the TLS policy");
    if (add_file(SSL_CTX_get_cert_store(context), what, path, names, &why) == 0)
        return 0;
    *is_directory = why.native == EISDIR;
    return *is_directory ? -1 : err_set_from(err, &why, "%s", why.text);
}

int tls_store_add(SSL_CTX *context, const char *what, const char *path, STACK_OF(X509_NAME) * names,
                  struct err *err)
{
    bool is_directory;
    int result = add_unless_directory(context, what, path, names, &is_directory, err);
    return is_directory ? add_directory(context, what, path, err) : result;
}

/* "5ed36f99.r0": a link to a revocation list. */
static bool is_hashed_crl(const char *name)
{
    char certificate[NAME_MAX + 1];
    const char *dot = strchr(name, '.');
    if (dot == NULL || dot[1] != 'r')
        return false;
    snprintf(certificate, sizeof certificate, "%.*s%s", (int)(dot + 1 - name), name, dot + 2);
    return is_hashed(certificate);
}

/* Reads what OpenSSL would find there. */
static int read_entry(SSL_CTX *context, const char *what, const char *path, const char *name, const char *crl,
                      struct err *err)
{
    char whole[PATH_MAX];
    bool is_crl = crl != NULL && is_hashed_crl(name);
    if (!is_crl && !is_hashed(name))
        return 0;
    if (snprintf(whole, sizeof whole, "%s/%s", path, name) >= (int)sizeof whole)
        return err_set(err, ERR_SYSTEM_FILE, ENAMETOOLONG, "%s %s/%s: %s", what, path, name,
                       strerror(ENAMETOOLONG));
    return is_crl ? tls_store_add_crls(context, whole, err)
                  : add_file(SSL_CTX_get_cert_store(context), what, whole, NULL, err);
}

/* Skips what OpenSSL would skip, too, and what is gone by now. */
static int read_entries(SSL_CTX *context, const char *what, const char *path, const char *crl, DIR *directory,
                        struct err *err)
{
    struct dirent *entry;
    while ((entry = next_entry(directory)) != NULL) {
        struct err why = {0};
        if (is_file(directory, entry->d_name) &&
            read_entry(context, what, path, entry->d_name, crl, &why) < 0 && why.native != ENOENT)
            return err_set_from(err, &why, "%s", why.text);
    }
    return errno == 0 ? 0 : fail_unreadable(what, path, err);
}

static int read_directory(SSL_CTX *context, const char *what, const char *path, const char *crl,
                          struct err *err)
{
    enum directory found = look_into(path);
    if (found != DIRECTORY_HASHED)
        return fail_directory(what, path, found, err);
    DIR *directory = opendir(path);
    if (directory == NULL)
        return fail_unreadable(what, path, err);
    int result = read_entries(context, what, path, crl, directory, err);
    closedir(directory);
    return result;
}

int tls_store_read(SSL_CTX *context, const char *what, const char *path, STACK_OF(X509_NAME) * names,
                   const char *crl, struct err *err)
{
    struct err why = {0};
    bool is_directory;
    int result = add_unless_directory(context, what, path, names, &is_directory, err);

    if (!is_directory)
        return result;
    if (read_directory(context, what, path, crl, &why) == 0)
        return 0;
    if (why.native != EACCES)
        return err_set_from(err, &why, "%s", why.text);
    return err_set_from(err, &why, "%s (the server's user, that of --user, must be allowed to read it)",
                        why.text);
}

static bool copy_object(X509_STORE *store, const X509_OBJECT *object)
{
    X509 *certificate = X509_OBJECT_get0_X509(object);
    X509_CRL *crl = X509_OBJECT_get0_X509_CRL(object);
    X509 *certificate_copy = certificate != NULL ? X509_dup(certificate) : NULL;
    X509_CRL *crl_copy = crl != NULL ? X509_CRL_dup(crl) : NULL;
    bool copied = (certificate_copy != NULL && X509_STORE_add_cert(store, certificate_copy) == 1) ||
                  (crl_copy != NULL && X509_STORE_add_crl(store, crl_copy) == 1);
    X509_free(certificate_copy);
    X509_CRL_free(crl_copy);
    return copied;
}

int tls_store_copy(SSL_CTX *context, SSL_CTX *from, struct err *err)
{
    X509_STORE *store = SSL_CTX_get_cert_store(context), *original = SSL_CTX_get_cert_store(from);
    unsigned long flags = X509_VERIFY_PARAM_get_flags(SSL_CTX_get0_param(from));
    bool copied = X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), flags) == 1 &&
                  X509_STORE_lock(original) == 1;
    if (copied) {
        const STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(original);
        for (int i = 0; i < sk_X509_OBJECT_num(objects) && copied; i++)
            copied = copy_object(store, sk_X509_OBJECT_value(objects, i));
        X509_STORE_unlock(original);
    }
    return copied ? 0 : tls_fail(err, ERR_INTERNAL, "copying the client CAs");
}

int tls_store_load(SSL_CTX *context, const char *ca, struct err *err)
{
    if (ca != NULL)
        return tls_store_add(context, "--ca", ca, NULL, err);
    return trust_system(context, err) == 0
               ? 0
               : tls_fail(err, ERR_SYSTEM_FILE, "reading the system's trust store");
}
