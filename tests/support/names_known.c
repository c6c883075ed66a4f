#include "support/names_known.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "support/watched.h"
#include "tcpgreet/net/resolver.h"

typedef int getaddrinfo_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static const struct known_name *known;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t let_go = PTHREAD_COND_INITIALIZER;
static pthread_cond_t asked = PTHREAD_COND_INITIALIZER;
static unsigned free_answers, slow_questions;

/* What an earlier test let go may not have been waited for: a lookup that is cancelled in time does not
 * begin. */
void names_know(const struct known_name *names)
{
    known = names;
    pthread_mutex_lock(&lock);
    free_answers = 0;
    pthread_mutex_unlock(&lock);
}

void names_let_go(unsigned answers)
{
    pthread_mutex_lock(&lock);
    free_answers += answers;
    pthread_cond_broadcast(&let_go);
    pthread_mutex_unlock(&lock);
}

static void wait_for_go(void)
{
    pthread_mutex_lock(&lock);
    slow_questions++;
    pthread_cond_broadcast(&asked);
    while (free_answers == 0)
        pthread_cond_wait(&let_go, &lock);
    free_answers--;
    slow_questions--;
    pthread_mutex_unlock(&lock);
}

void names_await_slow(unsigned questions)
{
    watched_block(true);
    pthread_mutex_lock(&lock);
    while (slow_questions < questions)
        pthread_cond_wait(&asked, &lock);
    pthread_mutex_unlock(&lock);
    watched_block(false);
}

void names_await_end(void)
{
    watched_block(true);
    while (resolver_pending() > 0)
        sched_yield();
    watched_block(false);
    free_answers = 0;
}

static getaddrinfo_fn *real_getaddrinfo(void)
{
    getaddrinfo_fn *real;
    void *found = dlsym(RTLD_NEXT, "getaddrinfo");
    if (found == NULL)
        abort();
    memcpy(&real, &found, sizeof real);
    return real;
}

/* Joins what the C library makes of each literal. */
static int list_literals(const char *const literals[4], const char *service, const struct addrinfo *hints,
                         struct addrinfo **list)
{
    struct addrinfo numeric = *hints;
    numeric.ai_flags |= AI_NUMERICHOST;
    *list = NULL;
    for (size_t i = 0; i < 4 && literals[i] != NULL; i++) {
        int code = real_getaddrinfo()(literals[i], service, &numeric, list);
        if (code != 0)
            return code;
        while (*list != NULL)
            list = &(*list)->ai_next;
    }
    return literals[0] != NULL ? 0 : EAI_NONAME;
}

static const struct known_name *find(const char *host)
{
    for (const struct known_name *name = known; name != NULL && name->name != NULL; name++)
        if (strcmp(name->name, host) == 0)
            return name;
    return NULL;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
    struct addrinfo numeric = *hints;
    const struct known_name *name = host != NULL ? find(host) : NULL;

    if (name == NULL) {
        if (host != NULL)
            numeric.ai_flags |= AI_NUMERICHOST; /* no name server is queried */
        return real_getaddrinfo()(host, service, &numeric, list);
    }
    bool v6 = hints->ai_family == AF_INET6;
    if (v6 ? name->slow_v6 : name->slow_v4)
        wait_for_go();
    if (name->error != 0)
        return name->error;
    return list_literals(v6 ? name->v6 : name->v4, service, hints, list);
}
