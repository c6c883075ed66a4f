#include "tcpgreet/base/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/select.h>

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
}

void interrupt_begin(struct interrupt *interrupt, const int *numbers, size_t count)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t all;

    caught = 0;
    interrupt->numbers = numbers;
    interrupt->count = count;
    (void)sigemptyset(&action.sa_mask);
    (void)sigemptyset(&all);
    for (size_t i = 0; i < count; i++)
        (void)sigaddset(&all, numbers[i]);
    (void)pthread_sigmask(SIG_BLOCK, &all, &interrupt->mask);
    for (size_t i = 0; i < count; i++) {
        (void)sigaction(numbers[i], NULL, &interrupt->actions[i]);
        if (interrupt->actions[i].sa_handler != SIG_IGN)
            (void)sigaction(numbers[i], &action, NULL);
    }
}

int interrupt_await(const struct interrupt *interrupt, int fd, const struct timespec *timeout)
{
    fd_set set;

    FD_ZERO(&set);
    FD_SET((uint16_t)fd, &set); /* below FD_SETSIZE; to musl it is an index without a sign */
    int count = pselect(fd + 1, &set, NULL, NULL, timeout, &interrupt->mask);
    return count < 0 && errno == EINTR ? 0 : count;
}

int interrupt_caught(void)
{
    return (int)caught;
}

/* One that comes between is delivered with the mask, to its old action. */
void interrupt_end(const struct interrupt *interrupt)
{
    for (size_t i = 0; i < interrupt->count; i++)
        (void)sigaction(interrupt->numbers[i], &interrupt->actions[i], NULL);
    (void)pthread_sigmask(SIG_SETMASK, &interrupt->mask, NULL);
}
