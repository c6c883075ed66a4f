#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "support/command_line.h"

#define HEX_16 "0123456789abcDEF"
#define HEX_64 HEX_16 HEX_16 HEX_16 HEX_16

static void wrong_words_are_refused_by_name(void **state)
{
    (void)state;
    REFUSE("unknown option: --bogus", "--connect", "a", "1", "--bogus");
    REFUSE("unknown option: --bogus", "--connect", "a", "1", "--bogus=7");
    REFUSE("unknown option: --conect (did you mean --connect?)", "--conect", "a", "1");
    REFUSE("unknown option: --tsl (did you mean --tls?)", "--connect", "a", "1", "--tsl");
    REFUSE("unknown option: --time (did you mean --timeout?)", "--connect", "a", "1", "--time", "1s");
    REFUSE("unknown option: --max-conections (did you mean --max-connections?)", "--max-conections=1");
    REFUSE("unknown option: -listen (did you mean --listen?)", "-listen", "6000");
    REFUSE("unknown option: -x", "-x", "--listen", "6000");
    REFUSE("unknown option: -x in -vx", "-vx", "--listen", "6000");
    REFUSE("unknown option: -Ann (put -- before a NAME that begins with a dash)", "--connect", "a", "1",
           "-Ann");
    REFUSE("unknown option: --=x", "--=x");
    REFUSE("unknown option: --a\\x1b[2J", "--a\x1b[2J");
    REFUSE("unknown option: -\\xff", "-\xff");
    REFUSE("--listen needs a value: --listen [HOST] PORT", "--listen");
    REFUSE("--listen needs a value", "--listen", "-v");
    REFUSE("--listen needs a value", "--listen=");
    REFUSE("--connect: the port is missing", "--connect", "a");
    REFUSE("--listen: the order is HOST PORT: localhost 6000", "--listen", "6000", "localhost");
    REFUSE("--connect: the order is HOST PORT: \\x1b 80", "--connect", "80", "\x1b");
    REFUSE("--connect: 80 is not an IPv4 address", "--connect", "80", "80");
    REFUSE("--connect: the port is missing", "--connect", "a", "--explain", "1");
    REFUSE("--timeout needs a value: --timeout TIME", "--connect", "a", "1", "--timeout");
    REFUSE("--timeout needs a value", "--connect", "a", "1", "--timeout", "-v");
    REFUSE("--source needs a value", "--connect", "a", "1", "--source=");
    REFUSE("-v/--verbose takes no value", "--connect", "a", "1", "--verbose=yes");
    REFUSE("--listen: ", "--listen", "70000");
    REFUSE("--listen: ", "--listen", "a b", "6000");
    REFUSE("--connect: ", "--connect", "[::1", "6000");
    REFUSE("a\\x1b", "--connect", "a\x1b", "6000");
    REFUSE("--framing takes auto, line or bare, not \"lines\"", "--connect", "a", "1", "--framing", "lines");
    REFUSE("--framing takes auto, line or bare, not \"lin\"", "--connect", "a", "1", "--framing", "lin");
    REFUSE("--color takes auto, always or never, not \"\\x1b\"", "--connect", "a", "1", "--color", "\x1b");
    REFUSE("--log-format takes text or json", "--listen", "1", "--log-format=xml");
    REFUSE("--source takes an IPv4 or IPv6 address", "--connect", "a", "1", "--source", "localhost");
    REFUSE("--source takes an IPv4 or IPv6 address", "--connect", "a", "1", "--source", "[::1]");
    REFUSE("--backlog takes a whole number from 1 to 1000000, not \"0\"", "--listen", "1", "--backlog=0");
    REFUSE("--backlog takes a whole number", "--listen", "1", "--backlog=1000001");
    REFUSE("--backlog takes a whole number", "--listen", "1", "--backlog=-1");
    REFUSE("--backlog takes a whole number", "--listen", "1", "--backlog=4294967297");
    REFUSE("--max-connections takes a whole number", "--listen", "1", "--max-connections=7k");
    REFUSE("--pause takes a time from 0 to 1m", "--listen", "1", "--pause=61s");
    REFUSE("--attempt-delay takes a time from 10ms to 10s", "--connect", "a", "1", "--attempt-delay=9ms");
}

