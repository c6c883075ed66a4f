#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#ifdef TCPGREET_HAVE_JANSSON
#include <jansson.h>
#endif

#include "probe/report.h"
#include "support/probe_samples.h"
#include "support/written.h"

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

static char *json(void)
{
    struct written written;
    written_open(&written);
    probe_report_json(&result, written.out);
    return written_close(&written);
}

static void assert_has(const char *part)
{
    char *text = json();
    if (strstr(text, part) == NULL)
        fail_msg("no %s in:\n%s", part, text);
    free(text);
}

static void assert_lacks(const char *part)
{
    char *text = json();
    if (strstr(text, part) != NULL)
        fail_msg("%s in:\n%s", part, text);
    free(text);
}

static void the_json_of_one_address_that_is_ok(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_LITERAL);
    char *text = json();
    assert_string_equal(
        text,
        "{\"schema\":\"tcpgreet.probe.v1\",\"target\":\"[::1]:6000\",\"host\":\"::1\",\"port\":6000,\"proxy\":null,"
        "\"tls\":false,\"until\":\"connect\",\"verified\":\"connect\",\"peer_said\":null,\"service\":null,\"require\":\"all\",\"time\":\"2026-01-01T00:00:00Z\","
        "\"duration_seconds\":4.7e-05,\"verdict\":{\"word\":\"ok\",\"exit_code\":0,\"text\":null},"
        "\"answers\":[{\"family\":\"ipv6\",\"asked\":false,\"addresses\":1,\"seconds\":null,"
        "\"reason\":\"ok\",\"text\":null},{\"family\":\"ipv4\",\"asked\":false,\"addresses\":0,"
        "\"seconds\":null,\"reason\":\"ok\",\"text\":null}],\"addresses\":[{\"address\":\"::1\","
        "\"family\":\"ipv6\",\"ok\":true,\"counts\":true,\"reason\":\"ok\",\"text\":null,"
        "\"verified\":\"connect\",\"peer_said\":null,\"service\":null,\"failed_phase\":null,"
        "\"phases\":{\"connect\":{\"begin_seconds\":0,\"seconds\":4.7e-05}},"
        "\"local\":{\"address\":\"::1\",\"port\":53500},\"interface\":\"lo\","
        "\"tcp\":{\"mss_bytes\":32741,\"rtt_seconds\":1.8e-05,\"retransmits\":0,\"syn_retransmits\":0},"
        "\"tls\":null,\"certificate\":null,\"volume\":null}],"
        "\"race\":[{\"address\":\"::1\",\"start_seconds\":0,\"end_seconds\":4.7e-05,\"won\":true}],"
        "\"findings\":[],\"remarks\":[]}\n");
    free(text);
}

static void what_this_machine_cannot_reach_does_not_count(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_NO_IPV6);
    assert_has("\"verdict\":{\"word\":\"ok\",\"exit_code\":0,\"text\":null}");
    assert_has("{\"address\":\"::1\",\"family\":\"ipv6\",\"ok\":false,\"counts\":false,\"reason\":"
               "\"connect-unreachable\",\"text\":\"IPv6 is switched off on this machine\"");
    assert_has("{\"address\":\"127.0.0.1\",\"family\":\"ipv4\",\"ok\":true,\"counts\":true,");
    assert_has(
        "\"findings\":[],\"remarks\":[{\"word\":\"ipv6-unavailable\",\"text\":\"IPv6 is switched off on "
        "this machine: [::1]:6000 cannot be reached from here and does not count.\"}]}");
}

