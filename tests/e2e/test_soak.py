#!/usr/bin/env python3
"""Churn for a while: plain and TLS dialogues beside peers that reset, drip, half-close, send junk or nothing; SIGHUP every
second, restarts. Every answer has to be right; memory and descriptors have to stay flat. TCPGREET_SOAK_S: for how long."""

import collections
import contextlib
import os
import random
import shutil
import signal
import ssl
import threading
import time

import harness
from harness import GOODBYE, LIMIT_S, OPENING, Case, Peer, Server, Stuck, free_port, hello, main
from tls_harness import certificates, client_context, exchange, has_tls, tls_peer

DURATION_S = float(os.environ.get("TCPGREET_SOAK_S", "60"))
SEED = int(os.environ.get("TCPGREET_SOAK_SEED", random.randrange(1 << 32)))
THREADS = 8
GROWTH_BYTES = (64 if harness.SANITIZED else 8) << 20  # what allocators keep after the beginning
BEGIN_S = min(10, DURATION_S / 6)
GENERATION_S = max(4 * BEGIN_S, DURATION_S / 10)


class Traffic:
    """What one peer does, chosen at random; the good ones verify every byte."""

    def __init__(self, servers, random_):
        self.servers, self.random = servers, random_
        self.sessions = None

    def name(self):
        return bytes(self.random.choice(b"abcXYZ \xc3\xa9~") for _ in range(self.random.randrange(1, 200))) + b"."

    def dialogue(self):
        with Peer(self.servers.plain) as peer:
            peer.expect(OPENING)
            for _ in range(self.random.randrange(1, 20)):
                name = self.name()
                peer.send(name + b"\n").expect(hello(name))
            peer.send(b"exit\n").expect(GOODBYE).expect_eof()

    def half_closed(self):
        with Peer(self.servers.plain) as peer:
            peer.expect(OPENING).send(b"Ann").end().expect(hello(b"Ann")).expect_eof()

    def in_pieces(self):
        name = self.name()[:20]
        with Peer(self.servers.plain) as peer:
            peer.expect(OPENING)
            for i in range(len(name)):
                peer.send(name[i:i + 1])
            peer.send(b"\n").expect(hello(name)).send(b"exit\n").expect(GOODBYE)

    def reset(self):
        with Peer(self.servers.plain if self.random.random() < 0.5 else self.servers.tls or self.servers.plain) as peer:
            peer.send(b"Ann\n" * self.random.randrange(3))
            peer.reset()

    def unread(self):
        with Peer(self.servers.plain, receive_buffer=4096) as peer:
            peer.send(b"x" * 1000 + b"\n")
            peer.send(b"x" * 1000 + b"\n")

    def silent(self):
        with Peer(self.servers.tls or self.servers.plain):
            time.sleep(self.random.random() / 10)  # awaits nothing: it is what this peer does

    def junk(self):
        with Peer(self.servers.tls or self.servers.plain) as peer, contextlib.suppress(OSError):
            peer.send(self.random.randbytes(self.random.randrange(1, 2000)))
            peer.receive()

    def tls(self):
        if not self.servers.tls:
            return
        context = self.servers.context
        try:
            with tls_peer(self.servers.tls, context, name="localhost", session=self.sessions) as peer:
                self.sessions = exchange(peer, self.name(), self.name())
        except ssl.SSLError as why:
            raise AssertionError(str(why)) from None

    def cut_handshake(self):
        if self.servers.tls:
            data = harness.client_hello()
            with Peer(self.servers.tls) as peer, contextlib.suppress(OSError):
                peer.send(data[:self.random.randrange(1, len(data))])
                if self.random.random() < 0.5:
                    peer.end()

    FAULTY = ("reset", "unread", "silent", "junk", "cut_handshake")
    KINDS = ("dialogue", "tls", "dialogue", "tls", "half_closed", "in_pieces", *FAULTY)


