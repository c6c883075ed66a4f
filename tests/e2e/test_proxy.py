"""--proxy: client, probe and bench through HTTP and SOCKS5 proxies, good ones and others."""

import base64
import contextlib
import json
import re
import select
import socket
import struct
import unittest

import tls_harness
from harness import (GOODBYE, OPENING, Case, Script, Server, connect, environment, hello, main, ms,
                     refusing_port, run, unhurried)
from tls_harness import has_tls

HOSTS = ("::1", "127.0.0.1")


def relay(peer, target):
    """Both ways until either side ends."""
    ends = {peer.socket: target, target: peer.socket}
    while ends:
        readable, _, _ = select.select(list(ends), [], [], 30)
        for end in readable:
            try:
                data = end.recv(65536)
            except ConnectionResetError:
                return
            with contextlib.suppress(OSError):
                if data:
                    ends[end].sendall(data)
                else:
                    ends[end].shutdown(socket.SHUT_WR)
            if not data:
                del ends[end]
        if not readable:
            return


def read_exactly(peer, count):
    data = b""
    while len(data) < count:
        piece = peer.socket.recv(count - len(data))
        if not piece:
            raise AssertionError(f"the client ended after {data!r}")
        data += piece
    return data


def read_head(peer):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(peer, 1)
    return head.decode("latin-1")


class Proxy(Script):
    """Connects to (host, port) whatever it is asked for, and notes what that was."""

    def __init__(self, to, host="::1", user=None, slow=False, early=b""):
        super().__init__(self.serve, host)
        self.to, self.user, self.slow, self.early = to, user, slow, early
        self.asked = []

    def reply(self, peer, data):
        for piece in [data[i:i + 1] for i in range(len(data))] if self.slow else [data]:
            peer.socket.sendall(piece)

    def finish(self, peer, reply):
        with socket.create_connection(self.to) as target:
            if self.early:
                target.settimeout(30)
                reply += target.recv(len(self.early), socket.MSG_WAITALL)
            self.reply(peer, reply)
            relay(peer, target)

    def url(self, user=""):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{user}{host}:{self.port}"


