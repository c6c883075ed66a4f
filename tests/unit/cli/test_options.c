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
    const struct server_config *server = &options.server;
    assert_int_equal(server->handshake_timeout_ms, 10000);
    assert_int_equal(server->idle_timeout_ms, 300000);
    assert_int_equal(server->name_timeout_ms, 30000);
    assert_int_equal(server->drain_timeout_ms, 7000);
    assert_int_equal(server->pause_ms, 300);
    assert_int_equal(server->workers + server->max_connections + server->backlog, 0);
    assert_int_equal(server->log_format, LOG_TEXT);
    assert_false(server->use_tls || server->tls.policy.insecure || server->tls.policy.tls13_only);
    assert_false(server->ipv4_only || server->ipv6_only || server->explain || server->verbose ||
                 server->quiet);
    assert_null(server->tls.client_ca);
    assert_null(server->tls.policy.passphrase_file);
    assert_null(server->tls.policy.alpn);
    assert_null(server->tls.ticket_keys);
    assert_null(server->tls.identities[0].cert);
    assert_int_equal(server->tls.client_auth, TLS_CLIENT_AUTH_NONE);
    assert_true(server->tls.policy.may_ask);
    options_fini(&options);

    PARSE("--connect", "a", "1");
    const struct client_config *client = &options.client;
    assert_int_equal(client->attempt_delay_ms, 250);
    assert_int_equal(client->connect_timeout_ms, 10000);
    assert_int_equal(client->timeout_ms, 0);
    assert_int_equal(client->answer_timeout_ms, 10000);
    assert_int_equal(client->framing, SESSION_FRAMING_AUTO);
    assert_int_equal(client->name_count + client->tls.pins.count, 0);
    assert_null(client->source);
    assert_null(client->tls.ca);
    assert_null(client->tls.servername);
    assert_null(client->tls.identity.cert);
    assert_true(client->tls.policy.may_ask);
    options_fini(&options);
}

static void every_option_of_a_server_reaches_its_field(void **state)
{
    (void)state;
    PARSE("--listen", "127.0.0.1", "6000", "--idle-timeout=1m", "--name-timeout", "2s", "--drain-timeout",
          "0", "--pause=0", "--max-connections", "7", "--backlog=16", "--workers=1", "-v4", "--explain");
    const struct server_config *server = &options.server;
    assert_int_equal(options.mode, MODE_LISTEN);
    assert_int_equal(server->idle_timeout_ms, 60000);
    assert_int_equal(server->name_timeout_ms, 2000);
    assert_int_equal(server->drain_timeout_ms, 0);
    assert_int_equal(server->pause_ms, 0);
    assert_int_equal(server->max_connections, 7);
    assert_int_equal(server->backlog, 16);
    assert_int_equal(server->workers, 1);
    assert_true(server->verbose && server->ipv4_only && server->explain);
    options_fini(&options);

    PARSE("--listen", "1", "-q6", "--log-format=json", "--color=never");
    assert_int_equal(options.server.log_format, LOG_JSON);
    assert_true(options.server.quiet && options.server.ipv6_only);
    options_fini(&options);
}

static void every_option_of_a_client_reaches_its_field(void **state)
{
    (void)state;
    PARSE("--connect", "::1", "6000", "--source=::2", "--attempt-delay=10ms", "--connect-timeout=3s",
          "--timeout=1h", "--answer-timeout=4s", "--framing=bare", "--log-format=json", "--color=never",
          "-v6", "--explain", "--format=text");
    const struct client_config *client = &options.client;
    assert_int_equal(options.mode, MODE_CONNECT);
    assert_string_equal(client->target.host, "::1");
    assert_string_equal(client->source, "::2");
    assert_int_equal(client->attempt_delay_ms, 10);
    assert_int_equal(client->connect_timeout_ms, 3000);
    assert_int_equal(client->timeout_ms, 3600000);
    assert_int_equal(client->answer_timeout_ms, 4000);
    assert_int_equal(client->framing, SESSION_FRAMING_BARE);
    assert_true(client->verbose && client->ipv6_only && client->explain);
    assert_false(client->ipv4_only);
    options_fini(&options);
}

