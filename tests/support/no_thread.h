/* A pthread_create that fails: for a module that is compiled into its test, by defining pthread_create as
 * no_thread around it. */
#ifndef TCPGREET_TESTS_NO_THREAD_H
#define TCPGREET_TESTS_NO_THREAD_H

#include <errno.h>
#include <pthread.h>

typedef void *no_thread_main(void *);

static int no_thread(pthread_t *thread, const pthread_attr_t *attributes, no_thread_main *entry,
                     void *context)
{
    (void)thread;
    (void)attributes;
    (void)entry;
    (void)context;
    return EAGAIN;
}

#endif
