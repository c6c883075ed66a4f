"""The server's side of the dialogue, byte for byte, with peers of every kind: correct, unusual, broken and hostile."""

import contextlib
import re
import resource
import select
import threading
import time

from harness import (GOODBYE, LIMIT_S, OPENING, PATIENCE, QUESTION, TOO_LONG, TOO_MANY, WELCOME, Case, Peer, Server,
                     await_that, client_hello, hello, main, ms, unhurried)

MIB = 1 << 20
PAUSE = ("--pause", "50ms")
NO_PAUSE = ("--pause", "0")
ALL_BYTES = bytes(b for b in range(256) if b != 0x0A)


class Names(Case):
    """Where a name ends, and what comes back."""

    def test_welcome_and_question_leave_in_one_write(self):
        with Server() as server, Peer(server) as peer:
            self.assertEqual(peer.receive(), WELCOME + QUESTION)
            self.assertEqual(peer.segments(), 1)

    def test_a_whole_dialogue_is_byte_exact(self):
        with Server() as server, Peer(server) as peer:
            peer.expect(OPENING)
            for name in (b"Michael", b"Tracy", b"Sarah"):
                peer.send(name + b"\n").expect(hello(name))
            peer.send(b"exit\n").expect(GOODBYE).expect_eof()

    def test_an_answer_is_one_write(self):
        with Server() as server, Peer(server) as peer:
            peer.expect(OPENING)
            peer.send(b"Michael\n")
            self.assertEqual(peer.receive(), hello(b"Michael"))
            self.assertEqual(peer.segments(), 2)

    def test_the_answers_to_one_read_are_one_write(self):
        with Server() as server, Peer(server) as peer:
            peer.expect(OPENING)
            peer.send(b"Michael\nTracy\n\nSarah\nexit\n")
            peer.expect(hello(b"Michael") + hello(b"Tracy") + QUESTION + hello(b"Sarah") + GOODBYE).expect_eof()
            self.assertEqual(peer.segments(), 2)

    def test_an_empty_name_is_asked_again_without_a_greeting(self):
        with Server() as server, Peer(server) as peer:
            peer.expect(OPENING)
            for newline in (b"\n", b"\r\n"):
                peer.send(newline).expect(QUESTION)
            peer.send(b"exit\n").expect(GOODBYE).expect_eof()

    def test_only_exactly_exit_ends_the_dialogue(self):
        near = (b"Exit", b"EXIT", b" exit", b"exit ", b"exit\0", b"exit\r", b"exi", b"exitt", b"quit")
        with Server() as server, Peer(server) as peer:
            peer.expect(OPENING)
            for name in near:
                peer.send(name + b"\r\n").expect(hello(name))
            peer.send(b"exit\r\n").expect(GOODBYE).expect_eof()

    def test_a_bare_exit_ends_the_dialogue_after_a_pause(self):
        with Server(*PAUSE) as server, Peer(server) as peer:
            peer.expect(OPENING).send(b"exit").expect(GOODBYE).expect_eof()

    def test_one_cr_before_lf_is_dropped_and_every_other_is_kept(self):
        pairs = ((b"Michael\r\n", b"Michael"), (b"Mi\rchael\n", b"Mi\rchael"), (b"Michael\r\r\n", b"Michael\r"),
                 (b"\rMichael\n", b"\rMichael"), (b"\r\r\n", b"\r"))
        with Server() as server, Peer(server) as peer:
            peer.expect(OPENING)
            for sent, name in pairs:
                peer.send(sent).expect(hello(name))

    def test_a_cr_and_its_lf_may_come_apart(self):
        with Server(*NO_PAUSE) as server, Peer(server) as peer:
            peer.expect(OPENING).send(b"Tracy\n").expect(hello(b"Tracy"))
            peer.send(b"Michael\r").stays_silent(0.05).send(b"\n").expect(hello(b"Michael"))

    def test_a_name_is_bytes_and_comes_back_as_it_went(self):
        names = (b"\0", b"a\0b", b"\xff\xfe", b"\xc3", b"\xe2\x82", "Zoë 李 🦊".encode(), b"\x1b[31mred\x1b[0m",
                 b"\x1b]0;title\x07", b"\x9b31m", b"\x7f\x08", "\u202egnp.exe".encode(), b"%s%n%d",
                 b"Server: Good bye!", b" leading and trailing ", b"\t", ALL_BYTES, bytes(reversed(ALL_BYTES)))
        with Server() as server, Peer(server) as peer:
            peer.expect(OPENING)
            for name in names:
                peer.send(name + b"\n").expect(hello(name))

    def test_every_single_byte_is_a_name(self):
        with Server() as server, Peer(server) as peer:
            peer.expect(OPENING)
            for byte in ALL_BYTES.replace(b"\r", b""):
                name = bytes([byte])
                peer.send(name + b"\n").expect(hello(name))

    def test_one_byte_at_a_time_is_the_same_dialogue(self):
        payload = b"Mi\rchael\n\nTracy\r\nSa\0rah\xff\nexit\n"
        with Server(*NO_PAUSE) as server, Peer(server) as peer:
            peer.expect(OPENING)
            for byte in payload:
                peer.send(bytes([byte]))
            peer.expect(hello(b"Mi\rchael") + QUESTION + hello(b"Tracy") + hello(b"Sa\0rah\xff") + GOODBYE)
            peer.expect_eof()

    def test_any_cut_in_two_is_the_same_dialogue(self):
        payload = b"Michael\r\n\nTracy\nexit\n"
        answers = hello(b"Michael") + QUESTION + hello(b"Tracy") + GOODBYE
        with Server(*NO_PAUSE) as server:
            for cut in range(1, len(payload)):
                with self.subTest(cut=cut), Peer(server) as peer:
                    peer.expect(OPENING).send(payload[:cut]).send(payload[cut:]).expect(answers).expect_eof()

    def test_names_sent_before_the_welcome_is_read_are_answered_after_it(self):
        with Server() as server, Peer(server) as peer:
            peer.send(b"Michael\nexit\n").expect(OPENING + hello(b"Michael") + GOODBYE).expect_eof()

    def test_names_sent_faster_than_answers_are_read_lose_nothing(self):
        names = [b"name number %d of a long list of names" % i for i in range(30_000)]
        payload = b"".join(name + b"\n" for name in names) + b"exit\n"
        with Server() as server, Peer(server, receive_buffer=32768) as peer:
            peer.expect(OPENING)
            sender = threading.Thread(target=peer.socket.sendall, args=(payload,), daemon=True)
            sender.start()
            peer.expect(b"".join(map(hello, names)) + GOODBYE).expect_eof()
            sender.join(LIMIT_S)


