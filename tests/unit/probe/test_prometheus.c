#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "probe/report.h"
#include "support/probe_samples.h"
#include "support/written.h"

enum { LINES_MAX = 4096, NAME_BYTES = 80 };

static struct probe_result result;

static void use(enum probe_sample which)
{
    probe_result_fini(&result);
    probe_sample_make(which, &result);
}

static int tear_down(void **state)
{
    (void)state;
    probe_result_fini(&result);
    return 0;
}

static char *exposition(void)
{
    struct written written;
    written_open(&written);
    probe_report_prometheus(&result, written.out);
    return written_close(&written);
}

static void assert_has(const char *part, bool wanted)
{
    char *text = exposition();
    if ((strstr(text, part) != NULL) != wanted)
        fail_msg("%s %s in:\n%s", wanted ? "no" : "unwanted", part, text);
    free(text);
}

static void the_metrics_of_one_address_that_is_ok(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_LITERAL);
    char *text = exposition();
    assert_string_equal(
        text,
        "# HELP tcpgreet_probe_success Whether the verdict is OK.\n"
        "# TYPE tcpgreet_probe_success gauge\n"
        "tcpgreet_probe_success{target=\"[::1]:6000\"} 1\n"
        "# HELP tcpgreet_probe_verdict_info What was requested, the last phase that is proved, and the reason word of the verdict.\n"
        "# TYPE tcpgreet_probe_verdict_info gauge\n"
        "tcpgreet_probe_verdict_info{target=\"[::1]:6000\",tls=\"no\",until=\"connect\",verified=\"connect\",require=\"all\","
        "reason=\"ok\"} 1\n"
        "# HELP tcpgreet_probe_exit_code The exit code that goes with the verdict.\n"
        "# TYPE tcpgreet_probe_exit_code gauge\n"
        "tcpgreet_probe_exit_code{target=\"[::1]:6000\"} 0\n"
        "# HELP tcpgreet_probe_timestamp_seconds When the probe began.\n"
        "# TYPE tcpgreet_probe_timestamp_seconds gauge\n"
        "tcpgreet_probe_timestamp_seconds{target=\"[::1]:6000\"} 1767225600\n"
        "# HELP tcpgreet_probe_duration_seconds How long the probe took.\n"
        "# TYPE tcpgreet_probe_duration_seconds gauge\n"
        "tcpgreet_probe_duration_seconds{target=\"[::1]:6000\"} 4.7e-05\n"
        "# HELP tcpgreet_probe_reason_info The result of each address: ok, or the reason and the phase in which it failed; the last phase that is proved, and the service that answered.\n"
        "# TYPE tcpgreet_probe_reason_info gauge\n"
        "tcpgreet_probe_reason_info{target=\"[::1]:6000\",address=\"::1\",family=\"ipv6\",reason=\"ok\","
        "failed_phase=\"\",verified=\"connect\",service=\"\"} 1\n"
        "# HELP tcpgreet_probe_phase_seconds How long each phase took, the one that failed included.\n"
        "# TYPE tcpgreet_probe_phase_seconds gauge\n"
        "tcpgreet_probe_phase_seconds{target=\"[::1]:6000\",address=\"::1\",family=\"ipv6\","
        "phase=\"connect\"} 4.7e-05\n"
        "# HELP tcpgreet_probe_address_success Whether every phase that was requested succeeded.\n"
        "# TYPE tcpgreet_probe_address_success gauge\n"
        "tcpgreet_probe_address_success{target=\"[::1]:6000\",address=\"::1\",family=\"ipv6\"} 1\n"
        "# HELP tcpgreet_probe_tcp_rtt_seconds The kernel's smoothed round trip time.\n"
        "# TYPE tcpgreet_probe_tcp_rtt_seconds gauge\n"
        "tcpgreet_probe_tcp_rtt_seconds{target=\"[::1]:6000\",address=\"::1\",family=\"ipv6\"} 1.8e-05\n"
        "# HELP tcpgreet_probe_tcp_mss_bytes Maximum segment size of what was sent.\n"
        "# TYPE tcpgreet_probe_tcp_mss_bytes gauge\n"
        "tcpgreet_probe_tcp_mss_bytes{target=\"[::1]:6000\",address=\"::1\",family=\"ipv6\"} 32741\n"
        "# HELP tcpgreet_probe_tcp_retransmits Retransmitted segments, SYN included.\n"
        "# TYPE tcpgreet_probe_tcp_retransmits gauge\n"
        "tcpgreet_probe_tcp_retransmits{target=\"[::1]:6000\",address=\"::1\",family=\"ipv6\"} 0\n"
        "# HELP tcpgreet_probe_tcp_syn_retransmits Retransmitted SYN segments.\n"
        "# TYPE tcpgreet_probe_tcp_syn_retransmits gauge\n"
        "tcpgreet_probe_tcp_syn_retransmits{target=\"[::1]:6000\",address=\"::1\",family=\"ipv6\"} 0\n"
        "# HELP tcpgreet_probe_race_won Whether a client that races the addresses would use this one.\n"
        "# TYPE tcpgreet_probe_race_won gauge\n"
        "tcpgreet_probe_race_won{target=\"[::1]:6000\",address=\"::1\",family=\"ipv6\"} 1\n");
    free(text);
}