class Servers:
    """Both servers, with ports that they keep when they are restarted."""

    def __init__(self):
        self.plain = self.tls = None
        self._plain_port, self._tls_port = free_port("::1"), free_port("::1")
        self.context = client_context(certificates()) if has_tls() and shutil.which("openssl") else None

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        self.plain = self._stack.enter_context(Server("--quiet", listen=(("::1", str(self._plain_port)),)))
        if self.context:
            self.tls = self._stack.enter_context(Server("--quiet", "--tls", *certificates().serve(),
                                                        listen=(("::1", str(self._tls_port)),)))
        return self

    def __exit__(self, *what):
        return self._stack.__exit__(*what)

    def each(self):
        return [server for server in (self.plain, self.tls) if server]


class Churn:
    """Threads full of traffic; held while servers are measured or restarted."""

    def __init__(self, servers):
        self.servers = servers
        self.counts, self.failures = collections.Counter(), []
        self._open, self._ended, self._failed = threading.Event(), threading.Event(), threading.Event()
        self._busy = [threading.Lock() for _ in range(THREADS)]
        self._threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(THREADS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._open.set()
        for thread in self._threads:
            thread.join(LIMIT_S)

    def _run(self, number):
        traffic = Traffic(self.servers, random.Random(SEED + number))
        while not self._ended.is_set() and not self._failed.is_set():
            self._open.wait()
            kind = traffic.random.choice(Traffic.KINDS)
            with self._busy[number]:
                if self._open.is_set() and not self._ended.is_set():
                    self._one(traffic, kind)

    def _one(self, traffic, kind):
        try:
            getattr(traffic, kind)()
        except Exception as why:
            is_expected = kind in Traffic.FAULTY and isinstance(why, (AssertionError, OSError)) and not isinstance(why, Stuck)
            if not is_expected:
                self.failures.append(f"{kind}: {type(why).__name__}: {why}")
                self._failed.set()
        self.counts[kind] += 1

    def run(self, seconds):
        self._open.set()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._failed.wait(min(1, left)):
            for server in self.servers.each():
                server.send_signal(signal.SIGHUP)

    @contextlib.contextmanager
    def held(self):
        self._open.clear()
        with contextlib.ExitStack() as stack:
            for lock in self._busy:
                stack.enter_context(lock)
            yield


class SoakTest(Case):
    limit_s = DURATION_S + 20 * LIMIT_S

    def measure(self, server, churn):
        """Descriptors and memory of a server without connections."""
        self.assertEqual(churn.failures, [])
        with churn.held():
            server.expect_counters(r"\b0 open")
            return len(server.fds()), server.rss()

    def generation(self, servers, churn, seconds):
        """Returns: a line for each server."""
        churn.run(BEGIN_S)
        before = [self.measure(server, churn) for server in servers.each()]
        churn.run(max(1, seconds - BEGIN_S))
        after = [self.measure(server, churn) for server in servers.each()]
        for server, (fds, rss), (fds_after, rss_after) in zip(servers.each(), before, after):
            print(f"soak: port {server.port}: descriptors {fds} to {fds_after}, memory {rss >> 10} to {rss_after >> 10} KiB,"
                  f" {server.cpu_s():.1f} s of CPU", flush=True)
            self.assertEqual(fds_after, fds, server.fds())
            self.assertLess(rss_after, rss + GROWTH_BYTES)

    def test_churn(self):
        print(f"soak: {DURATION_S:g} s, seed {SEED}", flush=True)
        end = time.monotonic() + DURATION_S
        servers, generations = Servers(), 0
        with servers, Churn(servers) as churn:
            while (left := end - time.monotonic()) > 1 and not churn.failures:
                self.generation(servers, churn, min(left, GENERATION_S))
                generations += 1
                with churn.held():
                    servers.__exit__(None, None, None)
                    servers.__enter__()
        print(f"soak: {generations} generations, {sum(churn.counts.values())} connections: "
              + ", ".join(f"{count} {kind}" for kind, count in sorted(churn.counts.items())), flush=True)
        self.assertEqual(churn.failures, [])
        self.assertEqual(set(churn.counts), set(Traffic.KINDS))
        self.assertGreater(generations, 0)


if __name__ == "__main__":
    main()
