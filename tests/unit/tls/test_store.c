#include <openssl/err.h>
#include <openssl/ssl.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/certificates.h"
#include "support/skip.h"
#include "tls/lookup.h"
#include "tls/store.h"

enum { OTHER_USER = 65534 };

static int entries_left = INT_MAX; /* until a directory cannot be read any more */

/* The linker takes this one instead of the C library's. */
struct dirent *readdir(DIR *directory)
{
    static struct dirent *(*real)(DIR *);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, sizeof(off_t) > sizeof(long) ? "readdir64" : "readdir");
    if (entries_left-- > 0)
        return real(directory);
    errno = EIO;
    return NULL;
}

/* Returns: the verdict on a certificate, X509_V_OK where it is trusted. */
static int verdict(X509_STORE *store, const struct certificate *certificate)
{
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    assert_non_null(context);
    assert_int_equal(X509_STORE_CTX_init(context, store, certificate->x509, NULL), 1);
    int held = X509_verify_cert(context);
    int code = X509_STORE_CTX_get_error(context);
    assert_int_equal(held == 1, code == X509_V_OK);
    assert_int_equal(ERR_peek_error(), 0);
    X509_STORE_CTX_free(context);
    return code;
}

static int known(X509_STORE *store)
{
    return sk_X509_OBJECT_num(X509_STORE_get0_objects(store));
}

static void add_lookup(X509_STORE *store, const char *directories, const char *file)
{
    struct err err = {0};
    struct tls_lookup lookup = {"--ca", directories, "the file", file};
    assert_int_equal(tls_lookup_add(store, &lookup, &err), 0);
    tls_lookup_begin();
}

/* "DIRECTORY/5ed36f99.0", as `openssl rehash` makes it, of one CA. */
static void hashed_path(const char *directory, const struct certificate *ca, const char *suffix,
                        char path[CERTIFICATES_PATH_BYTES * 2])
{
    snprintf(path, CERTIFICATES_PATH_BYTES * 2, "%s/%08lx.%s", directory, X509_subject_name_hash(ca->x509),
             suffix);
}

static void a_late_file_is_read_when_it_is_needed(void **state)
{
    const struct certificates *all = *state;
    X509_STORE *store = X509_STORE_new();
    add_lookup(store, "", all->ca_file);
    assert_int_equal(known(store), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(verdict(store, &all->server), X509_V_OK);
        assert_int_equal(known(store), 1);
    }
    X509_STORE_free(store);
}

static void a_late_file_is_left_alone_where_the_folder_has_the_ca(void **state)
{
    const struct certificates *all = *state;
    char path[CERTIFICATES_PATH_BYTES * 2];
    struct certificate foreign;
    X509_STORE *store = X509_STORE_new();
    certificate_make(&foreign, &(struct certificate_wish){.issuer = &all->unknown_ca});
    hashed_path(all->folder, &all->unknown_ca, "0", path);
    certificates_put(path, all->unknown_ca.x509);
    add_lookup(store, all->folder, all->ca_file);
    assert_int_equal(verdict(store, &foreign), X509_V_OK);
    assert_int_equal(known(store), 1);
    assert_int_equal(verdict(store, &all->server), X509_V_OK); /* of the file's CA */
    assert_int_equal(known(store), 2);
    X509_STORE_free(store);
    certificate_fini(&foreign);
}

static void what_is_in_neither_is_not_trusted(void **state)
{
    const struct certificates *all = *state;
    struct certificate foreign;
    certificate_make(&foreign, &(struct certificate_wish){.issuer = &all->unknown_ca});
    for (int there = 0; there < 2; there++) {
        X509_STORE *store = X509_STORE_new();
        add_lookup(store, "/nonexistent:", there ? all->ca_file : "/nonexistent");
        for (int i = 0; i < 2; i++)
            assert_int_equal(verdict(store, &foreign), X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
        assert_int_equal(known(store), there);
        assert_null(tls_lookup_fault()); /* what is not there is no fault */
        X509_STORE_free(store);
    }
    certificate_fini(&foreign);
}

/* A directory of a hashed CA, with links and a directory that OpenSSL would skip. */
static void make_directory(const struct certificates *all, const char *name,
                           char path[CERTIFICATES_PATH_BYTES])
{
    static const char *const names[] = {"deadbeef.0", "deadbeef.1", "deadbeef.2"};
    char within[CERTIFICATES_PATH_BYTES * 2];
    assert_int_equal(mkdir(certificates_path(all, name, path), 0700), 0);
    hashed_path(path, &all->root, "0", within);
    certificates_put(within, all->root.x509);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(within, sizeof within, "%s/%s", path, names[i]);
        assert_int_equal(i == 0   ? symlink("/nonexistent", within)
                         : i == 1 ? symlink(names[1], within)
                                  : mkdir(within, 0700),
                         0);
    }
}

static void remove_directory(const char *path)
{
    struct dirent *entry;
    DIR *directory = opendir(path);
    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            assert_int_equal(unlinkat(dirfd(directory), entry->d_name,
                                      strcmp(entry->d_name, "deadbeef.2") == 0 ? AT_REMOVEDIR : 0),
                             0);
    closedir(directory);
    assert_int_equal(rmdir(path), 0);
}

static int read_directory(const char *path, struct err *err)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    int result = tls_store_read(context, "--client-ca", path, names, NULL, err);
    assert_int_equal(result == 0 ? known(SSL_CTX_get_cert_store(context)) : 1, 1);
    sk_X509_NAME_pop_free(names, X509_NAME_free);
    SSL_CTX_free(context);
    ERR_clear_error();
    return result;
}

