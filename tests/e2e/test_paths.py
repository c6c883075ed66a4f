"""Broken paths and slow resolvers, in network namespaces of the test's own: who is greeted, over what, how soon.

Names come from files, or from a name server on the far host that is as slow as a test wants it.
"""

import contextlib
import subprocess

from harness import Case, Server, connect, hello, main, run
from net_harness import (DEAD4, DEAD6, FAR, FAR4, FAR6, NEAR, NEAR4, NEAR6, NameServer, clear_cable, ip, lay_cable,
                         skip_without_cable, within)

HOSTS = f"""
{FAR6} both.test
{FAR4} both.test
{DEAD6[0]} swallowed.test
{FAR4} swallowed.test
{DEAD6[0]} dead.test
{DEAD4[0]} dead.test
2001:db8::1 unreachable.test
{FAR4} unreachable.test
{FAR4} four.test
{FAR6} six.test
""" + "".join(f"{a} late.test\n" for a in [*DEAD4, FAR4]) + "".join(f"{a} many.test\n" for a in [*DEAD6, FAR4])

# for NameServer
ANSWERS = {"slow6.dns.test": (0, 1.5), "soon6.dns.test": (0, 0.02), "mute6.dns.test": (0, None),
           "bad6.dns.test": (0, "fail"), "no6.dns.test": (0, "none"), "slow4.dns.test": (1.5, 0),
           "mute.dns.test": (None, None), "none.dns.test": ("none", "none")}


class Path(Case):

    sources = "files"

    @classmethod
    def setUpClass(cls):
        cls.stack = contextlib.ExitStack()
        cls.addClassCleanup(cls.stack.close)
        cls.stack.callback(clear_cable)
        lay_cable(HOSTS, cls.sources)

    def server(self, *listen, **options):
        listen = listen or ("0",)
        options.setdefault("announcements", 2 if listen == ("0",) else 1)
        return Server(listen=[listen], wrap=within(FAR), **options)

    def connect(self, *args):
        return connect(*args, wrap=within(NEAR))

    def assertGreeted(self, server, result, over, low=0.0, high=0.2):
        self.assertDialogue(result, hello(b"Michael"))
        heard = server.log.expect(r"^Accept new connection from (.+):\d+$")
        self.assertEqual(heard[-1][1].strip("[]"), over)
        self.assertBetween(result.seconds, low, high, repr(result))


class Paths(Path):
    """RFC 8305: one family's fault is not the guest's."""

    def test_ipv6_comes_first_where_both_are_well(self):
        with self.server() as server:
            self.assertGreeted(server, self.connect("both.test", server.port, "Michael"), NEAR6)

    def test_ipv6_swallowed_is_greeted_over_ipv4_after_a_quarter_second(self):
        with self.server() as server:
            result = self.connect("swallowed.test", server.port, "Michael", "-v")
            self.assertGreeted(server, result, NEAR4, 0.25, 0.6)
            self.assertIn(f"{FAR4}:{server.port}", result.err.decode())

    def test_the_attempt_delay_is_as_asked(self):
        with self.server() as server:
            result = self.connect("swallowed.test", server.port, "Michael", "--attempt-delay", "700ms")
            self.assertGreeted(server, result, NEAR4, 0.7, 1.1)

    def test_eight_swallowed_ipv6_addresses_cost_one_delay_before_ipv4(self):
        with self.server() as server:
            self.assertGreeted(server, self.connect("many.test", server.port, "Michael"), NEAR4, 0.25, 0.6)

    def test_ipv6_refused_is_greeted_over_ipv4_at_once(self):
        with self.server(FAR4, "0") as server:
            self.assertGreeted(server, self.connect("both.test", server.port, "Michael"), NEAR4)

    def test_ipv6_unreachable_is_greeted_over_ipv4_at_once(self):
        with self.server(FAR4, "0") as server:
            self.assertGreeted(server, self.connect("unreachable.test", server.port, "Michael"), NEAR4)

    def test_ipv4_refused_is_greeted_over_ipv6_at_once(self):
        with self.server(FAR6, "0") as server:
            self.assertGreeted(server, self.connect("both.test", server.port, "Michael"), NEAR6)

    def test_both_swallowed_is_connect_timeout_at_the_limit(self):
        result = self.connect("dead.test", 6000, "--connect-timeout", "1s")
        self.assertFails(result, 4, "connect-timeout")
        self.assertBetween(result.seconds, 1.0, 1.4)

    def test_both_refused_is_connect_refused_at_once(self):
        result = self.connect("both.test", 6000)
        self.assertFails(result, 4, "connect-refused")
        self.assertBetween(result.seconds, 0, 0.2)

    def test_an_address_without_a_way_is_unreachable_at_once(self):
        result = self.connect("2001:db8::1", 6000)
        self.assertFails(result, 4, "connect-unreachable")
        self.assertBetween(result.seconds, 0, 0.2)

    def test_every_address_gets_its_turn_within_the_limit(self):
        with self.server() as server:
            result = self.connect("late.test", server.port, "Michael", "--connect-timeout", "1s")
            self.assertGreeted(server, result, NEAR4, 0, 1.2)

    def test_6_never_falls_to_ipv4(self):
        with self.server() as server:
            result = self.connect("swallowed.test", server.port, "-6", "--connect-timeout", "1s")
            self.assertFails(result, 4, "connect-timeout")
            self.assertBetween(result.seconds, 1.0, 1.4)
            self.assertFails(self.connect("four.test", server.port, "-6"), 3, "resolve-not-found")
        with self.server(FAR4, "0") as server:
            self.assertFails(self.connect("both.test", server.port, "-6"), 4, "connect-refused")
            self.assertEqual(server.log.bytes(), b"")

    def test_4_never_falls_to_ipv6(self):
        with self.server(FAR6, "0") as server:
            self.assertFails(self.connect("both.test", server.port, "-4"), 4, "connect-refused")
            self.assertFails(self.connect("six.test", server.port, "-4"), 3, "resolve-not-found")
            self.assertEqual(server.log.bytes(), b"")

    def test_4_does_not_wait_for_ipv6(self):
        with self.server() as server:
            self.assertGreeted(server, self.connect("swallowed.test", server.port, "-4", "Michael"), NEAR4)

    def test_a_zone_leads_to_a_link_local_address(self):
        with self.server("fe80::c8%cable", "0") as server:
            self.assertEqual(server.announcements[0][1], "[fe80::c8%cable]")
            self.assertGreeted(server, self.connect("fe80::c8%cable", server.port, "Michael"), "fe80::1%cable")
            self.assertDialogue(self.connect("[fe80::c8%cable]", server.port))

    def test_a_zone_that_is_not_there_is_said(self):
        result = self.connect("fe80::c8%nowhere", 6000)
        self.assertIn(result.code, (2, 3, 4), repr(result))
        self.assertIn(b"nowhere", result.err)


