#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "context.h"
#include "lookup.h"
#include "pem.h"

static bool same_file(const char *a, const char *b)
{
    struct stat one, other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

/* That another file that the environment names is missing is not an error: the directory may be enough. */
static int add_chosen(X509_STORE *store, const char *path, struct err *err)
{
    struct err why = {0};
    if (path[0] == '\0' || tls_pem_add_cas(store, "SSL_CERT_FILE", path, NULL, &why) == 0 ||
        why.native == ENOENT)
        return 0;
    return err_set_from(err, &why, "%s", why.text);
}

/* Another file that the environment names is read at once: it may hold other CAs of the same names. */
static int trust_system(X509_STORE *store, struct err *err)
{
    const char *file = tls_getenv(X509_get_default_cert_file_env());
    bool is_chosen = file != NULL && !same_file(file, X509_get_default_cert_file());
    struct tls_lookup lookup = {.directories_are = tls_getenv(X509_get_default_cert_dir_env()) != NULL
                                                       ? "SSL_CERT_DIR"
                                                       : "the trust store",
                                .directories = tls_store_directory(),
                                .file_is = file != NULL ? "SSL_CERT_FILE" : "the trust store",
                                .file = is_chosen ? NULL : X509_get_default_cert_file()};

    if (is_chosen && add_chosen(store, file, err) < 0)
        return -1;
    return tls_lookup_add(store, &lookup, err);
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
    return tls_lookup_add(SSL_CTX_get_cert_store(context),
                          &(struct tls_lookup){.directories_are = what, .directories = path}, err);
}

int tls_store_add_crls(SSL_CTX *context, const char *what, const char *path, struct err *err)
{
    if (X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context),
                                    X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) != 1)
        return tls_fail(err, ERR_INTERNAL, "setting the TLS policy");
    return tls_pem_add_crls(SSL_CTX_get_cert_store(context), what, path, err);
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
    if (tls_pem_add_cas(SSL_CTX_get_cert_store(context), what, path, names, &why) == 0)
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
    return is_crl ? tls_store_add_crls(context, "--crl", whole, err)
                  : tls_pem_add_cas(SSL_CTX_get_cert_store(context), what, whole, NULL, err);
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
    return trust_system(SSL_CTX_get_cert_store(context), err);
}