static void a_rejected_certificate_is_reported_too(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_CERT_EXPIRED);
    assert_has("\"reason\":\"cert-expired\",\"text\":\"");
    assert_has("\"failed_phase\":\"tls\"");
    assert_has(
        "\"tls\":null,\"certificate\":{\"names\":\"greet.example.net\","
        "\"issuer\":\"Example Issuing CA 3\",\"chain_length\":2,"
        "\"chain\":[\"greet.example.net\",\"Example Issuing CA 3\"],"
        "\"not_before\":\"2025-09-30T00:00:00Z\",\"not_after\":\"2025-12-29T00:00:00Z\","
        "\"expires_first\":null,\"expires_first_at\":\"2025-12-29T00:00:00Z\",\"days_left\":-3,\"ocsp\":null,\"key\":\"RSA 2048\","
        "\"pin\":\"sha256:11c40f5de2b7394488d05b7c31f2a9e06a1c0f5de2b7394488d05b7c31f2a911\","
        "\"trusted\":false,\"distrust\":\"it expired on 2025-12-29 00:00 UTC, 3 days ago\"}");
    assert_has("\"verdict\":{\"word\":\"cert-expired\",\"exit_code\":6,\"text\":\"");
}

static void a_handshake_prints_what_was_negotiated(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_TLS_OK);
    assert_has("\"tls\":{\"version\":\"TLSv1.3\",\"cipher\":\"TLS_AES_128_GCM_SHA256\",\"group\":\"x25519\","
               "\"alpn\":\"greet\",\"resumption\":\"accepted\"}");
    result.addresses[0].tls.alpn[0] = result.addresses[0].tls.group[0] = '\0';
    result.addresses[0].resumption = PROBE_RESUMPTION_NO_TICKET;
    assert_has("\"group\":null,\"alpn\":null,\"resumption\":\"no-ticket\"}");
}

static void days_left_are_rounded_down(void **state)
{
    (void)state;
    static const struct {
        int64_t after_s;
        const char *days;
    } cases[] = {{0, "\"days_left\":0,"},      {1, "\"days_left\":0,"},   {86399, "\"days_left\":0,"},
                 {86400, "\"days_left\":1,"},  {-1, "\"days_left\":-1,"}, {-86400, "\"days_left\":-1,"},
                 {-86401, "\"days_left\":-2,"}};
    use(PROBE_SAMPLE_THRESHOLD);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        result.addresses[0].tls.not_after = result.started_s + cases[i].after_s;
        assert_has(cases[i].days);
    }
}

static void a_phase_that_was_not_reached_is_absent(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_V6_UNREACHABLE);
    assert_has("\"phases\":{\"resolve\":{\"begin_seconds\":0,\"seconds\":0.00121},"
               "\"connect\":{\"begin_seconds\":0.00121,\"seconds\":9.99879}},");
    assert_has("\"phases\":{\"resolve\":{\"begin_seconds\":0,\"seconds\":0.00109},"
               "\"connect\":{\"begin_seconds\":0.00109,\"seconds\":0.00041},\"welcome\":{");
    assert_has("\"race\":[{\"address\":\"2001:db8:10::25\",\"start_seconds\":0,\"end_seconds\":null,"
               "\"won\":false},{\"address\":\"192.0.2.25\",");
}

static void a_phase_that_was_cut_short_has_no_length(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_LITERAL);
    result.addresses[0].spans[PROBE_CONNECT] = (struct probe_span){500, -1};
    assert_has("\"connect\":{\"begin_seconds\":5e-07,\"seconds\":null}");
}

static void what_is_not_known_is_null(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_LITERAL);
    struct probe_address *address = &result.addresses[0];
    address->tcp.mss_bytes = address->tcp.rtt_us = 0;
    assert_has("\"tcp\":{\"mss_bytes\":null,\"rtt_seconds\":null,\"retransmits\":0,");
    address->tcp.known = false;
    result.answers[RACE_V4].span = (struct probe_span){0, 0}; /* no name server was queried */
    assert_has("\"addresses\":0,\"seconds\":null,");
    address->local = (struct endpoint){0};
    address->interface[0] = '\0';
    assert_has("\"local\":null,\"interface\":null,\"tcp\":null,");
}

