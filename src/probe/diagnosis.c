#include "diagnosis.h"

#include <stdio.h>

#include "report.h"
#include "tcpgreet/base/escape.h"

/* What a rule chooses from, and what becomes of it. */
enum scope {
    CAUSE, /* failures that are not explained yet; by this they are */
    HINT,  /* the same, but later rules may give the cause */
    FACT,  /* every address, failed or not */
    DOUBT  /* the same; the rule is about those that are OK */
};

/*
 * The one table of what a probe can be wrong with: the word, which is never renamed, the addresses that it is
 * about (as a choice among all, or one by one), the sentence. The most significant first. A failure is
 * explained once.
 */
static const struct rule {
    const char *word;
    probe_choose_fn *finds; /* or */
    probe_about_fn *is;
    probe_report_fn *reports;
    enum scope scope;
} rules[] = {
    {"proxy-unreachable", probe_finds_unreachable_proxy, NULL, probe_reports_unreachable_proxy, HINT},
    {"not-found", probe_finds_no_name, NULL, probe_reports_no_name, CAUSE},
    {"dns-temporary", probe_finds_dns_failure, NULL, probe_reports_dns_failure, CAUSE},
    {"dns-blocked", NULL, probe_is_blocked, probe_reports_blocked, CAUSE},
    {"ipv6-unavailable", probe_finds_no_v6, NULL, probe_reports_no_family, CAUSE},
    {"ipv4-unavailable", probe_finds_no_v4, NULL, probe_reports_no_family, CAUSE},
    {"unspecified-address", NULL, probe_is_unspecified, probe_reports_unspecified, CAUSE},
    {"ipv6-unreachable", probe_finds_unreachable_v6, NULL, probe_reports_unreachable_family, CAUSE},
    {"ipv4-unreachable", probe_finds_unreachable_v4, NULL, probe_reports_unreachable_family, CAUSE},
    {"unreachable-all", probe_finds_unreachable, NULL, probe_reports_unreachable, CAUSE},
    {"all-refused", probe_finds_refused, NULL, probe_reports_refused, CAUSE},
    {"timeout-all", probe_finds_timeout, NULL, probe_reports_timeout, CAUSE},
    {"connect-mixed", probe_finds_mixed, NULL, probe_reports_mixed, CAUSE},
    {"address-differs", probe_finds_unconnected_outlier, NULL, probe_reports_outlier, CAUSE},
    {"address-differs", probe_finds_outlier, NULL, probe_reports_outlier, HINT},
    {"proxy-target", NULL, probe_is_proxy_target, probe_reports_proxy_target, CAUSE},
    {"proxy-refused", NULL, probe_is_proxy_refusal, probe_reports_proxy_refusal, CAUSE},
    {"proxy-authentication", NULL, probe_is_proxy_user, probe_reports_proxy_user, CAUSE},
    {"proxy-protocol", NULL, probe_is_proxy_strange, probe_reports_proxy_strange, CAUSE},
    {"proxy-mute", NULL, probe_is_proxy_mute, probe_reports_proxy_mute, CAUSE},
    {"starttls", NULL, probe_is_starttls, probe_reports_starttls, CAUSE},
    {"plaintext-peer", NULL, probe_is_plaintext_peer, probe_reports_plaintext_peer, CAUSE},
    {"tls-peer", NULL, probe_is_tls_peer, probe_reports_tls_peer, CAUSE},
    {"silent-peer", NULL, probe_is_silent_peer, probe_reports_silent_peer, CAUSE},
    {"tls-version", NULL, probe_is_tls_version, probe_reports_tls_version, CAUSE},
    {"client-certificate", NULL, probe_is_client_certificate, probe_reports_client_certificate, CAUSE},
    {"tls-cut", NULL, probe_is_tls_cut, probe_reports_tls_cut, CAUSE},
    {"tls-stalled", NULL, probe_is_tls_stalled, probe_reports_tls_stalled, CAUSE},
    {"tls-no-alert", NULL, probe_is_tls_no_alert, probe_reports_tls_no_alert, CAUSE},
    {"tls-alert", NULL, probe_is_tls_alert, probe_reports_tls_alert, CAUSE},
    {"tls-protocol", NULL, probe_is_tls_protocol, probe_reports_tls_protocol, CAUSE},
    {"no-trust-store", NULL, probe_is_no_trust_store, probe_reports_no_trust_store, CAUSE},
    {"missing-intermediate", NULL, probe_is_missing_intermediate, probe_reports_missing_intermediate, CAUSE},
    {"self-signed", NULL, probe_is_self_signed, probe_reports_self_signed, CAUSE},
    {"cert-name", NULL, probe_is_cert_name, probe_reports_cert_name, CAUSE},
    {"cert-expired", NULL, probe_is_cert_expired, probe_reports_cert_expired, CAUSE},
    {"cert-not-yet-valid", NULL, probe_is_cert_early, probe_reports_cert_early, CAUSE},
    {"cert-revoked", NULL, probe_is_cert_revoked, probe_reports_cert_revoked, CAUSE},
    {"cert-untrusted", NULL, probe_is_cert_untrusted, probe_reports_cert_untrusted, CAUSE},
    {"cert-purpose", NULL, probe_is_cert_purpose, probe_reports_cert_purpose, CAUSE},
    {"cert-weak", NULL, probe_is_cert_weak, probe_reports_cert_weak, CAUSE},
    {"cert-pin", NULL, probe_is_cert_pin, probe_reports_cert_pin, CAUSE},
    {"volume-broken", NULL, probe_is_volume_broken, probe_reports_volume_broken, CAUSE},
    {"volume-corrupted", NULL, probe_is_volume_corrupted, probe_reports_volume_corrupted, CAUSE},
    {"resets", NULL, probe_is_reset, probe_reports_reset, CAUSE},
    {"exchange-unmet", NULL, probe_is_unmet, probe_reports_unmet, CAUSE},
    {"wrong-service", NULL, probe_is_wrong_service, probe_reports_wrong_service, CAUSE},
    {"wrong-answer", NULL, probe_is_wrong_answer, probe_reports_wrong_answer, CAUSE},
    {"mute-after-tls", NULL, probe_is_mute_after_tls, probe_reports_mute_after_tls, CAUSE},
    {"mute", NULL, probe_is_mute, probe_reports_mute, CAUSE},
    {"unanswered", NULL, probe_is_unanswered, probe_reports_unanswered, CAUSE},
    {"truncated", NULL, probe_is_truncated, probe_reports_truncated, CAUSE},
    {"early-end", NULL, probe_is_early_end, probe_reports_early_end, CAUSE},
    {"cert-expired", probe_finds_cert_expired, NULL, probe_reports_cert_believed, DOUBT},
    {"cert-not-yet-valid", probe_finds_cert_early, NULL, probe_reports_cert_believed_early, DOUBT},
    {"dns-blocked", probe_finds_blocked, NULL, probe_reports_blocked, DOUBT},
    {"unspecified-address", probe_finds_unspecified, NULL, probe_reports_unspecified, DOUBT},
    {"address-differs", probe_finds_other_cert, NULL, probe_reports_other_cert, DOUBT},
    {"dns-slow-one-type", probe_finds_dns_slow_type, NULL, probe_reports_dns_slow_type, FACT},
    {"lost-syn", probe_finds_lost_syn, NULL, probe_reports_lost_syn, FACT},
    {"retransmits", probe_finds_retransmits, NULL, probe_reports_retransmits, FACT},
    {"cert-expires-soon", probe_finds_cert_ending, NULL, probe_reports_cert_ending, DOUBT},
};

