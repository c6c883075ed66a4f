#include "tcpgreet/base/secret.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/select.h>
#include <termios.h>
#include <unistd.h>

#include "tcpgreet/base/interrupt.h"

void secret_wipe(void *data, size_t length)
{
    volatile char *at = data;
    for (size_t i = 0; i < length; i++)
        at[i] = '\0';
}

/* What would end or stop the process while the terminal shows nothing. */
static const int ending[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};

/* Returns: the length of the line without its end; -1. */
static int read_line(int fd, const struct interrupt *interrupt, char *line, size_t room)
{
    int ready;

    do
        ready = interrupt_await(interrupt, fd, NULL);
    while (ready == 0 && interrupt_caught() == 0);
    ssize_t length = ready > 0 ? read(fd, line, room) : -1;
    return length > 0 && line[length - 1] == '\n' ? (int)length - 1 : -1;
}

static int ask(int fd, const char *prompt, char *line, size_t room)
{
    struct termios shown, hidden;
    struct interrupt interrupt;
    int length = -1;

    if (fd >= FD_SETSIZE || tcgetattr(fd, &shown) < 0)
        return -1;
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    hidden.c_lflag |= ECHONL;
    interrupt_begin(&interrupt, ending, sizeof ending / sizeof ending[0]);
    if (tcsetattr(fd, TCSAFLUSH, &hidden) == 0 &&
        write(fd, prompt, strlen(prompt)) == (ssize_t)strlen(prompt))
        length = read_line(fd, &interrupt, line, room);
    (void)tcsetattr(fd, TCSAFLUSH, &shown);
    if (interrupt_caught() != 0)
        (void)raise(interrupt_caught());
    interrupt_end(&interrupt);
    return length;
}

int secret_ask(const char *prompt, char *line, size_t room)
{
    int terminal = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    int length = ask(terminal >= 0 ? terminal : STDIN_FILENO, prompt, line, room);

    if (length < 0)
        secret_wipe(line, room);
    if (terminal >= 0)
        (void)close(terminal);
    return length;
}