static void a_url_is_refused_with_the_command_line_that_was_meant(void **state)
{
    (void)state;
#define TAKES " takes HOST PORT: leave the scheme out: "
    REFUSE("--connect" TAKES "--connect localhost 80", "--connect", "http://localhost", "80");
    REFUSE("--connect" TAKES "--connect localhost 80", "--connect", "http://localhost");
    REFUSE("--connect" TAKES "--connect localhost 8080", "--connect", "http://localhost:8080/path?a=b");
    REFUSE("--probe" TAKES "--probe example.org 443 --tls", "--probe", "https://example.org/");
    REFUSE("--probe" TAKES "--probe example.org 443 --tls", "--probe", "HTTPS://user:word@example.org#top");
    REFUSE("--bench" TAKES "--bench ::1 6000", "--bench", "tcp://[::1]:6000");
    REFUSE("--connect" TAKES "--connect a 6000 --tls", "--connect", "tls://a:6000");
    REFUSE("--connect" TAKES "--connect a 6000 --tls", "--connect", "tls://a", "6000");
    REFUSE("--connect" TAKES "--connect a PORT --tls", "--connect", "ssl://a");
    REFUSE("--connect" TAKES "--connect a PORT", "--connect", "gopher://a");
    REFUSE("--connect" TAKES "--connect db 5432", "--connect", "postgres://me@db/name");
    REFUSE("--listen" TAKES "--listen localhost 80", "--listen", "http://localhost:80");
    REFUSE("--connect" TAKES "--connect \\x1b 80", "--connect", "http://\x1b");
    REFUSE("leave // out: --connect a 80", "--connect", "//a", "80");
    REFUSE("leave the user name out: --connect a 22", "--connect", "me@a", "22");
    REFUSE("leave the user name out: --connect a ssh", "--connect", "me@a", "ssh");
    REFUSE("leave out what follows /: --probe a 80", "--probe", "a:80/path");
    REFUSE("leave out what follows /: --connect 10.0.0.0 80", "--connect", "10.0.0.0/8", "80");
}

static void a_port_behind_an_ipv6_address_needs_brackets(void **state)
{
    (void)state;
#define NEEDS ": an IPv6 address with a port needs brackets: "
    REFUSE("--connect" NEEDS "--connect [::1]:6000, or --connect ::1 6000", "--connect", "::1:6000");
    REFUSE("--listen" NEEDS "--listen [::1]:6000", "--listen", "::1:6000");
    REFUSE("--listen" NEEDS "--listen [::]:6000", "--listen", ":::6000");
    REFUSE("--probe" NEEDS "--probe [2001:db8::1]:443", "--probe", "2001:db8::1:443", "--tls");
    REFUSE("--probe" NEEDS "--probe [1:2:3:4:5:6:7:8]:80", "--probe", "1:2:3:4:5:6:7:8:80");
    REFUSE("--connect" NEEDS "--connect [fe80::1%eth0]:80", "--connect", "fe80::1%eth0:80");
    REFUSE("--connect: the port is missing", "--connect", "::1");
    REFUSE("--connect: the port is missing", "--connect", "fe80::1");
    PARSE("--connect", "::1:6000", "80");
    options_fini(&options);
    PARSE("--connect", "1:2:3:4:5:6:7:8", "80");
    options_fini(&options);
}

static void a_zone_belongs_to_a_link_local_address(void **state)
{
    (void)state;
    REFUSE("--connect: 127.0.0.1 has no zone: leave out %lo", "--connect", "127.0.0.1%lo", "80");
    REFUSE("--listen: localhost has no zone: leave out %lo", "--listen", "localhost%lo", "80");
    REFUSE("the --connect address ::1%lo is not link-local and has no zone: write ::1", "--connect", "::1%lo",
           "80");
    REFUSE("the --probe address 2001:db8::1%1 is not link-local", "--probe", "[2001:db8::1%1]:80");
    REFUSE("the --source address ::1%lo is not link-local", "--connect", "::1", "80", "--source", "::1%lo");
}

static void options_of_other_programs_are_refused_with_ours(void **state)
{
    (void)state;
    REFUSE("unknown option: -l (to listen, use --listen [HOST] PORT)", "-l", "6000");
    REFUSE("unknown option: -l in -lp (to listen, use --listen [HOST] PORT)", "-lp", "6000");
    REFUSE("unknown option: -p (the port follows the host: HOST PORT)", "--connect", "a", "1", "-p", "80");
    REFUSE("unknown option: -p in -vp (the port follows", "--connect", "a", "1", "-vp", "80");
    REFUSE("unknown option: --port (the port follows the host: HOST PORT)", "--port=80");
    REFUSE("unknown option: --ssl (use --tls)", "--connect", "a", "1", "--ssl");
    REFUSE("unknown option: -listen (did you mean --listen?)", "-listen", "6000");
}

static void negative_numbers_are_values(void **state)
{
    (void)state;
    REFUSE("--connect: -1 is not a port", "--connect", "a", "-1");
    REFUSE("--count takes a whole number from 1 to 1000000000, not \"-5\"", "--probe", "a", "1", "--count",
           "-5");
    REFUSE("--timeout takes a time", "--probe", "a", "1", "--timeout", "-1s");
    REFUSE("--connect: the port is missing", "--connect", "a", "-4");
    REFUSE("--count needs a value", "--probe", "a", "1", "--count", "-6");
}

