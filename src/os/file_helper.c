#include "file_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tcpgreet/base/file.h"
#include "tcpgreet/base/log.h"
#ifdef __linux__
#include <sys/prctl.h>
#endif
#ifndef SOCK_CLOEXEC /* macOS; what has this helper starts no program */
#define SOCK_CLOEXEC 0
#define MSG_CMSG_CLOEXEC 0
#endif

enum { ANSWER_MS = 5000, MS_PER_SECOND = 1000, NS_PER_MS = 1000000, DESCRIPTORS_MAX = 65536 };

struct request {
    uint32_t number;
    uint32_t file; /* index */
};

/* native 0: the descriptor comes with it. */
struct reply {
    uint32_t number; /* the request's */
    int32_t native;
};

/* Invariant: one request is under way at a time, so that none can fill the socket and block. */
static struct {
    pthread_mutex_t lock;
    const char *const *files;
    int socket;
    uint32_t number;
    bool is_late; /* the request's reply did not come in time */
    uv_poll_t end;
} helper = {.lock = PTHREAD_MUTEX_INITIALIZER, .socket = -1};

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static struct msghdr message_of(struct iovec *part, union control *control)
{
    return (struct msghdr){.msg_iov = part,
                           .msg_iovlen = 1,
                           .msg_control = control->bytes,
                           .msg_controllen = sizeof control->bytes};
}

/* Returns: false where this process's owner is gone. */
static bool send_reply(int to, struct reply reply, int fd)
{
    union control control = {.bytes = {0}};
    struct iovec part = {&reply, sizeof reply};
    struct msghdr message = message_of(&part, &control);

    if (fd >= 0) {
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(head), &fd, sizeof fd);
    } else {
        message.msg_control = NULL;
        message.msg_controllen = 0;
    }
    ssize_t sent;
    do
        sent = sendmsg(to, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)sizeof reply;
}

static bool serve(int from, const char *const *files, size_t count)
{
    struct request request;
    ssize_t length;
    do
        length = recv(from, &request, sizeof request, MSG_WAITALL);
    while (length < 0 && errno == EINTR);
    if (length != (ssize_t)sizeof request)
        return false;
    int fd = request.file < count ? file_open(files[request.file]) : -1;
    struct reply reply = {request.number, fd >= 0 ? 0 : request.file < count ? errno : EINVAL};
    bool is_sent = send_reply(from, reply, fd);
    if (fd >= 0)
        (void)close(fd);
    return is_sent;
}

/* It keeps nothing open but its socket: no listener, and no pipe whose reader waits for the end. */
static void close_others(int socket)
{
    long limit = sysconf(_SC_OPEN_MAX);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; fd < (limit > 0 && limit < DESCRIPTORS_MAX ? limit : DESCRIPTORS_MAX); fd++) {
        if (fd == socket || fd == null)
            continue;
        if (fd <= STDERR_FILENO && null >= 0)
            (void)dup2(null, fd);
        else
            (void)close(fd);
    }
}

/* Signals that go to a whole process group are for its owner, with which it ends. */
static void ignore_signals(void)
{
    static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGPIPE, SIGTSTP};
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        (void)signal(ignored[i], SIG_IGN);
}

static _Noreturn void run(int socket, const char *const *files, file_helper_confine_fn *confine)
{
    char missing[FILE_HELPER_TEXT_BYTES] = "";
    size_t count = 0;

    while (files[count] != NULL)
        count++;
    ignore_signals();
    close_others(socket);
#ifdef __linux__
    (void)prctl(PR_SET_NAME, "tcpgreet-files", 0, 0, 0);
#endif
    confine(files, missing);
    if (send(socket, missing, sizeof missing, MSG_NOSIGNAL) != (ssize_t)sizeof missing)
        _exit(1);
    while (serve(socket, files, count)) {
    }
    _exit(0);
}

static int64_t now_ms(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * MS_PER_SECOND + now.tv_nsec / NS_PER_MS;
}

