"""A crowd: thousands idle and a thousand talking at once, every answer checked, and nothing left over behind it;
a storm of signals.

TCPGREET_LOAD_SCALE scales the counts (0.1 for builds with sanitizers).
"""

import os
import selectors
import signal
import socket
import struct
import sys
import time
import unittest

from harness import (GOODBYE, OPENING, PATIENCE, SANITIZED, Case, Peer, Server, await_that, client_hello,
                     hello, main, raise_descriptor_limit, skip_file)
from tls_harness import has_tls

SCALE = float(os.environ.get("TCPGREET_LOAD_SCALE", "1"))
IDLE = max(1, int(5000 * SCALE))
TALKING = max(1, int(1000 * SCALE))
FLOOD = int(2000 * SCALE)
SILENT_BYTES = 1024
IDLE_SLACK_BYTES = 8 << 20
NAMES = 10
ROUNDS = 3
SLACK_BYTES = 64 << 20 if SANITIZED else 1 << 20  # sanitizers keep what was freed


class Talker:
    """One busy peer: sends a name, checks the whole answer, sends the next; at last exit."""

    def __init__(self, number, connection):
        self.socket = connection
        names = [b"peer %d, name %d \xff\0\x1b" % (number, i) for i in range(NAMES)]
        self.script = [(b"", OPENING), *((name + b"\n", hello(name)) for name in names), (b"exit\n", GOODBYE)]
        self.step = 0
        self.got = b""

    def send_next(self):
        payload = self.script[self.step][0]
        if payload and self.socket.send(payload) != len(payload):
            raise AssertionError("a short name did not fit into an empty socket")

    def receive(self):
        """Takes what has come; returns whether the dialogue is over."""
        data = self.socket.recv(65536)
        if self.step == len(self.script):
            if data:
                raise AssertionError(f"{data!r} behind the good bye")
            return True
        if not data:
            raise AssertionError(f"the stream ended in step {self.step} after {self.got!r}")
        self.got += data
        wanted = self.script[self.step][1]
        if self.got == wanted:
            self.got = b""
            self.step += 1
            if self.step < len(self.script):
                self.send_next()
        elif not wanted.startswith(self.got):
            raise AssertionError(f"expected {wanted!r}, got {self.got!r}")
        return False


class Crowd(Case):
    def open(self, server, count):
        connections = []
        for _ in range(count):
            connection = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            self.addCleanup(connection.close)
            connection.settimeout(10 * PATIENCE)
            connection.connect((server.host, server.port))
            connections.append(connection)
        return connections

    def welcome(self, connections):
        for connection in connections:
            payload = b""
            while len(payload) < len(OPENING):
                data = connection.recv(len(OPENING) - len(payload))
                self.assertTrue(data, "an idle connection was closed")
                payload += data
            self.assertEqual(payload, OPENING)

    def talk(self, connections):
        with selectors.DefaultSelector() as selector:
            for number, connection in enumerate(connections):
                connection.setblocking(False)
                selector.register(connection, selectors.EVENT_READ, Talker(number, connection))
            while selector.get_map():
                ready = selector.select(10 * PATIENCE)
                self.assertTrue(ready, f"{len(selector.get_map())} dialogues stand still")
                for key, _ in ready:
                    if key.data.receive():
                        selector.unregister(key.fileobj)
                        key.fileobj.close()

    def leave(self, connections):
        """A third goes with an end, a third with exit, a third with a reset."""
        for number, connection in enumerate(connections):
            if number % 3 == 1:
                connection.sendall(b"exit\n")
            elif number % 3 == 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for number, connection in enumerate(connections):
            if number % 3 == 1:
                self.assertEqual(connection.recv(64), GOODBYE)
                self.assertEqual(connection.recv(64), b"")
            connection.close()

    @unittest.skipIf(SANITIZED or not has_tls(), "needs TLS, and an allocator that gives memory back")
    def test_the_memory_of_a_tls_flood_goes_back_to_the_system(self):
        hello = client_hello()
        with Server("--tls", "--max-per-address", "100000", "--handshake-timeout", "1m") as server:
            for _ in range(2):  # the first flood leaves what is made once
                memory, baseline = server.rss(), len(server.fds())
                flood = self.open(server, FLOOD)
                await_that(lambda: len(server.fds()) == baseline + FLOOD, "all are there at once")
                self.assertLess(server.rss(), memory + FLOOD * SILENT_BYTES + SLACK_BYTES, "silent connections")
                for connection in flood:
                    connection.sendall(hello)
                for connection in flood:
                    self.assertTrue(connection.recv(1))
                self.assertGreater(server.rss(), 1.5 * memory + IDLE_SLACK_BYTES, "this is no flood")
                for connection in flood:
                    connection.close()
                await_that(lambda: server.rss() < 1.5 * memory + IDLE_SLACK_BYTES, "memory is given back")

    def test_thousands_idle_and_a_thousand_talking_leave_nothing_over(self):
        with Server() as server:
            baseline = len(server.fds())
            self.talk(self.open(server, 1))
            await_that(lambda: len(server.fds()) == baseline, "the first descriptor is given back")
            memory = []
            for number in range(ROUNDS):
                began = time.monotonic()
                idle = self.open(server, IDLE)
                talking = self.open(server, TALKING)
                self.welcome(idle)
                await_that(lambda: len(server.fds()) == baseline + IDLE + TALKING, "all are there at once")
                full = server.rss()
                self.talk(talking)
                with Peer(server) as late:
                    late.expect(OPENING)
                self.leave(idle)
                await_that(lambda: len(server.fds()) == baseline, "every descriptor is given back")
                memory.append(server.rss())
                print(f"round {number + 1}: {IDLE} idle, {TALKING} talking, {time.monotonic() - began:.1f} s, "
                      f"{full >> 10} KiB full, {memory[-1] >> 10} KiB empty", file=sys.stderr)
            self.assertLessEqual(memory[-1], memory[0] + SLACK_BYTES, memory)


class Storm(Case):
    """Signals as fast as they can be sent. Not under ThreadSanitizer, whose handlers are slower than the sender."""

    def test_many_signals_end_it_cleanly(self):
        for _ in range(10):
            with Server("--drain-timeout", "60s") as server, Peer(server) as peer:
                peer.expect(OPENING)
                for number in (signal.SIGHUP, signal.SIGUSR1) * 20:
                    server.send_signal(number)
                while server.is_alive():
                    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
                        server.send_signal(number)
                self.assertEqual(server.wait(), 0)


if __name__ == "__main__":
    if raise_descriptor_limit() < IDLE + TALKING + 100:
        skip_file(f"needs {IDLE + TALKING + 100} descriptors; TCPGREET_LOAD_SCALE asks for less")
    main()
