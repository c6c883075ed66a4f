/* The states of a session, and what each may turn into. */
#ifndef TCPGREET_CORE_SESSION_STATES_H
#define TCPGREET_CORE_SESSION_STATES_H

#include "tcpgreet/core/session.h"

/* Changes the state; a successor that the table does not name is a defect. */
void session_enter(struct session *session, enum session_state next);

/* Enters SESSION_ENDED and DIALOGUE_OVER. */
void session_finish(struct session *session, enum session_end end);

#endif
