#include "lookup.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "memory.h"
#include "pem.h"

/* The one file of all CAs takes 40 ms to parse. Where the system keeps them also in a folder, by their names'
 * hashes, the one or two that are needed are found there, and the file is read only for what the folder
 * lacks. */

/* The revocation lists of an issuer that were read from a directory. */
struct lists {
    struct lists *next;
    size_t directory; /* its position in the text of all */
    unsigned long hash;
    int count;
};

struct lookup {
    struct tls_lookup where;
    struct lists *lists;
    bool file_is_read;
};

static X509_LOOKUP_METHOD *method;
static _Thread_local struct err fault;
static _Thread_local bool is_of_list;

void tls_lookup_begin(void)
{
    fault = (struct err){0};
    is_of_list = false;
}

const struct err *tls_lookup_fault(void)
{
    return fault.reason != ERR_OK ? &fault : NULL;
}

bool tls_lookup_lacks_list(void)
{
    return is_of_list;
}

/* That of a list replaces that of a CA, which may not be needed. */
static void keep_fault(const struct err *why, bool of_list)
{
    if (of_list && !is_of_list)
        tls_lookup_begin();
    is_of_list = is_of_list || of_list;
    err_set_from(&fault, why, "%s", why->text);
}

/* Gives the first that the store has by now. */
static bool find(X509_STORE *store, X509_LOOKUP_TYPE type, const X509_NAME *name, X509_OBJECT *result)
{
    if (X509_STORE_lock(store) != 1)
        return false;
    X509_OBJECT *object = X509_OBJECT_retrieve_by_subject(X509_STORE_get0_objects(store), type, name);
    X509 *certificate = X509_OBJECT_get0_X509(object);
    X509_CRL *crl = X509_OBJECT_get0_X509_CRL(object);
    bool found = (certificate != NULL && X509_OBJECT_set1_X509(result, certificate) == 1) ||
                 (crl != NULL && X509_OBJECT_set1_X509_CRL(result, crl) == 1);
    if (found) { /* OpenSSL's caller takes one more reference; the store has its own */
        X509_free(certificate);
        X509_CRL_free(crl);
    }
    X509_STORE_unlock(store);
    return found;
}

/* Returns: whether it was read. */
static bool read_file(X509_STORE *store, X509_LOOKUP_TYPE type, const char *what, const char *path)
{
    struct err why = {0};
    ERR_set_mark();
    int result = type == X509_LU_CRL ? tls_pem_add_crls(store, what, path, &why)
                                     : tls_pem_add_cas(store, what, path, NULL, &why);
    ERR_pop_to_mark();
    bool is_absent = why.native == ENOENT || why.native == ENOTDIR || why.native == ELOOP;
    if (result < 0 && !is_absent)
        keep_fault(&why, type == X509_LU_CRL);
    return result == 0;
}

static struct lists *find_lists(const struct lookup *lookup, size_t directory, unsigned long hash)
{
    struct lists *lists = lookup->lists;
    while (lists != NULL && (lists->directory != directory || lists->hash != hash))
        lists = lists->next;
    return lists;
}

/* Without memory they are read again the next time. */
static void keep_lists(struct lookup *lookup, size_t directory, unsigned long hash, int count)
{
    struct lists *lists = find_lists(lookup, directory, hash);
    if (lists == NULL && count > 0 && (lists = malloc(sizeof *lists)) != NULL) {
        *lists = (struct lists){.next = lookup->lists, .directory = directory, .hash = hash};
        lookup->lists = lists;
    }
    if (lists != NULL)
        lists->count = count;
}

/* Reads the files of a name, which are numbered. */
static void read_directory(struct lookup *lookup, X509_STORE *store, X509_LOOKUP_TYPE type,
                           struct bytes directory, unsigned long hash)
{
    char path[PATH_MAX];
    size_t position = (size_t)(directory.data - lookup->where.directories);
    bool is_crl = type == X509_LU_CRL;
    const struct lists *lists = is_crl ? find_lists(lookup, position, hash) : NULL;
    int count = lists != NULL ? lists->count : 0;
    while (snprintf(path, sizeof path, "%.*s/%08lx.%s%d", (int)directory.length, directory.data, hash,
                    is_crl ? "r" : "", count) < (int)sizeof path &&
           read_file(store, type, lookup->where.directories_are, path))
        count++;
    if (is_crl)
        keep_lists(lookup, position, hash, count);
}

static bool read_directories(struct lookup *lookup, X509_STORE *store, X509_LOOKUP_TYPE type,
                             const X509_NAME *name, X509_OBJECT *result)
{
    int hashed = 0;
    bool found = false;
    unsigned long hash = X509_NAME_hash_ex(name, NULL, NULL, &hashed);
    const char *list = lookup->where.directories;

    for (size_t length; hashed == 1 && !found && list[0] != '\0'; list += length + (list[length] == ':')) {
        length = strcspn(list, ":");
        if (length == 0)
            continue;
        read_directory(lookup, store, type, (struct bytes){list, length}, hash);
        found = find(store, type, name, result);
    }
    return found;
}

/* Called where the store knows no CA of this name, and for the revocation lists of each. */
static int by_subject(X509_LOOKUP *opened, X509_LOOKUP_TYPE type, const X509_NAME *name, X509_OBJECT *result)
{
    struct lookup *lookup = X509_LOOKUP_get_method_data(opened);
    X509_STORE *store = X509_LOOKUP_get_store(opened);

    if (type != X509_LU_X509 && type != X509_LU_CRL)
        return 0;
    if (read_directories(lookup, store, type, name, result))
        return 1;
    if (type != X509_LU_X509 || lookup->where.file == NULL || lookup->file_is_read)
        return 0;
    bool was_read = read_file(store, type, lookup->where.file_is, lookup->where.file);
    lookup->file_is_read = was_read && !tls_memory_is_short();
    return find(store, type, name, result) ? 1 : 0;
}

static void free_lookup(X509_LOOKUP *opened)
{
    struct lookup *lookup = X509_LOOKUP_get_method_data(opened);
    for (struct lists *lists = lookup != NULL ? lookup->lists : NULL, *next; lists != NULL; lists = next) {
        next = lists->next;
        free(lists);
    }
    free(lookup);
}

static bool make_method(void)
{
    method = X509_LOOKUP_meth_new("files read without waiting");
    if (method != NULL && (X509_LOOKUP_meth_set_get_by_subject(method, by_subject) != 1 ||
                           X509_LOOKUP_meth_set_free(method, free_lookup) != 1)) {
        X509_LOOKUP_meth_free(method);
        method = NULL;
    }
    return method != NULL;
}

int tls_lookup_add(X509_STORE *store, const struct tls_lookup *where, struct err *err)
{
    static struct tls_once once = TLS_ONCE_INIT;
    struct lookup *lookup = calloc(1, sizeof *lookup);
    X509_LOOKUP *opened =
        lookup != NULL && tls_once(&once, make_method) ? X509_STORE_add_lookup(store, method) : NULL;
    if (opened == NULL) {
        free(lookup);
        ERR_clear_error();
        return err_set(err, ERR_INTERNAL, ENOMEM, "no memory for a trust store");
    }
    lookup->where = *where;
    X509_LOOKUP_set_method_data(opened, lookup);
    return 0;
}
