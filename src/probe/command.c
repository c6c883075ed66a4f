#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "output.h"
#include "tcpgreet/base/escape.h"
#include "tcpgreet/format/message.h"

/* As env(1) and sh(1) exit. */
enum { CODE_CANNOT_RUN = 126, CODE_NOT_FOUND = 127, WORD_BYTES = 128 };

/* What was opened here closes by itself, and handlers end with this program's text: but ignoring goes on. */
int probe_command_run(const char *const *words)
{
    char shown[WORD_BYTES];

    message_close();
    (void)signal(SIGPIPE, SIG_DFL);
    execvp(words[0], (char *const *)words);
    int why = errno;
    (void)signal(SIGPIPE, SIG_IGN);
    escape_quoted((struct bytes){words[0], strlen(words[0])}, shown, sizeof(shown));
    message_event(&(struct log_event){LOG_ERROR, "failed", LOG_FACTS(log_text("error", strerror(why)))},
                  "tcpgreet: all checks passed, but \"%s\" cannot be run: %s", shown, strerror(why));
    return why == ENOENT ? CODE_NOT_FOUND : CODE_CANNOT_RUN;
}
