#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tcpgreet/core/service.h"

#define BYTES(text) text, sizeof(text) - 1
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct row {
    const char *data;
    size_t length;
    const char *word; /* NULL: none */
} rows[] = {
    {BYTES("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"), "ssh"},
    {BYTES("220 mail.example ESMTP Postfix (Debian/GNU)\r\n"), "smtp"},
    {BYTES("220-mail.example ESMTP Exim 4.96\r\n"), "smtp"},
    {BYTES("554 mail.example SMTP service not available\r\n"), "smtp"},
    {BYTES("220 ftp.mail.example ESMTP\r\n"), "smtp"},
    {BYTES("220 lists.example LMTP Server\r\n"), "lmtp"},
    {BYTES("220 (vsFTPd 3.0.3)\r\n"), "ftp"},
    {BYTES("220 ProFTPD Server (Debian) [::ffff:10.0.0.1]\r\n"), "ftp"},
    {BYTES("220---------- Welcome to Pure-FTPd [privsep] [TLS] ----------\r\n"), "ftp"},
    {BYTES("220 ftp.example ready\r\n"), NULL},
    {BYTES("220 welcome\r\n"), NULL},
    {BYTES("200 news.example InterNetNews NNRP server INN 2.7.1 ready\r\n"), "nntp"},
    {BYTES("201 NNTP Service Ready\r\n"), "nntp"},
    {BYTES("* OK [CAPABILITY IMAP4rev1] Dovecot ready.\r\n"), "imap"},
    {BYTES("* PREAUTH IMAP4rev1 server\r\n"), "imap"},
    {BYTES("+OK Dovecot ready.\r\n"), "pop3"},
    {BYTES("\"IMPLEMENTATION\" \"Dovecot Pigeonhole\"\r\n"), "sieve"},
    {BYTES("RFB 003.008\n"), "vnc"},
    {BYTES("HTTP/1.1 408 Request Timeout\r\n"), "http"},
    {BYTES("RTSP/1.0 400 Bad Request\r\n"), "rtsp"},
    {BYTES("-DENIED Redis is running in protected mode\r\n"), "redis"},
    {BYTES("-ERR unknown\r\n"), NULL},
    {BYTES(":irc.example NOTICE * :*** Looking up your hostname...\r\n"), "irc"},
    {BYTES("NOTICE AUTH :*** Checking Ident\r\n"), "irc"},
    {BYTES("NOTICE that this is no IRC\r\n"), NULL},
    {BYTES("\xff\xfd\x18\xff\xfd\x20"), "telnet"},
    {BYTES("\xff\xff\xff"), NULL},
    {BYTES("\x16\0\0\0\x0a"
           "8.0.36\0abcdefghijklmno"),
     NULL},
    {BYTES("\x17\0\0\0\x0a"
           "8.0.36\0abcdefghijklmno"),
     "mysql"},
    {BYTES("\x1e\0\0\0\x0a"
           "5.5.5-10.11.6-MariaDB\0abcdefg"),
     "mariadb"},
    {BYTES("\x2c\0\0\0\xff\x6a\x04Host '10.0.0.1' is not allowed to connect"), "mysql"},
    {BYTES("\x0a"), NULL},
    {BYTES("@RSYNCD: 31.0\n"), "rsync"},
    {BYTES("( success ( 2 2 ( ) ( edit-pipeline"), "svn"},
    {BYTES("Server: Welcome!\n"), NULL},
    {BYTES("\x15\x03\x01\0\x02\x02\x28"), NULL},
    {BYTES("hello"), NULL},
    {BYTES(""), NULL},
};

static const char *identify(const char *data, size_t length)
{
    char *copy =
        length > 0 ? malloc(length) : NULL; /* as large as it is: a sanitizer sees a read beyond it */
    if (length > 0) {
        assert_non_null(copy);
        memcpy(copy, data, length);
    }
    const char *word = service_identify((struct bytes){copy, length});
    free(copy);
    return word;
}

static void a_service_is_identified_by_its_first_bytes_or_not_at_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *word = identify(rows[i].data, rows[i].length);
        if ((word == NULL) != (rows[i].word == NULL) || (word != NULL && strcmp(word, rows[i].word) != 0))
            fail_msg("%s: %s, not %s", rows[i].data, word != NULL ? word : "none",
                     rows[i].word != NULL ? rows[i].word : "none");
    }
}

static void no_part_of_a_greeting_is_taken_for_another_service(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t length = 0; length <= rows[i].length; length++) {
            const char *word = identify(rows[i].data, length);
            if (word != NULL && rows[i].word != NULL && strcmp(word, rows[i].word) != 0)
                fail_msg("%zu bytes of %s: %s", length, rows[i].data, word);
        }
}

static void a_long_handshake_of_mysql_is_identified_by_what_is_kept_of_it(void **state)
{
    char packet[SERVICE_FIRST_BYTES] = "\xc8\0\0\0\x0a"
                                       "9.1.0";
    (void)state;
    memcpy(packet, "\xc8\0\0\0\x0a", 5);
    assert_string_equal(identify(packet, sizeof packet), "mysql");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_is_identified_by_its_first_bytes_or_not_at_all),
        cmocka_unit_test(no_part_of_a_greeting_is_taken_for_another_service),
        cmocka_unit_test(a_long_handshake_of_mysql_is_identified_by_what_is_kept_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
