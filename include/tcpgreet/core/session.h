/* One greeting dialogue, in the server's or the client's role. */
#ifndef TCPGREET_CORE_SESSION_H
#define TCPGREET_CORE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/core/dialogue.h"
#include "tcpgreet/core/greeting.h"
#include "tcpgreet/core/whoami.h"

enum session_framing { SESSION_FRAMING_AUTO, SESSION_FRAMING_LINE, SESSION_FRAMING_BARE };

struct session;

/* What many sessions share. Shape: relative times in ms. */
struct session_policy {
    int64_t idle_ms;   /* server: silence while a name is awaited */
    int64_t name_ms;   /* server: from a name's first byte to its end */
    int64_t pause_ms;  /* server: silence that ends a bare name; 0: off */
    int64_t answer_ms; /* client: from what was sent to its whole answer */
    int64_t listen_ms; /* client: it sends nothing before the welcome, silence of listen_ms ends the
                          dialogue, and so does another greeting once its line is complete; 0: off */
    enum session_framing framing; /* client */
    bool over_tls;                /* client: so the server cannot be one that waits for a handshake */
    /* Server: answers the name "whoami": appends its lines, WHOAMI_BYTES at most. Returns: false, with
     * nothing appended, where they do not fit. NULL: it is a name like others. */
    bool (*whoami)(const struct session *session, struct sink *out);
    bool is_stopping; /* server: it shuts down, and idle_ms ends a dialogue for that */
};

/* What each one accepts, sends and may turn into: the table in session_states.c, docs/architecture.md. */
enum session_state {
    SESSION_ASKING,     /* server: asked, nothing received */
    SESSION_LISTENING,  /* server: a name begun */
    SESSION_DISCARDING, /* server: the rest of a name that is too long */
    SESSION_GREETED,    /* client: awaits the welcome */
    SESSION_READY,      /* client: its turn; call session_send */
    SESSION_AWAITING,   /* client: awaits an answer */
    SESSION_LEAVING,    /* client: sends exit, awaits good bye */
    SESSION_PARTED,     /* client: received good bye, awaits the end of the stream */
    SESSION_ENDED,      /* over; `end` is how */
    SESSION_STATES
};

enum session_end {
    SESSION_END_NONE,
    SESSION_END_EXIT,         /* exit was answered with good bye */
    SESSION_END_PEER,         /* server: the peer ended its side without exit */
    SESSION_END_IDLE,         /* server: idle_ms expired */
    SESSION_END_NAME_TIMEOUT, /* server: name_ms expired */
    SESSION_END_STOPPED,      /* server: dialogue_shut_down */
    SESSION_END_TLS_CLIENT,   /* server: first bytes are a TLS handshake */
    SESSION_END_HTTP_CLIENT,  /* server: first line is an HTTP request */
    SESSION_END_EARLY,        /* client: the stream or the server ended before our exit was answered */
    SESSION_END_TOO_MANY,     /* the server is full */
    SESSION_END_WRONG_ANSWER, /* client */
    SESSION_END_TIMEOUT,      /* client: answer_ms expired */
    SESSION_ENDS
};

/*
 * A small value. Invariants: end == SESSION_END_NONE if and only if state != SESSION_ENDED;
 * server: scanned unconsumed bytes of the current name hold no LF; client: the server's first `scanned` bytes
 * of what is awaited are matched, by every candidate in the bit set `candidates`.
 */
struct session {
    struct dialogue dialogue;
    const struct session_policy *policy; /* borrowed */
    union {
        int64_t name_deadline_ms; /* server: for the name begun */
        struct bytes name;        /* client: the one to be sent and answered; borrowed until SESSION_READY */
    };
    uint32_t names; /* greeted, or greetings received */
    uint32_t scanned;
    uint8_t state;       /* enum session_state */
    uint8_t end;         /* enum session_end */
    uint16_t candidates; /* client */
    uint8_t framing;     /* client: enum session_framing, as detected so far */
    bool ends_names : 1; /* server: this peer has ended a name with a newline */
    bool answered : 1;   /* server: a first name is behind us */
    bool http_begun : 1; /* server: the name begun looks like an HTTP request, which no pause ends */
    bool asked : 1;      /* client: has sent without a welcome, to find out whether this is a TLS server */
    bool other : 1;      /* client: this is not what is awaited, and its line is not complete yet */
    bool in_value : 1;   /* client: an answer to "whoami" has begun a line, and its end is awaited */
    bool crlf : 1;       /* client: the name is sent with CR LF, because it ends with a CR itself */
};

/* Makes a server's: it begins with the welcome, answers names, and its final message is good bye. What
 * it leaves is a part of a name, at most GREETING_NAME_MAX + 1 bytes.
 * Borrows: policy, as long as the session exists. */
void session_init_server(struct session *session, const struct session_policy *policy);

/* Server: it is held to another policy from now on, in which the silence so far counts. Does nothing where
 * session_init_refusal made it. Borrows: policy, as long as the session exists. */
void session_set_policy(struct session *session, const struct session_policy *policy);

/* Makes a server's that has no room for this connection: it sends that, and is over. */
void session_init_refusal(struct session *session);

/* Makes a client's: it begins by awaiting the welcome, and is DIALOGUE_READY whenever session_send may be
 * called. It completes with the end of the stream after its exit was answered. Borrows: policy. */
void session_init_client(struct session *session, const struct session_policy *policy);

/* Client: the name to be sent next; "exit" ends the dialogue. Does nothing unless DIALOGUE_READY. An empty
 * name in bare framing sends nothing: still DIALOGUE_READY. Borrows: name, until DIALOGUE_READY or the end.
 * Shape: name fits session_name_fits. */
void session_send(struct session *session, struct bytes name, int64_t now_ms);

/* Returns: 0 where a client can send this name: at most GREETING_NAME_MAX bytes, no LF unless framing is
 * bare; else -1. Errors: usage: which. */
int session_name_fits(enum session_framing framing, struct bytes name, struct err *err);

/* Returns: a short phrase for a log: "exit", "the peer ended", ... */
const char *session_end_text(enum session_end end);

/* Returns: the state's name in the table. */
const char *session_state_name(enum session_state state);

#endif
