/* What the parts of a probe's round share: the round, and the trial of one address. */
#ifndef TCPGREET_PROBE_ATTEMPT_H
#define TCPGREET_PROBE_ATTEMPT_H

#include "result.h"
#include "round.h"
#include "tcpgreet/link/conn.h"
#include "tcpgreet/net/resolver.h"
#include "tcpgreet/tls/tls.h"

enum probe_stage {
    PROBE_STAGE_CONNECTING, /* poll is open */
    PROBE_STAGE_DIALOGUE,   /* conn is open */
    PROBE_STAGE_RESUMPTION, /* conn is open again */
    PROBE_STAGE_TRANSFER,   /* transfer is open */
    PROBE_STAGE_OVER
};

/* One address on its way through the phases. Lives as long as the round. */
struct probe_trial {
    struct probe_round *round;
    enum race_family family;
    size_t index; /* within the family's answer */
    enum probe_stage stage;
    bool well; /* the handshake or the dialogue, whichever was asked for */
    bool bare; /* the server takes names without a newline */
    int fd;    /* while connecting */
    uv_poll_t poll;
    struct conn conn;
    struct endpoint peer;            /* stays where it is, unlike the record */
    struct tls_session *session;     /* NULL: plain */
    struct probe_transfer *transfer; /* --volume */
};

/* Invariant: holds == open handles, conns and questions; the round ends when there are none. */
struct probe_round {
    struct probe_plan plan;
    uv_loop_t *loop;
    struct probe_result *result; /* NULL once it is cancelled */
    probe_round_done_fn *done;
    void *context;
    struct resolver *resolver; /* NULL once it has said all it is waited for */
    uv_timer_t deadline;
    uint64_t begin_ns;
    struct endpoint source; /* AF_UNSPEC: the kernel's choice */
    struct probe_trial *trials[RACE_FAMILIES];
    size_t trial_count[RACE_FAMILIES];
    unsigned holds;
    struct session_policy policy;
    struct conn_shared shared;
};

/* Something is under way; it is over. The latter may end the round. */
void probe_round_hold(struct probe_round *round);
void probe_round_release(struct probe_round *round);

/* Returns: ns since the round began. */
int64_t probe_round_now_ns(const struct probe_round *round);

/* Returns: ms until the deadline of resolve, connect and handshake; 0 where it is over. */
int64_t probe_round_left_ms(const struct probe_round *round);

/* Returns: what to connect from; NULL: the kernel's choice. */
const struct endpoint *probe_round_source(const struct probe_round *round);

/* Where a trial writes what it finds. Returns: valid until the next family's answer; NULL once the round is
 * cancelled. */
struct probe_address *probe_trial_record(const struct probe_trial *trial);

/* Begins, with connect. Its failures stand in the record. */
void probe_trial_start(struct probe_trial *trial);

/* A phase begins, by the round's clock; the last one begun ends. Return: when, ns. */
int64_t probe_trial_begin(struct probe_trial *trial, enum probe_phase phase);
int64_t probe_trial_end(struct probe_trial *trial);

/* The last phase begun has failed: that is the end of the trial. */
void probe_trial_fail(struct probe_trial *trial, const struct err *err);

/* The round's deadline is over. The handshake knows by itself. */
void probe_trial_expire(struct probe_trial *trial);

/* Closes at once what is open, and records how far it came. */
void probe_trial_cancel(struct probe_trial *trial);

/* Frees what belongs to the plan's TLS context, which may go when the round is cancelled or done. */
void probe_trial_fini(struct probe_trial *trial);

/* After a good dialogue: connects again with its ticket, if there is one, then begins the transfer. */
void probe_resumption_start(struct probe_trial *trial);

/* The transfer of --volume on a connection of its own, if it was asked for. */
void probe_transfer_start(struct probe_trial *trial);
void probe_transfer_cancel(struct probe_trial *trial);

#endif