static void every_option_of_a_probe_reaches_its_field(void **state)
{
    const struct probe_config *probe = &options.probe;
    (void)state;
    PARSE("--probe", "a", "1");
    assert_int_equal(options.mode, MODE_PROBE);
    assert_string_equal(probe->target.host, "a");
    assert_int_equal(probe->until, PROBE_UNTIL_AUTO);
    assert_int_equal(probe->format, FORMAT_TEXT);
    assert_int_equal(probe->color, FORMAT_COLOR_AUTO);
    assert_int_equal(probe->interval_ms + probe->retry_ms + probe->timeout_ms, 0);
    assert_int_equal(probe->count + probe->limits.expect_days.warning + probe->volume_bytes, 0);
    assert_int_equal(probe->limits.warn.count + probe->limits.crit.count, 0);
    assert_null(probe->plot);
    assert_null(probe->command);
    assert_false(probe->require_any);
    options_fini(&options);

    PARSE("--probe", "a", "1", "--tls", "--until=tls", "--count=3", "--interval", "2s", "--expect-days=14",
          "--warn=0.2", "--crit", "connect=100ms,total=0.5", "--require=any", "--attempt-delay=300ms",
          "--plot=x.svg");
    assert_true(probe->use_tls);
    assert_int_equal(probe->until, PROBE_UNTIL_TLS);
    assert_int_equal(probe->count, 3);
    assert_int_equal(probe->interval_ms, 2000);
    assert_int_equal(probe->limits.expect_days.warning, 14);
    assert_int_equal(probe->limits.expect_days.critical, 0);
    assert_string_equal(threshold_find(&probe->limits.warn, "total")->text, "0.2");
    assert_string_equal(threshold_find(&probe->limits.crit, "connect")->text, "0.1");
    assert_int_equal(probe->limits.crit.count, 2);
    assert_true(probe->require_any);
    assert_int_equal(probe->attempt_delay_ms, 300);
    assert_string_equal(probe->plot, "x.svg");
    options_fini(&options);

    PARSE("--probe", "a", "1", "--tls", "--expect-days=30,7", "--warn=days=30:,total=1", "--crit=days=@0:6");
    assert_int_equal(probe->limits.expect_days.warning, 30);
    assert_int_equal(probe->limits.expect_days.critical, 7);
    assert_string_equal(threshold_find(&probe->limits.warn, "days")->text, "30:");
    assert_string_equal(threshold_find(&probe->limits.crit, "days")->text, "@6");
    options_fini(&options);

    PARSE("--retry=30s", "--probe", "a:1", "--explain", "-q", "--volume=64k", "--", "make", "-k", "--");
    assert_int_equal(probe->retry_ms, 30000);
    assert_true(probe->quiet && probe->explain);
    assert_int_equal(probe->volume_bytes, 65536);
    assert_string_equal(probe->command[0], "make");
    assert_string_equal(probe->command[1], "-k");
    assert_string_equal(probe->command[2], "--");
    assert_null(probe->command[3]);
    options_fini(&options);

    PARSE("--probe", "a", "1", "-v", "--source=::1", "--timeout=3s", "--framing=line", "--connect-timeout=1s",
          "--answer-timeout=2s", "--color=always", "--format=json", "--ipv6");
    assert_string_equal(probe->source, "::1");
    assert_int_equal(probe->timeout_ms, 3000);
    assert_int_equal(probe->framing, SESSION_FRAMING_LINE);
    assert_int_equal(probe->connect_timeout_ms, 1000);
    assert_int_equal(probe->answer_timeout_ms, 2000);
    assert_int_equal(probe->color, FORMAT_COLOR_ALWAYS);
    assert_int_equal(probe->format, FORMAT_JSON);
    assert_true(probe->ipv6_only && probe->verbose);
    options_fini(&options);
}

static void every_option_of_a_bench_reaches_its_field(void **state)
{
    const struct bench_config *bench = &options.bench;
    (void)state;
    PARSE("--bench", "a", "1");
    assert_int_equal(options.mode, MODE_BENCH);
    assert_string_equal(bench->target.host, "a");
    assert_int_equal(bench->connections, 50);
    assert_int_equal(bench->duration_ms, 10000);
    assert_int_equal(bench->workers + bench->names + bench->rate, 0);
    assert_int_equal(bench->format, FORMAT_TEXT);
    assert_false(bench->resume || bench->use_tls || bench->quiet);
    options_fini(&options);

    PARSE("--bench", "a", "1", "--source=127.0.0.2-127.0.0.9", "--connect-timeout=1s", "--answer-timeout=2s",
          "--framing=bare", "--workers=2", "--connections=3", "--duration=4s", "--names=5", "--rate=6");
    assert_string_equal(bench->source, "127.0.0.2-127.0.0.9");
    assert_int_equal(bench->connect_timeout_ms, 1000);
    assert_int_equal(bench->answer_timeout_ms, 2000);
    assert_int_equal(bench->framing, SESSION_FRAMING_BARE);
    assert_int_equal(bench->workers, 2);
    assert_int_equal(bench->connections, 3);
    assert_int_equal(bench->duration_ms, 4000);
    assert_int_equal(bench->names, 5);
    assert_int_equal(bench->rate, 6);
    options_fini(&options);

    PARSE("--bench", "a", "1", "--tls", "--resume", "--format=prometheus", "--plot=p", "-q", "-4");
    assert_int_equal(bench->format, FORMAT_PROMETHEUS);
    assert_string_equal(bench->plot, "p");
    assert_true(bench->use_tls && bench->resume && bench->quiet && bench->ipv4_only);
    options_fini(&options);

    PARSE("--bench-merge", "a.json", "--format=json", "--plot", "p", "b.json");
    assert_int_equal(options.mode, MODE_BENCH_MERGE);
    assert_int_equal(options.merge.file_count, 2);
    assert_string_equal(options.merge.files[1], "b.json");
    assert_int_equal(options.merge.format, FORMAT_JSON);
    assert_string_equal(options.merge.plot, "p");
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
        assert_int_equal(options.probe.volume_bytes, cases[i].bytes);
        options_fini(&options);
    }
}

