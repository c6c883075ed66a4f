/* The rules of the diagnosis, which its table names. */
#ifndef TCPGREET_PROBE_DIAGNOSIS_H
#define TCPGREET_PROBE_DIAGNOSIS_H

#include "group.h"

/* Writes what keeps this machine from reaching a family at all. Returns: whether anything does. */
bool probe_remarks_family(const struct probe_result *result, enum race_family which, struct text_line *line);

/* Rules about this machine. */
probe_choose_fn probe_finds_no_v6, probe_finds_no_v4;
probe_tell_fn probe_tells_no_family;

/* Appends what on this machine stands against the group's addresses, and what to do. Shape: there is
 * something. */
void probe_tell_reach(const struct probe_group *group, struct text_line *line);

/* The same, where the other family works. */
void probe_tell_reach_of_family(const struct probe_group *group, struct text_line *line);

/* Rules about names and paths. */
probe_about_fn probe_is_blocked;
probe_choose_fn probe_finds_blocked, probe_finds_no_name, probe_finds_dns_failure, probe_finds_dns_slow_type,
    probe_finds_unreachable_v6, probe_finds_unreachable_v4, probe_finds_unreachable, probe_finds_refused,
    probe_finds_timeout, probe_finds_mixed, probe_finds_unconnected_outlier, probe_finds_outlier,
    probe_finds_lost_syn, probe_finds_retransmits;
probe_tell_fn probe_tells_blocked, probe_tells_no_name, probe_tells_dns_failure, probe_tells_dns_slow_type,
    probe_tells_unreachable_family, probe_tells_unreachable, probe_tells_refused, probe_tells_timeout,
    probe_tells_mixed, probe_tells_outlier, probe_tells_lost_syn, probe_tells_retransmits;

/* Rules about TLS. */
probe_about_fn probe_is_plaintext_peer, probe_is_tls_peer, probe_is_silent_peer, probe_is_tls_version,
    probe_is_client_certificate, probe_is_tls_cut, probe_is_tls_stalled, probe_is_tls_alert,
    probe_is_tls_protocol, probe_is_tls_no_alert;
probe_tell_fn probe_tells_plaintext_peer, probe_tells_tls_peer, probe_tells_silent_peer,
    probe_tells_tls_version, probe_tells_client_certificate, probe_tells_tls_cut, probe_tells_tls_stalled,
    probe_tells_tls_alert, probe_tells_tls_protocol, probe_tells_tls_no_alert;

/* Rules about certificates. */
probe_about_fn probe_is_no_trust_store, probe_is_missing_intermediate, probe_is_self_signed,
    probe_is_cert_name, probe_is_cert_expired, probe_is_cert_early, probe_is_cert_untrusted,
    probe_is_cert_purpose, probe_is_cert_weak, probe_is_cert_pin, probe_is_cert_revoked;
probe_choose_fn probe_finds_cert_expired, probe_finds_cert_ending, probe_finds_other_cert;
probe_tell_fn probe_tells_no_trust_store, probe_tells_missing_intermediate, probe_tells_self_signed,
    probe_tells_cert_name, probe_tells_cert_expired, probe_tells_cert_early, probe_tells_cert_untrusted,
    probe_tells_cert_purpose, probe_tells_cert_weak, probe_tells_cert_pin, probe_tells_cert_revoked,
    probe_tells_cert_believed, probe_tells_cert_ending, probe_tells_other_cert;

/* Rules about the dialogue. */
probe_about_fn probe_is_volume_broken, probe_is_volume_corrupted, probe_is_reset, probe_is_wrong_service,
    probe_is_wrong_answer, probe_is_mute_after_tls, probe_is_mute, probe_is_unanswered, probe_is_truncated,
    probe_is_early_end;
probe_tell_fn probe_tells_volume_broken, probe_tells_volume_corrupted, probe_tells_reset,
    probe_tells_wrong_service, probe_tells_wrong_answer, probe_tells_mute_after_tls, probe_tells_mute,
    probe_tells_unanswered, probe_tells_truncated, probe_tells_early_end;

#endif
