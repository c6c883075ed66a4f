#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "probe/contexts.h"
#include "support/certificates.h"

static void equal_settings_have_one_context(void **state)
{
    const struct certificates *certificates = *state;
    struct probe_contexts contexts = {0};
    struct err err = {0};
    char path[CERTIFICATES_PATH_BYTES];
    struct tls_client_config config = {.ca = certificates->ca_file, .policy.alpn = "greet"};

    struct probe_context *first = probe_contexts_get(&contexts, &config, &err);
    assert_non_null(first);
    snprintf(path, sizeof path, "%s", certificates->ca_file);
    config.ca = path; /* the same text at another place */
    config.servername = "localhost";
    assert_ptr_equal(probe_contexts_get(&contexts, &config, &err), first);
    assert_int_equal(first->users, 2);
    probe_contexts_put(&contexts, first);
    probe_contexts_put(&contexts, first);
    assert_ptr_equal(probe_contexts_get(&contexts, &config, &err), first); /* kept for later */
    probe_contexts_put(&contexts, first);
    probe_contexts_fini(&contexts);
}

static void every_setting_makes_a_difference(void **state)
{
    const struct certificates *certificates = *state;
    const struct tls_client_config configs[] = {
        {.ca = certificates->ca_file},
        {.policy.insecure = true},
        {.ca = certificates->ca_file, .policy.tls13_only = true},
        {.ca = certificates->ca_file, .policy.alpn = "a"},
        {.ca = certificates->ca_file, .policy.alpn = "b"},
        {.ca = certificates->server_file},
        {.ca = certificates->ca_file, .identity.cert = certificates->client_file},
        {.ca = certificates->ca_file, .pins = {.count = 1}},
        {.ca = certificates->ca_file, .pins = {.count = 1, .list = {{{1}}}}},
        {.ca = certificates->ca_file, .pins = {.count = 2}},
    };
    enum { COUNT = sizeof configs / sizeof configs[0] };
    struct probe_context *found[COUNT];
    struct probe_contexts contexts = {0};
    struct err err = {0};

    for (size_t i = 0; i < COUNT; i++) {
        found[i] = probe_contexts_get(&contexts, &configs[i], &err);
        if (found[i] == NULL)
            fail_msg("%s", err.text);
        for (size_t j = 0; j < i; j++)
            assert_ptr_not_equal(found[i], found[j]);
    }
    for (size_t i = 0; i < COUNT; i++)
        probe_contexts_put(&contexts, found[i]);
    probe_contexts_fini(&contexts);
}

static size_t count(const struct probe_contexts *contexts)
{
    size_t count = 0;
    for (const struct probe_context *context = contexts->first; context != NULL; context = context->next)
        count++;
    return count;
}

static void unused_contexts_are_kept_in_a_limited_number(void **state)
{
    struct probe_contexts contexts = {0};
    struct tls_client_config config = {.policy.insecure = true};
    struct err err = {0};
    char alpn[16];

    (void)state;
    struct probe_context *used = probe_contexts_get(&contexts, &config, &err);
    config.policy.alpn = alpn;
    for (int i = 0; i < 3 * PROBE_CONTEXTS_UNUSED_MAX; i++) {
        snprintf(alpn, sizeof alpn, "n%d", i);
        probe_contexts_put(&contexts, probe_contexts_get(&contexts, &config, &err));
    }
    assert_int_equal(count(&contexts), PROBE_CONTEXTS_UNUSED_MAX + 1);
    probe_contexts_put(&contexts, used);
    probe_contexts_fini(&contexts);
}

static void files_that_were_read_again_count_from_then_on(void **state)
{
    const struct certificates *certificates = *state;
    struct probe_contexts contexts = {0};
    struct err err = {0};
    char path[CERTIFICATES_PATH_BYTES];
    struct tls_client_config config = {.ca = certificates_path(certificates, "reload.pem", path)};

    certificates_put(path, certificates->root.x509);
    struct probe_context *old = probe_contexts_get(&contexts, &config, &err);
    assert_non_null(old);
    certificates_put_bytes(path, BYTES_LITERAL("no certificate"));
    assert_int_equal(probe_contexts_reload(&contexts, &err), -1);
    assert_int_equal(err.reason, ERR_SYSTEM_FILE);
    assert_ptr_equal(probe_contexts_get(&contexts, &config, &err), old); /* it stays as it is */
    probe_contexts_put(&contexts, old);

    certificates_put_bytes(path, BYTES_LITERAL(""));
    certificates_put(path, certificates->root.x509);
    err_clear(&err);
    assert_int_equal(probe_contexts_reload(&contexts, &err), 0);
    struct probe_context *renewed = probe_contexts_get(&contexts, &config, &err);
    assert_ptr_not_equal(renewed, old);
    assert_int_equal(count(&contexts), 2); /* one is still in use */
    probe_contexts_put(&contexts, old);
    assert_int_equal(count(&contexts), 1);
    probe_contexts_put(&contexts, renewed);
    probe_contexts_fini(&contexts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_settings_have_one_context),
        cmocka_unit_test(every_setting_makes_a_difference),
        cmocka_unit_test(unused_contexts_are_kept_in_a_limited_number),
        cmocka_unit_test(files_that_were_read_again_count_from_then_on),
    };
    return cmocka_run_group_tests(tests, certificates_set_up, certificates_tear_down);
}