static void every_option_of_tls_reaches_its_field(void **state)
{
    const struct tls_server_config *server = &options.server.tls;
    (void)state;
    PARSE("--listen", "1", "--tls", "--cert=a.crt", "--key", "a.key", "--cert", "b.crt", "--key=b.key",
          "--key-passphrase-file=p", "--client-ca=c");
    assert_true(options.server.use_tls);
    assert_string_equal(server->identities[0].cert, "a.crt");
    assert_string_equal(server->identities[0].key, "a.key");
    assert_string_equal(server->identities[1].cert, "b.crt");
    assert_string_equal(server->identities[1].key, "b.key");
    assert_null(server->identities[2].cert);
    assert_string_equal(server->policy.passphrase_file, "p");
    assert_string_equal(server->client_ca, "c");
    assert_int_equal(server->client_auth, TLS_CLIENT_AUTH_REQUIRE);
    options_fini(&options);

    PARSE("--listen", "1", "--tls", "--insecure", "--client-ca=c", "--client-auth", "request",
          "--tls-min=1.3", "--alpn=a,b", "--ticket-keys=t", "--handshake-timeout=2s");
    assert_true(server->policy.insecure && server->policy.tls13_only);
    assert_int_equal(server->client_auth, TLS_CLIENT_AUTH_REQUEST);
    assert_string_equal(server->policy.alpn, "a,b");
    assert_string_equal(server->ticket_keys, "t");
    assert_int_equal(options.server.handshake_timeout_ms, 2000);
    options_fini(&options);
}

static void every_option_of_tls_reaches_its_field_in_each_client(void **state)
{
    static const char *const modes[] = {"--connect", "--probe", "--bench"};
    const struct tls_client_config *const configs[] = {&options.client.tls, &options.probe.tls,
                                                       &options.bench.tls};
    (void)state;
    for (size_t i = 0; i < COUNT(modes); i++) {
        PARSE(modes[i], "a", "1", "--tls", "--ca=x", "--servername=n", "--pin=" PIN("0"), "--pin", PIN("f"),
              "--cert=c", "--key=k", "--tls-min=1.3", "--alpn=h2", "--key-passphrase-file=p");
        assert_true(options.client.use_tls && options.probe.use_tls && options.bench.use_tls);
        assert_string_equal(configs[i]->ca, "x");
        assert_string_equal(configs[i]->servername, "n");
        assert_int_equal(configs[i]->pins.count, 2);
        assert_int_equal(configs[i]->pins.list[0].sha256[31], 0x00);
        assert_int_equal(configs[i]->pins.list[1].sha256[31], 0xff);
        assert_string_equal(configs[i]->identity.cert, "c");
        assert_string_equal(configs[i]->identity.key, "k");
        assert_true(configs[i]->policy.tls13_only && configs[i]->policy.may_ask);
        assert_string_equal(configs[i]->policy.alpn, "h2");
        assert_string_equal(configs[i]->policy.passphrase_file, "p");
        assert_false(configs[i]->policy.insecure);
        options_fini(&options);
        PARSE(modes[i], "a", "1", "--tls", "--insecure", "--tls-min=1.2");
        assert_true(configs[i]->policy.insecure);
        assert_false(configs[i]->policy.tls13_only);
        options_fini(&options);
    }
}

