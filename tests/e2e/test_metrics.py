"""--metrics: what a server reports to Prometheus, and whether it is ready."""

import contextlib
import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request

from harness import (GOODBYE, LIMIT_S, OPENING, Case, Peer, Server, await_that, client_hello, connect, free_port, hello, main, run,
                     skip_file)
from test_proxy_header import LINE
from tls_harness import certificates

NAME = "tcpgreet_server_"


class Measured(Server):
    """A server with --metrics, and what it reports."""

    def __enter__(self):
        self._args += ["--metrics", "0"]
        super().__enter__()
        self.at = self.out.expect(r"^Metrics on (http://.*)/metrics$")[0][1]
        return self

    def get(self, path, **fields):
        """Status and body."""
        try:
            with urllib.request.urlopen(urllib.request.Request(self.at + path, headers=fields), timeout=LIMIT_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self):
        """Each sample's value by its name and labels."""
        status, text = self.get("/metrics")
        assert status == 200, text
        return {line.rpartition(" ")[0].removeprefix(NAME): float(line.rpartition(" ")[2])
                for line in text.splitlines() if not line.startswith("#")}

    def expect_metrics(self, wanted):
        """Waits until the metrics are these: a peer may have its answer before it is counted."""
        found = {}

        def matches():
            found.update(self.metrics())
            return all(found.get(name) == value for name, value in wanted.items())
        try:
            await_that(matches, "metrics")
        except AssertionError:
            raise AssertionError({name: (found.get(name), value) for name, value in wanted.items()
                                  if found.get(name) != value}) from None
        return found


