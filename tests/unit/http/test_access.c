#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tcpgreet/http/access.h"

static void every_host_that_is_listened_on_is_its_own(void **state)
{
    static const struct target own[] = {{.kind = TARGET_NAME, .host = "one.example", .service = "9115"},
                                        {.kind = TARGET_IPV4, .host = "127.0.0.1", .service = "9115"},
                                        {.kind = TARGET_NAME, .host = "two.example", .service = "9116"},
                                        {.host = "beyond.example"}};
    static const struct {
        const char *host;
        bool is_refused;
    } cases[] = {
        {"one.example", false}, {"two.example:9116", false}, {"TWO.example", false},   {"localhost:1", false},
        {"192.0.2.1", false},   {"three.example", true},     {"beyond.example", true}, {"", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct http_access access = {
            .host = cases[i].host, .own = own, .own_count = sizeof(own) / sizeof(own[0]), .is_local = true};
        if ((http_access_refusal(&access) != NULL) != cases[i].is_refused)
            fail_msg("%s", cases[i].host);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_host_that_is_listened_on_is_its_own)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
