#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tcpgreet/base/err.h"

static void first_to_notice_is_not_overwritten(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(err_set(&err, ERR_CONNECT_REFUSED, ECONNREFUSED, "cannot connect to %s", "[::1]:6000"),
                     -1);
    assert_int_equal(err_set(&err, ERR_INTERNAL, 0, "something failed"), -1);
    assert_int_equal(err.reason, ERR_CONNECT_REFUSED);
    assert_int_equal(err.native, ECONNREFUSED);
    assert_string_equal(err.text, "cannot connect to [::1]:6000");
}

static void cleared_error_can_be_set_again(void **state)
{
    (void)state;
    static const struct err empty;
    struct err err = {0};
    (void)err_set(&err, ERR_USAGE, 7, "a");
    err_clear(&err);
    assert_memory_equal(&err, &empty, sizeof(err));
    (void)err_set(&err, ERR_SYSTEM_FILE, 0, "b");
    assert_int_equal(err.reason, ERR_SYSTEM_FILE);
    assert_string_equal(err.text, "b");
}

static void recorded_error_always_has_a_reason_and_a_text(void **state)
{
    (void)state;
    struct err err = {0};
    (void)err_set(&err, ERR_SYSTEM_FILE, 0, "%s", "");
    assert_string_equal(err.text, "system-file");
    err_clear(&err);
    (void)err_set(&err, ERR_OK, 0, "x");
    assert_int_equal(err.reason, ERR_INTERNAL);
    err_clear(&err);
    (void)err_set(&err, ERR_REASON_COUNT, 0, "x");
    assert_int_equal(err.reason, ERR_INTERNAL);
}

static void facts_are_recorded_with_the_reason_and_go_along_with_a_new_text(void **state)
{
    (void)state;
    static const char sent[] = "220 mail.example ESMTP, and more than is kept of what a peer has sent\r\n";
    struct err_facts facts = {.detail = ERR_DETAIL_TLS_VERSION,
                              .native = 3,
                              .alert = 70,
                              .depth = 1,
                              .awaited = ERR_TLS_TIMEOUT,
                              .name = "mail.example",
                              .received = BYTES_LITERAL(sent)};
    struct err err = {0}, other = {0};
    assert_int_equal(err_set_facts(&err, ERR_TLS_PROTOCOL, &facts, "a"), -1);
    assert_int_equal(err_set_facts(&err, ERR_INTERNAL, &(struct err_facts){0}, "b"), -1); /* too late */
    assert_int_equal(err_set_from(&other, &err, "cannot do it: %s", err.text), -1);
    assert_string_equal(other.text, "cannot do it: a");
    for (int i = 0; i < 2; i++) {
        const struct err *one = i == 0 ? &err : &other;
        assert_int_equal(one->reason, ERR_TLS_PROTOCOL);
        assert_int_equal(one->detail, ERR_DETAIL_TLS_VERSION);
        assert_int_equal(one->native, 3);
        assert_int_equal(one->alert, 70);
        assert_int_equal(one->depth, 1);
        assert_int_equal(one->awaited, ERR_TLS_TIMEOUT);
        assert_string_equal(one->name, "mail.example");
        assert_int_equal(err_received(one).length, ERR_RECEIVED_MAX);
        assert_memory_equal(err_received(one).data, sent, ERR_RECEIVED_MAX);
    }
    err_clear(&err);
    assert_int_equal(err_received(&err).length, 0);
    assert_int_equal(err_set(&err, ERR_USAGE, 0, "c"), -1);
    assert_string_equal(err.name, "");
    assert_int_equal(err.detail, ERR_DETAIL_NONE);
}

static void an_error_argument_may_be_null(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_USAGE, 0, "x"), -1);
    assert_int_equal(err_context(NULL, "x"), -1);
    err_clear(NULL);
}

static void context_goes_in_front(void **state)
{
    (void)state;
    struct err err = {0};
    (void)err_set(&err, ERR_SYSTEM_PERMISSION, EACCES, "permission denied");
    assert_int_equal(err_context(&err, "cannot listen on %s", "[::1]:80"), -1);
    assert_int_equal(err_context(&err, "%s", err.text), -1);
    assert_string_equal(err.text, "cannot listen on [::1]:80: permission denied: "
                                  "cannot listen on [::1]:80: permission denied");
    assert_int_equal(err.reason, ERR_SYSTEM_PERMISSION);
    assert_int_equal(err.native, EACCES);
}

