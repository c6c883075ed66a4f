/* What session.c and session_client.c share. */
#ifndef TCPGREET_CORE_SESSION_PRIVATE_H
#define TCPGREET_CORE_SESSION_PRIVATE_H

#include "tcpgreet/core/session.h"

/* Changes the state; a successor that the table does not name is a defect. */
void session_enter(struct session *session, enum session_state next);

/* Enters SESSION_ENDED, with how. */
void session_finish(struct session *session, enum session_end end);

/* The client's side of session_receive, session_eof and session_expire. */
size_t session_client_receive(struct session *session, struct bytes in, struct sink *out, int64_t now_ms);
void session_client_eof(struct session *session);
void session_client_expire(struct session *session, struct sink *out, int64_t now_ms);

#endif
