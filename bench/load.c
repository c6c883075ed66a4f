/* A load generator for any server of the greeting dialogue on 127.0.0.1; it shares no code with tcpgreet. One
 * thread. Every byte of every answer is checked; the first failure ends the run with exit code 1 and its
 * words on stderr. It runs unmeasured for a moment, prints "ready", awaits a line on stdin, runs, prints its
 * result, and awaits the end of stdin. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define QUESTION "Server: What's your name?"
#define WELCOME "Server: Welcome!\n" QUESTION
#define GOOD_BYE "Server: Good bye!\n"

enum { MAX_EVENTS = 256, OPENING_AT_ONCE = 50, SILENCE_MS = 10000 };
enum { WAIT = 0, END_OF_STREAM = -1 };
static const uint64_t second_ns = 1000000000, unmeasured_ns = 300000000;

enum work { GREET, CONNECT, IDLE };

enum state { AWAITS_HANDSHAKE, AWAITS_WELCOME, AWAITS_HELLO, AWAITS_GOOD_BYE, AWAITS_END, HELD };

struct talk {
    int fd;
    SSL *ssl;
    SSL_SESSION *session; /* of its newest ticket */
    enum state state;
    int opened_before;
    size_t received; /* bytes of the awaited answer */
    char name[24], hello[80];
    size_t name_len, hello_len;
    uint64_t began_ns; /* the greeting; in the work CONNECT the dialogue */
};

static enum work work;
static int tls, resume, bare_names;
static unsigned port, talk_count = 50;
static double seconds = 3;

static int epoll_fd;
static SSL_CTX *ssl_ctx;
static struct talk *talks;
static unsigned opened, welcomed;
static uint64_t window_ns; /* when it began, 0: not yet */
static uint64_t done, resumed, truncated;

/* Log-linear: 128 buckets to each power of two, in nanoseconds. */
static uint64_t histogram[64 * 128];

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * second_ns + (uint64_t)now.tv_nsec;
}

static void count(uint64_t began_ns)
{
    if (!window_ns)
        return;
    done++;
    if (began_ns < window_ns)
        return;
    uint64_t took = now_ns() - began_ns;
    unsigned shift = took < 256 ? 0 : (unsigned)(56 - __builtin_clzll(took));
    histogram[shift * 128 + (took >> shift)]++;
}

static double percentile_us(double fraction)
{
    uint64_t total = 0, seen = 0;
    size_t buckets = sizeof histogram / sizeof *histogram;
    for (size_t i = 0; i < buckets; i++)
        total += histogram[i];
    for (size_t i = 0; i < buckets; i++) {
        seen += histogram[i];
        if (total && (double)seen >= fraction * (double)total) {
            size_t shift = i < 256 ? 0 : i / 128 - 1;
            return (double)((i - shift * 128) << shift) / 1e3;
        }
    }
    return 0;
}

static int session_is_new(SSL *ssl, SSL_SESSION *newest)
{
    struct talk *talk = SSL_get_app_data(ssl);
    SSL_SESSION_free(talk->session);
    talk->session = newest;
    return 1;
}

static void tls_set_up(void)
{
    ssl_ctx = SSL_CTX_new(TLS_client_method());
    if (!ssl_ctx || !SSL_CTX_set_min_proto_version(ssl_ctx, TLS1_3_VERSION))
        die("OpenSSL cannot be set up");
    SSL_CTX_set_read_ahead(ssl_ctx, 1);
    if (resume) {
        SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
        SSL_CTX_sess_set_new_cb(ssl_ctx, session_is_new);
    }
}

/* A copy is used, for OpenSSL's client takes a session of TLS 1.3 only once, and not every server sends a new
 * ticket. */
static void resume_session(struct talk *talk)
{
    SSL_SESSION *copy = talk->session ? SSL_SESSION_dup(talk->session) : NULL;
    if (talk->session && (!copy || !SSL_set_session(talk->ssl, copy)))
        die("a session cannot be resumed");
    SSL_SESSION_free(copy);
}

static void talk_open(struct talk *talk)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = talk};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    talk->began_ns = now_ns();
    talk->received = 0;
    talk->state = tls ? AWAITS_HANDSHAKE : AWAITS_WELCOME;
    talk->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (talk->fd < 0 || setsockopt(talk->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) < 0 ||
        (connect(talk->fd, (struct sockaddr *)&addr, sizeof addr) < 0 && errno != EINPROGRESS) ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, talk->fd, &event) < 0)
        die("connect: %s", strerror(errno));
    if (tls) {
        talk->ssl = SSL_new(ssl_ctx);
        if (!talk->ssl || !SSL_set_fd(talk->ssl, talk->fd))
            die("SSL_new fails");
        resume_session(talk);
        SSL_set_app_data(talk->ssl, talk);
        SSL_set_connect_state(talk->ssl);
    }
}