static void context_of_no_failure_is_nothing(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(err_context(&err, "cannot"), -1);
    assert_int_equal(err.reason, ERR_OK);
    assert_string_equal(err.text, "");
}

/* Every distance of the unit from the edge, in a text set and in one pushed back by context. */
static void assert_cut_before(const char *unit)
{
    size_t length = strlen(unit);
    for (size_t lead = ERR_TEXT_BYTES - 1 - length; lead < ERR_TEXT_BYTES; lead++) {
        struct err set = {0};
        struct err moved = {0};
        char filler[ERR_TEXT_BYTES];
        memset(filler, 'x', sizeof(filler));
        (void)err_set(&set, ERR_INTERNAL, 0, "%.*s%sy", (int)lead, filler, unit);
        (void)err_set(&moved, ERR_INTERNAL, 0, "%sy", unit);
        (void)err_context(&moved, "%.*s", (int)lead - 2, filler);
        size_t kept = lead + length < ERR_TEXT_BYTES ? lead + length : lead;
        assert_int_equal(strlen(set.text), kept);
        assert_int_equal(strlen(moved.text), kept);
        if (kept > lead) {
            assert_string_equal(set.text + lead, unit);
            assert_string_equal(moved.text + lead, unit);
        }
    }
}

static void text_is_never_cut_inside_an_escape_or_a_character(void **state)
{
    (void)state;
    assert_cut_before("\\n");
    assert_cut_before("\\\\");
    assert_cut_before("\\x1b");
    assert_cut_before("\xc3\xbc");
    assert_cut_before("\xe2\x82\xac");
    assert_cut_before("\xf0\x9f\x91\x8b");
}

static void context_alone_may_fill_the_text(void **state)
{
    (void)state;
    struct err err = {0};
    char filler[2 * ERR_TEXT_BYTES];
    memset(filler, 'c', sizeof(filler));
    (void)err_set(&err, ERR_INTERNAL, 0, "why");
    (void)err_context(&err, "%.*s", (int)sizeof(filler), filler);
    assert_int_equal(strlen(err.text), ERR_TEXT_BYTES - 1);
    assert_int_equal(err.text[0], 'c');
}