static void a_value_that_is_nearly_right_is_suggested(void **state)
{
    (void)state;
    REFUSE("not \"jsno\" (did you mean json?)", "--probe", "a", "1", "--format", "jsno");
    REFUSE("not \"JSON\" (did you mean json?)", "--probe", "a", "1", "--format", "JSON");
    REFUSE("not \"prom\" (did you mean prometheus?)", "--probe", "a", "1", "--format", "prom");
    REFUSE("not \"conect\" (did you mean connect?)", "--probe", "a", "1", "--until", "conect");
    REFUSE("not \"5\" (did you mean 5s?)", "--probe", "a", "1", "--timeout", "5");
    REFUSE("not \"5sec\" (did you mean 5s?)", "--probe", "a", "1", "--timeout", "5sec");
    REFUSE("not \"1.5 S\" (did you mean 1.5s?)", "--probe", "a", "1", "--timeout", "1.5 S");
    REFUSE("not \"2min\" (did you mean 2m?)", "--probe", "a", "1", "--timeout", "2min");
    REFUSE("not \"64KB\" (did you mean 64k?)", "--probe", "a", "1", "--volume", "64KB");
    REFUSE("not \"10k\" (did you mean 10000?)", "--bench", "a", "1", "--rate", "10k");
    REFUSE("not \"0\"", "--bench", "a", "1", "--rate", "0");
    assert_null(strstr(err.text, "did you mean"));
    REFUSE("not \"99999h\"", "--probe", "a", "1", "--timeout", "99999h");
    assert_null(strstr(err.text, "did you mean"));
    REFUSE("not \"yaml\"", "--probe", "a", "1", "--format", "yaml");
    assert_null(strstr(err.text, "did you mean"));
}

static void host_and_port_in_the_wrong_order_are_turned_round(void **state)
{
    (void)state;
    REFUSE("--connect: the order is HOST PORT: localhost 80", "--connect", "80", "localhost");
    REFUSE("--connect: the order is HOST PORT: localhost 80", "--connect", "80:localhost");
}

static void what_contradicts_itself_is_refused(void **state)
{
    (void)state;
    REFUSE("no mode is given: use --listen, --connect, --probe, --bench, --bench-merge or --exporter", NULL);
    REFUSE("no mode is given", "-v", "Michael");
    REFUSE("--listen and --connect are both modes: choose one", "--listen", "1", "--connect", "a", "1");
    REFUSE("--connect and --probe are both modes", "--connect", "a", "1", "--probe", "a", "1");
    REFUSE("--connect is given twice", "--connect", "a", "1", "--connect", "a", "1");
    REFUSE("--timeout is given twice", "--connect", "a", "1", "--timeout=1s", "--timeout", "1s");
    PARSE("--listen", "1", "-vv", "--verbose");
    options_fini(&options);
    REFUSE("-q/--quiet is given twice", "--listen", "1", "-qq");
    REFUSE("--pause is for --listen, not for --connect", "--pause", "1s", "--connect", "a", "1");
    REFUSE("--backlog is for --listen, not for --connect", "--connect", "a", "1", "--backlog=1");
    REFUSE("--framing is for --connect, --probe or --bench, not for --listen", "--listen", "1",
           "--framing=bare");
    REFUSE("--source is for --connect, --probe, --bench or --exporter, not for --listen", "--listen", "1",
           "--source=::1");
    REFUSE("--attempt-delay is for --connect, --probe or --exporter, not for --bench", "--bench", "a", "1",
           "--attempt-delay=1s");
    REFUSE("--count is for --probe, not for --connect", "--connect", "a", "1", "--count=2");
    REFUSE("--plot is for --probe, --bench or --bench-merge, not for --listen", "--listen", "1",
           "--plot=x.svg");
    REFUSE("--format json is for --probe, --bench or --bench-merge, not for --connect", "--connect", "a", "1",
           "--format=json");
    REFUSE("--format nagios is for --probe, not for --bench", "--bench", "a", "1", "--format=nagios");
    REFUSE("-4 and -6 exclude each other", "--listen", "1", "-46");
    REFUSE("-v and -q exclude each other", "--listen", "1", "-vq");
    REFUSE("-4 allows IPv4 only, but the --connect address ::1", "-4", "--connect", "::1", "1");
    REFUSE("-6 allows IPv6 only, but the --connect address 127.0.0.1", "--connect", "127.0.0.1:1", "--ipv6");
    REFUSE("-6 allows IPv6 only, but the --connect address 127.0.0.1 is IPv4", "--connect",
           "::ffff:127.0.0.1", "1", "-6");
    REFUSE("-6 allows IPv6 only, but the --listen address 127.0.0.1 is IPv4", "--listen", "::ffff:7f00:1",
           "1", "-6");
    REFUSE("-6 allows IPv6 only, but the --source address 127.0.0.1 is IPv4", "--connect", "a", "1", "-6",
           "--source=::ffff:127.0.0.1");
    REFUSE("-4 allows IPv4 only, but the --listen address ::1", "--listen", "1", "--listen", "::1", "1",
           "-4");
    REFUSE("-6 allows IPv6 only, but the --source address 127.0.0.1", "-6", "--connect", "a", "1",
           "--source=127.0.0.1");
    REFUSE("--source and --connect", "--connect", "::1", "1", "--source=127.0.0.1");
    REFUSE("unexpected argument: \"x\\n\" (--listen takes [HOST] PORT)", "--listen", "::1", "1", "x\n");
    REFUSE("unexpected argument: \"x\"", "--listen", "1", "--", "x");
    REFUSE("--max-handshakes needs --tls", "--listen", "1", "--max-handshakes=3");
    REFUSE("--until resolve and --send-proxy exclude each other: no connection is made", "--probe", "a", "1",
           "--until=resolve", "--send-proxy=v1");
    REFUSE("--until resolve and --proxy exclude each other: the proxy resolves the name", "--probe", "a", "1",
           "--until=resolve", "--proxy=http://b:1");
    PARSE("--probe", "a", "1", "--until=connect", "--send-proxy=v1");
    options_fini(&options);
}

