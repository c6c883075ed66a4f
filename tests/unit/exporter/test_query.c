#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "exporter/query.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/core/query.h"
#include "tcpgreet/format/text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct exporter_config config;
static struct exporter_query query;
static struct err err;

/* What the stand-in for the command line was asked to set: "option=word;" of each. */
static struct text_line options;
static const char *words[4]; /* as it has borrowed them */
static size_t word_count;
static bool implies_tls, is_refused;

static int set(struct probe_config *probe, const char *name, const char *word, struct err *why)
{
    (void)probe;
    if (strcmp(word, "wrong") == 0)
        return err_set(why, ERR_USAGE, 0, "a wrong word");
    text_append(&options, "%s=%s;", name, word);
    if (word_count < COUNT(words))
        words[word_count++] = word;
    return 0;
}

static int complete(struct probe_config *probe, struct err *why)
{
    probe->use_tls = probe->use_tls || implies_tls;
    return is_refused ? err_set(why, ERR_USAGE, 0, "they exclude each other") : 0;
}

static int set_up(void **state)
{
    (void)state;
    config = (struct exporter_config){.parser = {set, complete}};
    query = (struct exporter_query){.length = 77};
    err = (struct err){0};
    options = (struct text_line){0};
    word_count = 0;
    implies_tls = is_refused = false;
    return 0;
}

static void accepted(const char *text)
{
    if (exporter_query_parse(&query, &config, text, &err) != 0)
        fail_msg("%s is refused: %s", text, err.text);
}

/* Returns: whether nothing in a text would be escaped: backslashes alone are, once more. */
static bool is_printable(const char *text)
{
    char shown[4 * sizeof(err.text)];
    struct sink sink = {shown, 0, sizeof(shown)};
    size_t length = strlen(text);

    (void)escape((struct bytes){text, length}, (struct escape_style){0}, &sink);
    for (const char *at = text; *at != '\0'; at++)
        length += *at == '\\';
    return sink.length == length;
}

/* The message has that part, and is printable whatever the query holds. */
static void refused(const char *text, const char *part)
{
    err = (struct err){0};
    if (exporter_query_parse(&query, &config, text, &err) != -1)
        fail_msg("%s is accepted, not refused: %s", text, part);
    assert_int_equal(err.reason, ERR_USAGE);
    if (strstr(err.text, part) == NULL || !is_printable(err.text))
        fail_msg("%s: \"%s\", not \"%s\"", text, err.text, part);
}

static void the_probe_is_that_of_the_command_line_as_far_as_the_query_sets_nothing(void **state)
{
    (void)state;
    config.probe.use_tls = true;
    config.probe.timeout_ms = 4321;
    config.probe.connect_timeout_ms = 1234;
    config.probe.tls.ca = "ca.pem";
    accepted("target=host.example:443");
    assert_string_equal(query.probe.target.host, "host.example");
    assert_string_equal(query.probe.target.service, "443");
    assert_true(query.probe.use_tls);
    assert_int_equal(query.probe.timeout_ms, 4321);
    assert_int_equal(query.probe.connect_timeout_ms, 1234);
    assert_string_equal(query.probe.tls.ca, "ca.pem");
    assert_string_equal(options.text, "");
    assert_string_equal(config.probe.target.host, "");
}

static void a_probe_without_a_limit_gets_one(void **state)
{
    (void)state;
    accepted("target=host.example:443");
    assert_int_equal(query.probe.timeout_ms, EXPORTER_TIMEOUT_MS);
}

static void each_parameter_is_the_option_of_that_name(void **state)
{
    (void)state;
    implies_tls = true;
    accepted("target=[::1]:1&starttls=smtp&servername=n&pin=p&alpn=a&tls_min=1.3&until=tls&expect_days=7,3"
             "&expect_alert=e&require=any&connect_timeout=1s&answer_timeout=2s&timeout=3s");
    assert_string_equal(options.text, "starttls=smtp;servername=n;pin=p;alpn=a;tls-min=1.3;until=tls;"
                                      "expect-days=7,3;expect-alert=e;require=any;connect-timeout=1s;"
                                      "answer-timeout=2s;timeout=3s;");
    assert_int_equal(query.probe.target.kind, TARGET_IPV6);
}

static void words_stay_as_long_as_the_query(void **state)
{
    char text[] = "target=a:1&servername=first&alpn=second&until=third";

    (void)state;
    implies_tls = true;
    accepted(text);
    memset(text, 'x', sizeof(text) - 1);
    assert_string_equal(words[0], "first");
    assert_string_equal(words[1], "second");
    assert_string_equal(words[2], "third");
    for (size_t i = 0; i < 3; i++)
        assert_true(words[i] >= query.words && words[i] < query.words + query.length);
}