class Resolvers(Path):
    """AAAA and A are asked side by side; a slow or failing one holds the other for 50 ms at most."""

    sources = "dns"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stack.enter_context(NameServer(ANSWERS))

    def test_aaaa_that_is_slow_holds_a_for_the_resolution_delay_only(self):
        for name in ("slow6.dns.test", "mute6.dns.test"):
            with self.subTest(name=name), self.server() as server:
                self.assertGreeted(server, self.connect(name, server.port, "Michael"), NEAR4, 0.05, 0.3)

    def test_aaaa_within_the_resolution_delay_is_preferred(self):
        with self.server() as server:
            self.assertGreeted(server, self.connect("soon6.dns.test", server.port, "Michael"), NEAR6)

    def test_a_that_is_slow_holds_nobody(self):
        with self.server() as server:
            self.assertGreeted(server, self.connect("slow4.dns.test", server.port, "Michael"), NEAR6)

    def test_aaaa_that_fails_or_is_not_there_holds_nobody(self):
        for name in ("bad6.dns.test", "no6.dns.test"):
            with self.subTest(name=name), self.server() as server:
                self.assertGreeted(server, self.connect(name, server.port, "Michael"), NEAR4)

    def test_no_record_at_all_is_not_found(self):
        self.assertFails(self.connect("none.dns.test", 6000), 3, "resolve-not-found")

    def test_a_resolver_that_is_mute_ends_at_the_limit(self):
        result = self.connect("mute.dns.test", 6000, "--connect-timeout", "1s")
        self.assertFails(result, result.code if result.code in (3, 4) else 3, "resolve-temporary|connect-timeout")
        self.assertBetween(result.seconds, 1.0, 1.4)

    def test_a_limit_on_the_whole_run_ends_a_mute_resolver_too(self):
        result = self.connect("mute.dns.test", 6000, "--timeout", "500ms")
        self.assertIn(result.code, (3, 4, 7), repr(result))
        self.assertBetween(result.seconds, 0.5, 0.9)


class WithoutIPv6(Case):
    """A host whose kernel has IPv6 switched off still serves and visits over IPv4."""

    def setUp(self):
        super().setUp()
        self.host = f"{FAR}-4"
        ip("netns", "add", self.host)
        self.addCleanup(ip, "netns", "del", self.host)
        for scope in ("all", "default"):
            subprocess.run([*within(self.host), "sh", "-c",
                            f"echo 1 > /proc/sys/net/ipv6/conf/{scope}/disable_ipv6"], check=True)
        ip("-n", self.host, "link", "set", "lo", "up")

    def test_everything_is_ipv4(self):
        with Server(listen=[("0",)], wrap=within(self.host)) as server:
            server.out.expect(r"^Waiting for connection on 0\.0\.0\.0:\d+$")
            result = connect("127.0.0.1", server.port, "Michael", wrap=within(self.host))
            self.assertDialogue(result, hello(b"Michael"))

    def test_an_ipv6_address_is_refused_in_words(self):
        result = run("--listen", "::1", "0", wrap=within(self.host))
        self.assertFails(result, 8, r"system-\S+")
        result = connect("::1", 6000, wrap=within(self.host))
        self.assertFails(result, 4, r"connect-unreachable")


if __name__ == "__main__":
    skip_without_cable()
    main()