/* Signals do not prolong the wait. */
static bool await_reply(int64_t deadline_ms)
{
    struct pollfd reply = {.fd = helper.socket, .events = POLLIN};
    int ready;
    do {
        int64_t left_ms = deadline_ms - now_ms();
        ready = poll(&reply, 1, left_ms > 0 ? (int)left_ms : 0);
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

/* Returns: 0; an error number. */
static int receive_reply(int64_t deadline_ms, int *fd)
{
    struct reply reply = {0};
    union control control = {.bytes = {0}};
    struct iovec part = {&reply, sizeof reply};
    struct msghdr message = message_of(&part, &control);
    ssize_t length;

    helper.is_late = !await_reply(deadline_ms);
    if (helper.is_late)
        return ETIMEDOUT;
    do
        length = recvmsg(helper.socket, &message, MSG_CMSG_CLOEXEC);
    while (length < 0 && errno == EINTR);
    if (length != (ssize_t)sizeof reply || reply.number != helper.number)
        return ECHILD;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head != NULL && head->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(head), sizeof *fd);
    return reply.native != 0 ? reply.native : *fd >= 0 ? 0 : EMFILE; /* without room the kernel drops it */
}

static int request_file(uint32_t file, int *fd)
{
    int64_t deadline_ms = now_ms() + ANSWER_MS;

    if (helper.is_late) { /* what comes too late is of no use */
        int late = -1;
        (void)receive_reply(now_ms(), &late);
        if (late >= 0)
            (void)close(late);
        if (helper.is_late)
            return ETIMEDOUT;
    }
    struct request request = {++helper.number, file};
    if (send(helper.socket, &request, sizeof request, MSG_NOSIGNAL) != (ssize_t)sizeof request)
        return ECHILD;
    return receive_reply(deadline_ms, fd);
}

static int ask(uint32_t file)
{
    int fd = -1;
    (void)pthread_mutex_lock(&helper.lock);
    int native = request_file(file, &fd);
    (void)pthread_mutex_unlock(&helper.lock);
    errno = native;
    return native == 0 ? fd : -1;
}

static int open_by_helper(const char *path)
{
    for (uint32_t i = 0; helper.files[i] != NULL; i++)
        if (strcmp(helper.files[i], path) == 0)
            return ask(i);
    return file_open(path);
}

/* Its first message: it is ready. Returns: 0; an error number. */
static int receive_missing(char missing[FILE_HELPER_TEXT_BYTES])
{
    if (!await_reply(now_ms() + ANSWER_MS))
        return ETIMEDOUT;
    ssize_t length;
    do
        length = recv(helper.socket, missing, FILE_HELPER_TEXT_BYTES, MSG_WAITALL);
    while (length < 0 && errno == EINTR);
    return length == FILE_HELPER_TEXT_BYTES ? 0 : ECHILD;
}

static int fail(int native, struct err *err)
{
    return err_set(err, err_reason_of_system(native), native, "cannot start the process that opens files: %s",
                   native == ECHILD ? "it has ended" : strerror(native));
}

int file_helper_start(const char *const *files, file_helper_confine_fn *confine,
                      char missing[FILE_HELPER_TEXT_BYTES], struct err *err)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return fail(errno, err);
    (void)signal(SIGCHLD, SIG_IGN); /* so that it does not stay as a zombie */
    pid_t child = fork();
    if (child == 0)
        run(ends[1], files, confine);
    int native = child < 0 ? errno : 0;
    (void)close(ends[1]);
    helper.files = files;
    helper.socket = ends[0];
    if (native == 0)
        native = receive_missing(missing);
    if (native != 0) {
        helper.socket = -1;
        (void)close(ends[0]);
        return fail(native, err);
    }
    file_open_by(open_by_helper);
    return 0;
}

static void on_end(uv_poll_t *end, int status, int events)
{
    (void)status;
    (void)events;
    (void)uv_poll_stop(end);
    log_event(&(struct log_event){LOG_WARNING, "helper-ended", NULL},
              "The process that opens files has ended: files cannot be loaded again until a restart");
}

int file_helper_watch(uv_loop_t *loop)
{
    if (helper.socket < 0)
        return 0;
    int result = uv_poll_init(loop, &helper.end, helper.socket);
    return result == 0 ? uv_poll_start(&helper.end, UV_DISCONNECT, on_end) : result;
}
