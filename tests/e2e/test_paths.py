"""Broken paths and slow resolvers, in network namespaces of the test's own: who is greeted, over what, how soon.

Names come from files, or from a name server on the far host that is as slow as a test wants it.
"""

import contextlib
import re
import socket

from harness import SOON_S, Case, Server, await_that, connect, hello, main, ms, run, unhurried
from net_harness import (UNREACHABLE4, UNREACHABLE6, FAR, FAR4, FAR6, NEAR, NEAR4, NEAR6, NameServer, clear_cable, inside, ip,
                         lay_cable, make_host, remove_host, skip_without_cable, switch_ipv6_off, within)

HOSTS = f"""
{FAR6} both.test
{FAR4} both.test
{UNREACHABLE6[0]} dropped.test
{FAR4} dropped.test
{UNREACHABLE6[0]} nowhere.test
{UNREACHABLE4[0]} nowhere.test
2001:db8::1 unreachable.test
{FAR4} unreachable.test
{FAR4} four.test
{FAR6} six.test
""" + "".join(f"{a} late.test\n" for a in [*UNREACHABLE4, FAR4]) + "".join(f"{a} many.test\n" for a in [*UNREACHABLE6, FAR4])

# for NameServer
ANSWERS = {"slow6.dns.test": (0, 8), "soon6.dns.test": (0, 0.02), "mute6.dns.test": (0, None),
           "bad6.dns.test": (0, "fail"), "no6.dns.test": (0, "none"), "slow4.dns.test": (8, 0),
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

    def at_once(self, *args):
        """The same, where a next address that had to wait for its turn would come too late for assertGreeted."""
        return self.connect(*args, "--attempt-delay", "10s")

    def assertGreeted(self, server, result, over, low=0.0):
        self.assertDialogue(result, hello(b"Michael"))
        received = server.log.expect(r"^Accept new connection from (.+):\d+$")
        self.assertEqual(received[-1][1].strip("[]"), over)
        self.assertBetween(result.seconds, low, 5, repr(result))

    def assertFallsBack(self, name, low_ms, high_ms, *options):
        """To IPv4. Each try takes as long, and one takes no longer: a busy machine may delay others."""
        with self.server() as server:
            def is_in_time():
                result = self.connect(name, server.port, "Michael", "-v", *options)
                self.assertGreeted(server, result, NEAR4, low_ms / 1000)
                found = re.search(rf"Connected to {FAR4}:{server.port} .* in (\S+) ms: name resolution took (\S+) ms",
                                  result.err.decode())
                took_ms = float(found[1]) - float(found[2])
                self.assertGreater(took_ms, low_ms - 1)  # timers of the loop count whole milliseconds
                return took_ms < high_ms
            await_that(is_in_time, f"a connection over IPv4 within {high_ms} ms")


class Paths(Path):
    """RFC 8305: the fault of one family is hidden from the user."""

    def test_ipv6_comes_first_where_both_are_ok(self):
        with self.server() as server:
            self.assertGreeted(server, self.at_once("both.test", server.port, "Michael"), NEAR6)

    def test_unreachable_ipv6_falls_back_to_ipv4_after_a_quarter_second(self):
        self.assertFallsBack("dropped.test", 250, 600)

    def test_the_attempt_delay_is_as_asked(self):
        self.assertFallsBack("dropped.test", 700, 1100, "--attempt-delay", "700ms")

    def test_eight_unreachable_ipv6_addresses_cost_one_delay_before_ipv4(self):
        self.assertFallsBack("many.test", 250, 600)

    def test_ipv6_refused_is_greeted_over_ipv4_at_once(self):
        with self.server(FAR4, "0") as server:
            self.assertGreeted(server, self.at_once("both.test", server.port, "Michael"), NEAR4)

    def test_ipv6_unreachable_is_greeted_over_ipv4_at_once(self):
        with self.server(FAR4, "0") as server:
            self.assertGreeted(server, self.at_once("unreachable.test", server.port, "Michael"), NEAR4)

    def test_ipv4_refused_is_greeted_over_ipv6_at_once(self):
        with self.server(FAR6, "0") as server:
            self.assertGreeted(server, self.at_once("both.test", server.port, "Michael"), NEAR6)

    def test_both_unreachable_is_connect_timeout_at_the_limit(self):
        result = self.connect("nowhere.test", 6000, "--connect-timeout", "1s")
        self.assertFails(result, 4, "connect-timeout")
        self.assertBetween(result.seconds, 1.0, 5)

    def test_both_refused_is_connect_refused_at_once(self):
        result = self.at_once("both.test", 6000)
        self.assertFails(result, 4, "connect-refused")
        self.assertLess(result.seconds, SOON_S)

    def test_an_address_without_a_way_is_unreachable_at_once(self):
        result = self.connect("2001:db8::1", 6000)
        self.assertFails(result, 4, "connect-unreachable")
        self.assertLess(result.seconds, SOON_S)

    def test_every_address_gets_its_turn_within_the_limit(self):
        def attempt(limit_s):
            with self.server() as server:
                result = self.connect("late.test", server.port, "Michael", "--connect-timeout", ms(limit_s))
                self.assertDialogue(result, hello(b"Michael"))
        unhurried(attempt, 1)

    def test_6_never_falls_to_ipv4(self):
        with self.server() as server:
            result = self.connect("dropped.test", server.port, "-6", "--connect-timeout", "1s")
            self.assertFails(result, 4, "connect-timeout")
            self.assertBetween(result.seconds, 1.0, 5)
            self.assertFails(self.connect("four.test", server.port, "-6"), 3, "resolve-not-found")
        with self.server(FAR4, "0") as server:
            self.assertFails(self.connect("both.test", server.port, "-6"), 4, "connect-refused")
            self.assertNotIn(b"connection from", server.log.bytes())

    def test_4_never_falls_to_ipv6(self):
        with self.server(FAR6, "0") as server:
            self.assertFails(self.connect("both.test", server.port, "-4"), 4, "connect-refused")
            self.assertFails(self.connect("six.test", server.port, "-4"), 3, "resolve-not-found")
            self.assertNotIn(b"connection from", server.log.bytes())

    def test_4_does_not_wait_for_ipv6(self):
        with self.server() as server:
            self.assertGreeted(server, self.at_once("dropped.test", server.port, "-4", "Michael"), NEAR4)

    def test_a_zone_leads_to_a_link_local_address(self):
        with self.server("fe80::c8%cable", "0") as server:
            self.assertEqual(server.announcements[0][1], "[fe80::c8%cable]")
            self.assertGreeted(server, self.connect("fe80::c8%cable", server.port, "Michael"), "fe80::1%cable")
            self.assertDialogue(self.connect("[fe80::c8%cable]", server.port))

    def test_a_missing_zone_is_reported(self):
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
                self.assertGreeted(server, self.connect(name, server.port, "Michael"), NEAR4, 0.05)

    def test_aaaa_within_the_resolution_delay_is_preferred(self):
        def is_preferred():  # where the name server is in time, which it may not be on a busy machine
            with self.server() as server:
                self.assertDialogue(self.connect("soon6.dns.test", server.port, "Michael"), hello(b"Michael"))
                return server.log.expect(r"^Accept new connection from (.+):\d+$")[0][1].strip("[]") == NEAR6
        await_that(is_preferred, "IPv6")

    def test_a_slow_a_answer_delays_no_other(self):
        with self.server() as server:
            self.assertGreeted(server, self.connect("slow4.dns.test", server.port, "Michael"), NEAR6)

    def test_a_failed_or_missing_aaaa_answer_delays_no_other(self):
        for name in ("bad6.dns.test", "no6.dns.test"):
            with self.subTest(name=name), self.server() as server:
                self.assertGreeted(server, self.connect(name, server.port, "Michael"), NEAR4)

    def test_no_record_at_all_is_not_found(self):
        self.assertFails(self.connect("none.dns.test", 6000), 3, "resolve-not-found")

    def test_a_resolver_that_is_mute_ends_at_the_limit(self):
        result = self.connect("mute.dns.test", 6000, "--connect-timeout", "1s")
        self.assertFails(result, result.code if result.code in (3, 4) else 3, "resolve-temporary|connect-timeout")
        self.assertBetween(result.seconds, 1.0, 5)

    def test_a_limit_on_the_whole_run_ends_a_mute_resolver_too(self):
        result = self.connect("mute.dns.test", 6000, "--timeout", "500ms")
        self.assertIn(result.code, (3, 4, 7), repr(result))
        self.assertBetween(result.seconds, 0.5, 5)


class OneFamily(Case):
    """A host that has addresses of one family only: its loopback interface is all there is."""

    hosts = "::1 both.test\n127.0.0.1 both.test\n"
    sources = "files"

    def setUp(self):
        super().setUp()
        self.host = f"{FAR}-one"
        self.addCleanup(remove_host, self.host)
        make_host(self.host, self.hosts, self.sources, FAR4)
        self.wrap = within(self.host)

    def connect(self, *args):
        return connect(*args, wrap=self.wrap)

    def assertServes(self, listen, announced, *log):
        """Whatever is asked for, this is all that is announced, and a client is greeted there."""
        with Server(listen=[listen], wrap=self.wrap) as server:
            result = self.connect("both.test", server.port, "Michael")
            self.assertDialogue(result, hello(b"Michael"))
            self.assertEqual(result.err, b"")
            self.assertEqual(server.out.lines(), [f"Waiting for connection on {announced}:{server.port}"])
            for line in log:
                server.log.expect(line)

    def assertRefuses(self, host, why, *options):
        result = run("--listen", host, "0", *options, wrap=self.wrap)
        self.assertFails(result, 8, "system-address-not-available")
        self.assertIn(f"cannot listen on {host if '.' in host else f'[{host}]'}:0: {why}", result.err.decode())

    def assertUnreachable(self, result, why):
        self.assertFails(result, 4, "connect-unreachable")
        self.assertIn(why, result.err.decode())
        self.assertEqual(result.err.decode().count(why.partition(" (")[0]), 1)

    def assertBenches(self, why, *options):
        with Server(listen=[("0",)], wrap=self.wrap) as server:
            result = run("--bench", "both.test", str(server.port), "--connections", "3", "--duration", "100ms",
                         *options, wrap=self.wrap)
            self.assertEqual(result.code, 0, repr(result))
            self.assertEqual(result.err.decode(), why)


class WithoutIPv6(OneFamily):

    why = "IPv6 is switched off on this machine"
    remedy = " (switch it on with sysctl -w net.ipv6.conf.all.disable_ipv6=0)"

    def setUp(self):
        super().setUp()
        switch_ipv6_off(self.host)
        ip("-n", self.host, "link", "set", "lo", "up")

    def test_every_address_is_ipv4(self):
        self.assertServes(("0",), "0.0.0.0", f"^Listening on IPv4 only: {self.why}$")
        self.assertServes(("both.test", "0"), "127.0.0.1")

    def test_an_ipv6_address_is_refused_with_the_cause_and_the_remedy(self):
        for host in ("::1", "::"):
            self.assertRefuses(host, self.why + self.remedy)
        self.assertFails(run("--listen", "0", "-6", wrap=self.wrap), 8, "system-address-not-available")
        for args in (("::1", 6000), ("both.test", 6000, "-6")):
            self.assertUnreachable(self.connect(*args), self.why + self.remedy)
        result = self.connect("both.test", 6000, "--source", "::1")
        self.assertFails(result, 8, "system-address-not-available")
        self.assertIn(f"cannot use source [::1]:0: {self.why}", result.err.decode())

    def test_ipv4_refused_is_the_cause_and_ipv6_is_a_remark(self):
        result = self.connect("both.test", 6000)
        self.assertFails(result, 4, "connect-refused")
        self.assertEqual(result.err.decode(), "tcpgreet: cannot connect to both.test:6000: 127.0.0.1:6000: Connection "
                         f"refused (nothing listens there, or a firewall refuses); {self.why} (connect-refused)\n")

    def test_a_bench_leaves_ipv6_out(self):
        self.assertBenches(f"tcpgreet: {self.why}: skipping 1 of 2 addresses\n")
        self.assertBenches("", "-q")
        self.assertBenches("", "-4")
        result = run("--bench", "both.test", "6000", "-6", wrap=self.wrap)
        self.assertUnreachable(result, f"cannot connect to [::1]:6000: {self.why}{self.remedy}")


class WithoutIPv4(OneFamily):

    why = "no interface of this machine has an IPv4 address"

    def setUp(self):
        super().setUp()
        ip("-n", self.host, "link", "set", "lo", "up")
        ip("-n", self.host, "addr", "del", "127.0.0.1/8", "dev", "lo")

    def test_every_address_is_ipv6(self):
        self.assertServes(("0",), "[::]", f"^Listening on IPv6 only: {self.why}$")
        self.assertServes(("both.test", "0"), "[::1]")

    def test_an_ipv4_address_is_refused_with_the_cause(self):
        self.assertRefuses("127.0.0.1", self.why)
        for args in (("127.0.0.1", 6000), ("both.test", 6000, "-4")):
            self.assertUnreachable(self.connect(*args), f"{self.why} (add one, see ip address)")

    def test_ipv6_refused_is_the_cause_and_ipv4_is_a_remark(self):
        result = self.connect("both.test", 6000)
        self.assertFails(result, 4, "connect-refused")
        self.assertIn(f": [::1]:6000: Connection refused (nothing listens there, or a firewall refuses); {self.why} (",
                      result.err.decode())

    def test_a_bench_leaves_ipv4_out(self):
        self.assertBenches(f"tcpgreet: {self.why}: skipping 1 of 2 addresses\n")


class WithoutNetwork(OneFamily):

    hosts = "2001:db8::1 both.test\n198.51.100.1 both.test\n2001:db8::1 six.test\n127.0.0.1 six.test\n"

    def setUp(self):
        super().setUp()
        ip("-n", self.host, "link", "set", "lo", "up")

    def test_each_family_has_its_clause_and_no_address_is_repeated(self):
        only = "this machine has only loopback and link-local"
        self.assertUnreachable(self.connect("both.test", 6000), "cannot connect to both.test:6000: "
                               f"{only} IPv6 addresses; {only} IPv4 addresses (connect-unreachable)")

    def test_a_route_that_discards_is_not_an_invalid_argument(self):
        ip("-n", self.host, "addr", "add", "fd77::1/128", "dev", "lo", "nodad")
        ip("-n", self.host, "-6", "route", "add", "blackhole", "2001:db8::1")
        result = self.connect("2001:db8::1", 6000)
        self.assertUnreachable(result, "[2001:db8::1]:6000: this machine has a blackhole route (change it, see ip -6 "
                               "route)")
        result = self.connect("six.test", 6000)
        self.assertFails(result, 4, "connect-refused")


class HostsFile(OneFamily):
    """Names of the hosts file, beside a name server that never answers."""

    hosts = "127.0.0.1 four.test\n"
    sources = "files dns"

    def setUp(self):
        super().setUp()
        ip("-n", self.host, "link", "set", "lo", "up")
        ip("-n", self.host, "addr", "add", f"{FAR4}/32", "dev", "lo")
        with inside(self.host):
            self.asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.asked.close)
        self.asked.bind((FAR4, 53))
        self.asked.setblocking(False)

    def assertNothingAsked(self):
        with self.assertRaises(BlockingIOError, msg="a name server was asked"):
            self.asked.recv(512)

    def test_a_name_of_one_family_is_not_asked_of_a_name_server(self):
        self.assertFails(self.connect("four.test", 6000), 4, "connect-refused")
        with Server(listen=[("four.test", "0")], wrap=self.wrap) as server:
            self.assertEqual(server.host, "127.0.0.1")
            result = run("--probe", "four.test", str(server.port), wrap=self.wrap)
            self.assertEqual(result.code, 0, repr(result))
        self.assertNothingAsked()

    def test_the_other_family_is_missing_in_the_hosts_file(self):
        for command in (("--connect", "four.test", "6000", "-6", "--connect-timeout", "500ms"),
                        ("--probe", "four.test", "6000", "-6", "--connect-timeout", "500ms")):
            result = run(*command, wrap=self.wrap)
            self.assertEqual(result.code, 3, repr(result))
            self.assertIn("/etc/hosts has no IPv6 address for four.test", " ".join(
                (result.out + result.err).decode().split()))

    def test_localhost_belongs_into_the_hosts_file(self):
        self.asked.close()  # an answer at once: nothing is there
        result = self.connect("localhost", 6000)
        self.assertFails(result, 3, "resolve-temporary")
        self.assertIn(b"no address for localhost: add it to /etc/hosts, with 127.0.0.1 and ::1", result.err)
        result = self.connect("localhost.", 6000)
        self.assertFails(result, 3, "resolve-temporary")
        self.assertIn(b"no address for localhost.: leave out the dot at its end", result.err)


if __name__ == "__main__":
    skip_without_cable()
    main()
