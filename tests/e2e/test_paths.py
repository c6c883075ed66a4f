"""Broken paths and slow resolvers, in network namespaces of the test's own: who is greeted, over what, how soon.

Two hosts, "near" (the client's) and "far" (the server's), joined by a cable. Names come from files, or from a
name server on the far host that is as slow as a test wants it.
"""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading

from harness import IS_ROOT, Case, Lines, Server, connect, hello, main, run, skip_file

NEAR, FAR = f"tcpgreet-near-{os.getpid()}", f"tcpgreet-far-{os.getpid()}"
NEAR4, FAR4, DEAD4 = "10.77.0.1", "10.77.0.200", [f"10.77.0.{n}" for n in range(2, 10)]
NEAR6, FAR6, DEAD6 = "fd77::1", "fd77::c8", [f"fd77::{n}" for n in range(2, 10)]
NOBODY = "02:00:00:00:00:99"

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

# name: what the name server does with (A, AAAA): seconds to wait, None: never, "fail": SERVFAIL, "none": no such record
ANSWERS = {"slow6.dns.test": (0, 1.5), "soon6.dns.test": (0, 0.02), "mute6.dns.test": (0, None),
           "bad6.dns.test": (0, "fail"), "no6.dns.test": (0, "none"), "slow4.dns.test": (1.5, 0),
           "mute.dns.test": (None, None), "none.dns.test": ("none", "none")}


def ip(*words, check=True):
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True)


def build(sources):
    """Lays the cable; names come from these sources.

    IPv6 addresses are there at once (nodad); dead ones are neighbours that nobody answers for.
    """
    for name in (NEAR, FAR):
        ip("netns", "add", name)
        folder = pathlib.Path("/etc/netns") / name
        folder.mkdir(parents=True)
        (folder / "hosts").write_text(HOSTS)
        (folder / "nsswitch.conf").write_text(f"hosts: {sources}\nservices: files\n")
        (folder / "resolv.conf").write_text(f"nameserver {FAR4}\n")
        ip("-n", name, "link", "set", "lo", "up")
    ip("link", "add", "cable", "netns", NEAR, "type", "veth", "peer", "name", "cable", "netns", FAR)
    for name, v4, v6, local in ((NEAR, NEAR4, NEAR6, "fe80::1"), (FAR, FAR4, FAR6, "fe80::c8")):
        ip("-n", name, "link", "set", "cable", "addrgenmode", "none")
        ip("-n", name, "link", "set", "cable", "up")
        ip("-n", name, "addr", "add", f"{v4}/24", "dev", "cable")
        for address in (v6, local):
            ip("-n", name, "addr", "add", f"{address}/64", "dev", "cable", "nodad")
    for address in DEAD4 + DEAD6:
        ip("-n", NEAR, "neigh", "add", address, "lladdr", NOBODY, "dev", "cable", "nud", "permanent")


def clear():
    for name in (NEAR, FAR):
        ip("netns", "del", name, check=False)
        shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir("/etc/netns")


def within(host):
    return ["ip", "netns", "exec", host]


def name_server(address):
    """Answers as ANSWERS says, until its standard input ends."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, 53))

    def serve():
        while True:
            query, client = s.recvfrom(512)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            question, kind = query[12:at + 5], query[at + 2]
            family = socket.AF_INET6 if kind == 28 else socket.AF_INET
            plan = ANSWERS.get(".".join(labels), ("none", "none"))[kind == 28]
            if plan is None:
                continue
            data = b"" if isinstance(plan, str) else socket.inet_pton(family, FAR6 if kind == 28 else FAR4)
            answer = b"\xc0\x0c\0" + bytes([kind]) + b"\0\1\0\0\0\0\0" + bytes([len(data)]) + data if data else b""
            head = query[:2] + (b"\x81\x82" if plan == "fail" else b"\x81\x80") + b"\0\1\0" + bytes([bool(data)])
            threading.Timer(0 if isinstance(plan, str) else plan, s.sendto,
                            (head + b"\0\0\0\0" + question + answer, client)).start()
    threading.Thread(target=serve, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)


class Path(Case):

    sources = "files"

    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(clear)
        build(cls.sources)

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
        out, out_end = os.pipe()
        cls.name_server = subprocess.Popen([*within(FAR), sys.executable, __file__, "--name-server", FAR4],
                                           stdin=subprocess.PIPE, stdout=out_end)
        os.close(out_end)
        cls.addClassCleanup(cls.name_server.wait)
        cls.addClassCleanup(cls.name_server.stdin.close)
        Lines(out).expect("^ready$")

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
    if sys.argv[1:2] == ["--name-server"]:
        name_server(sys.argv[2])
    if not IS_ROOT:
        skip_file("needs root, to make network namespaces")
    if not shutil.which("ip"):
        skip_file("needs ip (iproute2), to make network namespaces")
    probe = subprocess.run(["ip", "netns", "add", NEAR], capture_output=True, text=True)
    if probe.returncode != 0:
        skip_file(f"network namespaces cannot be had here: {probe.stderr.strip()}")
    ip("netns", "del", NEAR)
    main()
