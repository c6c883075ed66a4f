#include "resolver_questions.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum {
    THREADS_MAX = 128,
    STACK_BYTES = 1024 * 1024 /* for modules of the C library, too; macOS gives any thread half of it */
};

const int resolver_families[RESOLVER_FAMILIES] = {AF_INET6, AF_INET};

struct task {
    struct task *next; /* of those that wait */
    struct resolver_questions *of;
};

/* Invariants: references == 1 for the owner, until it forgets them, + 1 for each task that waits or runs. A
 * task asks the question of its index; that of the first wanted family reads the hosts file before. */
struct resolver_questions {
    struct target target;
    bool wanted[RESOLVER_FAMILIES];
    uv_async_t *changed; /* NULL: forgotten */
    unsigned references;
    struct resolver_hosts hosts;
    struct task tasks[RESOLVER_FAMILIES];
    struct resolver_question questions[RESOLVER_FAMILIES];
};

/* Invariants: while any task waits, threads > 0, and a thread ends only where none waits. A thread that ends
 * joins the one that ended before it, and the program the last; once the program is_left to them, they are
 * detached instead. */
static struct {
    pthread_mutex_t lock; /* of all below, and of all questions but what only their tasks use */
    pthread_cond_t idle;  /* threads == 0 */
    struct task *first, **end;
    unsigned tasks; /* that wait or run */
    unsigned threads;
    pthread_t ended; /* the last one, where has_ended */
    bool has_ended;
    bool is_left;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER, .end = &queue.first};

/* A thread without a task ends at once. */
unsigned resolver_pending(void)
{
    pthread_mutex_lock(&queue.lock);
    while (queue.tasks == 0 && queue.threads > 0)
        pthread_cond_wait(&queue.idle, &queue.lock);
    unsigned tasks = queue.tasks;
    bool has_ended = queue.has_ended;
    pthread_t ended = queue.ended;
    queue.has_ended = false;
    pthread_mutex_unlock(&queue.lock);
    if (has_ended)
        (void)pthread_join(ended, NULL);
    return tasks;
}

bool resolver_leave(void)
{
    pthread_mutex_lock(&queue.lock);
    queue.is_left = true;
    pthread_mutex_unlock(&queue.lock);
    return resolver_pending() > 0;
}

struct addrinfo resolver_hints(int family, const struct target *target)
{
    bool literal = target->kind == TARGET_IPV4 || target->kind == TARGET_IPV6;
    bool number = target->service[strspn(target->service, "0123456789")] == '\0';
    return (struct addrinfo){.ai_family = family,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = (literal ? AI_NUMERICHOST : 0) | (number ? AI_NUMERICSERV : 0) |
                                         (target->kind == TARGET_EVERY_ADDRESS ? AI_PASSIVE : 0)};
}

/* From here to run_tasks: under the lock. */

static void release(struct resolver_questions *questions)
{
    if (--questions->references > 0)
        return;
    for (size_t i = 0; i < RESOLVER_FAMILIES; i++)
        if (questions->questions[i].list != NULL)
            freeaddrinfo(questions->questions[i].list);
    free(questions);
}

static void append(struct task *task)
{
    task->next = NULL;
    *queue.end = task;
    queue.end = &task->next;
    queue.tasks++;
    task->of->references++;
}

/* Returns: whether it was there. */
static bool take_out(struct task *task)
{
    struct task **link = &queue.first;

    while (*link != NULL && *link != task)
        link = &(*link)->next;
    if (*link == NULL)
        return false;
    *link = task->next;
    if (queue.end == &task->next)
        queue.end = link;
    return true;
}

static void end(struct task *task)
{
    queue.tasks--;
    release(task->of);
}

static void notify(struct resolver_questions *questions)
{
    if (questions->changed != NULL)
        (void)uv_async_send(questions->changed);
}

static void *run_tasks(void *context);

/* Returns: 0, or an errno. */
static int start_thread(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int failure = pthread_attr_init(&attributes);

    if (failure != 0)
        return failure;
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    failure = pthread_create(&thread, &attributes, run_tasks, NULL);
    (void)pthread_attr_destroy(&attributes);
    queue.threads += failure == 0;
    return failure;
}

/* Under a limit of addresses (ulimit -v) threads leave some to the rest of the process: glibc takes up to 128
 * MiB of them for a thread's heap. */
static unsigned threads_most(void)
{
    const rlim_t each = (rlim_t)256 * 1024 * 1024;
    struct rlimit space;

    if (getrlimit(RLIMIT_AS, &space) != 0 || space.rlim_cur == RLIM_INFINITY ||
        space.rlim_cur / each >= THREADS_MAX)
        return THREADS_MAX;
    return space.rlim_cur / each > 1 ? (unsigned)(space.rlim_cur / each) : 1;
}