class LongNames(Case):
    """1024 bytes are a name, one more is not."""

    def test_the_longest_name_is_greeted(self):
        name = b"n" * 1024
        with Server() as server, Peer(server) as peer:
            peer.expect(OPENING)
            for end in (b"\n", b"\r\n"):
                peer.send(name + end).expect(hello(name))

    def test_the_longest_bare_name_is_greeted(self):
        for sent in (b"n" * 1024, b"n" * 1023 + b"\r"):
            with Server(*PAUSE) as server, Peer(server) as peer:
                peer.expect(OPENING).send(sent).expect(hello(sent))

    def test_one_byte_more_is_refused_once_and_the_next_name_is_greeted(self):
        for length in (1025, 1026, 4096, 65536, MIB):
            for end in (b"\n", b"\r\n"):
                with self.subTest(length=length, end=end), Server() as server, Peer(server) as peer:
                    peer.expect(OPENING).send(b"n" * length + end).expect(TOO_LONG + QUESTION)
                    peer.send(b"Michael\n").expect(hello(b"Michael"))

    def test_a_cr_counts_where_it_belongs_to_the_name(self):
        with Server() as server, Peer(server) as peer:
            peer.expect(OPENING)
            peer.send(b"n" * 1024 + b"\r\r\n").expect(TOO_LONG + QUESTION)
            peer.send(b"n" * 1023 + b"\r\r\n").expect(hello(b"n" * 1023 + b"\r"))

    def test_a_long_name_in_small_pieces_is_refused_once(self):
        with Server(*NO_PAUSE) as server, Peer(server) as peer:
            peer.expect(OPENING)
            for _ in range(50):
                peer.send(b"n" * 37)
            peer.send(b"\nMichael\n").expect(TOO_LONG + QUESTION + hello(b"Michael"))

    def test_long_and_good_names_in_one_segment_keep_their_order(self):
        with Server() as server, Peer(server) as peer:
            peer.expect(OPENING)
            peer.send(b"Tracy\n" + b"n" * 3000 + b"\nMichael\n" + b"n" * 1025 + b"\n\nexit\n")
            peer.expect(hello(b"Tracy") + TOO_LONG + QUESTION + hello(b"Michael") + TOO_LONG + QUESTION + QUESTION)
            peer.expect(GOODBYE).expect_eof()

    def test_a_long_name_without_newline_is_refused_after_a_pause_or_at_the_end(self):
        with Server(*PAUSE) as server:
            with Peer(server) as peer:
                peer.expect(OPENING).send(b"n" * 1025).expect(TOO_LONG + QUESTION)
                peer.send(b"Michael").expect(hello(b"Michael"))
            with Peer(server) as peer:
                peer.expect(OPENING).send(b"n" * 5000).end().expect(TOO_LONG + QUESTION).expect_eof()

    def test_endless_bytes_need_no_memory(self):
        with Server() as server, Peer(server) as peer:
            peer.expect(OPENING).send(b"n" * MIB)
            before = server.rss()
            chunk = b"n" * MIB
            for _ in range(32):
                peer.send(chunk)
            self.assertLess(server.rss() - before, 2 * MIB)
            peer.send(b"\nMichael\n").expect(TOO_LONG + QUESTION + hello(b"Michael"))


