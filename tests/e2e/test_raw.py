"""`--connect … --raw`: standard input to the peer and the peer to standard output, from pipes, files and terminals."""

import contextlib
import hashlib
import os
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time

from harness import (LIMIT_S, Case, Script, Server, Terminal, await_that, connect, main, ms, run, shell, spawn, unhurried,
                     unread_pipe)

MUCH = 64 << 20
BLOCK = random.Random(11).randbytes(1 << 20)


def pieces(total=MUCH):
    """So many pseudo-random bytes, in pieces that differ."""
    for number in range(total >> 20):
        yield hashlib.sha256(b"%d" % number).digest() + BLOCK[32:]


def digest(parts):
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


ALL = digest(pieces())


def read_to_end(read):
    """The digest and the count of all that comes."""
    found, count = hashlib.sha256(), 0
    while True:
        data = read(1 << 16)
        if not data:
            return found.hexdigest(), count
        found.update(data)
        count += len(data)


def send_all(write, close):
    def send():
        with contextlib.suppress(OSError):
            for piece in pieces():
                write(piece)
        close()
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


class Transfers(Case):
    """Bytes in both directions."""

    def exchange_both_ways(self, pause):
        """Both sides send much at once, and read once `pause` allows."""
        received = []

        def serve(peer):
            sender = send_all(peer.socket.sendall, lambda: peer.socket.shutdown(socket.SHUT_WR))
            pause("peer")
            received.append(read_to_end(lambda room: peer.socket.recv(room)))
            sender.join(LIMIT_S)

        with Script(serve) as server:
            child = spawn(["--connect", "::1", str(server.port), "--raw"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            sender = send_all(child.stdin.write, child.stdin.close)
            pause("reader")
            came = read_to_end(child.stdout.read1)
            sender.join(LIMIT_S)
            self.assertEqual(child.wait(LIMIT_S), 0)
            child.stdout.close()
        self.assertEqual(came, (ALL, MUCH))
        self.assertEqual(received, [(ALL, MUCH)])

    def test_both_directions_at_once(self):
        self.exchange_both_ways(lambda who: None)

    def test_a_slow_reader_gets_every_byte(self):
        self.exchange_both_ways(lambda who: who == "reader" and time.sleep(0.3))

    def test_a_slow_peer_gets_every_byte(self):
        self.exchange_both_ways(lambda who: who == "peer" and time.sleep(0.3))

    def test_a_peer_that_does_not_read_pauses_standard_input(self):
        with tempfile.TemporaryFile() as file:
            for piece in pieces():
                file.write(piece)
            file.flush()
            file.seek(0)
            go_on = threading.Event()
            received = []

            def serve(peer):
                peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                go_on.wait(LIMIT_S)
                received.append(read_to_end(lambda room: peer.socket.recv(room)))

            with Script(serve) as server:
                child = spawn(["--connect", "::1", str(server.port), "--raw"], stdin=file, stdout=subprocess.DEVNULL)
                await_that(lambda: is_asleep(child.pid, file), "the client to wait for its peer")
                self.assertLess(os.lseek(file.fileno(), 0, os.SEEK_CUR), 32 << 20)
                self.assertLess(peak_memory(child.pid), 32 << 20)
                go_on.set()
                self.assertEqual(child.wait(LIMIT_S), 0)
            self.assertEqual(received, [(ALL, MUCH)])

    def test_a_reader_that_does_not_read_pauses_the_peer(self):
        sent = []

        def serve(peer):
            sent.append(peer.flood(BLOCK, MUCH))
            peer.end().read_all()

        with Script(serve) as server:
            child = spawn(["--connect", "::1", str(server.port), "--raw"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            await_that(lambda: sent, "the peer to be held up")
            self.assertLess(sent[0], 48 << 20)
            self.assertLess(peak_memory(child.pid), 32 << 20)
            self.assertEqual(read_to_end(child.stdout.read1)[1], sent[0])
            self.assertEqual(child.wait(LIMIT_S), 0)
            child.stdout.close()

    def test_bytes_are_neither_changed_nor_framed(self):
        every = bytes(range(256)) + b"exit\n\r\n\0"
        with Script(lambda peer: peer.send(peer.read_all())) as server:
            result = connect("::1", server.port, "--raw", stdin=every)
        self.assertEqual((result.code, result.out, result.err), (0, every, b""))

    def test_what_is_typed_into_a_pipe_is_sent_at_once(self):
        with Script(lambda peer: peer.expect(b"one").send(b"1").expect(b"two").send(b"2").expect_eof()) as server:
            child = spawn(["--connect", "::1", str(server.port), "--raw"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          bufsize=0)
            child.stdin.write(b"one")
            self.assertEqual(child.stdout.read(1), b"1")
            child.stdin.write(b"two")
            self.assertEqual(child.stdout.read(1), b"2")
            child.stdin.close()
            self.assertEqual(child.wait(LIMIT_S), 0)
            child.stdout.close()

    def test_a_greeting_server_answers_names_from_a_pipe(self):
        with Server() as server:
            result = connect("::1", server.port, "--raw", stdin=b"Michael\nexit\n")
        self.assertEqual(result.code, 0)
        self.assertIn(b"Server: Hello Michael!\n", result.out)


def is_asleep(pid, file):
    """Whether the process neither runs nor reads on in the file for a moment."""
    def place():
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return fields[0], fields[11], fields[12], os.lseek(file.fileno(), 0, os.SEEK_CUR)

    before = place()
    time.sleep(0.1)
    return before == place() and before[0] == "S" and before[3] > 0


def peak_memory(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def with_open_input(*args):
    """Runs it with a standard input that has nothing and does not end."""
    reader, writer = os.pipe()
    with open(reader, "rb") as stdin, open(writer, "wb"):
        return connect(*args, stdin=stdin)


class Ends(Case):
    """Who ends first, how, and with which exit code."""

    def test_the_answer_comes_behind_the_end_of_standard_input(self):
        with Script(lambda peer: peer.send(b"all %d" % len(peer.read_all()))) as server:
            result = connect("::1", server.port, "--raw", stdin=b"question")
        self.assertEqual((result.code, result.out), (0, b"all 8"))

    def test_a_late_answer_meets_no_limit(self):
        with Script(lambda peer: (peer.read_all(), time.sleep(2.5), peer.send(b"late"))) as server:
            result = connect("::1", server.port, "--raw", "--connect-timeout", "1s")
        self.assertEqual((result.code, result.out), (0, b"late"))

    def test_the_end_of_the_peer_ends_it_while_standard_input_is_open(self):
        with Script(lambda peer: peer.send(b"bye")) as server:
            result = with_open_input("::1", server.port, "--raw")
        self.assertEqual((result.code, result.out, result.err), (0, b"bye", b""))

    def test_a_peer_that_has_ended_its_side_gets_all_that_is_there(self):
        received = []

        def serve(peer):
            peer.end()
            received.append(read_to_end(lambda room: peer.socket.recv(room)))

        with Script(serve) as server, tempfile.TemporaryFile() as file:
            for piece in pieces():
                file.write(piece)
            file.flush()
            file.seek(0)
            result = connect("::1", server.port, "--raw", stdin=file)
            self.assertEqual((result.code, result.out, result.err), (0, b"", b""))
        self.assertEqual(received, [(ALL, MUCH)])

    def test_a_peer_that_closes_amid_what_is_sent_is_a_reset(self):
        def serve(peer):
            peer.receive()
            peer.send(b"enough")

        with Script(serve) as server, open("/dev/zero", "rb") as zero:
            result = connect("::1", server.port, "--raw", stdin=zero)
        self.assertEqual(result.out, b"enough")
        self.assertFails(result, 7, "dialogue-reset")

    def test_a_reset_is_a_failure_behind_what_was_received(self):
        def serve(peer):
            peer.send(b"partial")
            peer.expect(b"x").reset()

        with Script(serve) as server:
            child = spawn(["--connect", "::1", str(server.port), "--raw"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, bufsize=0)
            self.assertEqual(child.stdout.read(7), b"partial")
            child.stdin.write(b"x")
            self.assertEqual(child.wait(LIMIT_S), 7)
            self.assertIn(b"(dialogue-reset)", child.stderr.read())
            for pipe in (child.stdin, child.stdout, child.stderr):
                pipe.close()

    def test_what_the_peer_sent_before_it_refused_more_is_written(self):
        """It answers and closes while more is on its way: the kernel answers that with a reset."""
        def serve(peer):
            peer.expect(b"0" * 1000)
            peer.send(b"HTTP/1.0 413 Too Large\r\n\r\n")

        with Script(serve) as server:
            for _ in range(20):
                child = spawn(["--connect", "::1", str(server.port), "--raw"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                with contextlib.suppress(BrokenPipeError), child.stdin:
                    child.stdin.write(b"0" * (1 << 20))
                self.assertEqual(child.stdout.read(), b"HTTP/1.0 413 Too Large\r\n\r\n")
                self.assertEqual(child.wait(LIMIT_S), 7)
                child.stdout.close()

    def test_closed_standard_input_and_dev_null_end_this_side_at_once(self):
        for options in ({"wrap": shell("<&-")}, {"wrap": shell("</dev/null")}):
            with Script(lambda peer: peer.expect_eof().send(b"nothing came")) as server:
                result = connect("::1", server.port, "--raw", **options)
            self.assertEqual((result.code, result.out, result.err), (0, b"nothing came", b""))

    def test_a_directory_as_standard_input_is_an_error(self):
        with Script(lambda peer: peer.read_all()) as server:
            result = connect("::1", server.port, "--raw", wrap=shell("</"))
        self.assertFails(result, 8, "system-file")

    def test_a_fifo_is_read_to_its_end(self):
        with tempfile.TemporaryDirectory() as folder, Script(lambda peer: peer.send(peer.read_all())) as server:
            path = os.path.join(folder, "fifo")
            os.mkfifo(path)
            child = spawn(["--connect", "::1", str(server.port), "--raw"], wrap=shell(f"<{path}"), stdout=subprocess.PIPE)
            with open(path, "wb") as fifo:
                fifo.write(b"through a fifo")
            self.assertEqual(child.stdout.read(), b"through a fifo")
            self.assertEqual(child.wait(LIMIT_S), 0)
            child.stdout.close()

    def test_descriptors_keep_their_flags(self):
        for blocking in (True, False):
            ours, theirs = socket.socketpair()
            theirs.setblocking(blocking)
            with Script(lambda peer: peer.expect(b"x").send(b"y" * 300000).expect_eof()) as server:
                child = spawn(["--connect", "::1", str(server.port), "--raw"], stdin=theirs.fileno(), stdout=theirs.fileno())
                ours.sendall(b"x")
                self.assertEqual(len(ours.recv(300000, socket.MSG_WAITALL)), 300000)
                self.assertEqual(theirs.getblocking(), blocking)
                ours.shutdown(socket.SHUT_WR)
                self.assertEqual(child.wait(LIMIT_S), 0)
                self.assertEqual(os.get_blocking(theirs.fileno()), blocking)
            ours.close()
            theirs.close()

    def test_the_limit_of_the_run_names_what_was_moved(self):
        def attempt(limit_s):
            with Script(lambda peer: peer.send(b"abc").expect_eof()) as server:
                result = with_open_input("::1", server.port, "--raw", "--timeout", ms(limit_s))
            self.assertFails(result, 7, "dialogue-timeout")
            self.assertIn(f"--timeout ({limit_s:g} s) expired while the connection was open: sent 0 bytes, received 3".encode(),
                          result.err)
        unhurried(attempt, 0.4)

    def test_v_reports_the_connection_and_the_bytes(self):
        with Script(lambda peer: peer.send(peer.read_all() * 2)) as server:
            result = connect("::1", server.port, "--raw", "-v", stdin=b"12345")
        self.assertEqual((result.code, result.out), (0, b"1234512345"))
        self.assertRegex(result.err, rb"^Connected to \[::1\]:\d+ from .*\nSent 5 bytes, received 10\n$")

    def test_explain_quotes_in_bounds(self):
        with Script(lambda peer: peer.send(b"z" * 100000).read_all()) as server:
            result = connect("::1", server.port, "--raw", "--explain", stdin=b"q" * 100000)
        self.assertEqual((result.code, len(result.out)), (0, 100000))
        self.assertIn(b"SHUT_WR", result.err)
        self.assertLess(max(map(len, result.err.splitlines())), 1000)


class Outputs(Case):

    def test_full_and_closed_and_without_a_reader(self):
        reader, writer = os.pipe()
        os.close(reader)
        with open("/dev/full", "wb") as full, open(writer, "wb", closefd=False) as broken:
            for options in ({"stdout": full}, {"stdout": broken}, {"wrap": shell(">&-")}):
                with Script(lambda peer: peer.send(b"bytes").expect_eof()) as server:
                    result = connect("::1", server.port, "--raw", **options)
                self.assertFails(result, 8, "system-output")
        os.close(writer)

    def test_a_reader_that_does_not_read_delays_neither_a_limit_nor_an_interrupt(self):
        for options, number, code in ((["--timeout", "400ms"], None, 7), ([], signal.SIGINT, 130),
                                      ([], signal.SIGTERM, 143)):
            reader, writer = unread_pipe()
            sent = threading.Event()

            def serve(peer):
                peer.send(b"bytes")
                sent.set()
                with contextlib.suppress(ConnectionError):
                    peer.read_all()

            with Script(serve) as server, open("/dev/zero", "rb") as zero:
                child = spawn(["--connect", "::1", str(server.port), "--raw", *options], stdin=zero, stdout=writer,
                              stderr=subprocess.PIPE)
                os.close(writer)
                self.assertTrue(sent.wait(LIMIT_S))
                if number:
                    child.send_signal(number)
                child.communicate(timeout=LIMIT_S)
                self.assertEqual(child.returncode, code)
            os.close(reader)


class Terminals(Case):

    def test_what_could_drive_the_terminal_is_escaped_and_text_is_kept(self):
        hostile = b"HTTP/1.0 200 OK\r\nA:\tb\r\n\x1b]0;owned\x07\x1b[2J\x9b31mred\rover\b\n" + "Zoë 李\n".encode()
        for color in ([], ["--color", "always"], ["--color", "never"]):
            with Script(lambda peer: peer.send(hostile)) as server, \
                    Terminal("--connect", "::1", str(server.port), "--raw", *color) as terminal:
                terminal.expect("Zoë 李\r\n".encode())
                self.assertEqual(terminal.wait(), 0)
                shown = terminal.shown()
            self.assertIn(b"OK\r\r\nA:\tb\r\r\n\\x1b]0;owned\\x07\\x1b[2J\\x9b31mred\\rover\\x08\r\n", shown)
            self.assertNotIn(b"\x1b", shown)

    def test_a_character_that_the_end_cuts_is_shown_escaped(self):
        for cut, shown in (b"\xe2\x82", b"\\xe2\\x82"), (b"\xf0\x9f\x98", b"\\xf0\\x9f\\x98"), (b"\n\xc3", b"\r\n\\xc3"):
            with Script(lambda peer, cut=cut: peer.send(b"abc" + cut)) as server, \
                    Terminal("--connect", "::1", str(server.port), "--raw") as terminal:
                terminal.expect(b"abc" + shown + b"\r\n")
                self.assertEqual(terminal.wait(), 0)

    def test_bytes_to_a_pipe_are_whole_while_a_person_types(self):
        out, out_end = os.pipe()
        with Script(lambda peer: peer.expect(b"typed\n").send(b"\x1b[2J\0").expect_eof()) as server, \
                Terminal("--connect", "::1", str(server.port), "--raw", stdout=out_end) as terminal:
            os.close(out_end)
            terminal.send(b"typed\n")
            with open(out, "rb") as pipe:
                self.assertEqual(pipe.read(5), b"\x1b[2J\0")
                terminal.send(b"\x04")
                self.assertEqual(terminal.wait(), 0)

    def test_ctrl_d_ends_this_side_and_the_answer_is_shown(self):
        with Script(lambda peer: peer.send(b"got " + peer.read_all())) as server, \
                Terminal("--connect", "::1", str(server.port), "--raw") as terminal:
            terminal.send(b"line\n\x04").expect(b"got line\r\n")
            self.assertEqual(terminal.wait(), 0)
            self.assertEqual(terminal.attributes(), terminal.before)

    def test_the_end_of_the_peer_ends_it_while_a_line_is_typed(self):
        with Script(lambda peer: peer.send(b"bye\n")) as server, \
                Terminal("--connect", "::1", str(server.port), "--raw") as terminal:
            terminal.expect(b"bye\r\n")
            self.assertEqual(terminal.wait(), 0)

    def test_ctrl_c_ends_with_130_and_leaves_the_terminal_as_it_was(self):
        with Script(lambda peer: peer.send(b"prompt> ").expect_eof()) as server, \
                Terminal("--connect", "::1", str(server.port), "--raw") as terminal:
            terminal.expect(b"prompt> ").send(b"\x03")
            self.assertEqual(terminal.wait(), 130)
            self.assertEqual(terminal.attributes(), terminal.before)
            self.assertTrue(os.get_blocking(terminal._slave))

    def test_it_goes_on_after_a_stop(self):
        with Script(lambda peer: peer.send(b"1").expect(b"a\n").send(b"2").expect_eof()) as server, \
                Terminal("--connect", "::1", str(server.port), "--raw") as terminal:
            terminal.expect(b"1")
            terminal.process.send_signal(signal.SIGSTOP)
            terminal.send(b"a\n")
            terminal.process.send_signal(signal.SIGCONT)
            terminal.expect(b"2").send(b"\x04")
            self.assertEqual(terminal.wait(), 0)


class Usage(Case):

    def test_options_of_the_dialogue_are_refused(self):
        for words, both in ((["--framing", "line"], b"--raw and --framing"), (["--answer-timeout", "1s"], b"--raw and --answer-timeout"),
                            (["Michael"], b"--raw and NAMEs")):
            result = run("--connect", "::1", "1", "--raw", *words)
            self.assertFails(result, 2, "usage")
            self.assertIn(both, result.err)
        result = run("--probe", "::1", "1", "--raw")
        self.assertFails(result, 2, "usage")
        self.assertIn(b"--raw is for --connect, not for --probe", result.err)


if __name__ == "__main__":
    main()