static void a_network_that_is_none_is_refused_with_what_is_one(void **state)
{
    (void)state;
#define FROM(word) "--listen", "1", "--proxy-protocol", "--proxy-from", word
    static const char *const wrong[] = {
        "localhost", "192.0.2.0/33", "192.0.2.0/",    "::1/129", "192.0.2/24", "::1,192.0.2.1",
        "[::1]",     "fe80::1%lo",   "192.0.2.0/024", "*",       "192.0.2.1-9"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        char text[160];
        snprintf(text, sizeof(text),
                 "--proxy-from takes an address or a network in CIDR notation (such as 192.0.2.0/24, "
                 "2001:db8::/32 or ::1), not \"%s\"; repeat the option for several",
                 wrong[i]);
        REFUSE(text, FROM(wrong[i]));
    }
    REFUSE("not \"\\x1b\"; repeat", FROM("\x1b"));
#define MEANT(word, meant) "--proxy-from " word " has bits set behind its prefix: did you mean " meant "?"
    REFUSE(MEANT("10.0.0.1/8", "10.0.0.0/8"), FROM("10.0.0.1/8"));
    REFUSE(MEANT("192.0.2.255/25", "192.0.2.128/25"), FROM("192.0.2.255/25"));
    REFUSE(MEANT("192.0.2.1/0", "0.0.0.0/0"), FROM("192.0.2.1/0"));
    REFUSE(MEANT("2001:db8::1/33", "2001:db8::/33"), FROM("2001:db8::1/33"));
    PARSE(FROM("10.0.0.0/8"), "--proxy-from", "::1");
    options_fini(&options);
}

static void a_misbehaviour_is_one_of_a_list(void **state)
{
    (void)state;
    static const char *const wrong[] = {"sulk",     "delay",     "delay:",      "delay:5", "delay:0",
                                        "drip:21s", "drip:1ms ", "drip",        ":10ms",   "reset:10ms",
                                        "mute:",    "res",       "half-close:", "MUTE",    "delay:20001ms"};
    for (size_t i = 0; i < COUNT(wrong); i++)
        REFUSE("--misbehave takes delay:TIME or drip:TIME (1ms to 20s), reset, half-close", "--listen", "1",
               "--misbehave", wrong[i]);
    REFUSE("--misbehave needs a value", "--listen", "1", "--misbehave=");
    REFUSE("--misbehave is given twice", "--listen", "1", "--misbehave=mute", "--misbehave=reset");
    REFUSE("--misbehave no-close-notify needs --tls", "--listen", "1", "--misbehave=no-close-notify");
    REFUSE("--misbehave is for --listen, not for --connect", "--connect", "a", "1", "--misbehave=mute");
}

static void a_peer_has_a_port(void **state)
{
    (void)state;
    static const char *const modes[] = {"--connect", "--probe", "--bench"};
    for (size_t i = 0; i < COUNT(modes); i++) {
        REFUSE("port 0 cannot be connected to", modes[i], "a", "0");
        REFUSE("port 0 cannot be connected to", modes[i], "[::1]:000");
    }
}

static void a_link_local_address_names_its_link(void **state)
{
    (void)state;
    static const char *const modes[] = {"--listen", "--connect", "--probe", "--bench"};
    for (size_t i = 0; i < COUNT(modes); i++) {
        REFUSE("address fe80::1 is link-local: append its interface, as in fe80::1%eth0", modes[i], "fe80::1",
               "1");
        REFUSE("address febf::2 is link-local", modes[i], "[febf::2]:1");
        PARSE(modes[i], "fe80::1%lo", "1");
        options_fini(&options);
        PARSE(modes[i], "fec0::1", "1");
        options_fini(&options);
    }
}

static void an_address_is_listened_on_once(void **state)
{
    (void)state;
    REFUSE("--listen [::1]:6000 is given twice", "--listen", "::1", "6000", "--listen", "[::1]:6000");
    REFUSE("--listen every address, port 6000 is given twice", "--listen", "6000", "--listen", "1",
           "--listen", "6000");
    PARSE("--listen", "::1", "0", "--listen", "::1", "0", "--listen", "::1", "1", "--listen", "127.0.0.1",
          "1");
    options_fini(&options);
}

