#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "support/command_line.h"
#include "tcpgreet/core/greeting.h"

#define EIGHT(digit) digit digit digit digit digit digit digit digit
#define PIN(digit) "sha256:" EIGHT(EIGHT(digit))

static void defaults_are_those_of_the_contract(void **state)
{
    (void)state;
    PARSE("--listen", "6000");
    assert_int_equal(options.attempt_delay_ms, 250);
    assert_int_equal(options.connect_timeout_ms, 10000);
    assert_int_equal(options.timeout_ms, -1);
    assert_int_equal(options.answer_timeout_ms, 10000);
    assert_int_equal(options.handshake_timeout_ms, 10000);
    assert_int_equal(options.idle_timeout_ms, 300000);
    assert_int_equal(options.name_timeout_ms, 30000);
    assert_int_equal(options.drain_timeout_ms, 10000);
    assert_int_equal(options.pause_ms, 300);
    assert_int_equal(options.workers, 0);
    assert_int_equal(options.max_connections, 0);
    assert_int_equal(options.backlog, 0);
    assert_int_equal(options.framing, FRAMING_AUTO);
    assert_int_equal(options.log_format, LOG_TEXT);
    assert_int_equal(options.color, COLOR_AUTO);
    assert_null(options.source);
    assert_null(options.ca);
    assert_null(options.servername);
    assert_null(options.passphrase_file);
    assert_null(options.client_ca);
    assert_null(options.alpn);
    assert_null(options.ticket_keys);
    assert_int_equal(options.tls_min, TLS_MIN_1_2);
    assert_int_equal(options.client_auth, CLIENT_AUTH_REQUIRE);
    assert_int_equal(options.pins.count + options.certs.count + options.keys.count, 0);
    assert_false(options.tls || options.insecure);
    assert_false(options.ipv4_only || options.ipv6_only || options.explain || options.verbose ||
                 options.quiet);
    options_fini(&options);
}

static void every_option_reaches_its_field(void **state)
{
    (void)state;
    PARSE("--listen", "::1", "6000", "--idle-timeout=1m", "--name-timeout", "2s", "--drain-timeout", "0",
          "--pause=0", "--max-connections", "7", "--backlog=16", "--workers=1");
    assert_int_equal(options.mode, MODE_LISTEN);
    assert_int_equal(options.idle_timeout_ms, 60000);
    assert_int_equal(options.name_timeout_ms, 2000);
    assert_int_equal(options.drain_timeout_ms, 0);
    assert_int_equal(options.pause_ms, 0);
    assert_int_equal(options.max_connections, 7);
    assert_int_equal(options.backlog, 16);
    assert_int_equal(options.workers, 1);
    options_fini(&options);

    PARSE("--connect", "::1", "6000", "--source=::2", "--attempt-delay=10ms", "--connect-timeout=3s",
          "--timeout=1h", "--answer-timeout=4s", "--framing=bare", "--log-format=json", "--color=never",
          "-v6", "--explain", "--format=text");
    assert_int_equal(options.mode, MODE_CONNECT);
    assert_string_equal(options.source, "::2");
    assert_int_equal(options.attempt_delay_ms, 10);
    assert_int_equal(options.connect_timeout_ms, 3000);
    assert_int_equal(options.timeout_ms, 3600000);
    assert_int_equal(options.answer_timeout_ms, 4000);
    assert_int_equal(options.framing, FRAMING_BARE);
    assert_int_equal(options.log_format, LOG_JSON);
    assert_int_equal(options.color, COLOR_NEVER);
    assert_true(options.verbose && options.ipv6_only && options.explain);
    assert_false(options.quiet || options.ipv4_only);
    options_fini(&options);
}

