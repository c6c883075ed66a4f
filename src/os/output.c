#include "tcpgreet/os/output.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BATCH_BYTES = 64 * 1024 }; /* for which the writer is woken at once: a wake costs more than a write */

/* Invariant: length <= capacity. It keeps its memory, so that a steady stream allocates nothing. */
struct half {
    char *data;
    size_t length;
    size_t capacity;
};

/*
 * What the descriptor takes at once is written at once; with what it does not take the writer begins, and
 * writes all from then on. Two halves: the loop's thread appends to `queued`, the writer exchanges it for the
 * one it has written. On the heap, because a writer that is blocked in write(2) can be neither joined nor
 * ended: it is left behind, and frees this when it is the last to refer to it. Invariants: `writing` belongs
 * to the writer while is_writing; after is_abandoned the writer neither writes nor notifies the loop.
 */
struct output {
    uv_async_t wake;
    uv_prepare_t before_wait; /* wakes the writer for what was queued since the loop waited last */
    uv_mutex_t lock;
    uv_cond_t changed; /* something to write, to stop for, or written */
    pthread_t writer;  /* where has_writer */
    output_changed_fn *call;
    void *context;
    int fd;
    int references; /* the owner, the writer, the handles */
    int failure;    /* errno of the write that failed; 0 */
    bool has_writer;
    bool is_writing;
    bool is_awaited; /* the owner wants to know of changes */
    bool is_closing;
    bool is_abandoned;
    bool is_over; /* the writer has ended */
    struct half queued;
    struct half writing;
};

/* Takes one reference. */
static void release(struct output *output)
{
    uv_mutex_lock(&output->lock);
    int left = --output->references;
    uv_mutex_unlock(&output->lock);
    if (left > 0)
        return;
    uv_cond_destroy(&output->changed);
    uv_mutex_destroy(&output->lock);
    free(output->queued.data);
    free(output->writing.data);
    free(output);
}

static bool is_abandoned(struct output *output)
{
    uv_mutex_lock(&output->lock);
    bool abandoned = output->is_abandoned;
    uv_mutex_unlock(&output->lock);
    return abandoned;
}

/* Returns: 0, or errno of the write that failed. A descriptor that does not block is waited for. Once the
 * output is abandoned, the descriptor may be closed, and its number another file's. */
