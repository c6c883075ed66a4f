/* The least that a verified TLS 1.3 handshake costs a client that uses OpenSSL: connect, handshake, close,
 * and nothing else. bench/exporter measures it beside the exporters. handshake PORT COUNT CA PAUSE_US prints
 * the processor time of one, in microseconds. It pauses in front of each: a processor that was idle, or that
 * others used, takes up to half as much again for the same instructions as one that repeats them. */
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void fail(const char *what)
{
    fprintf(stderr, "handshake: %s failed\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static int connect_to(int port)
{
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&peer, sizeof(peer)) < 0) {
        perror("handshake: connect");
        exit(1);
    }
    return fd;
}

static void pause_us(long us)
{
    struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    nanosleep(&time, NULL);
}

static void shake_hands(SSL_CTX *context, int port)
{
    int fd = connect_to(port);
    SSL *ssl = SSL_new(context);

    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_set_tlsext_host_name(ssl, "localhost") != 1 ||
        SSL_set1_host(ssl, "localhost") != 1)
        fail("SSL_new");
    if (SSL_connect(ssl) != 1)
        fail("SSL_connect");
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
}

int main(int argc, char **argv)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    int count = argc == 5 ? atoi(argv[2]) : 0;

    if (count < 1) {
        fprintf(stderr, "usage: handshake PORT COUNT CA PAUSE_US\n");
        return 2;
    }
    if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") != 1)
        fail("SSL_CTX_new");
    if (SSL_CTX_load_verify_file(context, argv[3]) != 1)
        fail(argv[3]);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    shake_hands(context, atoi(argv[1])); /* the first one loads what OpenSSL loads late */
    double before_us = cpu_us();
    for (int i = 0; i < count; i++) {
        pause_us(atol(argv[4]));
        shake_hands(context, atoi(argv[1]));
    }
    printf("%.1f\n", (cpu_us() - before_us) / count);
    SSL_CTX_free(context);
    return 0;
}
