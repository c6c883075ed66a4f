#include "tcpgreet/base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/select.h>
#include <termios.h>
#include <unistd.h>

void secret_wipe(void *data, size_t length)
{
    volatile char *at = data;
    for (size_t i = 0; i < length; i++)
        at[i] = '\0';
}

/* What would end or stop the process while the terminal shows nothing. */
static const int ending[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
enum { ENDING = sizeof ending / sizeof ending[0] };

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
}

/* What is changed while it is asked. */
struct asking {
    struct sigaction actions[ENDING];
    sigset_t mask; /* in which the signals can come, while it is waited for the line */
};

static void begin(struct asking *asking)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t all;

    caught = 0;
    (void)sigemptyset(&action.sa_mask);
    (void)sigemptyset(&all);
    for (size_t i = 0; i < ENDING; i++)
        (void)sigaddset(&all, ending[i]);
    (void)sigprocmask(SIG_BLOCK, &all, &asking->mask);
    for (size_t i = 0; i < ENDING; i++) {
        (void)sigaction(ending[i], NULL, &asking->actions[i]);
        if (asking->actions[i].sa_handler != SIG_IGN)
            (void)sigaction(ending[i], &action, NULL);
    }
}

static void end(const struct asking *asking)
{
    for (size_t i = 0; i < ENDING; i++)
        (void)sigaction(ending[i], &asking->actions[i], NULL);
    if (caught != 0)
        (void)raise(caught);
    (void)sigprocmask(SIG_SETMASK, &asking->mask, NULL);
}

/* Returns: the length of the line without its end; -1. */
static int read_line(int fd, const sigset_t *mask, char *line, size_t room)
{
    fd_set set;
    int count;

    do {
        FD_ZERO(&set);
        FD_SET(fd, &set);
        count = pselect(fd + 1, &set, NULL, NULL, NULL, mask);
    } while (count < 0 && errno == EINTR && caught == 0);
    ssize_t length = count > 0 ? read(fd, line, room) : -1;
    return length > 0 && line[length - 1] == '\n' ? (int)length - 1 : -1;
}

static int ask(int fd, const char *prompt, char *line, size_t room)
{
    struct termios shown, hidden;
    struct asking asking;
    int length = -1;

    if (fd >= FD_SETSIZE || tcgetattr(fd, &shown) < 0)
        return -1;
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    hidden.c_lflag |= ECHONL;
    begin(&asking);
    if (tcsetattr(fd, TCSAFLUSH, &hidden) == 0 &&
        write(fd, prompt, strlen(prompt)) == (ssize_t)strlen(prompt))
        length = read_line(fd, &asking.mask, line, room);
    (void)tcsetattr(fd, TCSAFLUSH, &shown);
    end(&asking);
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
