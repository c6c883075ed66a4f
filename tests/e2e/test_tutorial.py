"""The tutorial's naive pair, both ways: its client against this server, its server against this client.

Neither frames its names. The client sends `Michael` and waits; the server takes what one recv brings as the name.
"""

import contextlib
import socket
import threading
import time

from harness import GOODBYE, LIMIT_S, OPENING, QUESTION, WELCOME, Case, Script, Server, await_that, connect, hello, main

NAMES = (b"Michael", b"Tracy", b"Sarah")
WITH_NEWLINE = b"Server: Hello Michael\n!\n" + QUESTION


class NaiveClient(Case):
    """Sends each name bare and believes that one recv is one answer."""

    def talk(self, server, before_close=lambda s: None):
        payload = []
        with socket.create_connection((server.host, server.port), LIMIT_S) as s:
            payload.append(s.recv(1024))
            for name in NAMES:
                s.send(name)
                payload.append(s.recv(1024))
            s.send(b"exit")
            before_close(s)
            payload.append(s.recv(1024))
            payload.append(s.recv(1024))
        return payload

    def test_it_reads_every_answer_whole(self):
        with Server() as server:
            self.assertEqual(self.talk(server), [OPENING, *map(hello, NAMES), GOODBYE, b""])

    def test_it_reads_the_same_over_ipv4(self):
        with Server(listen=[("127.0.0.1", "0")]) as server:
            self.assertEqual(self.talk(server), [OPENING, *map(hello, NAMES), GOODBYE, b""])

    def test_it_may_end_its_side_right_after_exit(self):
        with Server() as server:
            payload = self.talk(server, lambda s: s.shutdown(socket.SHUT_WR))
            self.assertEqual(payload, [OPENING, *map(hello, NAMES), GOODBYE, b""])

    def test_it_may_close_without_reading_the_good_bye(self):
        with Server() as server:
            with socket.create_connection((server.host, server.port), LIMIT_S) as s:
                s.recv(1024)
                s.send(b"Michael")
                self.assertEqual(s.recv(1024), hello(b"Michael"))
                s.send(b"exit")
            server.log.expect(r"^Connection from .* is closed: .*, 1 names?, ")

    def test_many_of_them_are_served_at_once(self):
        results = []
        with Server() as server:
            threads = [threading.Thread(target=lambda: results.append(self.talk(server)), daemon=True)
                       for _ in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(LIMIT_S)
        self.assertEqual(results, [[OPENING, *map(hello, NAMES), GOODBYE, b""]] * 20)

    def test_an_answer_takes_a_pause_and_no_more(self):
        with Server() as server, socket.create_connection((server.host, server.port), LIMIT_S) as s:
            s.recv(1024)

            def is_prompt():  # a busy machine may delay some answers
                began = time.monotonic()
                s.send(b"Michael")
                s.recv(1024)
                took_s = time.monotonic() - began
                self.assertGreaterEqual(took_s, 0.29)
                return took_s < 0.6
            await_that(is_prompt, "an answer before a second pause would be over")


def naive_server(peer):
    """The tutorial's server: a thread a client, recv(1024), knows only a bare exit."""
    s = peer.socket
    s.sendall(WELCOME)
    while True:
        s.sendall(QUESTION)
        data = s.recv(1024)
        if data == b"exit" or not data:
            break
        s.sendall(b"Server: Hello " + data + b"!\n")
    if data:
        s.sendall(GOODBYE)


def naive_ipv4_server_with_delays(peer):
    """The same where every piece of an answer arrives alone."""
    s = peer.socket
    pieces = [WELCOME[:5], WELCOME[5:], QUESTION]
    while True:
        for piece in pieces:
            s.sendall(piece)
            time.sleep(0.02)
        data = s.recv(1024)
        if data == b"exit":
            s.sendall(GOODBYE)
            return
        pieces = [b"Server: Hello ", data, b"!", b"\n", QUESTION]


class NaiveServer(Case):
    """What it sends arrives on stdout byte for byte, and its framing is found out."""

    def test_framing_is_found_out_from_its_first_answer(self):
        with Script(naive_server) as server:
            result = connect(server.host, server.port, "Michael", "Tracy", "Sarah")
        self.assertDialogue(result, WITH_NEWLINE, hello(b"Tracy"), hello(b"Sarah"))
        self.assertEqual(result.err, b"")

    def test_framing_auto_is_the_default_and_may_be_given(self):
        with Script(naive_server) as server:
            result = connect(server.host, server.port, "--framing", "auto", "Michael", "Tracy", "Sarah")
        self.assertDialogue(result, WITH_NEWLINE, hello(b"Tracy"), hello(b"Sarah"))

    def test_framing_bare_sends_bare_names(self):
        with Script(naive_server) as server:
            result = connect(server.host, server.port, "--framing", "bare", "Michael", "Tracy", "Sarah")
        self.assertDialogue(result, hello(b"Michael"), hello(b"Tracy"), hello(b"Sarah"))

    def test_framing_line_does_not_get_along_with_it(self):
        def may_be_left(peer):
            with contextlib.suppress(ConnectionError):
                naive_server(peer)

        with Script(may_be_left) as server:
            result = connect(server.host, server.port, "--framing", "line", "Michael", "Tracy")
        self.assertFails(result, 7, "dialogue-wrong-answer")
        self.assertTrue(result.out.startswith(OPENING + b"Server: Hello Michael"), repr(result))

    def test_without_names_exit_alone_finds_out(self):
        with Script(naive_server) as server:
            result = connect(server.host, server.port)
        self.assertDialogue(result, hello(b"exit\n"))

    def test_without_names_a_bare_exit_ends_it(self):
        with Script(naive_server) as server:
            result = connect(server.host, server.port, "--framing", "bare")
        self.assertDialogue(result)

    def test_names_may_come_from_a_pipe(self):
        with Script(naive_server) as server:
            result = connect(server.host, server.port, stdin=b"Michael\r\nTracy\nSarah")
        self.assertDialogue(result, WITH_NEWLINE, hello(b"Tracy"), hello(b"Sarah"))

    def test_a_first_name_of_any_bytes_finds_out(self):
        for name in (b"\xff\xfe", b"!", b"Server: Hello ", b"Michael!", b"n" * 1000):
            with self.subTest(name=name), Script(naive_server) as server:
                result = connect(server.host, server.port, name, "Tracy")
            self.assertDialogue(result, hello(name + b"\n"), hello(b"Tracy"))

    def test_an_answer_in_pieces_is_the_same_answer(self):
        with Script(naive_ipv4_server_with_delays, "127.0.0.1") as server:
            result = connect(server.host, server.port, "Michael", "Tracy")
        self.assertDialogue(result, WITH_NEWLINE, hello(b"Tracy"))

    def test_empty_lines_do_not_hang_it(self):
        with Script(naive_server) as server:
            result = connect(server.host, server.port, stdin=b"Michael\n\nTracy\n")
        self.assertDialogue(result, WITH_NEWLINE, hello(b"Tracy"))


if __name__ == "__main__":
    main()