static void every_option_of_probe_reaches_its_field(void **state)
{
    (void)state;
    PARSE("--probe", "a", "1");
    assert_int_equal(options.mode, MODE_PROBE);
    assert_int_equal(options.until, UNTIL_DIALOGUE);
    assert_int_equal(options.require, REQUIRE_ALL);
    assert_int_equal(options.interval_ms, -1);
    assert_int_equal(options.retry_ms, -1);
    assert_int_equal(options.count + options.expect_days + options.volume_bytes, 0);
    assert_int_equal(options.warn.count + options.crit.count, 0);
    assert_null(options.plot);
    options_fini(&options);

    PARSE("--probe", "a", "1", "--tls", "--until=tls", "--count=3", "--interval", "2s", "--expect-days=14",
          "--warn=0.2", "--crit", "connect=100ms,total=0.5", "--require=any", "--attempt-delay=300ms",
          "--plot=x.svg", "--format=json");
    assert_int_equal(options.until, UNTIL_TLS);
    assert_int_equal(options.count, 3);
    assert_int_equal(options.interval_ms, 2000);
    assert_int_equal(options.expect_days, 14);
    assert_string_equal(threshold_find(&options.warn, "total")->text, "0.2");
    assert_string_equal(threshold_find(&options.crit, "connect")->text, "0.1");
    assert_int_equal(options.crit.count, 2);
    assert_int_equal(options.require, REQUIRE_ANY);
    assert_int_equal(options.attempt_delay_ms, 300);
    assert_string_equal(options.plot, "x.svg");
    assert_int_equal(options.format, FORMAT_JSON);
    options_fini(&options);

    PARSE("--retry=30s", "--probe", "a:1", "--explain", "-q", "--volume=64k", "--", "make", "-k", "--");
    assert_int_equal(options.retry_ms, 30000);
    assert_true(options.quiet && options.explain);
    assert_int_equal(options.volume_bytes, 65536);
    assert_int_equal(options.operand_count, 3);
    assert_string_equal(options.operands[1], "-k");
    assert_string_equal(options.operands[2], "--");
    assert_null(options.operands[3]);
    options_fini(&options);
}

static void bytes_may_have_a_suffix(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        int64_t bytes;
    } cases[] = {{"1", 1}, {"4096", 4096}, {"1k", 1024}, {"1M", 1048576}, {"1024M", 1073741824}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        PARSE("--probe", "a", "1", "--volume", cases[i].word);
        assert_int_equal(options.volume_bytes, cases[i].bytes);
        options_fini(&options);
    }
}

static void every_option_of_tls_reaches_its_field(void **state)
{
    (void)state;
    PARSE("--listen", "1", "--tls", "--cert=a.crt", "--key", "a.key", "--cert", "b.crt", "--key=b.key",
          "--key-passphrase-file=p", "--client-ca=c");
    assert_true(options.tls);
    assert_int_equal(options.certs.count, 2);
    assert_int_equal(options.keys.count, 2);
    assert_string_equal(options.certs.values[1], "b.crt");
    assert_string_equal(options.keys.values[0], "a.key");
    assert_string_equal(options.passphrase_file, "p");
    assert_string_equal(options.client_ca, "c");
    assert_int_equal(options.client_auth, CLIENT_AUTH_REQUIRE);
    options_fini(&options);

    PARSE("--listen", "1", "--tls", "--insecure", "--client-ca=c", "--client-auth", "request",
          "--tls-min=1.3", "--alpn=a,b", "--ticket-keys=t", "--handshake-timeout=2s");
    assert_true(options.insecure);
    assert_int_equal(options.client_auth, CLIENT_AUTH_REQUEST);
    assert_int_equal(options.tls_min, TLS_MIN_1_3);
    assert_string_equal(options.alpn, "a,b");
    assert_string_equal(options.ticket_keys, "t");
    assert_int_equal(options.handshake_timeout_ms, 2000);
    options_fini(&options);

    PARSE("--connect", "a", "1", "--tls", "--ca=x", "--servername=n", "--pin=" PIN("0"), "--pin", PIN("f"),
          "--cert=c", "--key=k", "--tls-min=1.2");
    assert_string_equal(options.ca, "x");
    assert_string_equal(options.servername, "n");
    assert_int_equal(options.pins.count, 2);
    assert_string_equal(options.pins.values[1], PIN("f"));
    assert_string_equal(options.certs.values[0], "c");
    assert_int_equal(options.tls_min, TLS_MIN_1_2);
    assert_false(options.insecure);
    options_fini(&options);
}

static void each_misbehaviour_reaches_its_field(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        enum options_misbehave kind;
        int64_t ms;
    } lines[] = {{"delay:1.5s", MISBEHAVE_DELAY, 1500},
                 {"drip:1ms", MISBEHAVE_DRIP, 1},
                 {"drip:20s", MISBEHAVE_DRIP, 20000},
                 {"reset", MISBEHAVE_RESET, 0},
                 {"half-close", MISBEHAVE_HALF_CLOSE, 0},
                 {"no-close-notify", MISBEHAVE_NO_CLOSE_NOTIFY, 0},
                 {"mute", MISBEHAVE_MUTE, 0}};

    PARSE("--listen", "1");
    assert_int_equal(options.misbehave, MISBEHAVE_NOT);
    options_fini(&options);
    for (size_t i = 0; i < COUNT(lines); i++) {
        PARSE("--listen", "1", "--tls", "--misbehave", lines[i].word);
        assert_int_equal(options.misbehave, lines[i].kind);
        assert_int_equal(options.misbehave_ms, lines[i].ms);
        options_fini(&options);
    }
}

