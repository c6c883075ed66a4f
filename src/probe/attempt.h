/* The trial of one address: connect, TLS, dialogue, then resumption and the transfer of --volume. */
#ifndef TCPGREET_PROBE_ATTEMPT_H
#define TCPGREET_PROBE_ATTEMPT_H

#include "brief.h"
#include "plan.h"
#include "result.h"
#include "resumption.h"
#include "tcpgreet/core/script_run.h"
#include "tcpgreet/core/session.h"
#include "tcpgreet/link/tls_check.h"
#include "transfer.h"

enum probe_stage {
    PROBE_STAGE_CONNECTING, /* poll is open */
    PROBE_STAGE_DIALOGUE,   /* conn is open */
    PROBE_STAGE_CHECK,      /* check is in progress */
    PROBE_STAGE_RESUMPTION, /* resumption is in progress */
    PROBE_STAGE_TRANSFER,   /* transfer is in progress */
    PROBE_STAGE_OVER
};

/* One address on its way through the phases. Valid as long as the round.
 * Invariant: holds == open handles, conns and steps; done is called when there are none. */
struct probe_trial {
    struct probe_scope *scope;    /* borrowed */
    struct probe_address *record; /* where it writes what it finds; NULL once it is cancelled */
    void (*done)(void *context);
    void *context;
    unsigned holds;
    enum probe_stage stage;
    bool up;          /* the stream's handshake is done */
    bool ok;          /* the handshake or the dialogue, whichever was asked for */
    int64_t first_ns; /* when the peer's first byte came */
    bool bare;        /* the server takes names without a newline */
    int fd;           /* while connecting */
    uv_poll_t poll;
    struct conn conn;
    struct probe_brief brief; /* beside it */
    struct session greeting;
    struct script_run exchange;   /* instead, with --send, --expect */
    struct session_policy policy; /* the scope's, with the time to listen */
    struct probe_resumption_test resumption;
    struct probe_transfer transfer;
    struct tls_check *check;
    struct endpoint peer;        /* stays where it is, unlike the record */
    struct tls_session *session; /* NULL: plain */
};

/* Begins, with connect. Its failures stand in the record.
 * Calls back: done once, when nothing of it is open any more, perhaps from inside, also after
 * probe_trial_cancel. Shape: scope, record, done and context are set, the rest is zero. */
void probe_trial_start(struct probe_trial *trial);

/* The round's deadline has passed. The handshake has its own timer. */
void probe_trial_expire(struct probe_trial *trial);

/* Closes at once what is open, and records how far it came. */
void probe_trial_cancel(struct probe_trial *trial);

/* Frees what belongs to the plan's TLS context, which may go when the round is cancelled or done. */
void probe_trial_fini(struct probe_trial *trial);

#endif
