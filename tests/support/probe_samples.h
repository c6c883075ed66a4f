/* Results of probes, made by hand, for the tests of what is written of them. */
#ifndef TCPGREET_TEST_PROBE_SAMPLES_H
#define TCPGREET_TEST_PROBE_SAMPLES_H

#include "probe/result.h"

enum probe_sample {
    PROBE_SAMPLE_OK,             /* localhost, plain, two addresses */
    PROBE_SAMPLE_TLS_OK,         /* two addresses, one certificate, resumed */
    PROBE_SAMPLE_V6_UNREACHABLE, /* 10 s beside 2 ms */
    PROBE_SAMPLE_CERT_EXPIRED,   /* refused on both */
    PROBE_SAMPLE_NOT_FOUND,      /* no such name */
    PROBE_SAMPLE_DEGRADED_MIXED, /* five addresses: OK, refused, reset, plaintext peer, another's name */
    PROBE_SAMPLE_EIGHT,          /* TLS; one lost a SYN, one has another certificate, one is mute */
    PROBE_SAMPLE_LITERAL,        /* an address, --until connect */
    PROBE_SAMPLE_VOLUME,         /* plain, with --volume, cut by the path */
    PROBE_SAMPLE_THRESHOLD,      /* tls_ok, held to more days than are left */
    PROBE_SAMPLE_NO_IPV6,        /* localhost, two addresses, on a machine where IPv6 is switched off */
    PROBE_SAMPLE_CROWD,          /* as many addresses as there can be, some of them refused */
    PROBE_SAMPLES
};

/* Returns: "ok", "tls_ok", ... */
const char *probe_sample_name(enum probe_sample which);

/* Shape: *result is overwritten; probe_result_fini is the caller's. Ends the program without memory. */
void probe_sample_make(enum probe_sample which, struct probe_result *result);

#endif