static void bench_options_are_checked(void **state)
{
    (void)state;
    REFUSE("--resume needs --tls", "--bench", "a", "1", "--resume");
    REFUSE("--connections takes a whole number from 1", "--bench", "a", "1", "--connections=0");
    REFUSE("--duration takes a time from 10ms", "--bench", "a", "1", "--duration=9ms");
    REFUSE("--rate takes a whole number from 1", "--bench", "a", "1", "--rate=0");
    REFUSE("--source takes an IPv4 or IPv6 address", "--bench", "a", "1", "--source=127.0.0.1-");
    REFUSE("--source takes an IPv4 or IPv6 address", "--connect", "a", "1", "--source=127.0.0.1-127.0.0.9");
    REFUSE("--rate is for --bench, not for --connect", "--connect", "a", "1", "--rate=5");
    REFUSE("unexpected argument: \"x\" (--bench takes HOST PORT)", "--bench", "a", "1", "x");
}

static void probe_options_are_checked(void **state)
{
    (void)state;
    REFUSE("--count takes a whole number from 1", "--probe", "a", "1", "--count=0");
    REFUSE("--interval takes a time from 10ms", "--probe", "a", "1", "--interval=9ms");
    REFUSE("--until takes auto, resolve, connect, tls or dialogue", "--probe", "a", "1", "--until=end");
    REFUSE("--retry takes a time", "--probe", "a", "1", "--retry=5");
    REFUSE("--expect-days takes WARN or WARN,CRIT, each a whole number from 1 to 36500", "--probe", "a", "1",
           "--expect-days=0");
    REFUSE("--expect-days takes WARN or WARN,CRIT", "--probe", "a", "1", "--tls", "--expect-days=30,");
    REFUSE("--expect-days takes WARN or WARN,CRIT", "--probe", "a", "1", "--tls", "--expect-days=30,7,1");
    REFUSE("--expect-days takes WARN or WARN,CRIT", "--probe", "a", "1", "--tls",
           "--expect-days=000000000000000000000000000030");
    REFUSE("the second number, which is critical, must not be above the first", "--probe", "a", "1", "--tls",
           "--expect-days=7,30");
    REFUSE("--warn limits days, which is not measured", "--probe", "a", "1", "--warn=days=30:");
    REFUSE("--warn: \"7d\" is not a number of days", "--probe", "a", "1", "--tls", "--warn=days=7d:");
    REFUSE("--crit: \"1s\" is not a number of days", "--probe", "a", "1", "--tls", "--crit=days=1s");
    REFUSE("--warn: the range \"2:1\" begins above its end", "--probe", "a", "1", "--warn=2:1");
    REFUSE("--crit: unknown time \"conect\"", "--probe", "a", "1", "--crit", "conect=1");
    REFUSE("--volume takes a number of bytes from 1 to 1024M", "--probe", "a", "1", "--volume=0");
    REFUSE("--volume takes a number of bytes", "--probe", "a", "1", "--volume=1025M");
    REFUSE("--volume takes a number of bytes", "--probe", "a", "1", "--volume=1G");
    REFUSE("--volume takes a number of bytes", "--probe", "a", "1", "--volume=1Mk");
    REFUSE("--volume takes a number of bytes", "--probe", "a", "1", "--volume=99999999999999999999M");
    REFUSE("--attempt-delay takes a time", "--probe", "a", "1", "--attempt-delay=9ms");
    REFUSE("-4 allows IPv4 only, but the --probe address ::1", "-4", "--probe", "::1", "1");
    REFUSE("--source and --probe name", "--probe", "::1", "1", "--source=127.0.0.1");
    REFUSE("--probe: the port is missing", "--probe", "a");
    REFUSE("unexpected argument: \"x\" (--probe takes HOST PORT [-- COMMAND...])", "--probe", "a", "1", "x",
           "--", "y");
    REFUSE("--ca needs --tls", "--probe", "a", "1", "--ca=x");
    REFUSE("--crl needs --tls", "--connect", "a", "1", "--crl=x");
    REFUSE("--crl with --listen checks client certificates: it needs --client-ca", "--listen", "1", "--tls",
           "--crl=x");
    REFUSE("--crl cannot be checked with --insecure", "--connect", "a", "1", "--tls", "--insecure",
           "--crl=x");
    REFUSE("--expect-days needs --tls", "--probe", "a", "1", "--expect-days=7");
    REFUSE("--expect-days needs a handshake", "--probe", "a", "1", "--tls", "--until=connect",
           "--expect-days=7");
    PARSE("--probe", "a", "1", "--until=tls", "--servername=b", "--expect-days=3");
    options_fini(&options);
    REFUSE("--servername needs --tls", "--probe", "a", "1", "--until=connect", "--servername=b");
    REFUSE("--expect-alert takes a TLS alert's name", "--probe", "a", "1", "--expect-alert=none");
    REFUSE("--expect-alert takes a TLS alert's name", "--probe", "a", "1", "--expect-alert=close_notify");
    REFUSE("--expect-alert ends the probe with TLS", "--probe", "a", "1", "--until=dialogue",
           "--expect-alert=unknown_ca");
    REFUSE("--volume is a part of the dialogue", "--probe", "a", "1", "--tls", "--until=tls", "--volume=1k");
}