static void durations_have_a_unit_and_may_have_a_fraction(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        int64_t ms;
    } cases[] = {{"1ms", 1},      {"500ms", 500},      {"10s", 10000},   {"5m", 300000},
                 {"1h", 3600000}, {"168h", 604800000}, {"1.5s", 1500},   {"0.5h", 1800000},
                 {"2.0ms", 2},    {"0.001s", 1},       {"0.0000025h", 9}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        PARSE("--connect", "a", "1", "--timeout", cases[i].word);
        assert_int_equal(options.timeout_ms, cases[i].ms);
        options_fini(&options);
    }
    static const char *const wrong[] = {"10",   "0",   "s",   "ms",   "10 s",   "10S",   "10sec",
                                        "1d",   "1.s", ".5s", "1,5s", "1..5s",  "0.5ms", "1.0005s",
                                        "1s1s", "+1s", " 1s", "169h", "168.1h", "1e3s",  "0x1s"};
    for (size_t i = 0; i < COUNT(wrong); i++)
        REFUSE("--timeout takes a time from 1ms to 168h with its unit", "--connect", "a", "1", "--timeout",
               wrong[i]);
    REFUSE("--timeout takes a time", "--connect", "a", "1", "--timeout=9223372036854775807ms");
    REFUSE("--timeout takes a time", "--connect", "a", "1", "--timeout=99999999999999999999999999h");
    REFUSE("--timeout takes a time", "--connect", "a", "1", "--timeout=1.0000000001h");
}