class Metrics(Case):
    def test_they_agree_with_a_bench_exactly(self):
        made = certificates()
        for tls in ((), ("--tls",)):
            with Measured(*tls, *(made.serve() if tls else ())) as server:
                options = ("--tls", "--ca", made.ca, "--servername", "localhost", "--resume") if tls else ()
                bench = run("--bench", "::1", str(server.port), *options, "--names", "3", "--connections", "4",
                            "--duration", "300ms", "--format", "json")
                self.assertEqual(bench.code, 0, bench)
                result = json.loads(bench.out)
                found = server.expect_metrics({"connections_open": 0, "names_total": result["names"]})
                handshakes = sum(value for name, value in found.items() if name.startswith("handshakes_total"))
                resumed = sum(value for name, value in found.items()
                              if name.startswith("handshakes_total") and 'resumed="true"' in name)
                self.assertEqual(handshakes, result["connections"] if tls else 0)
                self.assertEqual(resumed, result["resumed"] if tls else 0)
                self.assertEqual(found["dialogue_duration_seconds_count"], found['closed_total{reason="exit"}'])
                self.assertEqual(found["handshake_duration_seconds_count"], handshakes)
                self.assertEqual(found['closed_total{reason="exit"}'], result["connections"])

    def test_bytes_are_those_of_the_dialogue(self):
        with Measured() as server:
            self.assertDialogue(connect("::1", server.port, "Ann"), hello(b"Ann"))
            server.expect_metrics({"received_bytes_total": len(b"Ann\nexit\n"),
                                   "sent_bytes_total": len(OPENING + hello(b"Ann") + GOODBYE)})

    def test_failures_are_counted_by_reason(self):
        with Measured("--idle-timeout", "100ms", "--proxy-protocol") as server:
            with Peer(server) as client:
                client.send(LINE)
                client.read_all()
            with Peer(server) as client:
                client.send(LINE + b"GET / HTTP/1.1\r\n\r\n")
                client.read_all()
            with Peer(server) as client:
                client.send(b"Michael\n")
                client.read_all()
            Peer(server).close()
            server.expect_metrics({'failures_total{reason="idle-timeout"}': 1,
                                   'failures_total{reason="http-client"}': 1,
                                   'failures_total{reason="connect-proxy"}': 1, 'closed_total{reason="silent"}': 1,
                                   "connections_total": 4, "connections_open": 0})

    def test_rejections_are_counted_by_limit(self):
        with Measured("--max-connections", "2", "--max-per-address", "1") as server:
            with Peer(server) as first:
                first.expect(OPENING)
                with Peer(server) as second:
                    second.read_all()
                server.expect_metrics({'rejected_total{limit="max-per-address"}': 1,
                                       'rejected_total{limit="max-connections"}': 0, "connections_open": 1})

    def assertAddsUp(self, server):
        """Every connection is open, closed or failed."""
        def adds_up():
            found = server.metrics()
            ended = sum(value for name, value in found.items() if name.startswith(("closed_total", "failures_total")))
            return found["connections_total"] == found["connections_open"] + ended
        await_that(adds_up, "connections add up")

    def test_a_connection_that_is_rejected_behind_its_header_is_closed(self):
        with Measured("--proxy-protocol", "--max-per-address", "1") as server, Peer(server) as first:
            first.send(LINE).expect(OPENING)
            with Peer(server) as second:
                second.send(LINE)
                second.read_all()
            server.expect_metrics({'rejected_total{limit="max-per-address"}': 1, 'closed_total{reason="rejected"}': 1,
                                   "connections_total": 2, "connections_open": 1})
            self.assertAddsUp(server)

    def test_a_handshake_that_makes_room_is_rejected_and_no_failure(self):
        made = certificates()
        both = (("::1", "0"), ("127.0.0.1", "0"))
        with Measured("--tls", *made.serve(), "--max-handshakes", "4", "--workers", "1", listen=both) as server, \
                contextlib.ExitStack() as peers:
            for _ in range(4):
                peers.enter_context(Peer(server)).send(client_hello()).receive()
            other = peers.enter_context(Peer(("127.0.0.1", int(server.announcements[1][2]))))
            other.send(client_hello()).receive()
            found = server.expect_metrics({'rejected_total{limit="max-handshakes"}': 1,
                                           'closed_total{reason="rejected"}': 1, "connections_total": 5,
                                           "connections_open": 4})
            self.assertEqual(sum(value for name, value in found.items() if name.startswith("failures_total")), 0)
            self.assertAddsUp(server)
            server.expect_counters(" 1 rejected, 0 failed")

    def test_each_certificate_of_the_chain_has_its_expiry(self):
        made = certificates()
        with Measured("--tls", *made.serve()) as server:
            found = [name for name in server.metrics() if name.startswith("certificate_not_after_seconds")]
            chain = pathlib.Path(made.server[0]).read_text(encoding="ascii").count("BEGIN CERTIFICATE")
            self.assertEqual(len(found), chain, found)
            self.assertIn('identity="0",depth="0"', found[0])

    def test_the_text_is_what_promtool_accepts(self):
        if shutil.which("promtool") is None:
            self.skipTest("needs promtool")
        made = certificates()
        with Measured("--tls", *made.serve()) as server:
            connect("::1", server.port, "--tls", "--ca", made.ca, "--servername", "localhost", "Ann")
            check = subprocess.run(["promtool", "check", "metrics"], input=server.get("/metrics")[1].encode(),
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            self.assertEqual((check.returncode, check.stdout), (0, b""))


class Health(Case):
    def test_a_server_that_drains_works_and_is_not_ready(self):
        with Measured("--drain-timeout", "1h", "--pause", "0") as server, Peer(server) as client:
            client.expect(OPENING).send(b"Ann")
            self.assertEqual(server.get("/healthz"), (200, "OK\n"))
            self.assertEqual(server.get("/readyz"), (200, "OK\n"))
            server.send_signal(signal.SIGTERM)
            server.log.expect("Shutting down")
            self.assertEqual(server.get("/readyz"), (503, "draining\n"))
            self.assertEqual(server.get("/healthz")[0], 200)
            client.send(b"\nexit\n").expect(hello(b"Ann") + GOODBYE)

    def test_other_paths_methods_and_hosts_are_refused(self):
        with Measured() as server:
            self.assertEqual(server.get("/")[0], 404)
            self.assertEqual(server.get("/metrics", Host="rebound.example")[0], 403)
            request = urllib.request.Request(server.at + "/metrics", method="POST", data=b"x")
            with self.assertRaises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=LIMIT_S)
            self.assertEqual(refused.exception.code, 405)

    def test_slow_scrapers_delay_no_other_peer(self):
        with Measured() as server:
            host, port = re.fullmatch(r"http://\[?(.+?)\]?:(\d+)", server.at).groups()
            slow = [socket.create_connection((host, int(port))) for _ in range(100)]
            for peer in slow:
                peer.send(b"GET /metrics HTTP/1.1\r\n")
            self.assertEqual(server.get("/healthz")[0], 200)
            self.assertDialogue(connect("::1", server.port, "Ann"), hello(b"Ann"))
            self.assertLess(len(server.fds()), 100)
            for peer in slow:
                peer.close()

    def test_it_is_loopback_unless_a_host_is_given(self):
        with Server("--metrics", "0") as server:
            lines = server.out.expect(r"^Metrics on http://(\[::1\]|127\.0\.0\.1):\d+/metrics$", 2)
            self.assertEqual({line[1] for line in lines}, {"[::1]", "127.0.0.1"})
        with Server("--metrics", "127.0.0.2", "0") as server:
            server.out.expect(r"^Metrics on http://127\.0\.0\.2:\d+/metrics$")

    def test_a_port_in_use_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            result = run("--listen", "::1", "0", "--metrics", "127.0.0.1", str(taken.getsockname()[1]))
            self.assertFails(result, 8, "system-address-in-use")
            self.assertIn(b"--metrics", result.err)

    def test_a_port_that_its_own_listener_has_is_named_as_that(self):
        port = str(free_port("::1"))
        for listen, metrics, at, other in ((("::1",), (), r"\[::1\]", r"\[::1\]"), (("127.0.0.1",), (), "127.0.0.1", "127.0.0.1"),
                                           ((), ("::1",), r"\[::1\]", r"\[::\]"), ((), (), r"\[::1\]", r"\[::\]")):
            result = run("--listen", *listen, port, "--metrics", *metrics, port)
            self.assertFails(result, 8, "system-address-in-use")
            self.assertRegex(result.err.decode(), rf"--metrics: cannot listen on {at}:{port}: it conflicts with the listener of "
                                                  rf"this server on {other}:{port} \(use one of the two, or another port\)")


if __name__ == "__main__":
    if "built without" in run("--version").out.decode():
        skip_file("needs TLS and libmicrohttpd")
    main()