/* A sentence that is too long ends in dots. */
static void put_sentence(const struct text_line *line, char text[PROBE_SENTENCE_BYTES])
{
    enum { DOTS = 3 };
    struct bytes kept = {line->text, line->length};

    if (kept.length >= PROBE_SENTENCE_BYTES)
        kept.length = escape_trim((struct bytes){line->text, PROBE_SENTENCE_BYTES - 1 - DOTS});
    (void)snprintf(text, PROBE_SENTENCE_BYTES, "%.*s%s", (int)kept.length, kept.data,
                   kept.length < line->length ? "..." : "");
}

/* All that a rule may choose from: the addresses, or only those that count and whose failure is not
 * explained. */
static void gather(struct probe_group *group, const bool *explained)
{
    const struct probe_result *result = group->result;
    group->count = 0;
    for (size_t i = 0; i < result->address_count && i < PROBE_ADDRESSES_MAX; i++)
        if (explained == NULL || (!explained[i] && probe_result_counts(result, &result->addresses[i]) &&
                                  probe_address_fails(&result->addresses[i])))
            group->index[group->count++] = i;
}

size_t probe_diagnose(const struct probe_result *result, struct probe_finding findings[PROBE_FINDINGS_MAX])
{
    bool explained[PROBE_ADDRESSES_MAX] = {false};
    struct probe_group group = {.result = result};
    size_t count = 0;

    for (size_t i = 0; i < sizeof rules / sizeof rules[0] && count < PROBE_FINDINGS_MAX; i++) {
        const struct rule *rule = &rules[i];
        struct text_line line = {0};

        gather(&group, rule->scope >= FACT ? NULL : explained);
        if (rule->is != NULL)
            probe_group_keep(&group, rule->is);
        if (rule->is != NULL ? group.count == 0 : !rule->finds(&group))
            continue;
        rule->reports(&group, &line);
        findings[count].word = rule->word;
        findings[count].is_doubt = rule->scope == DOUBT;
        put_sentence(&line, findings[count++].text);
        for (size_t j = 0; rule->scope == CAUSE && j < group.count; j++)
            explained[group.index[j]] = true;
    }
    return count;
}

size_t probe_doubts(const struct probe_result *result, struct probe_finding findings[PROBE_FINDINGS_MAX])
{
    size_t all = probe_diagnose(result, findings), count = 0;

    for (size_t i = 0; i < all; i++)
        if (findings[i].is_doubt)
            findings[count++] = findings[i];
    return count;
}