/* Takes {name="value",...}. Returns: what follows it, NULL where it is malformed. */
static const char *skip_labels(const char *at)
{
    if (*at++ != '{')
        return NULL;
    for (;;) {
        size_t name = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
        if (name == 0 || at[name] != '=' || at[name + 1] != '"')
            return NULL;
        for (at += name + 2; *at != '"'; at++) {
            if (*at == '\\' && *++at != '\\' && *at != '"' && *at != 'n')
                return NULL;
            if (*at == '\n' || *at == '\0')
                return NULL;
        }
        at++;
        if (*at == '}')
            return at + 1;
        if (*at++ != ',')
            return NULL;
    }
}

/* Returns: whether the line is a sample of the metric, of whom this is the first. */
static bool is_sample(const char *line, const char *metric, const char *const *series, size_t count)
{
    size_t name = strlen(metric);
    if (strncmp(line, metric, name) != 0)
        return false;
    const char *value = skip_labels(line + name);
    if (value == NULL || *value != ' ')
        return false;
    for (size_t i = 0; i < count; i++)
        if (strncmp(series[i], line, (size_t)(value - line) + 1) == 0)
            return false;
    char *end;
    (void)strtod(value + 1, &end);
    return end > value + 1 && *end == '\0' && strpbrk(value, "niNI") == NULL;
}

/* Every metric: HELP, TYPE and at least one sample, all together, once; no series twice. */
static void assert_well_formed(char *text)
{
    static const char *lines[LINES_MAX];
    static char metrics[LINES_MAX][NAME_BYTES];
    size_t metric_count = 0;
    size_t count = 0;

    for (char *line = text; *line != '\0'; line += strlen(line) + 1) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        *end = '\0';
        assert_true(count < LINES_MAX);
        lines[count++] = line;
    }
    for (size_t i = 0; i < count;) {
        char type[NAME_BYTES + 16];
        char *metric = metrics[metric_count];
        if (sscanf(lines[i], "# HELP %79[a-z_] ", metric) != 1)
            fail_msg("not a HELP: %s", lines[i]);
        (void)snprintf(type, sizeof(type), "# TYPE %.79s gauge", metric);
        assert_string_equal(lines[i + 1], type);
        for (size_t j = 0; j < metric_count; j++)
            assert_string_not_equal(metrics[j], metric);
        metric_count++;
        size_t first = i += 2;
        for (; i < count && lines[i][0] != '#'; i++)
            if (!is_sample(lines[i], metric, lines + first, i - first))
                fail_msg("not a new sample of %s: %s", metric, lines[i]);
        assert_true(i > first);
    }
    assert_true(metric_count > 5);
}

static void every_sample_is_well_formed(void **state)
{
    (void)state;
    for (int i = 0; i < PROBE_SAMPLES; i++) {
        use((enum probe_sample)i);
        char *text = exposition();
        assert_well_formed(text);
        free(text);
    }
}

static void an_expired_certificate_still_has_its_date(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_CERT_EXPIRED);
    assert_has("\ntcpgreet_probe_success{target=\"greet.example.net:6000\"} 0\n", true);
    assert_has("\ntcpgreet_probe_certificate_not_after_timestamp_seconds{target=\"greet.example.net:6000\","
               "address=\"192.0.2.25\",family=\"ipv4\"} 1766966400\n",
               true);
    assert_has("\ntcpgreet_probe_certificate_not_before_timestamp_seconds{target=\"greet.example.net:6000\","
               "address=\"192.0.2.25\",family=\"ipv4\"} 1759190400\n",
               true);
    assert_has("\ntcpgreet_probe_certificate_trusted{target=\"greet.example.net:6000\","
               "address=\"192.0.2.25\",family=\"ipv4\"} 0\n",
               true);
    assert_has("\ntcpgreet_probe_certificate_info{target=\"greet.example.net:6000\",address=\"192.0.2.25\","
               "family=\"ipv4\",names=\"greet.example.net\",issuer=\"Example Issuing CA 3\",key=\"RSA 2048\","
               "pin=\"11c40f5de2b7394488d05b7c31f2a9e06a1c0f5de2b7394488d05b7c31f2a911\"} 1\n",
               true);
    assert_has(
        "address=\"192.0.2.25\",family=\"ipv4\",reason=\"cert-expired\",failed_phase=\"tls\",verified=\"connect\",service=\"\"} 1\n",
        true);
    assert_has("tls_info", false);
}

