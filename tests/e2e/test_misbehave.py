"""A server that misbehaves on purpose: what a peer sees of each kind, what our client calls it, and that the server
stops as any other."""

import contextlib
import shutil
import signal
import ssl
import unittest

from harness import (GOODBYE, LIMIT_S, OPENING, Case, Peer, Server, connect, hello, main, run)
from tls_harness import ByHand, certificates, client_context, has_tls, tls_peer

MICHAEL = hello(b"Michael")
LOUD = r"^THIS SERVER MISBEHAVES ON PURPOSE \(--misbehave\): "
WITH_TLS = has_tls() and shutil.which("openssl") is not None
SIDES = (False, True) if WITH_TLS else (False,)
LONG = "20s"  # longer than anything here waits
PATIENT = f"{int(LIMIT_S)}s"

# Kind: what is logged at the start.
PLAIN_KINDS = {"delay:20s": "each answer leaves late, by 20000 ms",
               "drip:20s": "answers are sent one byte at a time, every 20000 ms",
               "reset": "the first answer to a name is a reset",
               "half-close": "this side ends after the welcome, and names are not answered",
               "mute": "nothing is sent"}
KINDS = {**PLAIN_KINDS, "no-close-notify": "TLS ends without close_notify"} if WITH_TLS else PLAIN_KINDS