static void what_leads_nowhere_in_a_directory_is_skipped(void **state)
{
    char path[CERTIFICATES_PATH_BYTES];
    struct err err = {0};
    make_directory(*state, "links", path);
    assert_int_equal(read_directory(path, &err), 0);
    assert_int_equal(err.reason, ERR_OK);
    remove_directory(path);
}

static void a_directory_that_cannot_be_read_to_its_end_is_refused(void **state)
{
    char path[CERTIFICATES_PATH_BYTES], sentence[ERR_TEXT_BYTES];
    bool is_whole = false;
    make_directory(*state, "broken", path);
    snprintf(sentence, sizeof sentence, "--client-ca %s cannot be read: %s", path, strerror(EIO));
    for (int count = 0; !is_whole; count++) {
        struct err err = {0};
        assert_in_range(count, 0, 100);
        entries_left = count;
        is_whole = read_directory(path, &err) == 0;
        entries_left = INT_MAX;
        if (is_whole)
            continue;
        assert_int_equal(err.reason, ERR_SYSTEM_FILE);
        assert_string_equal(err.text, sentence);
    }
    remove_directory(path);
}

static void a_directory_that_may_not_be_read_is_refused_with_that_reason(void **state)
{
    const struct certificates *all = *state;
    char path[CERTIFICATES_PATH_BYTES], sentence[ERR_TEXT_BYTES];
    struct err errs[2] = {0};
    make_directory(all, "forbidden", path);
    assert_int_equal(chmod(all->folder, 0711), 0);
    assert_int_equal(chmod(path, 0311), 0);
    bool is_root = geteuid() == 0;
    if (is_root && seteuid(OTHER_USER) < 0)
        skip_because("another user");
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    int results[] = {read_directory(path, &errs[0]), tls_store_load(context, path, &errs[1])};
    SSL_CTX_free(context);
    assert_int_equal(is_root ? seteuid(0) : 0, 0);
    assert_int_equal(chmod(path, 0700), 0);
    remove_directory(path);
    for (int i = 0; i < 2; i++) {
        snprintf(sentence, sizeof sentence, "%s %s cannot be read: %s", i == 0 ? "--client-ca" : "--ca", path,
                 strerror(EACCES));
        assert_int_equal(results[i], -1);
        assert_int_equal(errs[i].reason, ERR_SYSTEM_PERMISSION);
        assert_string_equal(errs[i].text, sentence);
    }
}

/* The kinds of entry that OpenSSL would wait for, or pass over in silence. */
static void what_a_hashed_entry_lacks_is_its_fault(void **state)
{
    const struct certificates *all = *state;
    static const struct {
        const char *file; /* the bytes of it, NULL for a FIFO */
        const char *text; /* after its path */
    } cases[] = {
        {NULL, " cannot be read: it is a FIFO, not a regular file"},
        {"no certificate\n", " (PEM is expected)"},
        {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", " is damaged"},
    };
    char path[CERTIFICATES_PATH_BYTES], within[CERTIFICATES_PATH_BYTES * 2];
    make_directory(all, "faults", path);
    hashed_path(path, &all->root, "0", within);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[sizeof within + 64];
        X509_STORE *store = X509_STORE_new();
        assert_int_equal(unlink(within), 0);
        if (cases[i].file == NULL)
            assert_int_equal(mkfifo(within, 0600), 0);
        else
            certificates_put_bytes(within, (struct bytes){cases[i].file, strlen(cases[i].file)});
        add_lookup(store, path, NULL);
        assert_int_equal(verdict(store, &all->server), X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
        const struct err *fault = tls_lookup_fault();
        assert_non_null(fault);
        snprintf(text, sizeof text, "--ca %s%s", within, cases[i].text);
        assert_int_equal(fault->reason, ERR_SYSTEM_FILE);
        assert_non_null(strstr(fault->text, text));
        tls_lookup_begin();
        assert_null(tls_lookup_fault());
        X509_STORE_free(store);
    }
    remove_directory(path);
}

static void a_hashed_entry_that_may_not_be_read_is_reported_with_that_reason(void **state)
{
    const struct certificates *all = *state;
    char path[CERTIFICATES_PATH_BYTES], within[CERTIFICATES_PATH_BYTES * 2];
    X509_STORE *store = X509_STORE_new();
    make_directory(all, "closed", path);
    hashed_path(path, &all->root, "0", within);
    assert_int_equal(chmod(within, 0), 0);
    assert_int_equal(chmod(all->folder, 0711), 0);
    assert_int_equal(chmod(path, 0711), 0);
    bool is_root = geteuid() == 0;
    if (is_root && seteuid(OTHER_USER) < 0)
        skip_because("another user");
    add_lookup(store, path, NULL);
    int code = verdict(store, &all->server);
    assert_int_equal(is_root ? seteuid(0) : 0, 0);
    assert_int_equal(code, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
    assert_non_null(tls_lookup_fault());
    assert_int_equal(tls_lookup_fault()->reason, ERR_SYSTEM_PERMISSION);
    X509_STORE_free(store);
    remove_directory(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_late_file_is_read_when_it_is_needed),
        cmocka_unit_test(a_late_file_is_left_alone_where_the_folder_has_the_ca),
        cmocka_unit_test(what_is_in_neither_is_not_trusted),
        cmocka_unit_test(what_a_hashed_entry_lacks_is_its_fault),
        cmocka_unit_test(a_hashed_entry_that_may_not_be_read_is_reported_with_that_reason),
        cmocka_unit_test(what_leads_nowhere_in_a_directory_is_skipped),
        cmocka_unit_test(a_directory_that_cannot_be_read_to_its_end_is_refused),
        cmocka_unit_test(a_directory_that_may_not_be_read_is_refused_with_that_reason),
    };
    return cmocka_run_group_tests(tests, certificates_set_up, certificates_tear_down);
}