class Ends(Case):
    """How a dialogue ends, and that it ends quietly."""

    def test_a_name_that_the_end_of_the_stream_ends_is_answered(self):
        with Server() as server:
            for payload, answer in ((b"Michael", hello(b"Michael")), (b"exit", GOODBYE), (b"Michael\n", hello(b"Michael")),
                                 (b"\xff", hello(b"\xff")), (b"Tracy\nMichael", hello(b"Tracy") + hello(b"Michael"))):
                with self.subTest(payload=payload), Peer(server) as peer:
                    peer.expect(OPENING).send(payload).end().expect(answer).expect_eof()

    def test_a_fin_at_once_causes_no_greeting(self):
        with Server() as server, Peer(server) as peer:
            peer.end().expect(OPENING).expect_eof()

    def test_an_end_without_exit_is_quiet(self):
        with Server() as server, Peer(server) as peer:
            peer.expect(OPENING).send(b"Michael\n").expect(hello(b"Michael")).end().expect_eof()

    def test_a_fin_after_an_empty_name_causes_no_greeting(self):
        with Server() as server, Peer(server) as peer:
            peer.expect(OPENING).send(b"\n").end().expect(QUESTION).expect_eof()

    def test_what_a_peer_still_sends_does_not_overtake_the_good_bye(self):
        with Server() as server:
            for _ in range(20):
                with Peer(server) as peer:
                    peer.expect(OPENING).send(b"exit\n" + b"Tracy\n" * 20_000).expect(GOODBYE).expect_eof()

    def test_data_after_the_final_message_causes_no_reset(self):
        with Server("--max-connections", "1") as server, Peer(server) as peer:
            peer.expect(OPENING)
            with Peer(server) as other:
                other.expect(TOO_MANY).expect_eof()
                for client in (other, peer.send(b"exit\n").expect(GOODBYE).expect_eof()):
                    for _ in range(20):
                        client.send(b"Tracy\n" * 1000)

    def test_endless_data_after_the_final_message_is_cut_off(self):
        with Server() as server, Peer(server) as peer:
            peer.expect(OPENING).send(b"exit\n").expect(GOODBYE).expect_eof()
            with self.assertRaises(ConnectionError):
                while True:
                    peer.send(b"Tracy\n" * 10_000)

    def test_a_closed_dialogue_leaves_no_descriptor(self):
        with Server() as server:
            with Peer(server) as peer:
                peer.expect(OPENING)
                during = len(server.fds())
            before = during - 1
            await_that(lambda: len(server.fds()) == before, "the descriptor of a peer that closed")
            with Peer(server) as peer:
                peer.expect(OPENING).send(b"exit\n").expect(GOODBYE).expect_eof()
            await_that(lambda: len(server.fds()) == before, "the descriptor of a peer that sent exit")
            with Peer(server) as peer:
                peer.expect(OPENING).reset()
            await_that(lambda: len(server.fds()) == before, "the descriptor of a peer that reset")

    def test_a_reset_ends_that_dialogue_alone(self):
        with Server() as server, Peer(server) as other:
            other.expect(OPENING)
            for _ in range(100):
                with Peer(server) as peer:
                    peer.expect(OPENING).send(b"Michael\nTra").reset()
            other.send(b"Sarah\n").expect(hello(b"Sarah"))

    def test_a_reset_before_the_welcome_is_survived(self):
        with Server() as server:
            for _ in range(200):
                with Peer(server) as peer:
                    peer.reset()
            with Peer(server) as peer:
                peer.expect(OPENING)

    def test_a_reset_while_the_server_writes_is_survived(self):
        with Server() as server:
            for _ in range(10):
                with Peer(server, receive_buffer=4096) as peer:
                    peer.send(b"\n" * 100_000).reset()
            with Peer(server) as peer:
                peer.expect(OPENING).send(b"Michael\n").expect(hello(b"Michael"))

    def test_a_close_with_answers_unread_is_survived(self):
        with Server() as server:
            for _ in range(50):
                with Peer(server) as peer:
                    peer.send(b"Michael\n" * 1000)
            with Peer(server) as peer:
                peer.expect(OPENING).send(b"Michael\n").expect(hello(b"Michael"))