static void a_limit_on_what_is_not_measured_is_refused(void **state)
{
    (void)state;
    REFUSE("--warn limits tls, which is not measured", "--probe", "a", "1", "--warn=tls=1");
    REFUSE("--crit limits volume, which", "--probe", "a", "1", "--warn=1", "--crit=total=1,volume=1");
    REFUSE("--crit limits name, which", "--probe", "a", "1", "--tls", "--until=tls", "--crit=name=1");
    REFUSE("--warn limits connect, which", "--probe", "a", "1", "--until=resolve", "--warn=connect=1");
    PARSE("--probe", "a", "1", "--tls", "--volume=1",
          "--warn=resolve=1,connect=1,tls=1,welcome=1,name=1,close=1,volume=1,total=1");
    options_fini(&options);
    PARSE("--probe", "a", "1", "--until=resolve", "--warn=resolve=1,total=1");
    options_fini(&options);
}

static void rounds_are_one_or_a_series_or_a_retry(void **state)
{
    (void)state;
    REFUSE("--retry and --count exclude each other", "--probe", "a", "1", "--retry=5s", "--count=2");
    REFUSE("--retry and --interval exclude each other", "--probe", "a", "1", "--retry=5s", "--interval=1s");
    REFUSE("--count and a COMMAND exclude each other", "--probe", "a", "1", "--count=1", "--", "true");
    REFUSE("--interval and a COMMAND exclude each other", "--probe", "a", "1", "--interval=1s", "--", "true");
    REFUSE("--format nagios reports one round: it cannot be used with --count", "--probe", "a", "1",
           "--format=nagios", "--count=2");
    REFUSE("--format prometheus reports one round: it cannot be used with --interval", "--probe", "a", "1",
           "--format=prometheus", "--interval=1s");
    PARSE("--probe", "a", "1", "--format=json", "--count=2", "--interval=1s", "--plot=x.svg");
    options_fini(&options);
    PARSE("--probe", "a", "1", "--format=nagios", "--retry=2s", "--", "true");
    options_fini(&options);
}

static void a_refusal_knows_the_form_that_was_asked_for(void **state)
{
    (void)state;
    static const struct {
        struct command_line line;
        enum format format;
    } cases[] = {{{{"--bogus", "--probe", "a", "1", "--format", "nagios"}}, FORMAT_NAGIOS},
                 {{{"--probe", "a", "1", "--count=x", "--format=nagios"}}, FORMAT_NAGIOS},
                 {{{"--format=nagios", "--probe", "a", "1", "x"}}, FORMAT_NAGIOS},
                 {{{"--bogus", "--format=json"}}, FORMAT_JSON},
                 {{{"--bogus", "--format=nagio"}}, FORMAT_TEXT},
                 {{{"--bogus", "--formats=nagios"}}, FORMAT_TEXT},
                 {{{"--bogus", "--format"}}, FORMAT_TEXT},
                 {{{"--bogus", "--", "--format=nagios"}}, FORMAT_TEXT}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(command_line_parse(&cases[i].line), -1);
        assert_int_equal(options.probe.format, cases[i].format);
        options_fini(&options);
    }
}

static void values_are_checked(void **state)
{
    (void)state;
    REFUSE("--bench-merge needs at least one FILE", "--bench-merge");
    REFUSE("--pin takes sha256: and 64 hexadecimal digits", "--connect", "a", "1", "--pin=sha256:00");
    REFUSE("--pin takes", "--connect", "a", "1", "--pin=sha256:" HEX_64 "0");
    REFUSE("--pin takes", "--connect", "a", "1", "--pin=sha1:" HEX_64);
    REFUSE("--alpn takes protocol names", "--listen", "1", "--alpn=a,,b");
    REFUSE("--tls-min takes 1.2 or 1.3, not \"1.1\"", "--listen", "1", "--tls-min=1.1");
}

/* Each option that has no meaning without --tls, where it is used. */
static void options_of_tls_need_tls(void **state)
{
    (void)state;
    static const char *const server[] = {
        "--insecure",    "--cert=c",   "--key=k",         "--client-ca=c",
        "--tls-min=1.3", "--alpn=a,b", "--ticket-keys=f", "--handshake-timeout=1s"};
    static const char *const client[] = {
        "--insecure",     "--cert=c",      "--key=k",  "--ca=x",
        "--servername=x", "--tls-min=1.2", "--alpn=a", "--pin=sha256:" HEX_64};
    char part[64];

    for (size_t i = 0; i < COUNT(server); i++) {
        snprintf(part, sizeof(part), "%.*s needs --tls", (int)strcspn(server[i], "="), server[i]);
        command_line_refuse((struct command_line){{"--listen", "6000", server[i]}}, part);
    }
    for (size_t i = 0; i < COUNT(client); i++) {
        snprintf(part, sizeof(part), "%.*s needs --tls", (int)strcspn(client[i], "="), client[i]);
        command_line_refuse((struct command_line){{"--connect", "a", "1", client[i]}}, part);
    }
}