static void open_next(void)
{
    if (opened == talk_count)
        return;
    struct talk *talk = &talks[opened++];
    talk->name_len =
        (size_t)snprintf(talk->name, sizeof talk->name, "Michael%05u%s", opened, bare_names ? "" : "\n");
    talk->hello_len =
        (size_t)snprintf(talk->hello, sizeof talk->hello, "Server: Hello Michael%05u!\n" QUESTION, opened);
    talk_open(talk);
}

static void talk_close(struct talk *talk)
{
    if (talk->ssl && SSL_shutdown(talk->ssl) < 0)
        ERR_clear_error(); /* the server may be gone already */
    SSL_free(talk->ssl);
    talk->ssl = NULL;
    close(talk->fd);
}

static void send_all(struct talk *talk, const char *bytes, size_t len, enum state next)
{
    ssize_t n = talk->ssl ? SSL_write(talk->ssl, bytes, (int)len) : send(talk->fd, bytes, len, MSG_NOSIGNAL);
    if (n != (ssize_t)len)
        die("a name cannot be sent: %s", strerror(errno));
    talk->state = next;
    talk->received = 0;
}

static void send_name(struct talk *talk)
{
    if (work == GREET)
        talk->began_ns = now_ns();
    send_all(talk, talk->name, talk->name_len, AWAITS_HELLO);
}

/* The awaited answer is complete. */
static void talk_advance(struct talk *talk)
{
    switch (talk->state) {
    case AWAITS_WELCOME:
        if (!talk->opened_before) {
            talk->opened_before = 1;
            welcomed++;
            open_next();
        }
        if (work == IDLE)
            talk->state = HELD;
        else
            send_name(talk);
        break;
    case AWAITS_HELLO:
        if (work == GREET) {
            count(talk->began_ns);
            send_name(talk);
        } else {
            send_all(talk, "exit\n", bare_names ? 4 : 5, AWAITS_GOOD_BYE);
        }
        break;
    default:
        talk->state = AWAITS_END;
    }
}