class Misbehaves(Case):
    def serve(self, kind, *options, tls=False):
        identity = ("--tls", *certificates().serve()) if tls else ()
        return Server("--misbehave", kind, *identity, *options)

    def meet(self, server, tls=False):
        """A peer in plain, or above Python's TLS."""
        return tls_peer(server, client_context(certificates())) if tls else Peer(server)

    def connect(self, server, *args, tls=False):
        return connect(server.host, server.port, *args, *(("--tls", "--ca", certificates().ca) if tls else ()))

    def on_both(self, kind, *options):
        """The kind's server, plain and under TLS."""
        for tls in SIDES:
            with self.subTest(tls=tls), self.serve(kind, *options, tls=tls) as server:
                yield tls, server

    def test_misbehaviour_is_logged_as_a_warning(self):
        for kind, words in KINDS.items():
            with self.subTest(kind=kind), self.serve(kind, "-q", tls=kind == "no-close-notify") as server:
                server.log.expect(f"{LOUD}{words}$")
        with Server() as server:
            server.stop()
            self.assertNotIn(b"MISBEHAVE", server.log.bytes())

    def test_a_delay_changes_nothing_but_the_time(self):
        for tls, server in self.on_both("delay:100ms"):
            self.assertDialogue(self.connect(server, "Michael", "--answer-timeout", PATIENT, tls=tls), MICHAEL)
            with self.meet(server, tls) as peer:
                peer.expect(OPENING).send(b"Michael\nAnna\n").expect(MICHAEL + hello(b"Anna"))
                peer.send(b"exit\n").expect(GOODBYE).expect_eof()

    def test_a_delay_beyond_patience_is_a_timeout(self):
        for tls, server in self.on_both(f"delay:{LONG}", "--drain-timeout", "0"):
            self.assertFails(self.connect(server, "Michael", "--answer-timeout", "100ms", tls=tls), 7,
                             "dialogue-timeout")

    def test_a_drip_arrives_in_more_than_one_piece(self):
        for tls, server in self.on_both("drip:2ms"):
            with self.meet(server, tls) as peer:
                pieces = []
                while b"".join(pieces) != OPENING:
                    pieces.append(peer.receive())
                    self.assertTrue(OPENING.startswith(b"".join(pieces)), pieces)
                self.assertGreater(len(pieces), 1)
                peer.send(b"Michael\nexit\n").expect(MICHAEL + GOODBYE).expect_eof()
            self.assertDialogue(self.connect(server, "Michael", "--answer-timeout", PATIENT, tls=tls), MICHAEL)

    def test_the_first_answer_to_a_name_is_a_reset(self):
        for tls, server in self.on_both("reset"):
            with Peer(server) as peer, self.assertRaises(ConnectionResetError):
                if tls:  # by hand: what Python's TLS calls an end may be a reset
                    hand = ByHand(peer, client_context(certificates()))
                    hand.do(hand.tls.do_handshake)
                    self.assertEqual(hand.do(hand.tls.read, len(OPENING)), OPENING)
                    hand.do(hand.tls.write, b"Michael\n")
                else:
                    peer.expect(OPENING).send(b"Michael\n")
                while peer.receive():
                    pass
                self.fail("a clean end instead of a reset")
            server.log.expect(r"is closed: reset on purpose \(--misbehave\), 1 name, ")
            result = self.connect(server, "Michael", tls=tls)
            self.assertFails(result, 7, "dialogue-reset")
            self.assertEqual(result.out, OPENING)

    def test_a_half_closed_server_receives_and_does_not_answer(self):
        for tls, server in self.on_both("half-close"):
            with self.meet(server, tls) as peer:
                peer.expect(OPENING).expect_eof()
                peer.send(b"Michael\n").send(b"Anna\n")
                server.expect_counters(" 2 names greeted")
                if tls:  # a clean end, from both sides
                    peer.socket.unwrap().close()
            server.log.expect("is closed: the peer ended, 2 names, ")
            result = self.connect(server, "Michael", tls=tls)
            self.assertFails(result, 7, "dialogue-early-end")
            self.assertEqual(result.out, OPENING)

    @unittest.skipUnless(WITH_TLS, "built without TLS, or without the openssl command")
    def test_without_close_notify_the_end_is_a_truncation(self):
        with self.serve("no-close-notify", tls=True) as server:
            with self.meet(server, tls=True) as peer:
                peer.expect(OPENING).send(b"Michael\nexit\n").expect(MICHAEL + GOODBYE)
                with self.assertRaisesRegex(ssl.SSLError, "(?i)eof"):  # Python 3.11.2 raises no SSLEOFError
                    peer.receive()
            result = self.connect(server, "Michael", tls=True)
            self.assertFails(result, 7, "dialogue-truncated")
            self.assertEqual(result.out, OPENING + MICHAEL + GOODBYE)

    def test_no_close_notify_needs_tls(self):
        result = run("--listen", "::1", "0", "--misbehave", "no-close-notify")
        self.assertFails(result, 2, "usage")

    def test_a_mute_server_sends_nothing_for_any_input(self):
        for tls, server in self.on_both("mute"):
            with self.meet(server, tls) as peer:
                peer.send(b"Michael\nexit\n")
                self.assertFails(self.connect(server, "Michael", "--answer-timeout", "100ms", tls=tls), 7,
                                 "dialogue-timeout")
                with self.assertRaises(TimeoutError):  # not a word, and no end
                    peer.receive(0.01)
                if not tls:
                    peer.end().expect_eof()

    def test_silent_connections_end_at_the_idle_timeout(self):
        with self.serve("mute", "--idle-timeout", "100ms") as server, Peer(server) as peer:
            peer.expect_eof()

    def test_resumed_sessions_are_counted_through_it(self):
        if not WITH_TLS:
            self.skipTest("built without TLS, or without the openssl command")
        context = client_context(certificates())
        with self.serve("drip:1ms", "--workers", "1", tls=True) as server:
            session = None
            for _ in range(2):
                with tls_peer(server, context, session=session) as peer:
                    peer.expect(OPENING).send(b"exit\n").expect(GOODBYE).expect_eof()
                    session = peer.socket.session
            server.expect_counters(" 2 TLS handshakes, 1 of them resumed")

    def test_a_stop_is_prompt(self):
        """With silent connections and connections with a begun name, and with delayed final messages."""
        sides = [(kind, tls) for kind in KINDS for tls in SIDES if tls or kind != "no-close-notify"]
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(self.serve(kind, "--drain-timeout", "0", tls=tls)) for kind, tls in sides]
            for (_, tls), server in zip(sides, servers):
                stack.enter_context(self.meet(server, tls))
                stack.enter_context(self.meet(server, tls)).send(b"Mich")
            for (kind, tls), server in zip(sides, servers):
                with self.subTest(kind=kind, tls=tls):
                    server.log.expect("^Accept new connection ", 2)
                    server.send_signal(signal.SIGTERM)
            for (kind, tls), server in zip(sides, servers):
                with self.subTest(kind=kind, tls=tls):
                    self.assertEqual(server.wait(), 0)

    def test_a_second_signal_stops_at_once(self):
        for kind in ("delay:20s", "drip:20s", "mute"):
            with self.subTest(kind=kind), self.serve(kind, "--drain-timeout", "1h") as server, Peer(server) as peer:
                peer.send(b"Michael\n")
                server.log.expect("^Accept new connection ")
                server.send_signal(signal.SIGTERM)
                server.log.expect("^Shutting down: ")
                self.assertEqual(server.stop(), 0)

    def test_descriptors_that_are_needed_for_it_are_counted_in(self):
        with Server("--misbehave", f"delay:{LONG}", "--workers", "1", "--drain-timeout", "0", limit_fds=64) as server:
            peers = [Peer(server) for _ in range(40)]
            try:
                server.expect_counters(r"\b40 connections|rejected")
                self.assertLess(len(server.fds()), 64)
                self.assertNotIn(b"is dropped", server.log.bytes())
                self.assertNotIn(b"Accepting is paused", server.log.bytes())
            finally:
                for peer in peers:
                    peer.close()


if __name__ == "__main__":
    main()
