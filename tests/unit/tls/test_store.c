#include <openssl/err.h>
#include <openssl/ssl.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/certificates.h"
#include "tls/store.h"

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

/* A folder as `openssl rehash` makes it, with one CA. */
static void add_folder(X509_STORE *store, const struct certificates *all, const struct certificate *ca)
{
    char name[16], file[CERTIFICATES_PATH_BYTES];
    snprintf(name, sizeof name, "%08lx.0", X509_subject_name_hash(ca->x509));
    certificates_put(certificates_path(all, name, file), ca->x509);
    assert_int_equal(X509_STORE_load_path(store, all->folder), 1);
}

static void a_late_file_is_read_when_it_is_needed(void **state)
{
    const struct certificates *all = *state;
    X509_STORE *store = X509_STORE_new();
    assert_int_equal(tls_store_add_late(store, all->ca_file), 0);
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
    struct certificate foreign;
    X509_STORE *store = X509_STORE_new();
    certificate_make(&foreign, &(struct certificate_wish){.issuer = &all->unknown_ca});
    add_folder(store, all, &all->unknown_ca);
    assert_int_equal(tls_store_add_late(store, all->ca_file), 0);
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
        assert_int_equal(tls_store_add_late(store, there ? all->ca_file : "/nonexistent"), 0);
        for (int i = 0; i < 2; i++)
            assert_int_equal(verdict(store, &foreign), X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
        assert_int_equal(known(store), there);
        X509_STORE_free(store);
    }
    certificate_fini(&foreign);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_late_file_is_read_when_it_is_needed),
        cmocka_unit_test(a_late_file_is_left_alone_where_the_folder_has_the_ca),
        cmocka_unit_test(what_is_in_neither_is_not_trusted),
    };
    return cmocka_run_group_tests(tests, certificates_set_up, certificates_tear_down);
}
