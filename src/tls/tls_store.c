#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tls_private.h"

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
    late->read = true;
    ERR_set_mark(); /* a system may do without this file */
    X509_STORE_load_file(store, late->file);
    ERR_pop_to_mark();
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

static void make_late_method(void)
{
    late_method = X509_LOOKUP_meth_new("late file");
    if (late_method != NULL && (X509_LOOKUP_meth_set_get_by_subject(late_method, late_by_subject) != 1 ||
                                X509_LOOKUP_meth_set_free(late_method, late_free) != 1)) {
        X509_LOOKUP_meth_free(late_method);
        late_method = NULL;
    }
}

int tls_store_add_late(X509_STORE *store, const char *file)
{
    static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
    X509_LOOKUP *lookup = CRYPTO_THREAD_run_once(&once, make_late_method) && late_method != NULL
                              ? X509_STORE_add_lookup(store, late_method)
                              : NULL;
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

/* Another file that the environment names is read at once: it may hold other CAs of the same names. */
static int trust_system(SSL_CTX *context)
{
    const char *chosen = tls_getenv(X509_get_default_cert_file_env());
    if (chosen != NULL && !same_file(chosen, X509_get_default_cert_file()))
        return SSL_CTX_set_default_verify_paths(context) == 1 ? 0 : -1;
    return SSL_CTX_set_default_verify_dir(context) == 1
               ? tls_store_add_late(SSL_CTX_get_cert_store(context), X509_get_default_cert_file())
               : -1;
}

int tls_store_load(SSL_CTX *context, const char *ca, struct err *err)
{
    struct stat status;
    if (ca == NULL)
        return trust_system(context) == 0
                   ? 0
                   : tls_fail(err, ERR_SYSTEM_FILE, "reading the system's trust store");
    if (stat(ca, &status) < 0)
        return err_set(err, ERR_SYSTEM_FILE, errno, "cannot read --ca %s: %s", ca, strerror(errno));
    bool folder = S_ISDIR(status.st_mode);
    if ((folder ? SSL_CTX_load_verify_dir(context, ca) : SSL_CTX_load_verify_file(context, ca)) == 1)
        return 0;
    ERR_clear_error();
    return err_set(err, ERR_SYSTEM_FILE, 0, "there is no CA certificate in %s (PEM is expected)", ca);
}
