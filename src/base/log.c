#include "tcpgreet/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "log_line.h"
#include "tcpgreet/base/buf.h"
#include "tcpgreet/base/escape.h"

enum { RING_BYTES = 256 * 1024, LEVEL_CLOSED = -1 };

#ifdef __APPLE__ /* has no pthread_condattr_setclock */
#define STOP_CLOCK CLOCK_REALTIME
#else
#define STOP_CLOCK CLOCK_MONOTONIC
#endif

/*
 * One log a process. Static, because log_close can neither join nor end a writer that is blocked in a write:
 * it sets `abandoned` and leaves it behind, to touch nothing but `running` any more. Invariants: the ring
 * holds whole lines but for the first, whose front may be written already; only the writer takes from it, so
 * that it reads what is queued without the lock; while unreported > 0 no line is queued but the one that
 * reports it; abandoned implies stopping.
 */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t queued;  /* there is something to write, or to stop */
    pthread_cond_t drained; /* nothing is queued, a write has failed, or running has become false */
    atomic_int level;       /* enum log_level, LEVEL_CLOSED */
    atomic_int format;      /* enum log_format */
    atomic_int stamp;       /* enum log_stamp */
    atomic_bool is_ascii;   /* the locale's character set is not UTF-8 */
    pthread_t writer;
    int fd;
    bool held; /* implies not running: log_release starts the writer */
    bool running;
    bool stopping;
    bool abandoned;
    bool stalled;        /* a write failed; the next line tries again */
    int failure;         /* errno of a failed write since the last report or success, 0 */
    uint64_t dropped;    /* since log_open */
    uint64_t unreported; /* of those, not yet reported in the log */
    size_t head;
    size_t length;
} journal = {.lock = PTHREAD_MUTEX_INITIALIZER, .queued = PTHREAD_COND_INITIALIZER, .level = LEVEL_CLOSED};

static char ring[RING_BYTES]; /* of journal; by itself, since zeros take no room in the program's file */

static struct log_style style_now(void)
{
    return (struct log_style){
        .format = (enum log_format)atomic_load_explicit(&journal.format, memory_order_relaxed),
        .stamp = (enum log_stamp)atomic_load_explicit(&journal.stamp, memory_order_relaxed),
        .is_ascii = atomic_load_explicit(&journal.is_ascii, memory_order_relaxed),
    };
}

/* Under the lock. Returns: false, with nothing queued, where it does not fit. */
static bool enqueue(struct bytes line)
{
    if (line.length > RING_BYTES - journal.length)
        return false;
    size_t tail = (journal.head + journal.length) % RING_BYTES;
    size_t first = line.length < RING_BYTES - tail ? line.length : RING_BYTES - tail;
    memcpy(ring + tail, line.data, first);
    memcpy(ring, line.data + first, line.length - first);
    journal.length += line.length;
    return true;
}

/* Under the lock. */
static void count_dropped(uint64_t lines)
{
    journal.dropped += lines;
    journal.unreported += lines;
}

/* Under the lock. Queues the line that reports how many were dropped, if there is space. */
static void report_dropped(void)
{
    const struct log_event event = {
        LOG_WARNING, "log-dropped",
        LOG_FACTS(log_count("lines", journal.unreported),
                  log_text("error", journal.failure != 0 ? strerror(journal.failure) : NULL))};
    char message[128];
    char text[LOG_LINE_BYTES];
    struct sink line = {text, 0, sizeof(text)};
    (void)snprintf(message, sizeof(message), "%" PRIu64 " log line%s dropped: %s", journal.unreported,
                   journal.unreported == 1 ? " was" : "s were",
                   journal.failure != 0 ? strerror(journal.failure) : "standard error was not read in time");
    const struct log_style style = style_now();
    log_line_put(&line, &style, &event, message);
    if (!enqueue((struct bytes){line.data, line.length}))
        return;
    journal.unreported = 0;
    journal.failure = 0;
}

/* Under the lock. */
static void drop_queue(void)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < journal.length; i++)
        lines += ring[(journal.head + i) % RING_BYTES] == '\n';
    count_dropped(lines);
    journal.length = 0;
    pthread_cond_broadcast(&journal.drained);
}