static void the_port_is_known_without_an_address(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_NOT_FOUND);
    assert_has("\"port\":6000,");
    (void)snprintf(result.target, sizeof(result.target), "gret.example.net:http");
    assert_has("\"port\":null,");
    (void)snprintf(result.target, sizeof(result.target), "gret.example.net:6000x");
    assert_has("\"port\":null,");
    (void)snprintf(result.target, sizeof(result.target), "gret.example.net:65536");
    assert_has("\"port\":null,");
    (void)snprintf(result.target, sizeof(result.target), "gret.example.net:99999999999999999999");
    assert_has("\"port\":null,");
    assert_has("\"addresses\":[],\"race\":[],\"findings\":[");
}

static void a_time_outside_rfc_3339_is_null(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_THRESHOLD);
    result.addresses[0].tls.not_after = INT64_C(253402300799);
    assert_has(
        "\"not_after\":\"9999-12-31T23:59:59Z\",\"expires_first\":null,\"expires_first_at\":\"9999-12-31T23:59:59Z\",\"days_left\":2912442");
    result.addresses[0].tls.not_after = INT64_C(253402300800);
    assert_has("\"not_after\":null");
    result.addresses[0].tls.not_after = INT64_C(67768036191676800); /* more years than an int has */
    assert_has("\"not_after\":null");
    result.addresses[0].tls.not_before = INT64_C(-30610224000);
    assert_has("\"not_before\":\"1000-01-01T00:00:00Z\"");
    result.addresses[0].tls.not_before = INT64_C(-30610224001);
    assert_has("\"not_before\":null");
    result.addresses[0].tls.not_before = -INT64_C(67768040609740801);
    assert_has("\"not_before\":null");
}

/* The first second of 1970 is a date as any other. */
static void a_time_of_zero_is_a_time(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_THRESHOLD);
    result.addresses[0].tls.not_after = 0;
    assert_has(
        "\"not_after\":\"1970-01-01T00:00:00Z\",\"expires_first\":null,\"expires_first_at\":\"1970-01-01T00:00:00Z\"");
}

static void a_long_chain_is_counted(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_THRESHOLD);
    result.addresses[0].tls.chain_count = 40;
    for (size_t i = 0; i < STREAM_TLS_CHAIN_MAX; i++)
        (void)snprintf(result.addresses[0].tls.chain[i], sizeof(result.addresses[0].tls.chain[i]), "c%zu", i);
    assert_has("\"chain_length\":40,\"chain\":[\"c0\",\"c1\",\"c2\",\"c3\",\"c4\",\"c5\",\"c6\",\"c7\"],");
}

static void a_zone_stays_with_its_address(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_LITERAL);
    result.addresses[0].peer.address.v6.sin6_addr = (struct in6_addr){{{0xfe, 0x80, [15] = 1}}};
    result.addresses[0].peer.address.v6.sin6_scope_id = 4000000000;
    assert_has("\"address\":\"fe80::1%4000000000\"");
}

static void a_volume_is_reported_where_it_was_tested(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_VOLUME);
    assert_has("\"volume\":{\"names\":211,\"sent_bytes\":1048576,\"received_bytes\":65536}}");
    assert_has("\"failed_phase\":\"volume\"");
}

static void a_control_never_stands_in_it(void **state)
{
    (void)state;
    use(PROBE_SAMPLE_THRESHOLD);
    struct probe_address *address = &result.addresses[0];
    (void)snprintf(address->tls.subject, sizeof(address->tls.subject), "a\"b\\x0a\x1b[2J\xff\n\xe2\x80\xae");
    assert_has("\"names\":\"a\\\"b\\\\x0a\\\\x1b[2J\\\\xff\\\\n\\\\xe2\\\\x80\\\\xae\"");
    assert_lacks("\x1b");
    assert_lacks("\xff");
}

#ifdef TCPGREET_HAVE_JANSSON

/* Returns: the one object on the one line. */
static json_t *read_back(void)
{
    json_error_t why;
    char *text = json();
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL)
        fail_msg("%s at %d of %s", why.text, why.position, text);
    free(text);
    return root;
}