class Pause(Case):
    """The tutorial's client sends bare names: a pause ends them, until it has shown that it ends names itself."""

    def test_a_pause_ends_bare_names(self):
        with Server(*PAUSE) as server, Peer(server) as peer:
            peer.expect(OPENING)
            for name in (b"Michael", b"Tracy", b"Sarah", b"M\r", b"\r"):
                peer.send(name).expect(hello(name))
            peer.send(b"exit").expect(GOODBYE).expect_eof()

    def test_the_pause_is_as_long_as_asked(self):
        with Server("--pause", "400ms") as server, Peer(server) as peer:
            began = time.monotonic()
            peer.expect(OPENING).send(b"Michael").expect(hello(b"Michael"))
            self.assertGreaterEqual(time.monotonic() - began, 0.39)

    def test_the_pause_begins_anew_with_every_piece(self):
        def attempt(pause_s):
            with Server("--pause", ms(pause_s)) as server, Peer(server) as peer:
                peer.expect(OPENING).send(b"Mi").stays_silent(pause_s / 2).send(b"cha").stays_silent(pause_s / 2)
                began = time.monotonic()
                peer.send(b"el").expect(hello(b"Michael"))
                self.assertGreaterEqual(time.monotonic() - began, 0.95 * pause_s)
        unhurried(attempt, 0.3)

    def test_a_slow_typist_is_never_cut_after_the_first_newline(self):
        with Server(*PAUSE) as server, Peer(server) as peer:
            peer.expect(OPENING).send(b"Tracy\n").expect(hello(b"Tracy"))
            peer.send(b"Mi").stays_silent(0.25).send(b"chael").stays_silent(0.25).send(b"\n")
            peer.expect(hello(b"Michael"))
            peer.send(b"exit").stays_silent(0.25).send(b"\n").expect(GOODBYE).expect_eof()

    def test_bare_names_may_turn_into_ended_ones(self):
        with Server(*PAUSE) as server, Peer(server) as peer:
            peer.expect(OPENING).send(b"Michael").expect(hello(b"Michael"))
            peer.send(b"Tracy\nSar").expect(hello(b"Tracy")).stays_silent(0.25).send(b"ah\n").expect(hello(b"Sarah"))

    def test_a_pause_of_0_is_none(self):
        with Server(*NO_PAUSE) as server, Peer(server) as peer:
            peer.expect(OPENING).send(b"Michael").stays_silent(0.5).send(b"\n").expect(hello(b"Michael"))

    def test_silence_before_a_name_is_no_name(self):
        with Server(*PAUSE) as server, Peer(server) as peer:
            peer.expect(OPENING).stays_silent(0.25).send(b"Michael\n").expect(hello(b"Michael"))