/* Under the lock, which it leaves while it writes. Writes what is queued, once. */
static void write_queue(void)
{
    size_t first = journal.length < RING_BYTES - journal.head ? journal.length : RING_BYTES - journal.head;
    struct iovec parts[] = {{ring + journal.head, first}, {ring, journal.length - first}};
    int fd = journal.fd;
    journal.stalled = true;
    pthread_mutex_unlock(&journal.lock);
    ssize_t written = writev(fd, parts, parts[1].iov_len > 0 ? 2 : 1);
    int native = written < 0 ? errno : 0;
    if (native == EAGAIN)
        (void)poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
    pthread_mutex_lock(&journal.lock);
    if (journal.abandoned)
        return;
    if (native == EBADF) {
        drop_queue(); /* from now on no line is queued */
    } else if (native != 0 && native != EINTR && native != EAGAIN) {
        journal.failure = native; /* a disk may have room again, and a FIFO another reader */
        pthread_cond_broadcast(&journal.drained);
    } else {
        size_t taken = written > 0 ? (size_t)written : 0;
        journal.head = (journal.head + taken) % RING_BYTES;
        journal.length -= taken;
        journal.stalled = false;
        if (taken > 0 && journal.unreported > 0)
            report_dropped();
        else if (taken > 0)
            journal.failure = 0;
        if (journal.length == 0)
            pthread_cond_broadcast(&journal.drained);
    }
}

static void *writer_main(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&journal.lock);
    while (!journal.abandoned) {
        if (journal.length > 0 && !journal.stalled) {
            write_queue();
        } else if (journal.stopping) {
            drop_queue();
            break;
        } else {
            pthread_cond_wait(&journal.queued, &journal.lock);
        }
    }
    journal.running = false;
    pthread_cond_broadcast(&journal.drained);
    pthread_mutex_unlock(&journal.lock);
    return NULL;
}

/* The thread takes no signals. */
static int start_writer(void)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    int failure = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (failure != 0)
        return failure;
    failure = pthread_create(&journal.writer, NULL, writer_main, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

/* The first gmtime_r reads the time zone: here, and not in log_event, which a sandbox may confine. */
static void init(void)
{
    (void)gmtime_r(&(time_t){0}, &(struct tm){0});
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
#ifndef __APPLE__
    (void)pthread_condattr_setclock(&attributes, STOP_CLOCK);
#endif
    (void)pthread_cond_init(&journal.drained, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

int log_open(const struct log_config *config)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, init);
    pthread_mutex_lock(&journal.lock);
    int failure = EBUSY;
    if (!journal.running && !journal.held) {
        journal.fd = config->fd;
        journal.stopping = journal.abandoned = journal.stalled = false;
        journal.dropped = journal.unreported = 0;
        journal.failure = 0;
        journal.head = journal.length = 0;
        journal.held = config->is_held;
        failure = config->is_held ? 0 : start_writer();
        journal.running = failure == 0 && !config->is_held;
    }
    if (failure == 0) {
        atomic_store(&journal.format, (int)config->format);
        atomic_store(&journal.stamp, (int)config->stamp);
        atomic_store(&journal.is_ascii, !escape_is_utf8_environment());
        atomic_store(&journal.level, (int)config->level);
    }
    pthread_mutex_unlock(&journal.lock);
    if (failure == 0)
        return 0;
    errno = failure;
    return -1;
}

int log_release(void)
{
    int failure = 0;
    pthread_mutex_lock(&journal.lock);
    if (journal.held) {
        failure = start_writer();
        journal.running = failure == 0;
        journal.held = failure != 0;
    }
    pthread_mutex_unlock(&journal.lock);
    if (failure == 0)
        return 0;
    errno = failure;
    return -1;
}

void log_event(const struct log_event *event, const char *format, ...)
{
    if (!log_enabled(event->level))
        return;
    int saved = errno;
    char message[LOG_LINE_MESSAGE_BYTES];
    char text[LOG_LINE_BYTES];
    struct sink line = {text, 0, sizeof(text)};
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (length < 0)
        message[0] = '\0';
    else if ((size_t)length >= sizeof(message))
        message[escape_trim((struct bytes){message, sizeof(message) - 1})] = '\0';
    const struct log_style style = style_now();
    log_line_put(&line, &style, event, message);
    pthread_mutex_lock(&journal.lock);
    if ((journal.running || journal.held) && !journal.stopping) {
        if (journal.unreported > 0 || !enqueue((struct bytes){line.data, line.length}))
            count_dropped(1);
        journal.stalled = false;
        pthread_cond_signal(&journal.queued);
    }
    pthread_mutex_unlock(&journal.lock);
    errno = saved;
}

void log_write_progress(struct bytes text)
{
    pthread_mutex_lock(&journal.lock);
    if (journal.running && !journal.stopping && journal.length == 0 && journal.unreported == 0) {
        (void)enqueue(text);
        pthread_cond_signal(&journal.queued);
    }
    pthread_mutex_unlock(&journal.lock);
}

/* Source: systemd.exec(5): device and inode of the stream, in decimal. */
enum log_stamp log_stamp_of(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat now;
    char *end;
    if (stream == NULL || fstat(fd, &now) < 0)
        return LOG_STAMP_TIME;
    uintmax_t device = strtoumax(stream, &end, 10);
    uintmax_t inode = *end == ':' ? strtoumax(end + 1, NULL, 10) : 0; /* which is no file's */
    return (uintmax_t)now.st_dev == device && (uintmax_t)now.st_ino == inode ? LOG_STAMP_PRIORITY
                                                                             : LOG_STAMP_TIME;
}

struct log_config log_config_of_service(enum log_format format, bool verbose, bool quiet)
{
    return (struct log_config){.fd = STDERR_FILENO,
                               .level = verbose ? LOG_DEBUG
                                        : quiet ? LOG_NOTICE
                                                : LOG_INFO,
                               .format = format,
                               .stamp = log_stamp_of(STDERR_FILENO)};
}

int log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&journal.level, memory_order_acquire);
}

