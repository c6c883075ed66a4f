#include "session_states.h"

#include <assert.h>

#define BIT(state) (1u << (state))
#define OVER BIT(SESSION_ENDED)

/* Each state's name and what it may turn into. What each accepts and waits for: docs/architecture.md. */
static const struct {
    const char *name;
    unsigned successors;
} states[SESSION_STATES] = {
    [SESSION_ASKING] = {"asking",
                        BIT(SESSION_ASKING) | BIT(SESSION_LISTENING) | BIT(SESSION_DISCARDING) | OVER},
    [SESSION_LISTENING] = {"listening", BIT(SESSION_ASKING) | BIT(SESSION_DISCARDING) | OVER},
    [SESSION_DISCARDING] = {"discarding", BIT(SESSION_ASKING) | OVER},
    [SESSION_GREETED] = {"greeted", BIT(SESSION_READY) | OVER},
    [SESSION_READY] = {"ready", BIT(SESSION_AWAITING) | BIT(SESSION_LEAVING) | OVER},
    [SESSION_AWAITING] = {"awaiting", BIT(SESSION_READY) | OVER},
    [SESSION_LEAVING] = {"leaving", BIT(SESSION_LEAVING) | BIT(SESSION_PARTED) | OVER},
    [SESSION_PARTED] = {"parted", OVER},
    [SESSION_ENDED] = {"ended", 0},
};

static const char *const ends[SESSION_ENDS] = {
    [SESSION_END_NONE] = "still open",
    [SESSION_END_EXIT] = "exit",
    [SESSION_END_PEER] = "the peer ended",
    [SESSION_END_IDLE] = "silent for too long",
    [SESSION_END_NAME_TIMEOUT] = "a name begun and not ended",
    [SESSION_END_STOPPED] = "the server stops",
    [SESSION_END_TLS_CLIENT] = "a TLS client at a plain port",
    [SESSION_END_HTTP_CLIENT] = "an HTTP client",
    [SESSION_END_EARLY] = "an early end",
    [SESSION_END_TOO_MANY] = "too many connections",
    [SESSION_END_WRONG_ANSWER] = "a wrong answer",
    [SESSION_END_TIMEOUT] = "no answer in time",
};

void session_enter(struct session *session, enum session_state next)
{
    assert((states[session->state].successors & BIT(next)) != 0);
    session->state = (uint8_t)next;
}

void session_finish(struct session *session, enum session_end end)
{
    session_enter(session, SESSION_ENDED);
    session->end = (uint8_t)end;
    session->dialogue.state = DIALOGUE_OVER;
    session->dialogue.deadline_ms = DIALOGUE_NEVER;
}

const char *session_end_text(enum session_end end)
{
    return end < SESSION_ENDS ? ends[end] : "unknown";
}

const char *session_state_name(enum session_state state)
{
    return state < SESSION_STATES ? states[state].name : "unknown";
}