static void each_misbehaviour_reaches_its_field(void **state)
{
    (void)state;
    static const struct {
        const char *word;
        struct stream_misbehaviour how;
    } lines[] = {{"delay:1.5s", {STREAM_MISBEHAVE_DELAY, 1500}},
                 {"drip:1ms", {STREAM_MISBEHAVE_DRIP, 1}},
                 {"drip:20s", {STREAM_MISBEHAVE_DRIP, 20000}},
                 {"reset", {STREAM_MISBEHAVE_RESET, 0}},
                 {"half-close", {STREAM_MISBEHAVE_HALF_CLOSE, 0}},
                 {"no-close-notify", {STREAM_MISBEHAVE_NO_CLOSE_NOTIFY, 0}},
                 {"mute", {STREAM_MISBEHAVE_MUTE, 0}}};

    PARSE("--listen", "1");
    assert_int_equal(options.server.misbehaviour.kind, STREAM_MISBEHAVE_NOT);
    options_fini(&options);
    for (size_t i = 0; i < COUNT(lines); i++) {
        PARSE("--listen", "1", "--tls", "--misbehave", lines[i].word);
        assert_int_equal(options.server.misbehaviour.kind, lines[i].how.kind);
        assert_int_equal(options.server.misbehaviour.ms, lines[i].how.ms);
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
        assert_int_equal(options.client.timeout_ms, cases[i].ms);
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
        assert_int_equal(options.server.listen[0].kind, cases[i].kind);
        assert_string_equal(options.server.listen[0].host, cases[i].host);
        assert_string_equal(options.server.listen[0].service, cases[i].service);
        assert_string_equal(options.server.listen[1].service, "");
        options_fini(&options);
    }
}

static void listen_may_be_repeated_up_to_its_limit(void **state)
{
    (void)state;
    PARSE("--listen", "::1", "6000", "--listen", "6001", "-q", "--listen", "localhost:6002");
    assert_string_equal(options.server.listen[0].service, "6000");
    assert_string_equal(options.server.listen[1].service, "6001");
    assert_int_equal(options.server.listen[1].kind, TARGET_EVERY_ADDRESS);
    assert_string_equal(options.server.listen[2].host, "localhost");
    assert_string_equal(options.server.listen[3].service, "");
    options_fini(&options);

    const char *argv[SERVER_LISTEN_MAX + 2] = {"tcpgreet"};
    for (size_t i = 1; i < COUNT(argv); i++)
        argv[i] = "--listen=0";
    assert_int_equal(command_line_parse_words(SERVER_LISTEN_MAX + 1, argv), 0);
    assert_string_equal(options.server.listen[SERVER_LISTEN_MAX - 1].service, "0");
    options_fini(&options);
    assert_int_equal(command_line_parse_words(SERVER_LISTEN_MAX + 2, argv), -1);
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
        assert_string_equal(options.client.target.host, "host");
        assert_string_equal(options.client.target.service, "6000");
        assert_int_equal(options.client.name_count, 3);
        assert_string_equal(options.client.names[0], "Michael");
        assert_string_equal(options.client.names[1], "Tracy");
        assert_string_equal(options.client.names[2], "-Sarah");
        options_fini(&options);
    }
    PARSE("--connect", "a:1", "-", "--", "--", "");
    assert_int_equal(options.client.name_count, 3);
    assert_string_equal(options.client.names[0], "-");
    assert_string_equal(options.client.names[1], "--");
    assert_string_equal(options.client.names[2], "");
    options_fini(&options);
}

static void raw_excludes_what_only_the_dialogue_has(void **state)
{
    (void)state;
    PARSE("--connect", "a", "1", "--raw", "--timeout=3s", "-v", "--color=never");
    assert_true(options.client.raw);
    options_fini(&options);
    REFUSE("--raw and --framing", "--connect", "a", "1", "--raw", "--framing=auto");
    REFUSE("--raw and --answer-timeout", "--answer-timeout=1s", "--connect", "a", "1", "--raw");
    REFUSE("--raw and NAMEs", "--connect", "a", "1", "Michael", "--raw");
    REFUSE("--raw is for --connect", "--probe", "a", "1", "--raw");
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

static void help_and_version_override_other_arguments(void **state)
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
        cmocka_unit_test(every_option_of_a_server_reaches_its_field),
        cmocka_unit_test(every_option_of_a_client_reaches_its_field),
        cmocka_unit_test(every_option_of_a_probe_reaches_its_field),
        cmocka_unit_test(every_option_of_a_bench_reaches_its_field),
        cmocka_unit_test(bytes_may_have_a_suffix),
        cmocka_unit_test(every_option_of_tls_reaches_its_field),
        cmocka_unit_test(every_option_of_tls_reaches_its_field_in_each_client),
        cmocka_unit_test(each_misbehaviour_reaches_its_field),
        cmocka_unit_test(durations_have_a_unit_and_may_have_a_fraction),
        cmocka_unit_test(listen_takes_one_word_or_two),
        cmocka_unit_test(listen_may_be_repeated_up_to_its_limit),
        cmocka_unit_test(names_stand_anywhere_and_keep_their_order),
        cmocka_unit_test(raw_excludes_what_only_the_dialogue_has),
        cmocka_unit_test(names_are_checked_against_the_framing),
        cmocka_unit_test(help_and_version_override_other_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