class Deadlines(Case):
    """No peer holds the server for longer than its limits."""

    def test_silence_is_ended_with_good_bye(self):
        with Server("--idle-timeout", "300ms") as server:
            began = time.monotonic()
            with Peer(server) as peer:
                peer.expect(OPENING + GOODBYE).expect_eof()
            self.assertGreaterEqual(time.monotonic() - began, 0.29)

    def test_a_name_begins_the_silence_anew(self):
        def attempt(limit_s):
            with Server("--idle-timeout", ms(limit_s)) as server, Peer(server) as peer:
                peer.expect(OPENING)
                for _ in range(3):
                    peer.stays_silent(limit_s / 2)
                    began = time.monotonic()
                    peer.send(b"Michael\n").expect(hello(b"Michael"))
                peer.expect(GOODBYE).expect_eof()
                self.assertGreaterEqual(time.monotonic() - began, 0.95 * limit_s)
        unhurried(attempt, 0.4)

    def drip(self, server, first, every_s, limit_s):
        """A byte now and then goes on with a name, until the server ends it."""
        with Peer(server) as peer:
            peer.expect(OPENING)
            if first.endswith(b"\n"):
                peer.send(first).expect(hello(first[:-1]))
                first = b"x"
            began = time.monotonic()
            peer.send(first)
            while not select.select([peer.socket], [], [], every_s)[0]:
                self.assertLess(time.monotonic() - began, LIMIT_S + limit_s, "the server lets a name drip for ever")
                peer.send(b"x")
            peer.expect(GOODBYE).expect_eof()
            self.assertGreaterEqual(time.monotonic() - began, 0.95 * limit_s)

    def test_a_name_sent_byte_by_byte_is_ended_in_time(self):
        for first, every_s in ((b"x", 0.06), (b"Tracy\n", 0.2), (b"x" * 2000, 0.06)):
            def attempt(limit_s):
                with Server("--name-timeout", ms(limit_s), "--pause", ms(0.4 * limit_s)) as server:
                    self.drip(server, first, every_s * limit_s, limit_s)
            with self.subTest(first[:10]):
                unhurried(attempt, 0.5)

    def test_the_time_for_a_name_is_not_the_time_between_names(self):
        with Server("--name-timeout", "300ms") as server, Peer(server) as peer:
            peer.expect(OPENING).stays_silent(0.6).send(b"Michael\n").expect(hello(b"Michael")).stays_silent(0.6)
            peer.send(b"exit\n").expect(GOODBYE).expect_eof()

    def test_a_peer_that_never_reads_is_held_back_and_others_feel_nothing(self):
        with Server() as server, Peer(server, receive_buffer=4096) as deaf:
            with Peer(server) as peer:
                peer.expect(OPENING).send(b"Michael\n").expect(hello(b"Michael"))
            before = server.rss()
            sent = deaf.flood(b"\n" * 65536, 256 * MIB)
            self.assertLess(sent, 256 * MIB, "the server reads on although its answers are not taken")
            self.assertLess(server.rss() - before, MIB)
            cpu = server.cpu_s()
            with Peer(server) as peer:
                peer.expect(OPENING)
                for _ in range(100):
                    peer.send(b"Michael\n").expect(hello(b"Michael"))
                peer.stays_silent(0.5)
            self.assertLess(server.cpu_s() - cpu, 0.3 * PATIENCE, "the server spins on a peer that does not read")
            deaf.reset()
            with Peer(server) as peer:
                peer.expect(OPENING)