static void a_handshake_prints_what_was_negotiated(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_TLS_OK);
    assert_has("\ntcpgreet_probe_tls_info{target=\"greet.example.net:6000\",address=\"192.0.2.25\","
               "family=\"ipv4\",version=\"TLSv1.3\",cipher=\"TLS_AES_128_GCM_SHA256\",group=\"x25519\","
               "alpn=\"greet\",resumption=\"accepted\"} 1\n",
               true);
    assert_has("tcpgreet_probe_certificate_trusted{target=\"greet.example.net:6000\",address=\"192.0.2.25\","
               "family=\"ipv4\"} 1\n",
               true);
}

static void each_family_of_the_name_service_is_reported(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_THRESHOLD);
    assert_has("\ntcpgreet_probe_dns_lookup_seconds{target=\"greet.example.net:6000\",family=\"ipv6\"} "
               "0.00314\n",
               true);
    assert_has("\ntcpgreet_probe_dns_addresses{target=\"greet.example.net:6000\",family=\"ipv6\"} 0\n", true);
    assert_has("\ntcpgreet_probe_dns_addresses{target=\"greet.example.net:6000\",family=\"ipv4\"} 1\n", true);
    assert_has("family=\"ipv6\",reason=\"resolve-not-found\"} 1\n", true);
    assert_has("dns_reason_info{target=\"greet.example.net:6000\",family=\"ipv4\",reason=\"ok\"} 1\n", true);
    use(PROBE_SAMPLE_LITERAL);
    assert_has("dns_", false);
}

static void what_this_machine_cannot_reach_has_neither_succeeded_nor_failed(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_NO_IPV6);
    assert_has("\ntcpgreet_probe_success{target=\"localhost:6000\"} 1\n", true);
    assert_has("address_success{target=\"localhost:6000\",address=\"127.0.0.1\",family=\"ipv4\"} 1\n", true);
    assert_has("address_success{target=\"localhost:6000\",address=\"::1\"", false);
    assert_has("reason_info{target=\"localhost:6000\",address=\"::1\",family=\"ipv6\",reason=\"connect-"
               "unreachable\"",
               true);
    assert_has("finding_info", false);
    assert_has("\ntcpgreet_probe_remark_info{target=\"localhost:6000\",remark=\"ipv6-unavailable\"} 1\n",
               true);
}

static void a_lost_syn_is_counted(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_EIGHT);
    assert_has("\ntcpgreet_probe_tcp_syn_retransmits{target=\"greet.example.net:6000\","
               "address=\"2001:db8:10::22\",family=\"ipv6\"} 1\n",
               true);
    assert_has("address=\"2001:db8:10::22\",family=\"ipv6\",phase=\"connect\"} 1.0312\n", true);
    result.addresses[1].tcp.known = false;
    assert_has("tcp_syn_retransmits{target=\"greet.example.net:6000\",address=\"2001:db8:10::22\"", false);
}

static void a_volume_is_reported_where_it_was_tested(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_VOLUME);
    assert_has("\ntcpgreet_probe_volume_sent_bytes{", true);
    assert_has("family=\"ipv4\"} 1048576\n", true);
    assert_has("\ntcpgreet_probe_volume_received_bytes{", true);
    assert_has("family=\"ipv4\"} 65536\n", true);
    use(PROBE_SAMPLE_OK);
    assert_has("volume", false);
}

static void bytes_of_a_peer_cannot_break_a_label(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_THRESHOLD);
    struct probe_address *address = &result.addresses[0];
    (void)snprintf(result.target, sizeof(result.target), "a\"} 1\n# HELP x\\");
    (void)snprintf(address->tls.subject, sizeof(address->tls.subject), "\x1b[2J\xff\r\n\"\\");
    (void)snprintf(address->tls.alpn, sizeof(address->tls.alpn), "\",x=\"");
    assert_has("{target=\"a\\\"} 1\\\\n# HELP x\\\\\"", true);
    assert_has("names=\"\\\\x1b[2J\\\\xff\\\\r\\\\n\\\"\\\\\",issuer=", true);
    assert_has("alpn=\"\\\",x=\\\"\",", true);
    char *text = exposition();
    assert_well_formed(text);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_metrics_of_one_address_that_is_ok),
        cmocka_unit_test(every_sample_is_well_formed),
        cmocka_unit_test(an_expired_certificate_still_has_its_date),
        cmocka_unit_test(a_handshake_prints_what_was_negotiated),
        cmocka_unit_test(each_family_of_the_name_service_is_reported),
        cmocka_unit_test(what_this_machine_cannot_reach_has_neither_succeeded_nor_failed),
        cmocka_unit_test(a_lost_syn_is_counted),
        cmocka_unit_test(a_volume_is_reported_where_it_was_tested),
        cmocka_unit_test(bytes_of_a_peer_cannot_break_a_label),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