static void a_flag_is_1_or_0(void **state)
{
    (void)state;
    accepted("target=a:1&tls=1&ipv4=1&ipv6=0");
    assert_true(query.probe.use_tls);
    assert_true(query.probe.ipv4_only);
    assert_false(query.probe.ipv6_only);
    config.probe.use_tls = true;
    accepted("target=a:1&tls=0");
    assert_false(query.probe.use_tls);
    refused("target=a:1&tls=true", "tls takes 1 or 0, not \"true\"");
    refused("target=a:1&tls=", "tls takes 1 or 0, not \"\"");
    refused("target=a:1&tls", "tls takes 1 or 0");
    refused("target=a:1&ipv4=2", "ipv4 takes 1 or 0");
    refused("target=a:1&ipv6=01", "ipv6 takes 1 or 0");
    refused("target=a:1&ipv6=%31%0a", "ipv6 takes 1 or 0, not \"1\\n\"");
}

static void tls_that_is_implied_contradicts_tls_0_alone(void **state)
{
    (void)state;
    implies_tls = true;
    accepted("target=a:1&until=tls");
    accepted("target=a:1&tls=1&until=tls");
    refused("target=a:1&tls=0&until=tls", "tls=0 excludes");
}

static void what_only_tls_has_needs_it(void **state)
{
    static const char *const parameters[] = {"servername", "pin", "alpn", "tls_min", "expect_days"};

    (void)state;
    for (size_t i = 0; i < COUNT(parameters); i++) {
        char text[64], why[64];
        snprintf(text, sizeof(text), "target=a:1&%s=1", parameters[i]);
        snprintf(why, sizeof(why), "%s needs tls=1", parameters[i]);
        config.probe.use_tls = implies_tls = false;
        refused(text, why);
        config.probe.use_tls = true;
        accepted(text);
        config.probe.use_tls = false;
        implies_tls = true;
        accepted(text);
    }
}

static void what_the_options_refuse_names_the_parameter(void **state)
{
    (void)state;
    refused("target=a:1&tls_min=wrong", "parameter tls_min: a wrong word");
    refused("target=a:1&until=", "until needs a value");
    is_refused = true;
    refused("target=a:1", "they exclude each other");
}

static void what_could_read_files_or_send_bytes_is_unknown(void **state)
{
    static const char *const names[] = {
        "ca",     "cert",     "key",      "crl",     "proxy",   "source",     "send",    "expect",
        "reject", "command",  "insecure", "plot",    "targets", "send_proxy", "framing", "volume",
        "count",  "retry",    "format",   "explain", "warn",    "crit",       "listen",  "exporter",
        "Target", "target ",  "tls-min",  "TLS",     "--tls",   "targets",    "arget",   "targe",
        "module", "interval", "parallel", "debug",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        char text[96], part[96];
        snprintf(text, sizeof(text), "target=a:1&%s=x", names[i]);
        snprintf(part, sizeof(part), "unknown parameter: \"%s\"", names[i]);
        refused(text, part);
    }
    assert_string_equal(options.text, "");
}

static void a_parameter_stands_once(void **state)
{
    (void)state;
    refused("target=a:1&target=a:1", "parameter target is given twice");
    refused("target=a:1&tls=1&tls=1", "parameter tls is given twice");
    refused("target=a:1&tls=1&%74%6cs=0", "parameter tls is given twice");
    refused("until=tls&target=a:1&until=connect", "parameter until is given twice");
}

static void a_target_needs_a_host_and_a_port(void **state)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "target is missing"},     {"&&", "target is missing"},       {"tls=1", "target is missing"},
        {"target", "HOST:PORT"},       {"target=", "HOST:PORT"},          {"target=host", "HOST:PORT"},
        {"target=:80", "HOST:PORT"},   {"target=::1:80", "HOST:PORT"},    {"target=[]:80", "target"},
        {"target=[::1]", "HOST:PORT"}, {"target=a:0", "from 1 to 65535"}, {"target=a:65536", "target"},
        {"target=a:-1", "target"},     {"target=a:", "target"},           {"target=http://a:80", "HOST:PORT"},
        {"target=a%20b:80", "target"}, {"target=a+b:80", "target"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        refused(cases[i].text, cases[i].part);
}

static void hostile_bytes_reach_a_message_only_as_escapes(void **state)
{
    static const char *const hostile[] = {
        "%0a", "%0d%0a", "%1b[2J", "%7f", "%c2%9b2J", "%e2%80%ae", "%ff",  "%c3",
        "%22", "%5c",    "%09",    "<b>", "%e2%82",   "%ed%a0%80", "%00a",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(hostile); i++) {
        static const char *const places[] = {"%s=1", "target=%s", "target=a%s:80", "target=a:8%s",
                                             "target=a:1&tls=%s"};
        for (size_t place = 0; place < COUNT(places); place++) {
            struct text_line text = {0};
            const char *mark = strchr(places[place], '%');
            text_append(&text, "%.*s%s%s", (int)(mark - places[place]), places[place], hostile[i], mark + 2);
            refused(text.text, "");
        }
    }
    refused("%22%0a%3cb%3e=1", "unknown parameter: \"\\\"\\n<b>\" (there are target, tls, ipv4,");
    refused("target=a:1&x%=1", "parameter \"x\": a percent sign");
    refused("target=a%00", "parameter \"target\": it contains a NUL byte");
}