class OtherProtocols(Case):
    """Another protocol is recognized at once, and logged."""

    def expect_shown_out(self, server, peer, word):
        peer.expect(OPENING).expect_eof()
        peer.close()
        server.log.expect(rf"^Connection from {re.escape(peer.address)} is closed: .*{word}")

    def test_a_tls_client_is_closed_at_once_and_named(self):
        with Server("--pause", "1m") as server, Peer(server) as peer:
            peer.send(client_hello())
            self.expect_shown_out(server, peer, "TLS")

    def test_an_http_client_is_closed_at_once_and_named(self):
        requests = (b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: x\r\n\r\n",
                    b"POST /names?a=b HTTP/1.0\r\nContent-Length: 3\r\n\r\na=b", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                    b"OPTIONS * HTTP/1.1\r\n\r\n")
        with Server("--pause", "1m") as server:
            for request in requests:
                with self.subTest(request=request), Peer(server) as peer:
                    peer.send(request)
                    self.expect_shown_out(server, peer, "HTTP")

    def test_other_protocols_are_recognized_in_pieces(self):
        with Server("--pause", "1m") as server:
            for payload, word in ((client_hello()[:3], "TLS"), (b"GET / HTTP/1.1\r\n", "HTTP")):
                with self.subTest(word=word), Peer(server) as peer:
                    for byte in payload:
                        peer.send(bytes([byte]))
                    self.expect_shown_out(server, peer, word)

    def test_names_that_look_a_little_like_it_are_greeted(self):
        with Server() as server:
            for name in (b"GET", b"GET /", b"GET / HTTP", b"get / HTTP/1.1", b"\x16", b"\x16\x03", b"HTTP/1.1"):
                with self.subTest(name=name), Peer(server) as peer:
                    peer.expect(OPENING).send(name + b"\n").expect(hello(name))
            with Peer(server) as peer:
                peer.expect(OPENING).send(b"Michael\n").expect(hello(b"Michael"))
                for name in (b"GET / HTTP/1.1", b"\x16\x03\x01\x02"):
                    peer.send(name + b"\n").expect(hello(name))


class Log(Case):
    """The log lines of a connection."""

    def test_a_dialogue_is_two_lines(self):
        with Server() as server, Peer(server) as peer:
            peer.expect(OPENING).send(b"Michael\n").expect(hello(b"Michael"))
            address = re.escape(peer.address)
            server.log.expect(rf"^Accept new connection from {address}$")
            peer.send(b"Tracy\nSarah\nexit\n").expect(hello(b"Tracy") + hello(b"Sarah") + GOODBYE).expect_eof().close()
            server.log.expect(rf"^Connection from {address} is closed: \S.*, 3 names, \S+.*$")
            lines = [line for line in server.log.lines() if not line.startswith("Serving at most ")]
            self.assertEqual(len(lines), 2, lines)

    def test_every_end_has_its_own_reason(self):
        reasons = {}

        def reason(server, how, act):
            with Peer(server) as peer:
                peer.expect(OPENING).send(b"Michael\n").expect(hello(b"Michael"))
                act(peer)
            closed = server.log.expect(rf"^Connection from {re.escape(peer.address)} is closed: (.+), 1 names?, ")
            reasons[how] = closed[0][1]

        def end_by_silence(limit_s):
            with Server("--idle-timeout", ms(limit_s)) as server:
                reason(server, "idle", lambda peer: peer.expect(GOODBYE).expect_eof())

        with Server("--name-timeout", "300ms") as server:
            reason(server, "exit", lambda peer: peer.send(b"exit\n").expect(GOODBYE).expect_eof())
            reason(server, "end", lambda peer: peer.end().expect_eof())
            reason(server, "reset", lambda peer: peer.reset())
            reason(server, "name", lambda peer: peer.send(b"x").expect(GOODBYE).expect_eof())
        unhurried(end_by_silence, 0.4)
        self.assertEqual(len(set(reasons.values())), 5, reasons)

    def test_names_never_reach_the_log_unescaped(self):
        forged = b"x\rAccept new connection from [::1]:1"
        with Server("-v", "--pause", "50ms") as server:
            with Peer(server) as peer:
                peer.expect(OPENING)
                for name in (b"\x1b]0;owned\x07", b"\x9b2J", forged, ALL_BYTES, "\u202ex".encode(), b"\xff"):
                    peer.send(name + b"\n").expect(hello(name))
                peer.send(b"exit\n").expect(GOODBYE).expect_eof()
            with Peer(server) as foreign:
                foreign.send(b"GET /\x1b[31m\x07 HTTP/1.1\r\n\r\n").end().read_all()
            for address in (peer.address, foreign.address):
                server.log.expect(rf"^Connection from {re.escape(address)} is closed: ")
        # The server's end checks the whole log for raw bytes.

    def test_scanners_are_counted_and_not_logged(self):
        with Server() as server:
            for _ in range(2000):
                Peer(server).close()
            with Peer(server) as peer:
                peer.expect(OPENING).send(b"exit\n").expect(GOODBYE).expect_eof()
            server.log.expect(rf"^Connection from {re.escape(peer.address)} is closed: ")
            self.assertEqual(len(server.log.lines()), 3, server.log.lines()[:10])
            server.expect_counters(r"\b2001 connections\b.*\b2000 closed without data\b")

    def test_scanners_are_logged_with_v(self):
        with Server("-v") as server:
            for _ in range(3):
                with Peer(server) as peer:
                    peer.expect(OPENING)
                    address = re.escape(peer.address)
                server.log.expect(rf"^Connection from {address} is closed: .*, 0 names, ")

    def test_usr1_logs_the_counters(self):
        with Server() as server:
            for _ in range(3):
                with Peer(server) as peer:
                    peer.send(b"Michael\n" * 7 + b"\nexit\n")
                    peer.expect(OPENING + hello(b"Michael") * 7 + QUESTION + GOODBYE).expect_eof()
            with Peer(server) as client:
                client.expect(OPENING)
                server.expect_counters(r"\b4 connections\b.*\b1 open now\b.*\b21 names greeted\b")
                client.send(b"Michael\n").expect(hello(b"Michael"))


