/* What servers and this side send each other in STARTTLS dialogues of every protocol. */
#ifndef TCPGREET_TEST_STARTTLS_TALKS_H
#define TCPGREET_TEST_STARTTLS_TALKS_H

#include "tcpgreet/core/starttls.h"

enum { STARTTLS_TALK_TURNS = 4 };

/* The peer sends received once it has what is sent. */
struct starttls_turn {
    struct bytes sent, received;
};

struct starttls_talk {
    const char *name;
    enum starttls_protocol protocol;
    enum starttls_end end; /* STARTTLS_GOES_ON: DIALOGUE_OVER */
    struct starttls_turn turns[STARTTLS_TALK_TURNS];
    const char *quotes; /* a part of the message; NULL */
};

extern const struct starttls_talk starttls_talks[];
extern const size_t starttls_talk_count;

#endif
