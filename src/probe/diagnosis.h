/* The rules of the diagnosis, which its table names. */
#ifndef TCPGREET_PROBE_DIAGNOSIS_H
#define TCPGREET_PROBE_DIAGNOSIS_H

#include "group.h"

/* Writes what keeps this machine from reaching a family at all. Returns: whether anything does. */
bool probe_remarks_family(const struct probe_result *result, enum race_family which, struct text_line *line);

/* Rules about this machine. */
probe_choose_fn probe_finds_no_v6, probe_finds_no_v4;
probe_report_fn probe_reports_no_family;

/* Appends what on this machine stands against the group's addresses, and what to do. Shape: there is
 * something. */
void probe_report_reach(const struct probe_group *group, struct text_line *line);

/* The same, where the other family works. */
void probe_report_reach_of_family(const struct probe_group *group, struct text_line *line);

/* Rules about names and paths. */
probe_about_fn probe_is_blocked, probe_is_unspecified;
probe_choose_fn probe_finds_blocked, probe_finds_unspecified, probe_finds_no_name, probe_finds_dns_failure,
    probe_finds_dns_slow_type, probe_finds_unreachable_v6, probe_finds_unreachable_v4,
    probe_finds_unreachable, probe_finds_refused, probe_finds_timeout, probe_finds_mixed,
    probe_finds_unconnected_outlier, probe_finds_outlier, probe_finds_lost_syn, probe_finds_retransmits;
probe_report_fn probe_reports_blocked, probe_reports_unspecified, probe_reports_no_name,
    probe_reports_dns_failure, probe_reports_dns_slow_type, probe_reports_unreachable_family,
    probe_reports_unreachable, probe_reports_refused, probe_reports_timeout, probe_reports_mixed,
    probe_reports_outlier, probe_reports_lost_syn, probe_reports_retransmits;

/* Rules about the proxy. */
probe_choose_fn probe_finds_unreachable_proxy;
probe_about_fn probe_is_proxy_target, probe_is_proxy_refusal, probe_is_proxy_user, probe_is_proxy_strange,
    probe_is_proxy_mute;
probe_report_fn probe_reports_unreachable_proxy, probe_reports_proxy_target, probe_reports_proxy_refusal,
    probe_reports_proxy_user, probe_reports_proxy_strange, probe_reports_proxy_mute;

/* Rules about TLS. */
probe_about_fn probe_is_starttls, probe_is_plaintext_peer, probe_is_tls_peer, probe_is_silent_peer,
    probe_is_tls_version, probe_is_client_certificate, probe_is_tls_cut, probe_is_tls_stalled,
    probe_is_tls_alert, probe_is_tls_protocol, probe_is_tls_no_alert;
probe_report_fn probe_reports_starttls, probe_reports_plaintext_peer, probe_reports_tls_peer,
    probe_reports_silent_peer, probe_reports_tls_version, probe_reports_client_certificate,
    probe_reports_tls_cut, probe_reports_tls_stalled, probe_reports_tls_alert, probe_reports_tls_protocol,
    probe_reports_tls_no_alert;

/* Rules about certificates. */
probe_about_fn probe_is_no_trust_store, probe_is_missing_intermediate, probe_is_self_signed,
    probe_is_cert_name, probe_is_cert_expired, probe_is_cert_early, probe_is_cert_untrusted,
    probe_is_cert_purpose, probe_is_cert_weak, probe_is_cert_pin, probe_is_cert_revoked;
probe_choose_fn probe_finds_cert_expired, probe_finds_cert_early, probe_finds_cert_ending,
    probe_finds_other_cert;
probe_report_fn probe_reports_no_trust_store, probe_reports_missing_intermediate, probe_reports_self_signed,
    probe_reports_cert_name, probe_reports_cert_expired, probe_reports_cert_early,
    probe_reports_cert_untrusted, probe_reports_cert_purpose, probe_reports_cert_weak, probe_reports_cert_pin,
    probe_reports_cert_revoked, probe_reports_cert_believed, probe_reports_cert_believed_early,
    probe_reports_cert_ending, probe_reports_other_cert;

/* Rules about the dialogue. */
probe_about_fn probe_is_volume_broken, probe_is_volume_corrupted, probe_is_reset, probe_is_wrong_service,
    probe_is_wrong_answer, probe_is_mute_after_tls, probe_is_mute, probe_is_unanswered, probe_is_truncated,
    probe_is_early_end, probe_is_unmet;
probe_report_fn probe_reports_volume_broken, probe_reports_volume_corrupted, probe_reports_reset,
    probe_reports_wrong_service, probe_reports_wrong_answer, probe_reports_mute_after_tls, probe_reports_mute,
    probe_reports_unanswered, probe_reports_truncated, probe_reports_early_end, probe_reports_unmet;

#endif