/* Returns: the bytes read, WAIT, END_OF_STREAM. */
static ssize_t receive(struct talk *talk, char *bytes, size_t size)
{
    if (talk->ssl) {
        int n = SSL_read(talk->ssl, bytes, (int)size);
        int error = n > 0 ? SSL_ERROR_NONE : SSL_get_error(talk->ssl, n);
        if (n > 0)
            return n;
        if (error == SSL_ERROR_WANT_READ)
            return WAIT;
        if (error == SSL_ERROR_ZERO_RETURN)
            return END_OF_STREAM;
        unsigned long first = ERR_peek_error();
        if (ERR_GET_REASON(first) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
            die("TLS: %s", first ? ERR_reason_error_string(first) : strerror(errno));
        ERR_clear_error();
        truncated += window_ns != 0;
        return END_OF_STREAM;
    }
    ssize_t n = recv(talk->fd, bytes, size, 0);
    if (n < 0 && errno != EAGAIN)
        die("recv: %s", strerror(errno));
    return n < 0 ? WAIT : n == 0 ? END_OF_STREAM : n;
}

static void check(struct talk *talk, const char *bytes, size_t len)
{
    const char *awaited = "";
    size_t awaited_len = 0;
    if (talk->state == AWAITS_WELCOME) {
        awaited = WELCOME;
        awaited_len = sizeof WELCOME - 1;
    } else if (talk->state == AWAITS_HELLO) {
        awaited = talk->hello;
        awaited_len = talk->hello_len;
    } else if (talk->state == AWAITS_GOOD_BYE) {
        awaited = GOOD_BYE;
        awaited_len = sizeof GOOD_BYE - 1;
    }
    if (len > awaited_len - talk->received || memcmp(awaited + talk->received, bytes, len) != 0)
        die("wrong answer: \"%.*s\" instead of \"%s\"", (int)len, bytes, awaited + talk->received);
    talk->received += len;
    if (talk->received == awaited_len)
        talk_advance(talk);
}

static void talk_ended(struct talk *talk)
{
    if (talk->state != AWAITS_END)
        die("the stream ended in the dialogue");
    resumed += window_ns && talk->ssl && SSL_session_reused(talk->ssl);
    count(talk->began_ns);
    talk_close(talk);
    talk_open(talk);
}

/* Returns: 0: the handshake goes on. */
static int handshake_done(struct talk *talk)
{
    int n = SSL_do_handshake(talk->ssl);
    if (n != 1) {
        int error = SSL_get_error(talk->ssl, n);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
            die("handshake: %s", ERR_error_string(ERR_peek_error(), NULL));
        return 0;
    }
    talk->state = AWAITS_WELCOME;
    return 1;
}

/* Edge triggered: a short read has emptied the socket, but for an end that may stand behind it. */
static void talk_ready(struct talk *talk)
{
    char bytes[4096];
    if (talk->state == AWAITS_HANDSHAKE && !handshake_done(talk))
        return;
    do {
        ssize_t n = receive(talk, bytes, sizeof bytes);
        if (n == WAIT)
            return;
        if (n == END_OF_STREAM) {
            talk_ended(talk);
            return;
        }
        check(talk, bytes, (size_t)n);
    } while (talk->state == AWAITS_END || (talk->ssl && SSL_has_pending(talk->ssl)));
}

/* Runs until then, and until all have been welcomed. */
static void run(uint64_t until_ns)
{
    struct epoll_event events[MAX_EVENTS];
    uint64_t now;
    while ((now = now_ns()) < until_ns || welcomed < talk_count) {
        uint64_t left_ms = now < until_ns ? (until_ns - now) / 1000000 + 1 : SILENCE_MS;
        int timeout_ms = left_ms < SILENCE_MS ? (int)left_ms : SILENCE_MS;
        int n = epoll_wait(epoll_fd, events, MAX_EVENTS, timeout_ms);
        if (n < 0 && errno != EINTR)
            die("epoll_wait: %s", strerror(errno));
        if (n == 0 && timeout_ms == SILENCE_MS)
            die("nothing received for %d s", SILENCE_MS / 1000);
        for (int i = 0; i < n; i++)
            talk_ready(events[i].data.ptr);
    }
}

static void await_line(void)
{
    char byte;
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n')
        continue;
}

static void print_result(void)
{
    double took = (double)(now_ns() - window_ns) / 1e9;
    if (!done)
        die("no answer in %.1f s", took);
    printf("count=%" PRIu64 " seconds=%.3f rate=%.1f p50_us=%.1f p99_us=%.1f p99.9_us=%.1f resumed=%" PRIu64
           " truncated=%" PRIu64 "\n",
           done, took, (double)done / took, percentile_us(0.5), percentile_us(0.99), percentile_us(0.999),
           resumed, truncated);
}

static void usage(void)
{
    fputs("Usage: load greet|connect|tls-full|tls-resumed|idle PORT [-n CONNECTIONS] [-t SECONDS] [-s] [-b]\n"
          "  greet        greetings on kept connections, the next as soon as one is answered\n"
          "  connect      whole dialogues: connect, one name, exit, the end; over and over\n"
          "  tls-full     connect, over TLS 1.3, each with a full handshake\n"
          "  tls-resumed  connect, over TLS 1.3, sessions resumed\n"
          "  idle         opens the connections and holds them until stdin ends\n"
          "  -s           greet, idle: over TLS 1.3; the certificate is not checked\n"
          "  -b           bare names, with no newline\n",
          stderr);
    exit(2);
}

static void parse(int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "n:t:sb")) != -1) {
        if (option == 'n')
            talk_count = (unsigned)atoi(optarg);
        else if (option == 't')
            seconds = atof(optarg);
        else if (option == 's')
            tls = 1;
        else if (option == 'b')
            bare_names = 1;
        else
            usage();
    }
    if (argc - optind != 2 || !talk_count || talk_count > 99999 || seconds <= 0)
        usage();
    const char *mode = argv[optind];
    if (strcmp(mode, "greet") == 0)
        work = GREET;
    else if (strcmp(mode, "idle") == 0)
        work = IDLE;
    else if (strcmp(mode, "connect") == 0 || strncmp(mode, "tls-", 4) == 0)
        work = CONNECT;
    else
        usage();
    resume = strcmp(mode, "tls-resumed") == 0;
    if (resume || strcmp(mode, "tls-full") == 0)
        tls = 1;
    else if (mode[0] == 't')
        usage();
    port = (unsigned)atoi(argv[optind + 1]);
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    talks = calloc(talk_count, sizeof *talks);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!talks || epoll_fd < 0)
        die("no memory or descriptor left");
    if (tls)
        tls_set_up();
    for (int i = 0; i < OPENING_AT_ONCE; i++)
        open_next();
    run(work == IDLE ? 0 : now_ns() + unmeasured_ns);
    puts("ready");
    await_line();
    if (work == IDLE)
        return 0;
    window_ns = now_ns();
    run(window_ns + (uint64_t)(seconds * 1e9));
    print_result();
    await_line();
    return 0;
}