static void a_long_word_is_cut_between_characters(void **state)
{
    char text[QUERY_VALUE_BYTES];
    size_t length = (size_t)snprintf(text, sizeof(text), "target=");

    (void)state;
    for (size_t i = 0; i < 60; i++) /* of three bytes each: no cut of a room of 96 bytes falls between two */
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%%e2%%82%%ac");
    refused(text, "\xe2\x82\xac...\"");
}

static void the_words_have_a_bound(void **state)
{
    static char text[HTTP_URI_BYTES + 2048];
    size_t length = (size_t)snprintf(text, sizeof(text), "target=a:1");
    static const char *const names[] = {"starttls", "servername",      "pin",           "alpn",
                                        "tls_min",  "until",           "expect_days",   "expect_alert",
                                        "require",  "connect_timeout", "answer_timeout"};

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "&%s=%0*d", names[i],
                                   HTTP_URI_BYTES / 10, 0);
    refused(text, "the query is too long");
    assert_in_range(query.length, 1, sizeof(query.words));
    snprintf(text, sizeof(text), "target=%0*d:1", QUERY_VALUE_BYTES, 0);
    refused(text, "parameter \"target\": it is too long");
    snprintf(text, sizeof(text), "%0*d=1", QUERY_NAME_BYTES, 0);
    refused(text, "it is too long");
}

/* Returns: the limit of a probe whose own is 60 s. */
static int64_t limit(const char *seconds)
{
    query.probe.timeout_ms = 60000;
    err = (struct err){0};
    if (exporter_query_limit(&query, seconds, &err) != 0)
        fail_msg("\"%s\" is refused: %s", seconds, err.text);
    return query.probe.timeout_ms;
}

static void the_scrape_timeout_leaves_a_margin_for_the_answer(void **state)
{
    static const struct {
        const char *seconds;
        int64_t limit_ms;
    } cases[] = {
        {NULL, 60000},
        {"10", 9500},
        {"10.0", 9500},
        {"10.", 9500},
        {"2.5", 2000},
        {"2", 1600},
        {"1", 800},
        {"0.5", 400},
        {".5", 400},
        {"0.001", 1},
        {"0.0000001", 1},
        {"60.5", 60000},
        {" 10", 9500},
        {"\t10 \t", 9500},
        {"61", 60000},
        {"86400", 60000},
        {"99999999999999999999999999", 60000},
        {"0000000000000000000000010", 9500},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        if (limit(cases[i].seconds) != cases[i].limit_ms)
            fail_msg("\"%s\": %lld ms", cases[i].seconds, (long long)query.probe.timeout_ms);
}

static void what_is_no_number_of_seconds_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "0",
        "0.0",
        "-1",
        "+1",
        "-0.5",
        ".",
        "..",
        "1.2.3",
        "1e999",
        "1e3",
        "1E3",
        "0x10",
        "inf",
        "-inf",
        "Infinity",
        "nan",
        "NaN",
        "NAN(1)",
        "1 2",
        " ",
        "1s",
        "10s",
        "1,5",
        "1_0",
        "ten",
        "\n",
        "1\r\nX: y",
        "\xff",
        "\"1\"",
        "999999999999999999999999999999999",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        query.probe.timeout_ms = 60000;
        err = (struct err){0};
        if (exporter_query_limit(&query, wrong[i], &err) != -1)
            fail_msg("\"%s\" is accepted", wrong[i]);
        assert_int_equal(err.reason, ERR_USAGE);
        assert_non_null(strstr(err.text, "X-Prometheus-Scrape-Timeout-Seconds"));
        assert_null(strpbrk(err.text, "\r\n\xff"));
        assert_int_equal(query.probe.timeout_ms, 60000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_probe_is_that_of_the_command_line_as_far_as_the_query_sets_nothing,
                               set_up),
        cmocka_unit_test_setup(a_probe_without_a_limit_gets_one, set_up),
        cmocka_unit_test_setup(each_parameter_is_the_option_of_that_name, set_up),
        cmocka_unit_test_setup(words_stay_as_long_as_the_query, set_up),
        cmocka_unit_test_setup(a_flag_is_1_or_0, set_up),
        cmocka_unit_test_setup(tls_that_is_implied_contradicts_tls_0_alone, set_up),
        cmocka_unit_test_setup(what_only_tls_has_needs_it, set_up),
        cmocka_unit_test_setup(what_the_options_refuse_names_the_parameter, set_up),
        cmocka_unit_test_setup(what_could_read_files_or_send_bytes_is_unknown, set_up),
        cmocka_unit_test_setup(a_parameter_stands_once, set_up),
        cmocka_unit_test_setup(a_target_needs_a_host_and_a_port, set_up),
        cmocka_unit_test_setup(hostile_bytes_reach_a_message_only_as_escapes, set_up),
        cmocka_unit_test_setup(a_long_word_is_cut_between_characters, set_up),
        cmocka_unit_test_setup(the_words_have_a_bound, set_up),
        cmocka_unit_test_setup(the_scrape_timeout_leaves_a_margin_for_the_answer, set_up),
        cmocka_unit_test_setup(what_is_no_number_of_seconds_is_refused, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