uint64_t log_dropped(void)
{
    pthread_mutex_lock(&journal.lock);
    uint64_t dropped = journal.dropped;
    pthread_mutex_unlock(&journal.lock);
    return dropped;
}

static struct timespec time_after(int wait_ms)
{
    struct timespec time = {0};
    (void)clock_gettime(STOP_CLOCK, &time);
    time.tv_sec += wait_ms / 1000;
    time.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_sec++;
        time.tv_nsec -= 1000000000;
    }
    return time;
}

bool log_drain(int wait_ms)
{
    struct timespec end = time_after(wait_ms);
    int failure = 0;

    pthread_mutex_lock(&journal.lock);
    while (journal.running && journal.length > 0 && journal.failure == 0 && failure == 0)
        failure = pthread_cond_timedwait(&journal.drained, &journal.lock, &end);
    bool is_drained = journal.length == 0;
    pthread_mutex_unlock(&journal.lock);
    return is_drained;
}

/* What is queued could be written: it is the writer that does not get to run, on a machine that is
 * overloaded. */
static bool is_writer_late(void)
{
    struct pollfd output = {.fd = journal.fd, .events = POLLOUT};
    return journal.length > 0 && journal.failure == 0 && poll(&output, 1, 0) == 1 &&
           (output.revents & POLLOUT) != 0;
}

void log_close(int wait_ms)
{
    enum { WAITS_MAX = 20 };
    struct timespec end = time_after(wait_ms > 0 ? wait_ms : 0);
    (void)log_release();
    pthread_mutex_lock(&journal.lock);
    journal.held = false;
    if (!journal.running)
        atomic_store(&journal.level,
                     LEVEL_CLOSED); /* where its thread cannot be started, another may write */
    if (!journal.running || journal.stopping) {
        pthread_mutex_unlock(&journal.lock);
        return;
    }
    atomic_store(&journal.level, LEVEL_CLOSED);
    journal.stopping = true;
    journal.stalled = false;
    pthread_cond_signal(&journal.queued);
    int failure = 0;
    for (int waits = 1; journal.running && failure == 0;) {
        failure = pthread_cond_timedwait(&journal.drained, &journal.lock, &end);
        if (failure != ETIMEDOUT || wait_ms <= 0 || waits++ == WAITS_MAX || !is_writer_late())
            continue;
        end = time_after(wait_ms);
        failure = 0;
    }
    journal.abandoned = journal.running;
    pthread_t writer = journal.writer;
    bool join = !journal.running;
    pthread_mutex_unlock(&journal.lock);
    if (join)
        (void)pthread_join(writer, NULL);
    else
        (void)pthread_detach(writer);
}