static void options_of_tls_that_do_not_go_together_are_refused(void **state)
{
    (void)state;
    REFUSE("--client-auth needs --client-ca", "--listen", "1", "--tls", "--client-auth=require");
    REFUSE("--key needs --cert", "--listen", "1", "--tls", "--key=k");
    REFUSE("--cert is given 2 times and --key 1 time: each certificate needs its key", "--listen", "1",
           "--tls", "--cert=a", "--cert=b", "--key=k");
    REFUSE("--cert is given 1 time and --key 2 times: each", "--listen", "1", "--tls", "--cert=a", "--key=k",
           "--key=l");
    REFUSE("--cert can be given once: a client has one certificate", "--connect", "a", "1", "--tls",
           "--cert=a", "--cert=b", "--key=k", "--key=l");
    REFUSE("--key-passphrase-file needs --cert", "--listen", "1", "--tls", "--key-passphrase-file=p");
    REFUSE("--ca is for --connect, --probe, --bench or --exporter, not for --listen", "--listen", "1",
           "--tls", "--ca=x");
    REFUSE("--pin is for --connect, --probe or --bench, not for --listen", "--listen", "1", "--tls",
           "--pin=sha256:" HEX_64);
    REFUSE("--servername is for --connect, --probe or --bench, not for --listen", "--listen", "1", "--tls",
           "--servername=x");
    REFUSE("--servername: a b is not a host name", "--connect", "a", "1", "--tls", "--servername=a b");
    REFUSE("--servername takes a name alone, without scheme, port or path: host", "--connect", "a", "1",
           "--tls", "--servername=host:443");
    REFUSE("--servername takes a name alone, without scheme, port or path: x.example", "--probe", "a", "1",
           "--tls", "--servername=https://u@x.example:8443/path");
    REFUSE("--servername takes a name alone, without scheme, port or path: ::1", "--connect", "a", "1",
           "--tls", "--servername=[::1]:443");
    REFUSE("--servername: https:// is not", "--connect", "a", "1", "--tls", "--servername=https://");
    REFUSE("--servername: a:b:c is not an IPv6 address", "--connect", "a", "1", "--tls",
           "--servername=a:b:c");
    REFUSE("--servername: 256.1.1.1 is not an IPv4 address", "--probe", "a", "1", "--tls",
           "--servername=256.1.1.1");
    REFUSE("--client-ca is for --listen, not for --connect", "--connect", "a", "1", "--tls", "--client-ca=c");
    REFUSE("--ticket-keys is for --listen, not", "--connect", "a", "1", "--tls", "--ticket-keys=f");
    REFUSE("--handshake-timeout is for --listen, not", "--connect", "a", "1", "--handshake-timeout=1s");
    REFUSE("--tls is given twice", "--listen", "1", "--tls", "--tls");
    REFUSE("--ca is given twice", "--connect", "a", "1", "--tls", "--ca=a", "--ca=b");
    REFUSE("--client-auth takes require or request, not \"none\"", "--listen", "1", "--tls", "--client-ca=c",
           "--client-auth=none");
    REFUSE("--cert needs a value", "--listen", "1", "--tls", "--cert=");
    REFUSE("--alpn takes protocol names of 1 to 255 bytes", "--listen", "1", "--tls", "--alpn=a,");
}

static void lists_have_an_end(void **state)
{
    (void)state;
    const char *argv[4 + TLS_FILES_MAX + 1] = {"tcpgreet", "--listen", "6000", "--tls"};

    for (size_t i = 4; i < COUNT(argv); i++)
        argv[i] = "--cert=c";
    assert_int_equal(command_line_parse_words((int)COUNT(argv) - 1, argv), 0);
    assert_string_equal(options.server.tls.identities[TLS_FILES_MAX - 1].cert, "c");
    options_fini(&options);
    assert_int_equal(command_line_parse_words((int)COUNT(argv), argv), -1);
    assert_string_equal(err.text, "--cert can be given at most 16 times");
    options_fini(&options);
}

static void an_empty_argument_vector_is_a_missing_mode(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};

    assert_int_equal(command_line_parse_words(0, none), -1);
    assert_int_equal(err.reason, ERR_USAGE);
    options_fini(&options);
    options_fini(&options);
}

static void check_system(struct command_line line, const char *sentence)
{
    command_line_accept(line);
    if (sentence == NULL) {
        assert_int_equal(options_check_system(&options, &err), 0);
    } else {
        assert_int_equal(options_check_system(&options, &err), -1);
        assert_int_equal(err.reason, ERR_USAGE);
        assert_string_equal(err.text, sentence);
    }
    options_fini(&options);
}

#define CHECK(sentence, ...) check_system((struct command_line){{__VA_ARGS__}}, sentence)

#ifdef TCPGREET_HAVE_TLS

