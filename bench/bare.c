/* The lower bound: a bare epoll loop that serves the greeting dialogue for names that end with LF, and does
 * nothing else. No limits, no deadlines, no log, no queue: a peer that does not take an answer at once is
 * closed. bare PORT [CERTIFICATE KEY]: serves 127.0.0.1; port 0: the kernel's choice. Prints "port=N". */
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

struct connection {
    int fd;
    SSL *ssl;        /* NULL: plain */
    int handshaking; /* the welcome is not length yet */
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

static void connection_close(struct connection *connection)
{
    SSL_free(connection->ssl);
    close(connection->fd);
    free(connection->begun);
    free(connection);
}

/* Returns: 0, -1: the peer did not take it all at once. */
static int send_all(struct connection *connection, const char *bytes, size_t len)
{
    if (connection->ssl)
        return SSL_write(connection->ssl, bytes, (int)len) == (int)len ? 0 : -1;
    return send(connection->fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -1;
}

/* Returns: the bytes read, 0: nothing to read yet, -1: the end. */
static ssize_t receive(struct connection *connection, char *bytes, size_t size)
{
    if (connection->ssl) {
        int n = SSL_read(connection->ssl, bytes, (int)size);
        if (n > 0)
            return n;
        return SSL_get_error(connection->ssl, n) == SSL_ERROR_WANT_READ ? 0 : -1;
    }
    ssize_t n = recv(connection->fd, bytes, size, 0);
    if (n > 0)
        return n;
    return n < 0 && errno == EAGAIN ? 0 : -1;
}

/* Keeps the bytes of a name whose end has not come. Returns: 0, -1: out of memory. */
static int keep(struct connection *connection, const char *bytes, size_t len)
{
    char *kept = len ? malloc(len) : NULL;
    if (len && !kept)
        return -1;
    if (len)
        memcpy(kept, bytes, len);
    free(connection->begun);
    connection->begun = kept;
    connection->begun_len = len;
    return 0;
}

static size_t add(char *answer, const char *bytes, size_t len)
{
    memcpy(answer, bytes, len);
    return len;
}

/* Answers the names in the bytes, all in one write. Returns: 0, -1: the dialogue has ended. */
static int answer_names(struct connection *connection, const char *bytes, size_t len)
{
    static char answer[ANSWER_BYTES];
    size_t length = 0;
    const char *end;
    while ((end = memchr(bytes, '\n', len))) {
        size_t line = (size_t)(end - bytes), name = line && end[-1] == '\r' ? line - 1 : line;
        if (length + name + 64 > sizeof answer)
            return -1;
        if (name == 4 && memcmp(bytes, "exit", 4) == 0) {
            length += add(answer + length, GOOD_BYE, sizeof GOOD_BYE - 1);
            if (send_all(connection, answer, length) == 0 && connection->ssl)
                SSL_shutdown(connection->ssl);
            return -1;
        }
        if (name) {
            length += add(answer + length, "Server: Hello ", 14);
            length += add(answer + length, bytes, name);
            length += add(answer + length, "!\n", 2);
        }
        length += add(answer + length, QUESTION, sizeof QUESTION - 1);
        bytes = end + 1;
        len -= line + 1;
    }
    if ((len || connection->begun) && keep(connection, bytes, len) < 0)
        return -1;
    return length ? send_all(connection, answer, length) : 0;
}

/* Returns: 0, -1: the dialogue has ended. */
static int connection_handshake(struct connection *connection)
{
    int done = SSL_accept(connection->ssl);
    if (done != 1)
        return SSL_get_error(connection->ssl, done) == SSL_ERROR_WANT_READ ? 0 : -1;
    connection->handshaking = 0;
    return send_all(connection, WELCOME, sizeof WELCOME - 1);
}

static int connection_readable(struct connection *connection)
{
    char bytes[2 * READ_BYTES];
    do {
        if (connection->begun_len > READ_BYTES)
            return -1;
        if (connection->begun)
            memcpy(bytes, connection->begun, connection->begun_len);
        ssize_t n = receive(connection, bytes + connection->begun_len, READ_BYTES);
        if (n <= 0)
            return (int)n;
        if (answer_names(connection, bytes, connection->begun_len + (size_t)n) < 0)
            return -1;
    } while (connection->ssl && SSL_pending(connection->ssl));
    return 0;
}

static void serve_connection(struct connection *connection)
{
    if (connection->handshaking && connection_handshake(connection) < 0)
        connection_close(connection);
    else if (!connection->handshaking && connection_readable(connection) < 0)
        connection_close(connection);
}

static void accept_connections(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *connection = calloc(1, sizeof *connection);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        if (!connection || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) < 0 ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
            die("accept");
        connection->fd = fd;
        if (ssl_ctx) {
            connection->ssl = SSL_new(ssl_ctx);
            if (!connection->ssl || !SSL_set_fd(connection->ssl, fd))
                die("SSL_new");
            connection->handshaking = 1;
        } else if (send_all(connection, WELCOME, sizeof WELCOME - 1) < 0) {
            connection_close(connection);
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
                serve_connection(events[i].data.ptr);
            else
                accept_connections(listener);
        }
    }
}