static void every_sample_is_one_object_on_one_line(void **state)
{
    (void)state;
    for (int i = 0; i < PROBE_SAMPLES; i++) {
        use((enum probe_sample)i);
        json_t *root = read_back();
        assert_int_equal(json_array_size(json_object_get(root, "addresses")), result.address_count);
        assert_int_equal(json_array_size(json_object_get(root, "race")), result.attempt_count);
        assert_string_equal(json_string_value(json_object_get(root, "target")), result.target);
        assert_string_equal(json_string_value(json_object_get(json_object_get(root, "verdict"), "word")),
                            err_word(result.verdict.reason));
        json_decref(root);
    }
}

static void fill_hostile(char *text, size_t room, unsigned seed)
{
    static const char bytes[] = "\"\\\x01\x1f\x7f\x80\xbf\xc3\xe2\x82\xf0\xff\n\r\t|';{}x";
    for (size_t i = 0; i + 1 < room; i++)
        text[i] = bytes[(i * 7 + seed * (i / 3 + 1)) % (sizeof(bytes) - 1)];
    text[room - 1] = '\0';
}

static void bytes_of_a_peer_cannot_break_it(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 64; seed++) {
        use(PROBE_SAMPLE_THRESHOLD);
        struct probe_address *address = &result.addresses[0];
        address->tls.chain_count = STREAM_TLS_CHAIN_MAX;
        fill_hostile(result.target, sizeof(result.target), seed);
        fill_hostile(result.host, sizeof(result.host), seed + 1);
        fill_hostile(result.verdict.text, sizeof(result.verdict.text), seed + 2);
        fill_hostile(address->tls.subject, sizeof(address->tls.subject), seed + 3);
        fill_hostile(address->tls.issuer, sizeof(address->tls.issuer), seed + 4);
        fill_hostile(address->tls.alpn, sizeof(address->tls.alpn), seed + 5);
        fill_hostile(address->tls.distrust, sizeof(address->tls.distrust), seed + 6);
        fill_hostile(address->interface, sizeof(address->interface), seed + 7);
        for (size_t i = 0; i < STREAM_TLS_CHAIN_MAX; i++)
            fill_hostile(address->tls.chain[i], sizeof(address->tls.chain[i]), seed + 8);
        json_t *root = read_back();
        const char *target = json_string_value(json_object_get(root, "target"));
        for (const char *at = target; *at != '\0'; at++)
            assert_false((unsigned char)*at < 0x20 || *at == 0x7f);
        assert_int_equal(json_array_size(json_object_get(root, "addresses")), 1);
        json_decref(root);
    }
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_json_of_one_address_that_is_ok),
        cmocka_unit_test(what_this_machine_cannot_reach_does_not_count),
        cmocka_unit_test(a_rejected_certificate_is_reported_too),
        cmocka_unit_test(a_handshake_prints_what_was_negotiated),
        cmocka_unit_test(a_time_of_zero_is_a_time),
        cmocka_unit_test(days_left_are_rounded_down),
        cmocka_unit_test(a_phase_that_was_not_reached_is_absent),
        cmocka_unit_test(a_phase_that_was_cut_short_has_no_length),
        cmocka_unit_test(what_is_not_known_is_null),
        cmocka_unit_test(the_port_is_known_without_an_address),
        cmocka_unit_test(a_time_outside_rfc_3339_is_null),
        cmocka_unit_test(a_long_chain_is_counted),
        cmocka_unit_test(a_zone_stays_with_its_address),
        cmocka_unit_test(a_volume_is_reported_where_it_was_tested),
        cmocka_unit_test(a_control_never_stands_in_it),
#ifdef TCPGREET_HAVE_JANSSON
        cmocka_unit_test(every_sample_is_one_object_on_one_line),
        cmocka_unit_test(bytes_of_a_peer_cannot_break_it),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