static void listen_takes_one_word_or_two(void **state)
{
    (void)state;
    static const struct {
        struct command_line line;
        enum target_kind kind;
        const char *host, *service;
    } cases[] = {{{{"--listen", "6000"}}, TARGET_EVERY_ADDRESS, "", "6000"},
                 {{{"--listen", "0"}}, TARGET_EVERY_ADDRESS, "", "0"},
                 {{{"--listen", "http"}}, TARGET_EVERY_ADDRESS, "", "http"},
                 {{{"--listen=6000"}}, TARGET_EVERY_ADDRESS, "", "6000"},
                 {{{"--listen", "6000", "-v"}}, TARGET_EVERY_ADDRESS, "", "6000"},
                 {{{"--listen", "6000", "--"}}, TARGET_EVERY_ADDRESS, "", "6000"},
                 {{{"-v", "--listen", "::1", "6000"}}, TARGET_IPV6, "::1", "6000"},
                 {{{"--listen=::1", "6000"}}, TARGET_IPV6, "::1", "6000"},
                 {{{"--listen", "[::1]:6000"}}, TARGET_IPV6, "::1", "6000"},
                 {{{"--listen", "fe80::1%eth0", "6000"}}, TARGET_IPV6, "fe80::1%eth0", "6000"},
                 {{{"--listen", "127.0.0.1:6000", "--explain"}}, TARGET_IPV4, "127.0.0.1", "6000"},
                 {{{"--listen", "localhost", "http"}}, TARGET_NAME, "localhost", "http"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        command_line_accept(cases[i].line);
        assert_int_equal(options.mode, MODE_LISTEN);
        assert_int_equal(options.listen_count, 1);
        assert_int_equal(options.listen[0].kind, cases[i].kind);
        assert_string_equal(options.listen[0].host, cases[i].host);
        assert_string_equal(options.listen[0].service, cases[i].service);
        options_fini(&options);
    }
}

static void listen_may_be_repeated_up_to_its_limit(void **state)
{
    (void)state;
    PARSE("--listen", "::1", "6000", "--listen", "6001", "-q", "--listen", "localhost:6002");
    assert_int_equal(options.listen_count, 3);
    assert_string_equal(options.listen[0].service, "6000");
    assert_string_equal(options.listen[1].service, "6001");
    assert_int_equal(options.listen[1].kind, TARGET_EVERY_ADDRESS);
    assert_string_equal(options.listen[2].host, "localhost");
    options_fini(&options);

    const char *argv[OPTIONS_LISTEN_MAX + 2] = {"tcpgreet"};
    for (size_t i = 1; i < COUNT(argv); i++)
        argv[i] = "--listen=0";
    assert_int_equal(options_parse(&options, OPTIONS_LISTEN_MAX + 1, argv, &err), 0);
    assert_int_equal(options.listen_count, OPTIONS_LISTEN_MAX);
    options_fini(&options);
    assert_int_equal(options_parse(&options, OPTIONS_LISTEN_MAX + 2, argv, &err), -1);
    assert_string_equal(err.text, "--listen can be given at most 64 times");
    options_fini(&options);
}

static void names_stand_anywhere_and_keep_their_order(void **state)
{
    (void)state;
    static const struct command_line lines[] = {
        {{"--connect", "host", "6000", "Michael", "-v", "Tracy", "--", "-Sarah"}},
        {{"--connect", "host:6000", "Michael", "Tracy", "-v", "--", "-Sarah"}},
        {{"Michael", "--connect=host", "6000", "--timeout", "5s", "Tracy", "--", "-Sarah"}},
        {{"Michael", "Tracy", "--connect", "host", "6000", "--", "-Sarah"}}};
    for (size_t i = 0; i < COUNT(lines); i++) {
        command_line_accept(lines[i]);
        assert_int_equal(options.mode, MODE_CONNECT);
        assert_string_equal(options.target.host, "host");
        assert_string_equal(options.target.service, "6000");
        assert_int_equal(options.operand_count, 3);
        assert_string_equal(options.operands[0], "Michael");
        assert_string_equal(options.operands[1], "Tracy");
        assert_string_equal(options.operands[2], "-Sarah");
        options_fini(&options);
    }
    PARSE("--connect", "a:1", "-", "--", "--", "");
    assert_int_equal(options.operand_count, 3);
    assert_string_equal(options.operands[0], "-");
    assert_string_equal(options.operands[1], "--");
    assert_string_equal(options.operands[2], "");
    options_fini(&options);
}

static void names_are_checked_against_the_framing(void **state)
{
    (void)state;
    char name[GREETING_NAME_MAX + 2];

    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    REFUSE("the name of 1025 bytes is too long: a name has at most 1024 bytes", "--connect", "a", "1", name);
    name[GREETING_NAME_MAX] = '\0';
    PARSE("--connect", "a", "1", name);
    options_fini(&options);
    REFUSE("--framing bare", "--connect", "a", "1", "two\nlines");
    REFUSE("--framing bare", "two\nlines", "--connect", "a", "1", "--framing=line");
    PARSE("two\nlines", "--connect", "a", "1", "--framing=bare");
    options_fini(&options);
}

static void help_and_version_win_over_what_else_is_said(void **state)
{
    (void)state;
    static const struct {
        struct command_line line;
        enum options_mode mode;
    } cases[] = {{{{"--help"}}, MODE_HELP},
                 {{{"-h"}}, MODE_HELP},
                 {{{"-vh"}}, MODE_HELP},
                 {{{"-hx"}}, MODE_HELP},
                 {{{"--listen", "6000", "--help"}}, MODE_HELP},
                 {{{"--help", "--bogus"}}, MODE_HELP},
                 {{{"--version"}}, MODE_VERSION},
                 {{{"-V"}}, MODE_VERSION},
                 {{{"--connect", "a", "1", "-V"}}, MODE_VERSION}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        command_line_accept(cases[i].line);
        assert_int_equal(options.mode, cases[i].mode);
        options_fini(&options);
    }
    PARSE("--connect", "a", "1", "--", "--help");
    assert_int_equal(options.mode, MODE_CONNECT);
    options_fini(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_contract),
        cmocka_unit_test(every_option_reaches_its_field),
        cmocka_unit_test(every_option_of_probe_reaches_its_field),
        cmocka_unit_test(bytes_may_have_a_suffix),
        cmocka_unit_test(every_option_of_tls_reaches_its_field),
        cmocka_unit_test(each_misbehaviour_reaches_its_field),
        cmocka_unit_test(durations_have_a_unit_and_may_have_a_fraction),
        cmocka_unit_test(listen_takes_one_word_or_two),
        cmocka_unit_test(listen_may_be_repeated_up_to_its_limit),
        cmocka_unit_test(names_stand_anywhere_and_keep_their_order),
        cmocka_unit_test(names_are_checked_against_the_framing),
        cmocka_unit_test(help_and_version_win_over_what_else_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