class FloodedLog(Case):
    """Lines that any peer can cause."""

    def test_junk_does_not_flood_the_log(self):
        with Server() as server:
            began = time.monotonic()
            for _ in range(1100):
                with Peer(server) as peer:
                    peer.expect(OPENING).send(b"GET / HTTP/1.0\r\n\r\n").expect_eof()
            server.expect_counters(" 1100 unknown protocol")
            closed = [line for line in server.log.lines() if " is closed: " in line]
            windows = 1 + int((time.monotonic() - began) / 10)  # more than one on a slow machine
            self.assertLessEqual(len(closed), 1000 * windows)
            with Peer(server) as peer:  # a dialogue is logged all the same
                peer.expect(OPENING).send(b"Michael\nexit\n").expect(hello(b"Michael")).expect(GOODBYE).expect_eof()
            server.log.expect("is closed: exit, 1 name, ")

    def test_names_do_not_flood_the_log_either_and_what_is_not_logged_is_counted(self):
        with Server() as server:
            began = time.monotonic()
            for _ in range(1100):
                with Peer(server) as peer:
                    peer.expect(OPENING).send(b"x\n").expect(hello(b"x")).end().expect_eof()
            server.expect_counters(" 0 open now,.* 1100 names greeted")
            lines = [line for line in server.log.lines() if " is closed: " in line or "Accept new" in line]
            windows = 1 + int((time.monotonic() - began) / 10)
            self.assertLessEqual(len([line for line in lines if " is closed: " in line]), 1000 * windows)
            suppressed = 2 * 1100 - len(lines)
            server.expect_counters(f" {suppressed} log lines suppressed, 0 log lines dropped$")
            self.assertEqual(server.stop(), 0)
            server.log.join()
            self.assertRegex(server.log.lines()[-1], f"^Counters: .* {suppressed} log lines suppressed,")
            self.assertTrue(suppressed > 0 or windows > 1, lines)