static int write_all(struct output *output, struct bytes bytes)
{
    int fd = output->fd;
    while (bytes.length > 0 && !is_abandoned(output)) {
        ssize_t written = write(fd, bytes.data, bytes.length);
        if (written >= 0)
            bytes = bytes_skip(bytes, (size_t)written);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            (void)poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

/* Under the lock. */
static void notify(struct output *output)
{
    uv_cond_broadcast(&output->changed);
    if (output->is_awaited && !output->is_abandoned)
        uv_async_send(&output->wake);
    output->is_awaited = false;
}

/* Under the lock, which it leaves while it writes. */
static void write_queued(struct output *output)
{
    struct half batch = output->queued;

    output->queued = output->writing;
    output->writing = batch;
    output->is_writing = true;
    notify(output); /* there is room again */
    uv_mutex_unlock(&output->lock);
    int failure = write_all(output, (struct bytes){batch.data, batch.length});
    uv_mutex_lock(&output->lock);
    output->is_writing = false;
    output->writing.length = 0;
    if (failure != 0) {
        output->failure = failure;
        output->queued.length = 0;
        output->is_awaited = true; /* asked for or not */
    }
    notify(output);
}

static void *writer_main(void *context)
{
    struct output *output = context;

    uv_mutex_lock(&output->lock);
    while (!output->is_abandoned && output->failure == 0) {
        if (output->queued.length > 0)
            write_queued(output);
        else if (output->is_closing)
            break;
        else
            uv_cond_wait(&output->changed, &output->lock);
    }
    output->is_over = true;
    uv_cond_broadcast(&output->changed);
    uv_mutex_unlock(&output->lock);
    release(output);
    return NULL;
}

/* The writer takes no signals. Returns: 0, or an errno. */
static int start_writer(struct output *output)
{
    sigset_t all;
    sigset_t before;

    (void)sigfillset(&all);
    int failure = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (failure != 0)
        return failure;
    output->references++;
    failure = pthread_create(&output->writer, NULL, writer_main, output);
    output->has_writer = failure == 0;
    if (failure != 0)
        output->references--;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

static void on_wake(uv_async_t *wake)
{
    struct output *output = wake->data;
    output->call(output->context);
}

static void on_handle_closed(uv_handle_t *handle)
{
    release(handle->data);
}

static void close_handles(struct output *output)
{
    uv_close((uv_handle_t *)&output->wake, on_handle_closed);
    uv_close((uv_handle_t *)&output->before_wait, on_handle_closed);
}

static void wake_writer(struct output *output)
{
    uv_mutex_lock(&output->lock);
    uv_cond_broadcast(&output->changed);
    uv_mutex_unlock(&output->lock);
}

static void on_before_wait(uv_prepare_t *before_wait)
{
    uv_prepare_stop(before_wait);
    wake_writer(before_wait->data);
}

/* Returns: 0, or an errno; then nothing is left open. */
static int init_locks(struct output *output)
{
    int result = uv_mutex_init(&output->lock);
    if (result != 0)
        return -result;
    result = uv_cond_init(&output->changed);
    if (result != 0)
        uv_mutex_destroy(&output->lock);
    return -result;
}

/* Returns: 0, or an errno; then the output is gone. */
static int start(struct output *output, uv_loop_t *loop)
{
    int failure = init_locks(output);
    if (failure != 0) {
        free(output);
        return failure;
    }
    output->references = 1;
    failure = -uv_async_init(loop, &output->wake, on_wake);
    if (failure == 0) {
        uv_prepare_init(loop, &output->before_wait); /* which cannot fail */
        output->wake.data = output->before_wait.data = output;
        output->references = 3;
        return 0;
    }
    release(output);
    return failure;
}

struct output *output_open(uv_loop_t *loop, int fd, output_changed_fn *changed, void *context,
                           struct err *err)
{
    struct output *output = calloc(1, sizeof *output);
    if (output == NULL) {
        err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for the output queue");
        return NULL;
    }
    output->fd = fd;
    output->call = changed;
    output->context = context;
    int failure = start(output, loop);
    if (failure == 0)
        return output;
    err_set(err, err_reason_of_system(failure), failure, "cannot make an output queue: %s",
            strerror(failure));
    return NULL;
}

/* Under the lock. Returns: 0, -1: not enough memory. */
static int append(struct half *half, struct bytes bytes)
{
    if (bytes.length > half->capacity - half->length) {
        size_t capacity = half->capacity > 0 ? half->capacity : OUTPUT_QUEUE_BYTES;
        while (bytes.length > capacity - half->length)
            capacity *= 2;
        char *data = realloc(half->data, capacity);
        if (data == NULL)
            return -1;
        half->data = data;
        half->capacity = capacity;
    }
    memcpy(half->data + half->length, bytes.data, bytes.length);
    half->length += bytes.length;
    return 0;
}

static int set_failure(int failure, struct err *err)
{
    return err_set(err, ERR_SYSTEM_OUTPUT, failure, "cannot write to standard output: %s%s",
                   strerror(failure), failure == EBADF ? " (it is closed)" : "");
}

/* O_NONBLOCK would concern all that share the descriptor. Returns: as write(2). */
static ssize_t write_without_waiting(int fd, struct bytes bytes)
{
#ifdef TCPGREET_HAVE_RWF_NOWAIT
    return pwritev2(fd, &(struct iovec){(void *)bytes.data, bytes.length}, 1, -1, RWF_NOWAIT);
#else
    (void)fd;
    (void)bytes;
    return -1;
#endif
}

/* Returns: what is left to the writer, which reports what fails. */
static struct bytes write_at_once(struct output *output, struct bytes bytes)
{
    ssize_t written = 0;

    while (bytes.length > 0 && (written = write_without_waiting(output->fd, bytes)) > 0)
        bytes = bytes_skip(bytes, (size_t)written);
    return bytes;
}

static int queue(struct output *output, struct bytes bytes, struct err *err)
{
    uv_mutex_lock(&output->lock);
    int failure = output->failure;
    if (failure == 0 && append(&output->queued, bytes) < 0)
        failure = ENOMEM;
    if (output->queued.length >= BATCH_BYTES)
        uv_cond_broadcast(&output->changed);
    else
        uv_prepare_start(&output->before_wait, on_before_wait);
    uv_mutex_unlock(&output->lock);
    if (failure == ENOMEM)
        return err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for the output queue");
    return failure == 0 ? 0 : set_failure(failure, err);
}

/* Without the thread, for want of which it is: in pieces for which a pipe that is writable has room. */
static int write_here(struct output *output, struct bytes bytes, int why, struct err *err)
{
    struct pollfd writable = {.fd = output->fd, .events = POLLOUT};

    while (bytes.length > 0 && output->failure == 0) {
        int ready = poll(&writable, 1, OUTPUT_GRACE_MS);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0) {
            err_set_no_thread(err, why);
            return err_context(err, "cannot wait for the reader of standard output");
        }
        size_t length = bytes.length < PIPE_BUF ? bytes.length : PIPE_BUF;
        ssize_t written = write(output->fd, bytes.data, length);
        if (written >= 0)
            bytes = bytes_skip(bytes, (size_t)written);
        else if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
            output->failure = errno;
    }
    return output->failure == 0 ? 0 : set_failure(output->failure, err);
}

int output_write(struct output *output, struct bytes bytes, struct err *err)
{
    if (!output->has_writer)
        bytes = write_at_once(output, bytes);
    if (bytes.length == 0)
        return 0;
    int failure = output->has_writer ? 0 : start_writer(output);
    if (failure != 0)
        return write_here(output, bytes, failure, err);
    return queue(output, bytes, err);
}

bool output_is_full(struct output *output)
{
    uv_mutex_lock(&output->lock);
    bool is_full = output->queued.length >= OUTPUT_QUEUE_BYTES;
    output->is_awaited = output->is_awaited || is_full;
    uv_mutex_unlock(&output->lock);
    return is_full;
}

bool output_is_pending(struct output *output)
{
    uv_mutex_lock(&output->lock);
    bool is_pending = output->is_writing || output->queued.length > 0;
    output->is_awaited = output->is_awaited || is_pending;
    uv_mutex_unlock(&output->lock);
    return is_pending;
}

int output_failed(struct output *output, struct err *err)
{
    uv_mutex_lock(&output->lock);
    int failure = output->failure;
    uv_mutex_unlock(&output->lock);
    return failure == 0 ? 0 : set_failure(failure, err);
}

/* Under the lock. Waits for a change until then. Returns: false where the time is over. */
static bool await_change(struct output *output, uint64_t end_ns)
{
    uint64_t now_ns = uv_hrtime();
    if (now_ns >= end_ns)
        return false;
    (void)uv_cond_timedwait(&output->changed, &output->lock, end_ns - now_ns);
    return true;
}

static uint64_t end_of(unsigned wait_ms)
{
    enum { NS_PER_MS = 1000 * 1000 };
    return uv_hrtime() + (uint64_t)wait_ms * NS_PER_MS;
}

void output_drain(struct output *output, unsigned wait_ms)
{
    uint64_t end_ns = end_of(wait_ms);
    bool in_time = true;

    uv_mutex_lock(&output->lock);
    uv_cond_broadcast(&output->changed);
    while (in_time && (output->is_writing || output->queued.length > 0))
        in_time = await_change(output, end_ns);
    uv_mutex_unlock(&output->lock);
}

int output_close(struct output *output, unsigned wait_ms, struct err *err)
{
    if (output == NULL)
        return 0;
    uint64_t end_ns = end_of(wait_ms);
    bool in_time = true;
    uv_mutex_lock(&output->lock);
    output->is_closing = true;
    uv_cond_broadcast(&output->changed);
    while (in_time && output->has_writer && !output->is_over)
        in_time = await_change(output, end_ns);
    bool is_over = output->is_over || !output->has_writer;
    bool is_unwritten = output->is_writing || output->queued.length > 0;
    int failure = output->failure;
    output->is_abandoned = !is_over;
    pthread_t writer = output->writer;
    close_handles(output);
    uv_mutex_unlock(&output->lock);
    if (output->has_writer)
        (void)(is_over ? pthread_join(writer, NULL) : pthread_detach(writer));
    release(output);
    if (failure != 0)
        return set_failure(failure, err);
    if (!is_unwritten)
        return 0;
    return err_set(err, ERR_SYSTEM_OUTPUT, 0, "cannot write all of the output: its reader does not read");
}

int output_text_open(struct output_text *text, struct err *err)
{
    *text = (struct output_text){0};
    text->file = open_memstream(&text->data, &text->length);
    if (text->file != NULL)
        return 0;
    return err_set(err, ERR_INTERNAL, errno, "not enough memory for a report");
}

int output_text_close(struct output_text *text, struct output *output, struct err *err)
{
    bool is_whole = ferror(text->file) == 0;
    is_whole = fclose(text->file) == 0 && is_whole;
    int result = is_whole ? output_write(output, (struct bytes){text->data, text->length}, err)
                          : err_set(err, ERR_INTERNAL, ENOMEM, "not enough memory for a report");
    free(text->data);
    return result;
}