static void files_that_are_missing_are_named(void **state)
{
    (void)state;
    CHECK("--cert /no/x cannot be read: No such file or directory", "--listen", "1", "--tls",
          "--cert=/dev/null", "--cert=/no/x");
    CHECK("--key /no/x cannot be read: No such file or directory", "--listen", "1", "--tls",
          "--cert=/dev/null", "--key=/no/x");
    CHECK("--client-ca /no/x cannot be read: No such file or directory", "--listen", "1", "--tls",
          "--client-ca=/no/x");
    CHECK("--ticket-keys /no/x cannot be read: No such file or directory", "--listen", "1", "--tls",
          "--ticket-keys=/no/x");
    CHECK("--ca /no/\\x1b cannot be read: No such file or directory", "--connect", "a", "1", "--tls",
          "--ca=/no/\x1b");
    CHECK("--key-passphrase-file /no/x cannot be read: No such file or directory", "--bench", "a", "1",
          "--tls", "--cert=/dev/null", "--key-passphrase-file=/no/x");
    CHECK(NULL, "--probe", "a", "1", "--tls", "--ca=/", "--cert=/dev/null", "--key=/dev/null");
    CHECK(NULL, "--connect", "a", "1");
}

#else

static void what_a_build_without_tls_cannot_do_is_refused(void **state)
{
    (void)state;
    CHECK("--tls is not available in this build (it needs OpenSSL 3)", "--connect", "a", "1", "--tls",
          "--ca=/no/x");
    CHECK("--tls is not available in this build (it needs OpenSSL 3)", "--listen", "1", "--tls",
          "--cert=/no/x");
    CHECK(NULL, "--listen", "1");
}

#endif

static void merging_needs_a_build_that_reads_json(void **state)
{
    (void)state;
#ifdef TCPGREET_HAVE_JANSSON
    CHECK(NULL, "--bench-merge", "/dev/null");
    CHECK("--bench-merge /no/x cannot be read: No such file or directory", "--bench-merge", "/no/x");
#else
    CHECK("--bench-merge is not available in this build (it needs jansson)", "--bench-merge", "x");
#endif
}

static void an_exchange_needs_a_build_with_patterns(void **state)
{
    (void)state;
#ifdef TCPGREET_HAVE_PCRE2
    CHECK(NULL, "--probe", "a", "1", "--send", "x", "--expect", "y", "--reject=-z");
    CHECK(NULL, "--probe", "a", "1", "--send", "x", "--until", "auto", "--warn", "exchange=1,connect=1");
    REFUSE("--send: unknown escape \\q at offset 0 (use \\r, \\n, \\t, \\0, \\xHH or \\\\)", "--probe", "a",
           "1", "--send", "\\q");
    REFUSE("--send demands an exchange after TCP and TLS: it cannot be used with another --until", "--probe",
           "a", "1", "--send", "x", "--until", "dialogue");
    REFUSE("--framing cannot be used with --reject", "--probe", "a", "1", "--reject", "x", "--framing",
           "line");
    REFUSE(
        "--warn limits exchange, which is not measured (see --until, --proxy, --tls, --starttls, --volume and --expect)",
        "--probe", "a", "1", "--warn", "exchange=1");
    REFUSE(
        "--crit limits name, which is not measured (see --until, --proxy, --tls, --starttls, --volume and --expect)",
        "--probe", "a", "1", "--expect", "x", "--crit", "name=1");
#else
    REFUSE("--send, --expect and --reject are not available in this build (they need PCRE2)", "--probe", "a",
           "1", "--send", "x");
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_words_are_refused_by_name),
        cmocka_unit_test(a_url_is_refused_with_the_command_line_that_was_meant),
        cmocka_unit_test(a_port_behind_an_ipv6_address_needs_brackets),
        cmocka_unit_test(a_zone_belongs_to_a_link_local_address),
        cmocka_unit_test(options_of_other_programs_are_refused_with_ours),
        cmocka_unit_test(negative_numbers_are_values),
        cmocka_unit_test(a_value_that_is_nearly_right_is_suggested),
        cmocka_unit_test(host_and_port_in_the_wrong_order_are_turned_round),
        cmocka_unit_test(what_contradicts_itself_is_refused),
        cmocka_unit_test(a_network_that_is_none_is_refused_with_what_is_one),
        cmocka_unit_test(a_misbehaviour_is_one_of_a_list),
        cmocka_unit_test(a_peer_has_a_port),
        cmocka_unit_test(a_link_local_address_names_its_link),
        cmocka_unit_test(an_address_is_listened_on_once),
        cmocka_unit_test(bench_options_are_checked),
        cmocka_unit_test(probe_options_are_checked),
        cmocka_unit_test(a_limit_on_what_is_not_measured_is_refused),
        cmocka_unit_test(rounds_are_one_or_a_series_or_a_retry),
        cmocka_unit_test(a_refusal_knows_the_form_that_was_asked_for),
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(options_of_tls_need_tls),
        cmocka_unit_test(options_of_tls_that_do_not_go_together_are_refused),
        cmocka_unit_test(lists_have_an_end),
        cmocka_unit_test(an_empty_argument_vector_is_a_missing_mode),
#ifdef TCPGREET_HAVE_TLS
        cmocka_unit_test(files_that_are_missing_are_named),
#else
        cmocka_unit_test(what_a_build_without_tls_cannot_do_is_refused),
#endif
        cmocka_unit_test(merging_needs_a_build_that_reads_json),
        cmocka_unit_test(an_exchange_needs_a_build_with_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
