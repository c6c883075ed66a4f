/* What the parts of the diagnosis share: the table's rules and how they name what they found. */
#ifndef TCPGREET_PROBE_DIAGNOSIS_H
#define TCPGREET_PROBE_DIAGNOSIS_H

#include <stdbool.h>
#include <stddef.h>

#include "result.h"
#include "tcpgreet/format/text.h"

/* Some of a result's addresses, in its order. Invariant: count <= result->address_count. */
struct probe_group {
    const struct probe_result *result;
    size_t count;
    size_t index[PROBE_ADDRESSES_MAX];
};

/* Returns: whether a rule is about this address. Shape: its failure is not explained yet. */
typedef bool probe_about_fn(const struct probe_result *result, const struct probe_address *address);

/* Chooses from the addresses in group those that a rule is about. Returns: whether it applies. */
typedef bool probe_choose_fn(struct probe_group *group);

/* Appends the sentence. */
typedef void probe_tell_fn(const struct probe_group *group, struct words_line *line);

/* The first that the rule is about. Shape: group->count > 0. */
const struct probe_address *probe_group_first(const struct probe_group *group);

/* Returns: how many addresses of the result are of a family. */
size_t probe_family_count(const struct probe_result *result, int family);

/* Keeps those that about says yes to. */
void probe_group_keep(struct probe_group *group, probe_about_fn *about);

/* Shape: group->count > 0. Returns: "[::1]:6000", "both addresses", "all 3 IPv6 addresses", "192.0.2.1:6000
 * and 2 more" */
struct words_line probe_group_place(const struct probe_group *group);

/* Returns: whether the path or the peer has failed: not this side, nor did somebody give up. */
bool probe_address_fails(const struct probe_address *address);

/* Returns: whether its TCP connection came up. */
bool probe_address_connected(const struct probe_address *address);

/* The words that a peer said, as an error's text quotes them; "" where it does not. Returns: text. */
const char *probe_said(const struct probe_address *address, char *text, size_t room);

/* Rules about names and paths. */
probe_choose_fn probe_finds_no_name, probe_finds_dns_failure, probe_finds_dns_slow_type, probe_finds_dead_v6,
    probe_finds_dead_v4, probe_finds_unreachable, probe_finds_refused, probe_finds_timeout, probe_finds_mixed,
    probe_finds_dead_outlier, probe_finds_outlier, probe_finds_lost_syn, probe_finds_retransmits;
probe_tell_fn probe_tells_no_name, probe_tells_dns_failure, probe_tells_dns_slow_type,
    probe_tells_dead_family, probe_tells_unreachable, probe_tells_refused, probe_tells_timeout,
    probe_tells_mixed, probe_tells_outlier, probe_tells_lost_syn, probe_tells_retransmits;

/* Rules about TLS. */
probe_about_fn probe_is_plaintext_peer, probe_is_tls_peer, probe_is_silent_peer, probe_is_tls_version,
    probe_is_client_certificate, probe_is_tls_cut, probe_is_tls_stalled, probe_is_tls_alert,
    probe_is_tls_protocol;
probe_tell_fn probe_tells_plaintext_peer, probe_tells_tls_peer, probe_tells_silent_peer,
    probe_tells_tls_version, probe_tells_client_certificate, probe_tells_tls_cut, probe_tells_tls_stalled,
    probe_tells_tls_alert, probe_tells_tls_protocol;

/* Rules about certificates. */
probe_about_fn probe_is_missing_intermediate, probe_is_self_signed, probe_is_cert_name, probe_is_cert_expired,
    probe_is_cert_early, probe_is_cert_untrusted, probe_is_cert_purpose, probe_is_cert_weak,
    probe_is_cert_pin;
probe_choose_fn probe_finds_cert_expired, probe_finds_cert_ending, probe_finds_other_cert;
probe_tell_fn probe_tells_missing_intermediate, probe_tells_self_signed, probe_tells_cert_name,
    probe_tells_cert_expired, probe_tells_cert_early, probe_tells_cert_untrusted, probe_tells_cert_purpose,
    probe_tells_cert_weak, probe_tells_cert_pin, probe_tells_cert_believed, probe_tells_cert_ending,
    probe_tells_other_cert;

/* Rules about the dialogue. */
probe_about_fn probe_is_volume_broken, probe_is_volume_corrupted, probe_is_reset, probe_is_wrong_service,
    probe_is_wrong_answer, probe_is_mute_after_tls, probe_is_mute, probe_is_unanswered, probe_is_truncated,
    probe_is_early_end;
probe_tell_fn probe_tells_volume_broken, probe_tells_volume_corrupted, probe_tells_reset,
    probe_tells_wrong_service, probe_tells_wrong_answer, probe_tells_mute_after_tls, probe_tells_mute,
    probe_tells_unanswered, probe_tells_truncated, probe_tells_early_end;

#endif