class Crowds(Case):
    """More connections than allowed."""

    def test_one_too_many_receives_a_message_and_the_next_finds_the_free_place(self):
        with Server("--max-connections", "2", "--max-per-address", "2") as server, Peer(server) as first:
            first.expect(OPENING)
            with Peer(server) as second:
                second.expect(OPENING)
                for _ in range(5):
                    with Peer(server) as third:
                        third.expect(TOO_MANY).expect_eof()
                first.send(b"Michael\n").expect(hello(b"Michael"))
                second.send(b"exit\n").expect(GOODBYE).expect_eof()
            self.await_place(server)
            first.send(b"exit\n").expect(GOODBYE).expect_eof()

    def await_place(self, server):
        def is_welcome():
            with Peer(server) as peer:
                payload = peer.receive()
                self.assertIn(payload, (OPENING, TOO_MANY))
                return payload == OPENING
        await_that(is_welcome, "a free place")

    def test_one_too_many_receives_the_message_even_while_sending(self):
        with Server("--max-connections", "1") as server, Peer(server) as first:
            first.expect(OPENING)
            for _ in range(50):
                with Peer(server) as other:
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        other.send(b"Michael\nexit\n")
                    other.expect(TOO_MANY).expect_eof()
            first.send(b"Michael\n").expect(hello(b"Michael"))

    def test_the_limit_follows_from_the_descriptor_limit(self):
        with Server("--max-per-address", "1000", limit_fds=64) as server, contextlib.ExitStack() as stack:
            payload = [stack.enter_context(Peer(server)).receive() for _ in range(80)]
            self.assertEqual(set(payload), {OPENING, TOO_MANY})
            self.assertGreater(payload.count(OPENING), 16)
            self.assertTrue(server.is_alive())

    def test_one_address_takes_half_of_the_places_and_others_are_served(self):
        with Server("--max-connections", "8", listen=[("127.0.0.1", "0")]) as server, contextlib.ExitStack() as stack:
            for _ in range(4):
                stack.enter_context(Peer(server)).expect(OPENING)
            for _ in range(3):
                with Peer(server) as fifth:
                    fifth.expect(TOO_MANY).expect_eof()
            server.log.expect(r"^Connection from 127\.0\.0\.1:\d+ rejected: its address has 4 open; .*--max-per-address$")
            with Peer(server, source="127.0.0.2") as other:
                other.expect(OPENING).send(b"Michael\n").expect(hello(b"Michael"))
            server.expect_counters(" 3 rejected")
            self.assertEqual(len([line for line in server.log.lines() if "rejected: " in line]), 1, server.log.lines())

    def test_a_rate_limits_the_new_connections_of_an_address(self):
        with Server("--max-rate-per-address", "2", "--workers", "2", listen=[("127.0.0.1", "0")]) as server:
            answers = []
            while TOO_MANY not in answers:
                with contextlib.ExitStack() as stack:
                    peers = [stack.enter_context(Peer(server)) for _ in range(8)]
                    answers += [peer.receive() for peer in peers]
            self.assertGreaterEqual(answers.count(OPENING), 2)
            server.log.expect(r"rejected: more than 2 a second from its address \(see --max-rate-per-address\)")
            with Peer(server, source="127.0.0.2") as other:
                other.expect(OPENING)
            self.await_place(server)

    def exhaust(self, server):
        """Takes away the descriptors that the server does not use yet, but for five."""
        limit = max(server.fds()) + 6
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (limit, limit))

    def test_exhausted_descriptors_neither_kill_nor_spin_and_are_logged_once(self):
        with Server("--workers", "1") as server, contextlib.ExitStack() as stack:
            self.exhaust(server)
            with Peer(server) as first:
                first.expect(OPENING)
                waiting = [stack.enter_context(Peer(server)) for _ in range(30)]
                match = server.log.expect(r"(?i)descriptor|too many open files")[0]
                cpu = server.cpu_s()
                first.stays_silent(1)
                self.assertLess(server.cpu_s() - cpu, 0.2, "the server spins")
                first.send(b"Michael\n").expect(hello(b"Michael"))
                reported = [line for line in server.log.lines() if re.search(match.re, line)]
                self.assertEqual(len(reported), 1, reported)
                for peer in waiting:
                    peer.expect(OPENING).send(b"exit\n").expect(GOODBYE).expect_eof().close()
                server.log.expect(r"^Accepting connections again, failed attempts: \d+$")
            with Peer(server) as peer:
                peer.expect(OPENING).send(b"Michael\n").expect(hello(b"Michael"))

    def test_a_max_beyond_the_descriptor_limit_is_survived(self):
        with Server("--max-connections", "1000", "--workers", "1", limit_fds=40) as server:  # one queue
            with contextlib.ExitStack() as stack:
                for peer in [stack.enter_context(Peer(server)) for _ in range(60)][:15]:
                    peer.expect(OPENING)
            self.await_place(server)


if __name__ == "__main__":
    main()