static void reasons_have_the_words_and_exit_codes_of_the_contract(void **state)
{
    (void)state;
    static const struct {
        enum err_reason reason;
        const char *word;
        int code;
    } cases[] = {
        {ERR_OK, "ok", 0},
        {ERR_INTERNAL, "internal", 1},
        {ERR_USAGE, "usage", 2},
        {ERR_RESOLVE_NOT_FOUND, "resolve-not-found", 3},
        {ERR_RESOLVE_TEMPORARY, "resolve-temporary", 3},
        {ERR_CONNECT_REFUSED, "connect-refused", 4},
        {ERR_CONNECT_TIMEOUT, "connect-timeout", 4},
        {ERR_DIALOGUE_EARLY_END, "dialogue-early-end", 7},
        {ERR_DIALOGUE_TLS_PEER, "dialogue-tls-peer", 7},
        {ERR_SYSTEM_ADDRESS_IN_USE, "system-address-in-use", 8},
        {ERR_SYSTEM_OTHER, "system-other", 8},
        {ERR_INTERRUPTED, "interrupted", 130},
        {ERR_TERMINATED, "terminated", 143},
        {ERR_REASON_COUNT, "internal", 1},
        {(enum err_reason)9999, "internal", 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(err_word(cases[i].reason), cases[i].word);
        assert_int_equal(err_exit_code(cases[i].reason), cases[i].code);
    }
}

static size_t family_length(const char *word)
{
    return strcspn(word, "-");
}

static void words_differ_and_a_family_has_one_exit_code(void **state)
{
    (void)state;
    for (int a = 0; a < ERR_REASON_COUNT; a++) {
        for (int b = 0; b < a; b++) {
            const char *word_a = err_word((enum err_reason)a);
            const char *word_b = err_word((enum err_reason)b);
            assert_string_not_equal(word_a, word_b);
            size_t length = family_length(word_a);
            int same_family = length == family_length(word_b) && memcmp(word_a, word_b, length) == 0;
            int same_code = err_exit_code((enum err_reason)a) == err_exit_code((enum err_reason)b);
            assert_int_equal(same_family, same_code);
        }
    }
}

struct native_case {
    int native;
    enum err_reason reason;
};

static void connect_errnos_have_their_reasons(void **state)
{
    (void)state;
    static const struct native_case cases[] = {
        {ECONNREFUSED, ERR_CONNECT_REFUSED},     {ENETUNREACH, ERR_CONNECT_UNREACHABLE},
        {EHOSTUNREACH, ERR_CONNECT_UNREACHABLE}, {ENETDOWN, ERR_CONNECT_UNREACHABLE},
        {EHOSTDOWN, ERR_CONNECT_UNREACHABLE},    {EADDRNOTAVAIL, ERR_CONNECT_UNREACHABLE},
        {EACCES, ERR_CONNECT_UNREACHABLE},       {EPERM, ERR_CONNECT_UNREACHABLE},
        {ETIMEDOUT, ERR_CONNECT_TIMEOUT},        {ECONNRESET, ERR_CONNECT_RESET},
        {EMFILE, ERR_SYSTEM_DESCRIPTORS},        {ENFILE, ERR_SYSTEM_DESCRIPTORS},
        {EAFNOSUPPORT, ERR_SYSTEM_OTHER},        {0, ERR_SYSTEM_OTHER},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(err_reason_of_connect(cases[i].native), cases[i].reason);
}

static void system_errnos_have_their_reasons(void **state)
{
    (void)state;
    static const struct native_case cases[] = {
        {EADDRINUSE, ERR_SYSTEM_ADDRESS_IN_USE},
        {EADDRNOTAVAIL, ERR_SYSTEM_ADDRESS_NOT_AVAILABLE},
        {EACCES, ERR_SYSTEM_PERMISSION},
        {EPERM, ERR_SYSTEM_PERMISSION},
        {EMFILE, ERR_SYSTEM_DESCRIPTORS},
        {ENFILE, ERR_SYSTEM_DESCRIPTORS},
        {ENOENT, ERR_SYSTEM_FILE},
        {EISDIR, ERR_SYSTEM_FILE},
        {ENOTDIR, ERR_SYSTEM_FILE},
        {EIO, ERR_SYSTEM_FILE},
        {ENOSPC, ERR_SYSTEM_OUTPUT},
        {EPIPE, ERR_SYSTEM_OUTPUT},
        {ENOMEM, ERR_INTERNAL},
        {EAFNOSUPPORT, ERR_SYSTEM_OTHER},
        {0, ERR_SYSTEM_OTHER},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(err_reason_of_system(cases[i].native), cases[i].reason);
}

static void a_thread_that_cannot_be_started_names_the_limits(void **state)
{
    struct err err = {0};
    (void)state;

    assert_int_equal(err_set_no_thread(&err, EAGAIN), -1);
    assert_int_equal(err.reason, ERR_SYSTEM_OTHER);
    assert_int_equal(err.native, EAGAIN);
    assert_string_equal(
        err.text, "no thread can be started: Resource temporarily unavailable (raise ulimit -u or -v, or "
                  "pids.max of the control group)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_to_notice_is_not_overwritten),
        cmocka_unit_test(cleared_error_can_be_set_again),
        cmocka_unit_test(recorded_error_always_has_a_reason_and_a_text),
        cmocka_unit_test(facts_are_recorded_with_the_reason_and_go_along_with_a_new_text),
        cmocka_unit_test(an_error_argument_may_be_null),
        cmocka_unit_test(context_goes_in_front),
        cmocka_unit_test(context_of_no_failure_is_nothing),
        cmocka_unit_test(text_is_never_cut_inside_an_escape_or_a_character),
        cmocka_unit_test(context_alone_may_fill_the_text),
        cmocka_unit_test(reasons_have_the_words_and_exit_codes_of_the_contract),
        cmocka_unit_test(words_differ_and_a_family_has_one_exit_code),
        cmocka_unit_test(connect_errnos_have_their_reasons),
        cmocka_unit_test(system_errnos_have_their_reasons),
        cmocka_unit_test(a_thread_that_cannot_be_started_names_the_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
