/* One greeting dialogue, server or client role: bytes and time in, bytes out. No socket, no clock, no heap.
 */
#ifndef TCPGREET_CORE_SESSION_H
#define TCPGREET_CORE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/err.h"
#include "tcpgreet/core/greeting.h"

#define SESSION_NEVER INT64_MAX

enum session_framing { SESSION_FRAMING_AUTO, SESSION_FRAMING_LINE, SESSION_FRAMING_BARE };

/* Limits shared by many sessions. Shape: relative times in ms. */
struct session_policy {
    int64_t idle_ms;              /* server: silence while a name is awaited */
    int64_t name_ms;              /* server: from a name's first byte to its end */
    int64_t pause_ms;             /* server: silence that ends a bare name; 0: off */
    int64_t answer_ms;            /* client: from what was said to its whole answer */
    enum session_framing framing; /* client */
    bool over_tls;                /* client: so the server cannot be one that waits for a handshake */
};

/* What each one accepts, sends and may turn into: the table in session.c, docs/architecture.md. */
enum session_state {
    SESSION_ASKING,     /* server: asked, nothing heard */
    SESSION_LISTENING,  /* server: a name begun */
    SESSION_DISCARDING, /* server: the rest of a name that is too long */
    SESSION_GREETED,    /* client: awaits the welcome */
    SESSION_READY,      /* client: its turn; call session_say */
    SESSION_AWAITING,   /* client: awaits an answer */
    SESSION_LEAVING,    /* client: said exit, awaits good bye */
    SESSION_PARTED,     /* client: got good bye, awaits the end of the stream */
    SESSION_ENDED,      /* over; `end` says how. What is in the output is still to be sent */
    SESSION_STATES
};

enum session_end {
    SESSION_END_NONE,
    SESSION_END_EXIT,         /* both sides said their good bye */
    SESSION_END_PEER,         /* server: the peer ended its side without exit */
    SESSION_END_IDLE,         /* server: idle_ms over */
    SESSION_END_NAME_TIMEOUT, /* server: name_ms over */
    SESSION_END_STOPPED,      /* server: session_farewell */
    SESSION_END_TLS_CLIENT,   /* server: first bytes are a TLS handshake */
    SESSION_END_HTTP_CLIENT,  /* server: first line is an HTTP request */
    SESSION_END_EARLY,        /* client: the stream or the server ended before our exit was answered */
    SESSION_END_TOO_MANY,     /* the server is full */
    SESSION_END_WRONG_ANSWER, /* client */
    SESSION_END_TIMEOUT,      /* client: answer_ms over */
    SESSION_ENDS
};

/*
 * A small value. Invariants: end == SESSION_END_NONE if and only if state != SESSION_ENDED;
 * server: scanned unconsumed bytes of the current name hold no LF; client: the server's first `scanned` bytes
 * of what is awaited are matched, by every candidate in the bit set `candidates`.
 */
struct session {
    const struct session_policy *policy; /* borrowed */
    int64_t deadline_ms;                 /* absolute; SESSION_NEVER */
    union {
        int64_t name_deadline_ms; /* server: for the name begun */
        struct bytes name;        /* client: the one being answered; borrowed until SESSION_READY */
    };
    uint32_t names; /* greeted, or greetings received */
    uint32_t scanned;
    uint8_t state;       /* enum session_state */
    uint8_t end;         /* enum session_end */
    uint8_t candidates;  /* client */
    uint8_t framing;     /* client: enum session_framing, as found out so far */
    bool ends_names : 1; /* server: this peer has ended a name with a newline */
    bool heard : 1;      /* server: a first name is behind us */
    bool stalled : 1;    /* server: names wait, the output has no room; call session_receive again */
    bool knocked : 1;    /* client: has spoken without a welcome, to find out whether this is a TLS server */
    bool crlf : 1;       /* client: the name was sent with CR LF, because it ends with a CR itself */
};

/* Begins as the server: the welcome goes into out.
 * Borrows: policy, as long as the session lives. Shape: out has room for GREETING_ANSWER_MAX. */
void session_serve(struct session *session, const struct session_policy *policy, struct sink *out,
                   int64_t now_ms);

/* Begins and ends as a server that has no room for this guest. Shape: out has room for GREETING_ANSWER_MAX.
 */
void session_refuse(struct session *session, struct sink *out);

/* Begins as the client: awaits the welcome. Borrows: policy. */
void session_visit(struct session *session, const struct session_policy *policy, int64_t now_ms);

/* Takes whole names (server) or the server's words (client) from the front of in.
 * Shape: in starts with the bytes that the last call did not take, then what has come since. Of a client with
 * framing auto out has room for GREETING_EXIT, which may have to be said again; a server stops where out is
 * full.
 * Returns: how many bytes it took. What it leaves is a part of a name (at most GREETING_NAME_MAX + 1 bytes),
 * or, where `stalled`, names that wait for room in out; after SESSION_END_WRONG_ANSWER it starts with the
 * wrong byte. */
size_t session_receive(struct session *session, struct bytes in, struct sink *out, int64_t now_ms);

/* The peer ended its side cleanly; in is what was not taken. Not while `stalled`, when names wait.
 * Shape: out has room for GREETING_ANSWER_MAX. */
void session_eof(struct session *session, struct bytes in, struct sink *out);

/* Returns: when session_expire is due, absolute; SESSION_NEVER. */
int64_t session_deadline(const struct session *session);

/* A deadline has come. in is what was not taken.
 * Returns: how many bytes of in it took: all (a pause ended the name) or none.
 * Shape: out has room for GREETING_ANSWER_MAX. Does nothing before the deadline. */
size_t session_expire(struct session *session, struct bytes in, struct sink *out, int64_t now_ms);

/* Server: says good bye now, whatever is under way. Shape: out has room for it, else it is left unsaid. */
void session_farewell(struct session *session, struct sink *out);

/* Client, in SESSION_READY: says one name ("exit" ends the dialogue).
 * Borrows: name, until SESSION_READY or SESSION_ENDED. Shape: out has room for GREETING_ANSWER_MAX; name fits
 * session_name_fits. An empty name in bare framing says nothing: still SESSION_READY. */
void session_say(struct session *session, struct bytes name, struct sink *out, int64_t now_ms);

/* Returns: whether the client can say this name: at most GREETING_NAME_MAX bytes, no LF unless framing is
 * bare. Errors: usage: says which. */
int session_name_fits(enum session_framing framing, struct bytes name, struct err *err);

/* Client, after a failure: what failed, in words. wrong is what followed the matched bytes.
 * Errors: dialogue-…: by session->end. Returns: -1, or 0 after SESSION_END_EXIT. */
int session_failure(const struct session *session, struct bytes wrong, struct err *err);

/* Returns: a short phrase for a log: "exit", "the peer ended", ... */
const char *session_end_text(enum session_end end);

/* Returns: the state's name in the table. */
const char *session_state_name(enum session_state state);

#endif
