/* The floor: a bare epoll loop that speaks the greeting dialogue for names that end with LF, and does nothing
 * else. No limits, no deadlines, no log, no queue: a peer that does not take an answer at once is closed.
 * bare PORT [CERTIFICATE KEY]: serves 127.0.0.1; port 0: the kernel's choice. Prints "port=N". */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUESTION "Server: What's your name?"
#define WELCOME "Server: Welcome!\n" QUESTION
#define GOOD_BYE "Server: Good bye!\n"

enum { MAX_EVENTS = 256, READ_BYTES = 2048, ANSWER_BYTES = 128 * 1024 };

struct guest {
    int fd;
    SSL *ssl;        /* NULL: plain */
    int handshaking; /* the welcome is not said yet */
    char *begun;     /* a name whose end has not come, NULL: none */
    size_t begun_len;
};

static int epoll_fd;
static SSL_CTX *ssl_ctx;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void guest_close(struct guest *guest)
{
    SSL_free(guest->ssl);
    close(guest->fd);
    free(guest->begun);
    free(guest);
}

/* Returns: 0, -1: the peer did not take it all at once. */
static int say(struct guest *guest, const char *bytes, size_t len)
{
    if (guest->ssl)
        return SSL_write(guest->ssl, bytes, (int)len) == (int)len ? 0 : -1;
    return send(guest->fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -1;
}

/* Returns: the bytes read, 0: nothing to read yet, -1: the end. */
static ssize_t hear(struct guest *guest, char *bytes, size_t size)
{
    if (guest->ssl) {
        int n = SSL_read(guest->ssl, bytes, (int)size);
        if (n > 0)
            return n;
        return SSL_get_error(guest->ssl, n) == SSL_ERROR_WANT_READ ? 0 : -1;
    }
    ssize_t n = recv(guest->fd, bytes, size, 0);
    if (n > 0)
        return n;
    return n < 0 && errno == EAGAIN ? 0 : -1;
}

/* Keeps the bytes of a name whose end has not come. Returns: 0, -1: out of memory. */
static int keep(struct guest *guest, const char *bytes, size_t len)
{
    char *kept = len ? malloc(len) : NULL;
    if (len && !kept)
        return -1;
    if (len)
        memcpy(kept, bytes, len);
    free(guest->begun);
    guest->begun = kept;
    guest->begun_len = len;
    return 0;
}

static size_t add(char *answer, const char *bytes, size_t len)
{
    memcpy(answer, bytes, len);
    return len;
}

/* Answers the names in the bytes, all in one write. Returns: 0, -1: the dialogue has ended. */
static int answer_names(struct guest *guest, const char *bytes, size_t len)
{
    static char answer[ANSWER_BYTES];
    size_t said = 0;
    const char *end;
    while ((end = memchr(bytes, '\n', len))) {
        size_t line = (size_t)(end - bytes), name = line && end[-1] == '\r' ? line - 1 : line;
        if (said + name + 64 > sizeof answer)
            return -1;
        if (name == 4 && memcmp(bytes, "exit", 4) == 0) {
            said += add(answer + said, GOOD_BYE, sizeof GOOD_BYE - 1);
            if (say(guest, answer, said) == 0 && guest->ssl)
                SSL_shutdown(guest->ssl);
            return -1;
        }
        if (name) {
            said += add(answer + said, "Server: Hello ", 14);
            said += add(answer + said, bytes, name);
            said += add(answer + said, "!\n", 2);
        }
        said += add(answer + said, QUESTION, sizeof QUESTION - 1);
        bytes = end + 1;
        len -= line + 1;
    }
    if ((len || guest->begun) && keep(guest, bytes, len) < 0)
        return -1;
    return said ? say(guest, answer, said) : 0;
}

/* Returns: 0, -1: the dialogue has ended. */
static int guest_handshake(struct guest *guest)
{
    int done = SSL_accept(guest->ssl);
    if (done != 1)
        return SSL_get_error(guest->ssl, done) == SSL_ERROR_WANT_READ ? 0 : -1;
    guest->handshaking = 0;
    return say(guest, WELCOME, sizeof WELCOME - 1);
}

static int guest_readable(struct guest *guest)
{
    char bytes[2 * READ_BYTES];
    do {
        if (guest->begun_len > READ_BYTES)
            return -1;
        if (guest->begun)
            memcpy(bytes, guest->begun, guest->begun_len);
        ssize_t n = hear(guest, bytes + guest->begun_len, READ_BYTES);
        if (n <= 0)
            return (int)n;
        if (answer_names(guest, bytes, guest->begun_len + (size_t)n) < 0)
            return -1;
    } while (guest->ssl && SSL_pending(guest->ssl));
    return 0;
}

static void serve_guest(struct guest *guest)
{
    if (guest->handshaking && guest_handshake(guest) < 0)
        guest_close(guest);
    else if (!guest->handshaking && guest_readable(guest) < 0)
        guest_close(guest);
}

static void accept_guests(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct guest *guest = calloc(1, sizeof *guest);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = guest};
        if (!guest || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) < 0 ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
            die("accept");
        guest->fd = fd;
        if (ssl_ctx) {
            guest->ssl = SSL_new(ssl_ctx);
            if (!guest->ssl || !SSL_set_fd(guest->ssl, fd))
                die("SSL_new");
            guest->handshaking = 1;
        } else if (say(guest, WELCOME, sizeof WELCOME - 1) < 0) {
            guest_close(guest);
        }
    }
}

static int listen_on(const char *port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    socklen_t len = sizeof addr;
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
        bind(fd, (struct sockaddr *)&addr, len) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        die("listen");
    printf("port=%u\n", ntohs(addr.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 4) {
        fprintf(stderr, "Usage: bare PORT [CERTIFICATE KEY]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (argc == 4) {
        ssl_ctx = SSL_CTX_new(TLS_server_method());
        if (!ssl_ctx || SSL_CTX_use_certificate_chain_file(ssl_ctx, argv[2]) != 1 ||
            SSL_CTX_use_PrivateKey_file(ssl_ctx, argv[3], SSL_FILETYPE_PEM) != 1)
            die("certificate");
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on(argv[1]);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[MAX_EVENTS];
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) < 0)
        die("epoll");
    for (;;) {
        int n = epoll_wait(epoll_fd, events, MAX_EVENTS, -1);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                serve_guest(events[i].data.ptr);
            else
                accept_guests(listener);
        }
    }
}