/* Returns: 0, or an errno: there is no thread for it, and it does not wait. */
static int add(struct task *task)
{
    append(task);
    int failure = queue.threads < threads_most() ? start_thread() : 0;
    if (queue.threads > 0)
        return 0;
    take_out(task);
    end(task);
    return failure;
}

/* Reads the hosts file, and queues the question for the other family, if there is one. Unlocks meanwhile.
 * Returns: the family to ask for. */
static int read_hosts(struct resolver_questions *questions, int family)
{
    bool both = questions->wanted[0] && questions->wanted[1];

    pthread_mutex_unlock(&queue.lock);
    struct resolver_hosts hosts = resolver_read_hosts(RESOLVER_HOSTS_FILE, questions->target.host);
    pthread_mutex_lock(&queue.lock);
    questions->hosts = hosts;
    if (both && (hosts.v6 || hosts.v4))
        return AF_UNSPEC;
    if (both && questions->changed != NULL)
        (void)add(&questions->tasks[1]); /* this thread is there for it, too */
    return family;
}

/* Unlocks meanwhile. */
static void run(const struct task *task)
{
    struct resolver_questions *questions = task->of;
    const struct target *target = &questions->target;
    size_t index = (size_t)(task - questions->tasks);
    struct resolver_question *question = &questions->questions[index];
    bool is_first = index == 0 || !questions->wanted[0];
    int family = is_first ? read_hosts(questions, resolver_families[index]) : resolver_families[index];
    struct addrinfo hints = resolver_hints(family, target), *list = NULL;

    if (questions->changed == NULL)
        return;
    *question =
        (struct resolver_question){.progress = RESOLVER_ASKED, .family = family, .begin_ns = uv_hrtime()};
    notify(questions);
    pthread_mutex_unlock(&queue.lock);
    int code = getaddrinfo(target->host, target->service, &hints, &list);
    int native = errno;
    pthread_mutex_lock(&queue.lock);
    question->code = code;
    question->native = native;
    question->list = list;
    question->progress = RESOLVER_ANSWERED;
    notify(questions);
}

/* A thread, which takes no signals. */
static void *run_tasks(void *context)
{
    sigset_t all;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, NULL);
    pthread_mutex_lock(&queue.lock);
    for (struct task *task; (task = queue.first) != NULL; end(task)) {
        take_out(task);
        run(task);
    }
    bool has_ended = queue.has_ended && !queue.is_left;
    pthread_t ended = queue.ended;
    if (queue.is_left) {
        (void)pthread_detach(pthread_self());
    } else {
        queue.ended = pthread_self();
        queue.has_ended = true;
    }
    if (--queue.threads == 0)
        pthread_cond_broadcast(&queue.idle);
    pthread_mutex_unlock(&queue.lock);
    if (has_ended)
        (void)pthread_join(ended, NULL);
    return context;
}

struct resolver_questions *resolver_questions_start(const struct target *target,
                                                    const bool wanted[RESOLVER_FAMILIES], uv_async_t *changed,
                                                    int *failure)
{
    struct resolver_questions *questions = calloc(1, sizeof *questions);

    *failure = ENOMEM;
    if (questions == NULL)
        return NULL;
    questions->target = *target;
    questions->changed = changed;
    questions->references = 1;
    for (size_t i = 0; i < RESOLVER_FAMILIES; i++) {
        questions->wanted[i] = wanted[i];
        questions->tasks[i].of = questions;
    }
    pthread_mutex_lock(&queue.lock);
    *failure = add(&questions->tasks[wanted[0] ? 0 : 1]);
    if (*failure != 0) {
        release(questions);
        questions = NULL;
    }
    pthread_mutex_unlock(&queue.lock);
    return questions;
}

struct resolver_question resolver_questions_look(struct resolver_questions *questions, size_t index)
{
    pthread_mutex_lock(&queue.lock);
    struct resolver_question question = questions->questions[index];
    questions->questions[index].list = NULL;
    pthread_mutex_unlock(&queue.lock);
    return question;
}

struct resolver_hosts resolver_questions_hosts(struct resolver_questions *questions)
{
    pthread_mutex_lock(&queue.lock);
    struct resolver_hosts hosts = questions->hosts;
    pthread_mutex_unlock(&queue.lock);
    return hosts;
}

void resolver_questions_forget(struct resolver_questions *questions)
{
    if (questions == NULL)
        return;
    pthread_mutex_lock(&queue.lock);
    questions->changed = NULL;
    for (size_t i = 0; i < RESOLVER_FAMILIES; i++)
        if (take_out(&questions->tasks[i]))
            end(&questions->tasks[i]);
    release(questions);
    pthread_mutex_unlock(&queue.lock);
}
