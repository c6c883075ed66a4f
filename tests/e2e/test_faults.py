#!/usr/bin/env python3
"""The n-th allocation, system call, call of libuv or of OpenSSL fails, in every mode: no crash, no leak, no hang, a clean
error with its reason, and the next peer is served. TCPGREET_FAULT_CASES: how many n of each case are tried, spread
evenly; 0: every one."""

import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import unittest

import harness
import tls_harness
from fault_board import FAULTY, OPENSSL_MEMORY, OWN_CALLS, Board
from harness import GOODBYE, LIMIT_S, OPENING, Case, Peer, Script, Server, Stuck, await_that, hello, main, run
from test_proxy import HttpProxy, SocksProxy
from test_starttls import TALKS
from tls_harness import certificates, client_context, exchange, has_tls, tls_peer

CASES = int(os.environ.get("TCPGREET_FAULT_CASES", "8"))
REPORT = os.environ.get("TCPGREET_FAULT_REPORT")  # a file: one line for each n
MEMORY = {"malloc", "calloc", "realloc", "strdup", "open_memstream"}


def spread(total, source):
    """Some of 1 to total, or all. OpenSSL may allocate nothing in a step; the program's own calls are always some."""
    assert total > 0 or source != OWN_CALLS, "no call was counted"
    if not CASES or total <= CASES:
        return range(1, total + 1)
    return [1 + i * (total - 1) // (CASES - 1) for i in range(CASES)]


def note(*fields):
    if REPORT:
        with open(REPORT, "a") as file:
            print(*fields, sep="\t", file=file)


class Run:
    """One run of the program to its end, with a fault."""

    def __init__(self, args, source, number, **options):
        with Board() as board:
            if number:
                board.fail(source, number)
            options.setdefault("stdin", subprocess.DEVNULL)
            child = subprocess.Popen([FAULTY, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     env=board.environment(source), **options)
            harness._children.append(child)
            try:
                out, err = child.communicate(timeout=LIMIT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                out, err = child.communicate()
                raise Stuck(f"{args} hangs where call {number} of source {source} fails: {board.failed()} in "
                            f"{board.where()}; output {out!r} {err!r}") from None
            harness._children.remove(child)
            self.code, self.out, self.err = child.returncode, out, err.decode("utf-8", "replace")
            self.counts = board.count(OWN_CALLS), board.count(OPENSSL_MEMORY)
            self.failed = board.failed()
            self.where = board.where() if self.failed and (REPORT or self.is_broken()) else ""

    def is_broken(self):
        return self.code < 0 or self.code == 99 or re.search("Sanitizer|runtime error|Assertion", self.err)

    def reason(self):
        """The word of the error, or of the report; a plugin has a state instead."""
        text = self.err + self.out.decode("utf-8", "replace")
        if text.startswith("TCPGREET "):
            return "internal" if "memory" in text else text.split()[1].lower()
        found = re.search(r"(?<![\w-])(internal|usage|(?:system|resolve|connect|tls|cert|dialogue)-[a-z-]+)\b", text)
        return found[1] if found else ""

    def __repr__(self):
        return f"{self.failed} in {self.where}: exit {self.code}, stdout {self.out[-1500:]!r}, stderr {self.err[-3000:]}"


class FaultCase(Case):
    limit_s = 60 if CASES else 3600

    def assertClean(self, run, source, what):
        """No crash, no leak; where it did not succeed, an error with its reason."""
        self.assertFalse(run.is_broken(), f"{what}: {run!r}")
        if run.code != 0:
            self.assertTrue(run.reason(), f"{what}: no reason: {run!r}")
            if source == OPENSSL_MEMORY or run.failed in MEMORY:
                self.assertEqual(run.reason(), "internal", f"{what}: {run!r}")

    def assertHit(self, source, numbers, hit):
        """hit: the names of the calls that failed. A number behind the last call of one run hits none; not all may."""
        self.assertTrue(any(hit) or not numbers, f"source {source}: no call failed")

    def sweep(self, args, verify, source=OWN_CALLS, **options):
        """Runs with each n; verify(run): what a run that exits with 0 has to have done."""
        whole = Run(args, source, 0, **options)
        self.assertEqual(whole.code, 0, whole)
        verify(whole)
        numbers, hit = spread(whole.counts[source], source), []
        for number in numbers:
            found = Run(args, source, number, **options)
            hit.append(found.failed)
            note(self.id().split(".")[-1], source, number, found.failed, found.where, found.code, found.reason(),
                 (found.err.strip().splitlines() or [""])[-1][:200])
            with self.subTest(source=source, number=number):
                self.assertClean(found, source, f"{args}, call {number} of source {source}")
                if found.code == 0:
                    verify(found)
        self.assertHit(source, numbers, hit)


def verify_client(run):
    assert run.out == OPENING + hello(b"Ann") + GOODBYE, run


def verify_raw(run):
    assert run.out == OPENING, run


def verify_text(run):
    assert run.out.strip(), run


def verify_json(run):
    assert json.loads(run.out)["verdict"]["word"] == "ok", run


def verify_targets(run):
    assert json.loads(run.out.splitlines()[-1])["ok"] == 2, run


def verify_bench(run):
    result = json.loads(run.out)
    assert result["failures"] == {} and result["names"] > 0, run


class Lenient:
    """A Script whose peers may go at any time."""

    def _serve(self, connection):
        super()._serve(connection)
        self._failures.clear()


class LenientScript(Lenient, Script):
    pass


class LenientHttpProxy(Lenient, HttpProxy):
    pass


class LenientSocksProxy(Lenient, SocksProxy):
    pass


class OneRunTest(FaultCase):
    """Client, probe and bench: a process for each n."""

    def both(self, *args, verify, **options):
        self.sweep(args, verify, OWN_CALLS, **options)
        if "--ca" in args:
            self.sweep(args, verify, OPENSSL_MEMORY, **options)

    def test_client(self):
        with Server() as server:
            self.both("--connect", "::1", server.port, "Ann", "--explain", verify=verify_client)

    def test_client_by_name(self):
        with Server(listen=(("0",),), announcements=2) as server:
            self.both("--connect", "localhost", server.port, "Ann", verify=verify_client)

    def test_names(self):
        with Server(listen=(("0",),), announcements=2) as server, harness.tempfile.NamedTemporaryFile("w") as targets:
            targets.write(f"localhost {server.port}\nlocalhost {server.port} --until connect\n")
            targets.flush()
            self.both("--probe", "localhost", server.port, "--format", "json", verify=verify_json)
            self.both("--probe", "--targets", targets.name, "--format", "json", verify=verify_targets)
            self.both("--bench", "localhost", server.port, "--connections", "2", "--duration", "100ms", "--format", "json",
                      verify=verify_bench)

    def test_raw_client(self):
        with Server() as server:
            self.both("--connect", "::1", server.port, "--raw", verify=verify_raw)

    def test_probe(self):
        with Server() as server:
            self.both("--probe", "::1", server.port, "--until", "dialogue", "--format", "json", "--volume", "100k",
                      verify=verify_json)
            self.both("--probe", "::1", server.port, "--count", "2", "--interval", "10ms", verify=verify_text)
            for form in "text", "prometheus", "nagios":
                self.both("--probe", "::1", server.port, "--format", form, "--plot", "/dev/null", verify=verify_text)

    def test_script(self):
        if b"PCRE2" not in run("--version").out:
            self.skipTest("built without PCRE2")
        with Server() as server:
            self.both("--probe", "::1", server.port, "--expect", "Welc.me", "--send", r"Ann\n", "--expect", "Hello",
                      "--format", "json", verify=verify_json)

    def test_targets(self):
        with Server() as server, harness.tempfile.NamedTemporaryFile("w") as targets:
            targets.write(f"::1 {server.port}\n::1 {server.port} --until connect\n")
            targets.flush()
            self.both("--probe", "--targets", targets.name, "--format", "json",
                      verify=verify_targets)

    def test_bench(self):
        with Server() as server:
            self.both("--bench", "::1", server.port, "--connections", "2", "--duration", "300ms", "--format", "json",
                      verify=verify_bench)

    def test_proxies(self):
        with Server() as server:
            for kind in LenientHttpProxy, LenientSocksProxy:
                with kind(("::1", server.port)) as proxy:
                    self.both("--connect", "::1", server.port, "Ann", "--proxy", proxy.url(), verify=verify_client)


@unittest.skipUnless(has_tls(), "built without TLS")
class OneTlsRunTest(OneRunTest):
    def serve(self, *options):
        return Server("--tls", *certificates().serve(), *options)

    def test_client(self):
        made = certificates()
        with self.serve("--client-ca", made.ca) as server:
            self.both("--connect", "::1", server.port, "Ann", "--tls", "--ca", made.ca, "--cert", made.client[0], "--key",
                      made.client[1], "--alpn", "x", verify=verify_client)

    def test_probe(self):
        with self.serve() as server:
            self.both("--probe", "::1", server.port, "--tls", "--ca", certificates().ca, "--format", "json",
                      verify=verify_json)

    def test_bench(self):
        with self.serve() as server:
            self.both("--bench", "::1", server.port, "--tls", "--ca", certificates().ca, "--resume", "--connections", "1",
                      "--names", "1", "--duration", "1s", "--format", "json", verify=verify_bench)

    def test_starttls(self):
        def serve(peer):
            for expected, answer in TALKS["smtp"]("::1"):
                peer.receive() if expected else None
                peer.send(answer.encode())
            with contextlib.suppress(OSError):
                peer.socket = tls_harness.server_context(certificates().server).wrap_socket(peer.socket, server_side=True)
                while peer.receive():
                    pass

        with LenientScript(serve) as script:
            self.both("--probe", "::1", script.port, "--starttls", "smtp", "--servername", "localhost", "--ca",
                      certificates().ca, "--until", "tls", "--format", "json", verify=verify_json)

    test_raw_client = test_script = test_targets = test_proxies = test_client_by_name = test_names = None


class FaultyServer(Server):
    """A server whose calls can be made to fail."""

    def __init__(self, board, source, *options, **more):
        super().__init__(*options, env=board.environment(source), **more)
        self.board = board

    def __enter__(self):
        with as_program(FAULTY):
            return super().__enter__()


@contextlib.contextmanager
def as_program(path):
    before, harness.BINARY = harness.BINARY, path
    try:
        yield
    finally:
        harness.BINARY = before


class ServerTest(FaultCase):
    options = ("--workers", "1")
    listen = {"listen": (("::1", "0"), ("127.0.0.1", "0"))}

    def dialogue(self, server):
        with Peer(("::1", server.port)) as peer:
            peer.expect(OPENING).send(b"Ann\n").expect(hello(b"Ann")).send(b"exit\n").expect(GOODBYE).expect_eof()

    def half_closed(self, server):
        with Peer(("::1", server.port)) as peer:
            peer.expect(OPENING).send(b"Ann").end().expect(hello(b"Ann")).expect_eof()

    def dropped(self, server):
        with Peer(("::1", server.port)) as peer:
            peer.expect(OPENING).reset()

    def counters(self, server):
        before = server.log.bytes().count(b"Counters: ")
        server.send_signal(signal.SIGUSR1)
        await_that(lambda: server.log.bytes().count(b"Counters: ") > before or server.board.failed(), "counters")

    def test_dialogues(self):
        self.sweep_served(self.dialogue, self.half_closed, self.dropped, self.counters)

    def sources(self):
        return [OWN_CALLS]

    def sweep_served(self, *actions):
        """Each n hits a peer, and the next one is served."""
        for source in self.sources():
            with Board() as board, FaultyServer(board, source, *self.options, **self.listen) as server:
                for action in actions:
                    self.sweep_action(server, board, source, action)
                self.assertFlat(server)

    def sweep_action(self, server, board, source, action):
        before = board.count(source)
        for _ in range(2):  # what is made once is made by the first
            before, own = board.count(source), board.count(OWN_CALLS)
            action(server)
            await_that(lambda: board.count(OWN_CALLS) > own, "the server has noticed")
            self.settle(server, board)
        numbers, hit = spread(board.count(source) - before, source), []
        for number in numbers:
            with self.subTest(action=action.__name__, source=source, number=number):
                hit.append(self.fail_at(server, board, source, number, action))
        self.assertHit(source, numbers, hit)

    def fail_at(self, server, board, source, number, action):
        """Returns: the name of the call that failed."""
        board.fail(source, number)
        broken = ""
        try:
            action(server)
        except (AssertionError, OSError) as why:
            broken = str(why)
            self.assertNotIsInstance(why, Stuck, f"{board.failed()} in {board.where()}")
        self.settle(server, board)
        note(f"{type(self).__name__}.{action.__name__}", source, number, board.failed(), board.where(), broken[:200],
             server.log.lines()[-1][:200] if server.log.lines() else "")
        failed, where = board.failed(), board.where()
        board.clear()
        try:
            self.dialogue(server)
        except (AssertionError, OSError) as why:
            raise AssertionError(f"after {failed} in {where}: {why}; {server.log.bytes()[-2000:]!r}") from None
        return failed

    def settle(self, server, board):
        """Until the server has nothing left to do: its calls stand still, and all its threads wait."""
        def count():
            return board.count(OWN_CALLS), board.count(OPENSSL_MEMORY), harness.threads_that_run(server.process.pid)

        seen = [count()]
        def quiet():
            seen.append(count())
            return len(seen) > 3 and len(set(seen[-3:])) == 1 and seen[-1][2] == 0
        await_that(quiet, "the server is quiet", every_s=0.002)

    def assertFlat(self, server):
        self.dialogue(server)
        await_that(lambda: sum("socket:" in name for name in server.fds().values()) <= self.sockets, "no connection is left")

    sockets = 4  # listeners, and libuv's for signals

    def test_reload(self):
        self.sweep_served(self.reload)

    def reload(self, server):
        before = len(server.log.bytes())
        server.send_signal(signal.SIGHUP)
        await_that(lambda: re.search(rb"\n.*reload|load|nothing", server.log.bytes()[before:], re.I)
                   or server.board.failed(), "an answer to SIGHUP")

    def test_stop(self):
        for source in self.sources():
            total = self.stop(source, 0)
            for number in spread(total, source):
                with self.subTest(source=source, number=number):
                    self.stop(source, number)

    def stop(self, source, number):
        """Returns: the calls that stopping took."""
        with Board() as board, FaultyServer(board, source, *self.options, **self.listen) as server:
            with Peer(("::1", server.port)) as idle:
                self.dialogue(server)
                self.settle(server, board)
                before = board.count(source)
                if number:
                    board.fail(source, number)
                with contextlib.suppress(AssertionError, OSError):
                    server.send_signal(signal.SIGTERM)
                    idle.read_all()
                server.wait()
                note(f"{type(self).__name__}.stop", source, number, board.failed(), board.where(), server.process.returncode)
            return board.count(source) - before

    def test_start(self):
        for source in self.sources():
            total = self.start(source, 0)
            for number in spread(total, source):
                with self.subTest(source=source, number=number):
                    self.start(source, number)

    def start(self, source, number):
        """It serves, or exits with a reason. Returns: the calls that starting took."""
        with Board() as board, Starting(board, source, number, self.options, self.listen["listen"]) as started:
            started.port = started.ports(len(self.listen["listen"]))
            count, what = board.count(source), f"{board.failed()} in {board.where()}"
            if started.port:
                board.clear()
                self.dialogue(started)
                started.process.terminate()
            code = started.process.wait(LIMIT_S)
            err = started.err()
            note(f"{type(self).__name__}.start", source, number, what, code, err.strip().splitlines()[-1:])
            self.assertFalse(re.search("Sanitizer|runtime error|Assertion", err), f"{what}: {err}")
            if started.port:
                self.assertEqual(code, 0, f"{what}: {err}")
            else:
                self.assertGreater(code, 0, f"{what}: {err}")
                self.assertRegex(err, r"(?m)^tcpgreet: .* \([a-z-]+\)$", what)
            return count


class Starting:
    """A server that may not come up."""

    def __init__(self, board, source, number, options, listen):
        if number:
            board.fail(source, number)
        args = [FAULTY, *(word for words in listen for word in ("--listen", *words)), *options]
        self._err = harness.tempfile.TemporaryFile()
        self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._err,
                                        env=board.environment(source))
        harness._children.append(self.process)
        self.port = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self._err.close()

    def ports(self, count):
        """The first of so many addresses that are announced; None where the server ends before the last."""
        lines = [self.process.stdout.readline() for _ in range(count)]
        found = re.search(rb":(\d+)(?: with TLS)?$", lines[0])
        return int(found[1]) if found and lines[-1] else None

    def err(self):
        self._err.seek(0)
        return self._err.read().decode("utf-8", "replace")


@unittest.skipUnless(has_tls(), "built without TLS")
class TlsServerTest(ServerTest):
    @property
    def options(self):
        return ("--workers", "1", "--tls", *certificates().serve(), "--client-ca", certificates().ca, "--client-auth",
                "request")

    def sources(self):
        return [OWN_CALLS, OPENSSL_MEMORY]

    def talk(self, server, context, **more):
        server.host = "::1"
        try:
            with tls_peer(server, context, name="localhost", **more) as peer:
                return exchange(peer, b"Ann")
        except ssl.SSLError as why:
            raise AssertionError(str(why)) from None

    def dialogue(self, server):
        self.talk(server, CLIENTS(None))

    def tls_1_2(self, server):
        self.talk(server, CLIENTS(ssl.TLSVersion.TLSv1_2))

    def with_certificate(self, server):
        self.talk(server, CLIENTS(None, True))

    def resumed(self, server):
        context = CLIENTS(None)
        self.talk(server, context, session=self.talk(server, context))

    def junk(self, server):
        with Peer(("::1", server.port)) as peer:
            peer.send(b"junk\n" * 100)
            with contextlib.suppress(OSError):
                while peer.receive():
                    pass

    def dropped(self, server):
        with Peer(("::1", server.port)) as peer:
            peer.send(harness.client_hello()).reset()

    def test_dialogues(self):
        self.sweep_served(self.dialogue, self.tls_1_2, self.with_certificate, self.resumed, self.junk, self.dropped)


@harness.functools.lru_cache(maxsize=None)
def CLIENTS(version, with_certificate=False):
    return client_context(certificates(), version, pair=certificates().client if with_certificate else None)


@unittest.skipUnless(b"libmicrohttpd" in run("--version").out and b"without libmicrohttpd" not in run("--version").out,
                     "built without libmicrohttpd")
class ExporterTest(ServerTest):
    """A fault hits a request; the next one is answered."""

    def test_requests(self):
        with Server() as self.target, Board() as board:
            exporter = FaultyServer(board, OWN_CALLS, announcements=1)
            exporter._args = ["--exporter", "::1", "0"]
            with exporter as server:
                for action in self.probe, self.metrics, self.unknown:
                    self.sweep_action(server, board, OWN_CALLS, action)

    def get(self, server, path):
        with Peer(("::1", server.port)) as peer:
            peer.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = bytearray()
            while data := peer.receive():
                answer += data
            return bytes(answer)

    def probe(self, server):
        answer = self.get(server, f"/probe?target=[::1]:{self.target.port}&until=dialogue")
        self.assertIn(b"\nprobe_success 1\n", answer)

    def metrics(self, server):
        self.assertIn(b" 200 ", self.get(server, "/metrics"))

    def unknown(self, server):
        self.assertIn(b" 404 ", self.get(server, "/nothing"))

    dialogue = probe
    test_dialogues = test_reload = test_start = test_stop = None


@unittest.skipUnless(has_tls(), "built without TLS")
class TlsExporterTest(ExporterTest):
    """A fault hits the probe of a target with TLS; the next one succeeds."""

    def test_requests(self):
        made = certificates()
        for source in OWN_CALLS, OPENSSL_MEMORY:
            with Server("--tls", *made.serve()) as self.target, Board() as board:
                exporter = FaultyServer(board, source, announcements=1)
                exporter._args = ["--exporter", "::1", "0", "--ca", made.ca]
                with exporter as server:
                    self.sweep_action(server, board, source, self.probe)

    def probe(self, server):
        answer = self.get(server, f"/probe?target=[::1]:{self.target.port}&tls=1&servername=localhost&until=dialogue")
        self.assertIn(b"\nprobe_success 1\n", answer)

    dialogue = probe


if __name__ == "__main__":
    if not FAULTY:
        harness.skip_file("TCPGREET_FAULTY does not name the program whose calls fail")
    main()