class HttpProxy(Proxy):
    scheme = "http"

    def serve(self, peer):
        head = read_head(peer)
        self.asked.append(head.splitlines()[0].split()[1])
        if self.user is not None:
            given = re.search(r"^Proxy-Authorization: Basic (\S+)\r$", head, re.M)
            if given is None or base64.b64decode(given[1]).decode() != self.user:
                peer.socket.sendall(b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n")
                return
        self.finish(peer, b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")


class SocksProxy(Proxy):
    scheme = "socks5"

    def authenticate(self, peer):
        methods = read_exactly(peer, read_exactly(peer, 2)[1])
        if self.user is None:
            self.reply(peer, b"\x05\x00")
            return True
        self.reply(peer, b"\x05\x02" if 2 in methods else b"\x05\xff")
        if 2 not in methods:
            return False
        name = read_exactly(peer, read_exactly(peer, 2)[1])
        password = read_exactly(peer, read_exactly(peer, 1)[0])
        right = name + b":" + password == self.user.encode()
        self.reply(peer, b"\x01\x00" if right else b"\x01\x01")
        return right

    def serve(self, peer):
        if not self.authenticate(peer):
            return
        kind = read_exactly(peer, 4)[3]
        if kind == 3:
            host = read_exactly(peer, read_exactly(peer, 1)[0]).decode()
        else:
            family, size = {1: (socket.AF_INET, 4), 4: (socket.AF_INET6, 16)}[kind]
            host = f"{socket.inet_ntop(family, read_exactly(peer, size))}/{kind}"
        port = struct.unpack(">H", read_exactly(peer, 2))[0]
        self.asked.append(f"{host}:{port}")
        self.finish(peer, b"\x05\x00\x00\x04" + bytes(16) + b"\x00\x50")


KINDS = (HttpProxy, SocksProxy)


def answering(reply, then_silent=False):
    """A proxy that gives this reply to whatever comes first."""
    def serve(peer):
        peer.socket.recv(65536)
        with contextlib.suppress(OSError):
            peer.socket.sendall(reply)
        while then_silent and peer.socket.recv(65536):
            pass
    return Script(serve)


def through(scheme, script, *options):
    return ("--proxy", f"{scheme}://[::1]:{script.port}", *options)


def probed(target, port, *options, **more):
    result = run("--probe", target, str(port), "--format", "json", *options, **more)
    return result, json.loads(result.out or "{}")


class Dialogues(Case):
    def test_client_holds_its_dialogue_through_either_proxy_over_either_family(self):
        for kind in KINDS:
            for host in HOSTS:
                with self.subTest(kind=kind.scheme, host=host), Server() as server, \
                        kind((server.host, server.port), host) as proxy:
                    result = connect("target.invalid", server.port, "--proxy", proxy.url(), "Ada")
                    self.assertDialogue(result, hello(b"Ada"))
                    self.assertEqual(proxy.asked, [f"target.invalid:{server.port}"])

    def test_address_literals_are_passed_as_addresses(self):
        cases = {(HttpProxy, "192.0.2.1"): "192.0.2.1:7", (HttpProxy, "2001:db8::1"): "[2001:db8::1]:7",
                 (SocksProxy, "192.0.2.1"): "192.0.2.1/1:7", (SocksProxy, "2001:db8::1"): "2001:db8::1/4:7"}
        with Server() as server:
            for (kind, host), asked in cases.items():
                with kind((server.host, server.port)) as proxy:
                    self.assertDialogue(connect(host, 7, "--proxy", proxy.url()))
                    self.assertEqual(proxy.asked, [asked])

    def test_a_greeting_in_the_proxys_own_segment_is_the_targets(self):
        for kind in KINDS:
            with Server() as server, kind((server.host, server.port), early=OPENING) as proxy:
                self.assertDialogue(connect("target.invalid", 1, "--proxy", proxy.url(), "Ada"), hello(b"Ada"))

    def test_a_reply_of_single_bytes_is_read(self):
        for kind in KINDS:
            with Server() as server, kind((server.host, server.port), slow=True) as proxy:
                self.assertDialogue(connect("target.invalid", 1, "--proxy", proxy.url(), "Ada"), hello(b"Ada"))

    def test_verbose_reports_the_proxys_part(self):
        with Server() as server, HttpProxy((server.host, server.port)) as proxy:
            result = connect("target.invalid", 1, "--proxy", proxy.url(), "-v")
            self.assertRegex(result.err.decode(), r"Connected to the proxy \[::1\]:\d+ from .*\n"
                                                  r"The proxy connected to target\.invalid:1 in \d+\.\d+ ms\n")

    def test_bench_runs_through_a_proxy(self):
        for kind in KINDS:
            def attempt(seconds):
                with Server() as server, kind((server.host, server.port)) as proxy:
                    result = run("--bench", "target.invalid", "1", "--proxy", proxy.url(), "--connections", "4", "--names",
                                 "5", "--duration", ms(seconds), "--format", "json")
                    self.assertEqual(result.code, 0, result)
                    found = json.loads(result.out)
                    self.assertEqual((found["target"], found["proxy"]), ("target.invalid:1", proxy.url()))
                    self.assertGreaterEqual(len(proxy.asked), 4)
                    self.assertGreater(found["names"], 20)
            unhurried(attempt, 0.3)
            with Server() as server, kind((server.host, server.port), user="ann:x") as proxy:
                result = run("--bench", "target.invalid", "1", "--proxy", proxy.url("ann@"), "--names", "1", "--connections", "1",
                             "--duration", "100ms", env=environment(TCPGREET_PROXY_PASSWORD="x"))
                self.assertIn(f"\nthrough {proxy.url()}\n".encode(), result.out)


class Credentials(Case):
    def test_the_password_comes_from_the_environment(self):
        for kind in KINDS:
            with Server() as server, kind((server.host, server.port), user="b@b:hunter2") as proxy:
                result = connect("target.invalid", 1, "--proxy", proxy.url("b%40b@"),
                                 env=environment(TCPGREET_PROXY_PASSWORD="hunter2"))
                self.assertDialogue(result)

    def test_a_wrong_or_missing_password_is_reported_without_it(self):
        for kind in KINDS:
            with Server() as server, kind((server.host, server.port), user="bob:hunter2") as proxy:
                result = connect("target.invalid", 1, "--proxy", proxy.url("bob@"),
                                 env=environment(TCPGREET_PROXY_PASSWORD="wrong"))
                self.assertFails(result, 4, "connect-proxy")
                self.assertIn(b"rejected the user name or the password", result.err)
                result = connect("target.invalid", 1, "--proxy", proxy.url())
                self.assertFails(result, 4, "connect-proxy")
                self.assertIn(b"requires authentication", result.err)
                result = connect("target.invalid", 1, "--proxy", proxy.url("bob@"))
                self.assertFails(result, 2, "usage")
                self.assertIn(b"TCPGREET_PROXY_PASSWORD", result.err)

    def test_the_password_is_in_no_output_and_not_in_the_environment_of_command(self):
        secret = "hunter2-of-bob"
        hidden = (secret, base64.b64encode(f"bob:{secret}".encode()).decode())
        with Server() as server, HttpProxy((server.host, server.port), user=f"bob:{secret}") as proxy:
            env = environment(TCPGREET_PROXY_PASSWORD=secret)
            for options in (("--explain", "-v"), ("--format", "json"), ("--plot", "-"), ("--", "env")):
                result = run("--probe", "target.invalid", "1", "--proxy", proxy.url("bob@"), *options, env=env)
                self.assertEqual(result.code, 0, result)
                for text in hidden:
                    self.assertNotIn(text.encode(), result.out + result.err)
            self.assertNotIn(b"PROXY_PASSWORD", result.out)
            self.assertIn(b"PATH=", result.out)

    def test_variables_of_other_programs_are_not_used(self):
        with Server() as server:
            env = environment(http_proxy="http://[::1]:1", ALL_PROXY="socks5://[::1]:1", all_proxy="http://[::1]:1")
            self.assertDialogue(connect("::1", server.port, env=env))


class Refusals(Case):
    def test_each_refusal_is_connect_proxy_with_the_proxys_reason(self):
        ok = b"\x05\x00"
        cases = [("http", b"HTTP/1.1 403 Filtered\r\n\r\n", "403 Filtered", "proxy-refused"),
                 ("http", b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "502 Bad Gateway", "proxy-target"),
                 ("http", b"HTTP/1.1 503 \r\nX-Squid-Error: ERR_DNS_FAIL 0\r\n\r\n", "ERR_DNS_FAIL", "proxy-target"),
                 ("http", b"HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\n\r\n", "by NTLM", "proxy-authentication"),
                 ("http", b"SSH-2.0-x\r\n", "protocol ssh", "proxy-protocol"),
                 ("http", b"HTTP/1.1 200 OK\r\nA: b\r\n", "before its reply was complete", "proxy-mute"),
                 ("http", b"", "without a reply", "proxy-mute"),
                 ("http", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20000, "is too long", "proxy-protocol"),
                 ("http", b"HTTP/1.1 200 OK\r\na: " + b"b" * 20000, "is too long", "proxy-protocol"),
                 ("socks5", ok + b"\x05\x02", "connection not allowed by ruleset", "proxy-refused"),
                 ("socks5", ok + b"\x05\x03\x00\x01" + bytes(6), "Network unreachable", "proxy-target"),
                 ("socks5", ok + b"\x05\x04\x00\x01" + bytes(6), "Host unreachable", "proxy-target"),
                 ("socks5", ok + b"\x05\x05\x00\x01" + bytes(6), "Connection refused", "proxy-target"),
                 ("socks5", b"\x05\xff", "requires authentication", "proxy-authentication"),
                 ("socks5", b"HTTP/1.1 400 x\r\n\r\n", "it is an HTTP server", "proxy-protocol"),
                 ("socks5", ok, "without a reply", "proxy-mute")]
        for scheme, reply, text, rule in cases:
            with self.subTest(scheme=scheme, reply=reply[:40]), answering(reply) as proxy:
                result = connect("target.invalid", 1, *through(scheme, proxy))
                self.assertFails(result, 4, "connect-proxy")
                self.assertIn(text, result.err.decode())
                result, found = probed("target.invalid", 1, *through(scheme, proxy))
                self.assertEqual(result.code, 4, result)
                self.assertEqual(found["verdict"]["word"], "connect-proxy")
                self.assertEqual(found["addresses"][0]["failed_phase"], "proxy")
                self.assertEqual([finding["word"] for finding in found["findings"]], [rule])

    def test_another_server_is_no_proxy(self):
        with Server() as server:
            for scheme in ("http", "socks5"):
                result = connect("target.invalid", 1, "--proxy", f"{scheme}://[::1]:{server.port}")
                self.assertFails(result, 4, "connect-proxy")
                self.assertIn(b"it is a tcpgreet server", result.err)

    def test_a_reset_is_the_proxys(self):
        def reset(peer):
            peer.socket.recv(10)
            peer.reset()
        with Script(reset) as proxy:
            result = connect("target.invalid", 1, *through("http", proxy))
            self.assertFails(result, 4, "connect-proxy")
            self.assertIn(b"reset the connection without a reply", result.err)
            result, found = probed("target.invalid", 1, *through("http", proxy))
            self.assertIn("accepts the connection and resets it", found["findings"][0]["text"])

    def test_a_proxy_that_waits_is_a_timeout_and_one_that_hangs_in_its_reply_is_not(self):
        for reply, scheme, reason in ((b"", "http", "connect-timeout"), (b"\x05\x00", "socks5", "connect-timeout"),
                                      (b"HTTP/1.1 2", "http", "connect-proxy"), (b"", "socks5", "connect-proxy")):
            def attempt(limit_s):
                with answering(reply, then_silent=True) as proxy:
                    limits = ("--connect-timeout", ms(limit_s))
                    self.assertFails(connect("target.invalid", 1, *through(scheme, proxy), *limits), 4, reason)
                    result, found = probed("target.invalid", 1, *through(scheme, proxy), *limits)
                    self.assertEqual((result.code, found["verdict"]["word"]), (4, reason))
                    self.assertEqual([finding["word"] for finding in found["findings"]], ["proxy-mute"])
            with self.subTest(reply=reply, scheme=scheme):
                unhurried(attempt, 0.3)

    def test_time_of_the_whole_run_ends_the_wait_for_a_proxy(self):
        with answering(b"", then_silent=True) as proxy:
            def attempt(limit_s):
                result = connect("target.invalid", 1, *through("http", proxy), "--timeout", ms(limit_s))
                self.assertFails(result, 4, "connect-timeout")
                self.assertIn(f"--timeout ({limit_s:g} s) expired: proxy [::1]:".encode(), result.err)
                result, found = probed("target.invalid", 1, *through("http", proxy), "--timeout", ms(limit_s))
                self.assertEqual((result.code, found["verdict"]["word"]), (4, "connect-timeout"))
                self.assertEqual(found["addresses"][0]["failed_phase"], "proxy")
            unhurried(attempt, 0.3)

    def test_an_unreachable_proxy_is_named_as_the_proxy(self):
        with refusing_port() as port:
            url = f"http://[::1]:{port}"
            result = connect("target.invalid", 1, "--proxy", url)
            self.assertFails(result, 4, "connect-refused")
            self.assertIn(b"cannot connect to the proxy [::1]:", result.err)
            result, found = probed("target.invalid", 1, "--proxy", url)
            self.assertEqual((result.code, found["verdict"]["word"]), (4, "connect-refused"))
            self.assertEqual([f["word"] for f in found["findings"]], ["proxy-unreachable", "all-refused"])
        result = connect("::1", 1, "--proxy", "socks5://nowhere.invalid", "--connect-timeout", "3s")
        self.assertEqual(result.code, 3, result)
        self.assertIn(b"cannot resolve the proxy: ", result.err)


class Probes(Case):
    def test_a_probe_has_the_proxy_as_a_phase_in_every_face(self):
        for kind in KINDS:
            with Server() as server, kind((server.host, server.port)) as proxy:
                target = ("target.invalid", "6000", "--proxy", proxy.url())
                result, found = probed(*target)
                self.assertEqual(result.code, 0, result)
                self.assertEqual((found["proxy"], found["target"], found["port"]),
                                 (proxy.url(), "target.invalid:6000", 6000))
                self.assertEqual(found["verified"], "dialogue")
                phases = found["addresses"][0]["phases"]
                self.assertEqual(list(phases), ["resolve", "connect", "proxy", "welcome", "name", "close"])
                end = phases["proxy"]["begin_seconds"] + phases["proxy"]["seconds"]
                self.assertLessEqual(end, phases["welcome"]["begin_seconds"] + 1e-6)
                text = run("--probe", *target).out.decode()
                self.assertIn(f"target.invalid:6000 through {proxy.url()}: OK", text)
                self.assertRegex(text, r"(?m)^. connect   . proxy   . welcome")
                self.assertRegex(run("--probe", *target, "--format", "prometheus").out.decode(),
                                 r'phase_seconds\{[^}]*phase="proxy"\} \d')
                result = run("--probe", *target, "--format", "nagios", "--warn", "proxy=10", "--crit", "proxy=20")
                self.assertEqual(result.code, 0, result)
                self.assertRegex(result.out.decode(), r"'proxy'=\d+\.\d+s;10;20;0;")
                self.assertIn(b'class="bar proxy"', run("--probe", *target, "--plot", "-").out)

    def test_until_connect_is_ok_once_the_tunnel_is_up(self):
        with Server() as server, SocksProxy((server.host, server.port)) as proxy:
            result, found = probed("target.invalid", 1, "--proxy", proxy.url(), "--until", "connect")
            self.assertEqual((result.code, found["verified"]), (0, "connect"))
            self.assertEqual(list(found["addresses"][0]["phases"]), ["resolve", "connect", "proxy"])
        with answering(b"\x05\x00\x05\x05") as proxy:
            result, found = probed("target.invalid", 1, *through("socks5", proxy), "--until", "connect")
            self.assertEqual((result.code, found["verified"]), (4, "resolve"))

    def test_the_port_of_a_service_by_name_is_that_which_the_proxy_is_asked_for(self):
        try:
            socket.getservbyname("http", "tcp")
        except OSError:
            self.skipTest("this machine knows no services by name (/etc/services)")
        with Server() as server, SocksProxy((server.host, server.port)) as proxy:
            result, found = probed("target.invalid", "http", "--proxy", proxy.url(), "--until", "connect")
            self.assertEqual((result.code, found["target"], found["port"]), (0, "target.invalid:http", 80))

    def test_a_silent_target_behind_a_proxy_is_ok_through_tcp(self):
        with Script(lambda peer: peer.socket.recv(1)) as silent, HttpProxy((silent.host, silent.port)) as proxy:
            result, found = probed("target.invalid", 1, "--proxy", proxy.url())
            self.assertEqual((result.code, found["verified"]), (0, "connect"), result)
            self.assertEqual(list(found["addresses"][0]["phases"]), ["resolve", "connect", "proxy"])


@unittest.skipUnless(has_tls(), "this program was built without TLS")
class OverTls(Case):
    def test_tls_verifies_the_target_and_resumes_through_the_proxy(self):
        made = tls_harness.certificates()
        for kind in KINDS:
            with self.subTest(kind=kind.scheme), Server("--tls", *made.serve()) as server, \
                    kind((server.host, server.port)) as proxy:
                options = ("--tls", "--ca", made.ca, "--proxy", proxy.url())
                self.assertDialogue(connect("localhost", 1, *options, "Ada"), hello(b"Ada"))
                self.assertFails(connect("target.invalid", 1, *options), 6, "cert-name")
                result, found = probed("localhost", 1, *options, "--volume", "64k")
                self.assertEqual((result.code, found["verified"]), (0, "dialogue"), result)
                address = found["addresses"][0]
                self.assertEqual(list(address["phases"]),
                                 ["resolve", "connect", "proxy", "tls", "welcome", "name", "close", "volume"])
                self.assertEqual(address["tls"]["resumption"], "accepted")
                def attempt(seconds):
                    result = run("--bench", "localhost", "1", *options, "--resume", "--connections", "2", "--names", "3",
                                 "--duration", ms(seconds), "--format", "json")
                    self.assertEqual(result.code, 0, result)
                    self.assertGreater(json.loads(result.out)["resumed"], 0)
                unhurried(attempt, 0.3)

    def test_a_failure_in_tls_is_no_failure_of_the_proxy(self):
        with Server() as server, HttpProxy((server.host, server.port)) as proxy:
            result, found = probed("target.invalid", 1, "--tls", "--insecure", "--proxy", proxy.url())
            self.assertEqual((result.code, found["verdict"]["word"]), (5, "tls-plaintext-peer"), result)
            self.assertEqual(found["addresses"][0]["failed_phase"], "tls")

    def test_a_plain_client_that_meets_tls_behind_a_proxy_learns_so(self):
        made = tls_harness.certificates()
        with Server("--tls", *made.serve()) as server, HttpProxy((server.host, server.port)) as proxy:
            result = connect("localhost", 1, "--proxy", proxy.url(), "Ada")
            self.assertFails(result, 7, "dialogue-tls-peer")


class Usage(Case):
    def refuse(self, *args, word):
        result = run(*args)
        self.assertFails(result, 2, "usage")
        self.assertIn(word, result.err.decode())

    def test_what_a_proxy_cannot_do_is_a_usage_error(self):
        proxy = ("--proxy", "http://localhost:3128")
        self.refuse("--probe", "localhost", "1", *proxy, "--until", "resolve", word="--until resolve and --proxy")
        self.refuse("--connect", "fe80::1%lo", "1", *proxy, word="has a zone")
        self.refuse("--connect", "localhost", "1", "-4", "--proxy", "http://[::1]:1", word="-4 allows IPv4 only")
        self.refuse("--connect", "localhost", "1", "--source", "127.0.0.1", "--proxy", "http://[::1]:1",
                    word="--source and --proxy name addresses of different families")
        self.refuse("--probe", "localhost", "1", "--warn", "proxy=1", word="limits proxy, which is not measured")
        self.refuse("--listen", "0", *proxy, word="--proxy is for")
        self.refuse("--connect", "localhost", "1", "--proxy", "http://bob:hunter2@localhost:1", word="USER@localhost:1")

    def test_a_family_is_that_of_the_way_to_the_proxy(self):
        with Server() as server, HttpProxy((server.host, server.port), "127.0.0.1") as proxy:
            self.assertDialogue(connect("2001:db8::1", 1, "-4", "--proxy", proxy.url()))
            self.assertDialogue(connect("2001:db8::1", 1, "--source", "127.0.0.1", "--proxy", proxy.url()))


if __name__ == "__main__":
    main()
