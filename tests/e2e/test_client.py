"""The client: where its names come from, what it prints, and how it reports failures."""

import contextlib
import itertools
import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import tempfile
import termios
import time
import unittest

from harness import (GOODBYE, IN_BACKGROUND, IS_ROOT, LIMIT_S, MUSL, OPENING, QUESTION, TOO_MANY, WELCOME, Case, Names,
                     Script, Server, Terminal, await_that, connect, environment, hello, listening, main, ms, needs_names,
                     refusing_port, run, shell, spawn, unhurried, unread_pipe)

HOSTS = "127.0.0.1 localhost here.example\n::1 localhost here.example\n127.0.0.1 four.example\nfd77::6 six.example\n"


def scripted(*words, ends=True):
    """A server that sends the next of the words after each line it receives; then, or never, it ends its side."""
    def serve(peer):
        for number, word in enumerate(words):
            received = b"" if number else b"\n"
            while not received.endswith(b"\n"):
                data = peer.receive()
                if not data:
                    return
                received += data
            peer.send(word)
        if ends:
            peer.end()
        with contextlib.suppress(ConnectionError):
            while peer.receive():
                pass
    return Script(serve)


class Sources(Case):
    """Names from arguments, from a pipe, from a file."""

    def test_names_come_from_arguments(self):
        with Server() as server:
            result = connect("::1", server.port, "Michael", "Tracy", "Sarah")
        self.assertDialogue(result, hello(b"Michael"), hello(b"Tracy"), hello(b"Sarah"))
        self.assertEqual(result.err, b"")

    def test_host_and_port_may_be_one_word(self):
        with Server() as server:
            self.assertDialogue(run("--connect", f"[::1]:{server.port}", "Michael"), hello(b"Michael"))
        with Server(listen=[("127.0.0.1", "0")]) as server:
            self.assertDialogue(run("--connect", f"127.0.0.1:{server.port}", "Michael"), hello(b"Michael"))

    def test_options_may_stand_before_and_behind_the_names(self):
        with Server() as server:
            result = run("--answer-timeout", "5s", "--connect", "::1", str(server.port), "Michael", "--framing", "line",
                         "Tracy")
        self.assertDialogue(result, hello(b"Michael"), hello(b"Tracy"))

    def test_what_follows_two_dashes_is_a_name(self):
        with Server() as server:
            result = connect("::1", server.port, "--", "--listen", "-4")
        self.assertDialogue(result, hello(b"--listen"), hello(b"-4"))

    def test_arguments_leave_standard_input_alone(self):
        with Server() as server:
            result = connect("::1", server.port, "Michael", stdin=b"Tracy\n")
        self.assertDialogue(result, hello(b"Michael"))

    def test_names_come_from_a_pipe_with_any_line_ends(self):
        with Server() as server:
            result = connect("::1", server.port, stdin=b"Michael\r\nTracy\n\nMi\rchael\n\xff\0\xfe\nSarah")
        self.assertDialogue(result, hello(b"Michael"), hello(b"Tracy"), QUESTION, hello(b"Mi\rchael"),
                            hello(b"\xff\0\xfe"), hello(b"Sarah"))

    def test_an_empty_pipe_sends_exit_only(self):
        with Server() as server:
            for stdin in (b"", None):
                self.assertDialogue(connect("::1", server.port, stdin=stdin))

    def test_an_empty_argument_is_asked_again(self):
        with Server() as server:
            self.assertDialogue(connect("::1", server.port, "", "Michael"), QUESTION, hello(b"Michael"))

    def test_many_names_come_from_a_file(self):
        names = [b"name %d" % i for i in range(5000)]
        with Server() as server:
            result = connect("::1", server.port, stdin=b"".join(n + b"\n" for n in names))
        self.assertDialogue(result, *map(hello, names))

    def test_a_pipe_is_answered_name_by_name(self):
        with Server() as server:
            child = spawn(["--connect", "::1", str(server.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          bufsize=0)
            seen = b""
            for name, answer in ((b"", OPENING), (b"Michael\n", hello(b"Michael")), (b"Tracy\n", hello(b"Tracy"))):
                child.stdin.write(name)
                wanted = seen + answer
                while len(seen) < len(wanted):
                    self.assertTrue(select.select([child.stdout], [], [], LIMIT_S)[0], seen)
                    data = os.read(child.stdout.fileno(), 65536)
                    self.assertTrue(data, seen)
                    seen += data
                self.assertEqual(seen, wanted)
            child.stdin.close()
            self.assertEqual(child.stdout.read(), GOODBYE)
            self.assertEqual(child.wait(LIMIT_S), 0)
            child.stdout.close()

    def test_exit_among_the_names_ends_the_dialogue(self):
        with Server() as server:
            self.assertDialogue(connect("::1", server.port, "Michael", "exit", "Tracy"), hello(b"Michael"))
            self.assertDialogue(connect("::1", server.port, stdin=b"Michael\nexit\nTracy\n"), hello(b"Michael"))

    def test_names_of_1024_bytes_are_sent_and_longer_ones_are_refused(self):
        longest = b"n" * 1024
        with Server() as server:
            self.assertDialogue(connect("::1", server.port, longest), hello(longest))
            self.assertDialogue(connect("::1", server.port, stdin=longest + b"\r\n"), hello(longest))
            for result in (connect("::1", server.port, longest + b"n"), connect("::1", server.port, "a\nb")):
                self.assertFails(result, 2, "usage")
                self.assertEqual(result.out, b"", "nothing is opened for a command line that is wrong")

    def test_a_line_too_long_is_reported_and_the_others_are_sent(self):
        with Server() as server:
            for long in (b"n" * 1025, b"n" * 1026, b"n" * 100_000):
                for lines in (b"Michael\n" + long + b"\nTracy\n", b"Michael\n" + long + b"\r\nTracy"):
                    result = connect("::1", server.port, stdin=lines)
                    self.assertFails(result, 2, "usage")
                    self.assertEqual(result.err.count(b"line 2"), 1, result.err)
                    self.assertIn(b"tcpgreet: 1 name was not sent (usage)", result.err)
                    self.assertEqual(result.out, OPENING + hello(b"Michael") + hello(b"Tracy") + GOODBYE)

    def test_endless_input_without_a_newline_neither_grows_nor_outlasts_a_limit_or_an_interrupt(self):
        with Server() as server:
            with open("/dev/zero", "rb") as zero:
                unhurried(lambda limit_s: self.assertFails(
                    connect("::1", server.port, "--timeout", ms(limit_s), stdin=zero), 7, "dialogue-timeout"), 0.4)
                child = spawn(["--connect", "::1", str(server.port)], stdin=zero, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
                self.assertEqual(os.read(child.stdout.fileno(), len(OPENING)), OPENING)
                child.send_signal(signal.SIGINT)
                self.assertEqual(child.wait(LIMIT_S), 130)
                child.stdout.close()

    def test_a_name_that_ends_with_cr_keeps_it(self):
        with Server() as server:
            for name in (b"Michael\r", b"\r", b"\r\r", b"Mi\rchael"):
                with self.subTest(name=name):
                    self.assertDialogue(connect("::1", server.port, name), hello(name))

    def test_odd_bytes_come_back_raw_on_a_pipe(self):
        names = [b"\x1b[31mred", b"\xff\xfe", b"!", b"a!\r", b"Server: Hello x!", "Zoë 李".encode(), b"%s%n",
                 bytes(b for b in range(1, 256) if b != 10)]
        with Server() as server:
            self.assertDialogue(connect("::1", server.port, *names), *map(hello, names))

    def test_closed_standard_input_is_no_crash(self):
        with Server() as server:
            result = connect("::1", server.port, "Michael", wrap=shell("<&-"))
            self.assertDialogue(result, hello(b"Michael"))
            self.assertIn(connect("::1", server.port, wrap=shell("<&-")).code, (0, 8))


class Persons(Case):
    """A person at a terminal."""

    def test_the_prompt_is_shown_before_anything_is_typed(self):
        with Server() as server, Terminal("--connect", "::1", str(server.port)) as terminal:
            terminal.expect(b"Server: Welcome!\r\n").expect(QUESTION)
            terminal.send(b"Michael\n").expect(b"Server: Hello Michael!\r\n").expect(QUESTION)
            terminal.send(b"exit\n").expect(b"Server: Good bye!\r\n")
            self.assertEqual(terminal.wait(), 0)

    def test_ctrl_d_sends_exit(self):
        with Server() as server, Terminal("--connect", "::1", str(server.port)) as terminal:
            terminal.expect(QUESTION).send(b"Michael\n").expect(QUESTION)
            terminal.send(b"\x04").expect(b"Server: Good bye!\r\n")
            self.assertEqual(terminal.wait(), 0)

    def test_ctrl_c_ends_with_130(self):
        with Server() as server, Terminal("--connect", "::1", str(server.port)) as terminal:
            terminal.expect(QUESTION).send(b"Mich").send(b"\x03")
            self.assertEqual(terminal.wait(), 130)
            self.assertEqual(terminal.attributes(), terminal.before)

    def test_the_terminal_is_left_as_it_was_found(self):
        with Server() as server, Terminal("--connect", "::1", str(server.port)) as terminal:
            terminal.expect(QUESTION).send(b"Michael\n").expect(QUESTION)
            self.assertTrue(terminal.attributes()[3] & termios.ICANON)
            terminal.send(b"\x04")
            self.assertEqual(terminal.wait(), 0)
            self.assertEqual(terminal.attributes(), terminal.before)

    def test_the_terminal_is_left_blocking(self):
        with Server() as server, Terminal("--connect", "::1", str(server.port)) as terminal:
            terminal.expect(QUESTION).send(b"\x04")
            self.assertEqual(terminal.wait(), 0)
            self.assertTrue(os.get_blocking(terminal._slave))

    def test_a_person_is_not_hurried(self):
        def attempt(limit_s):
            with Server() as server, \
                    Terminal("--connect", "::1", str(server.port), "--answer-timeout", ms(limit_s)) as terminal:
                terminal.expect(QUESTION)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    terminal.process.wait(2 * limit_s)
                terminal.send(b"Michael\n").expect(b"Server: Hello Michael!\r\n").expect(QUESTION).send(b"\x04")
                self.assertEqual(terminal.wait(), 0)
        unhurried(attempt, 0.3)

    def test_lines_typed_ahead_are_names(self):
        with Server() as server, Terminal("--connect", "::1", str(server.port)) as terminal:
            terminal.send(b"Michael\nTracy\n").expect(b"Server: Hello Michael!\r\n").expect(b"Server: Hello Tracy!\r\n")
            terminal.expect(QUESTION).send(b"\x04")
            self.assertEqual(terminal.wait(), 0)

    def test_the_end_of_the_server_is_reported_while_a_line_is_typed(self):
        with scripted(OPENING) as server, Terminal("--connect", "::1", str(server.port)) as terminal:
            terminal.expect(QUESTION).expect(b"(dialogue-early-end)")
            self.assertEqual(terminal.wait(), 7)

    def test_what_could_drive_the_terminal_is_shown_escaped(self):
        name = b"\x1b[31mred\x9b2J"
        with Server() as server:
            with Terminal("--connect", "::1", str(server.port), name) as terminal:
                terminal.expect(b"Server: Hello \\x1b[31mred\\x9b2J!\r\n")
                self.assertEqual(terminal.wait(), 0)
                self.assertNotIn(b"\x1b[31m", terminal.shown())
            out, out_end = os.pipe()
            with Terminal("--connect", "::1", str(server.port), name, stdout=out_end) as terminal:
                os.close(out_end)
                self.assertEqual(terminal.wait(), 0)
            with open(out, "rb") as pipe:
                self.assertEqual(pipe.read(), OPENING + hello(name) + GOODBYE)

    def test_a_wrong_answer_is_shown_escaped_in_the_error(self):
        with scripted(OPENING, b"\x1b]0;owned\x07 who?\n", ends=False) as server:
            with Terminal("--connect", "::1", str(server.port), "Michael") as terminal:
                terminal.expect(b"(dialogue-wrong-answer)")
                self.assertEqual(terminal.wait(), 7)
                self.assertNotIn(b"\x1b]0", terminal.shown())

    def test_printable_text_of_any_language_is_shown_as_it_is(self):
        with Server() as server, Terminal("--connect", "::1", str(server.port), "Zoë 李 🦊") as terminal:
            terminal.expect("Server: Hello Zoë 李 🦊!\r\n".encode())
            self.assertEqual(terminal.wait(), 0)


class Interrupts(Case):

    def test_sigint_ends_a_piped_client_with_130(self):
        with Server() as server:
            child = spawn(["--connect", "::1", str(server.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.assertTrue(select.select([child.stdout], [], [], LIMIT_S)[0])
            child.send_signal(signal.SIGINT)
            self.assertEqual(child.wait(LIMIT_S), 130)
            child.stdin.close()
            child.stdout.close()

    def test_sigterm_ends_it_with_143(self):
        with Server() as server:
            child = spawn(["--connect", "::1", str(server.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
            self.assertEqual(os.read(child.stdout.fileno(), len(OPENING)), OPENING)
            child.send_signal(signal.SIGTERM)
            _, err = child.communicate(timeout=LIMIT_S)
            self.assertEqual((child.returncode, err), (143, b"tcpgreet: terminated by a signal (terminated)\n"))

    @unittest.skipUnless(IS_ROOT, "needs root, for a process namespace")
    def test_the_first_process_of_a_container_ends_at_sigterm_and_at_sigint(self):
        modes = (["--connect"], ["--probe"], ["--bench", "--duration", "1m"])
        with scripted(OPENING, ends=False) as server:
            for mode, number in itertools.product(modes, (signal.SIGINT, signal.SIGTERM)):
                with self.subTest(mode=mode, number=number):
                    before = len(server.peers)
                    child = spawn([mode[0], server.host, str(server.port), *mode[1:]], wrap=["unshare", "-pf"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                    await_that(lambda: len(server.peers) > before, "a connection")
                    os.kill(int(pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text()), number)
                    child.communicate(timeout=LIMIT_S)
                    self.assertEqual(child.returncode, 128 + number)

    def test_sigint_while_connecting_ends_with_130(self):
        with silent_port() as port:
            child = spawn(["--connect", "::1", str(port), "-v"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
            await_sigint_handler(child.pid)
            child.send_signal(signal.SIGINT)
            self.assertEqual(child.wait(LIMIT_S), 130)

    def test_a_sigint_that_is_ignored_does_not_end_it(self):
        with Server() as server:
            child = spawn(["--connect", "::1", str(server.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          wrap=IN_BACKGROUND)
            self.assertEqual(os.read(child.stdout.fileno(), len(OPENING)), OPENING)
            child.send_signal(signal.SIGINT)
            out, _ = child.communicate(b"Michael\n", timeout=LIMIT_S)
            self.assertEqual((child.returncode, out), (0, hello(b"Michael") + GOODBYE))


def await_sigint_handler(pid):
    """Until the program has a handler for SIGINT, the kernel ends it."""
    def caught():
        with open(f"/proc/{pid}/status") as status:
            return int(re.search(r"SigCgt:\s*([0-9a-f]+)", status.read())[1], 16) & 1 << signal.SIGINT - 1
    await_that(caught, "a handler for SIGINT")


@contextlib.contextmanager
def silent_port():
    """A port whose SYNs get no answer: its backlog is full."""
    with listening("::1", backlog=0) as listener, contextlib.ExitStack() as stack:
        port = listener.getsockname()[1]
        for _ in range(8):
            filler = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_STREAM))
            filler.setblocking(False)
            filler.connect_ex(("::1", port))
            if not select.select([], [filler], [], 0.1)[1]:
                break
        yield port


class Connecting(Case):
    """Failures before any data was sent."""

    def test_refused(self):
        with refusing_port() as port:
            result = connect("::1", port, "Michael")
        self.assertFails(result, 4, "connect-refused")
        self.assertIn(f"[::1]:{port}".encode(), result.err)
        self.assertEqual(result.out, b"")

    def test_no_answer_in_time(self):
        with silent_port() as port:
            result = connect("::1", port, "--connect-timeout", "400ms")
        self.assertFails(result, 4, "connect-timeout")
        self.assertBetween(result.seconds, 0.39, 5)

    def test_a_name_that_is_not_there(self):
        result = connect("missing.invalid", 6000, "--connect-timeout", "5s")
        self.assertFails(result, 3, "resolve-(not-found|temporary)")
        self.assertIn(b"missing.invalid", result.err)

    @needs_names
    def test_an_unknown_name_and_an_unreachable_name_server_differ(self):
        with Names(HOSTS) as names:
            if not MUSL:  # which has no nsswitch.conf and asks a name server in any case
                self.assertFails(connect("missing.invalid", 6000, wrap=names.wrap), 3, "resolve-not-found")
        with Names(HOSTS, dns=True) as names:
            result = connect("missing.invalid", 6000, "--connect-timeout", "8s", wrap=names.wrap)
            self.assertFails(result, 3, "resolve-temporary")

    @needs_names
    def test_an_ipv4_mapped_address_is_ipv4(self):
        mapped = "::ffff:127.0.0.1"
        with Names(f"{mapped} mapped.example\n") as names, Server(listen=[(mapped, "0")]) as server:
            self.assertEqual(server.host, "127.0.0.1")
            for host in mapped, "mapped.example":
                with self.subTest(host):
                    result = connect(host, server.port, "Michael", "-v", wrap=names.wrap)
                    self.assertEqual((result.code, b"Connected to 127.0.0.1:" in result.err), (0, True), result)
                    found = json.loads(run("--probe", host, str(server.port), "--format", "json", wrap=names.wrap).out)
                    self.assertEqual([a["address"] for a in found["addresses"]], ["127.0.0.1"])
                    self.assertEqual(found["addresses"][0]["family"], "ipv4")
            self.assertFails(connect(mapped, server.port, "-6"), 2, "usage")
            self.assertFails(connect("mapped.example", server.port, "-6", wrap=names.wrap), 3, "resolve-not-found")
            if not MUSL:  # to which a mapped address is no IPv4 address
                self.assertEqual(connect("mapped.example", server.port, "-4", wrap=names.wrap).code, 0)

    @needs_names
    def test_a_lookup_that_is_given_up_is_explained_as_that(self):
        with Names("", dns=True) as names, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as name_server:
            name_server.bind((names.name_server, 53))
            result = connect("missing.example", 6000, "--connect-timeout", "300ms", "--explain", wrap=names.wrap)
        self.assertFails(result, 3, "resolve-temporary")
        self.assertEqual(re.findall(rb"ms  (getaddrinfo.*?)  \[", result.err),
                         [b"getaddrinfo: cancel for " + record for record in (b"AAAA", b"A")])

    @needs_names
    def test_one_family_alone_is_used_when_asked(self):
        with Names(HOSTS) as names, Server(listen=[("::1", "0")]) as six:
            self.assertDialogue(connect("localhost", six.port, "Michael", wrap=names.wrap), hello(b"Michael"))
            for option in ("-6", "--ipv6"):
                self.assertDialogue(connect("localhost", six.port, option, wrap=names.wrap))
            for option in ("-4", "--ipv4"):
                self.assertFails(connect("localhost", six.port, option, wrap=names.wrap), 4, "connect-refused")
        with Names(HOSTS) as names, Server(listen=[("127.0.0.1", "0")]) as four:
            self.assertDialogue(connect("localhost", four.port, "Michael", wrap=names.wrap), hello(b"Michael"))
            self.assertDialogue(connect("localhost", four.port, "-4", wrap=names.wrap))
            self.assertFails(connect("localhost", four.port, "-6", wrap=names.wrap), 4, "connect-refused")

    @needs_names
    def test_a_family_that_a_name_does_not_have_is_not_found(self):
        with Names(HOSTS) as names:
            self.assertFails(connect("four.example", 6000, "-6", wrap=names.wrap), 3, "resolve-not-found")
            self.assertFails(connect("six.example", 6000, "-4", wrap=names.wrap), 3, "resolve-not-found")

    def test_the_limit_of_the_whole_run_reports_what_it_interrupted(self):
        with silent_port() as port:
            result = connect("::1", port, "--timeout", "300ms")
        self.assertFails(result, 4, "connect-timeout")
        self.assertIn(f"--timeout (0.3 s) expired while connecting to [::1]:{port}".encode(), result.err)

        def attempt(limit_s):
            reader, writer = os.pipe()
            with Server() as server, open(writer, "wb"), open(reader, "rb") as silent:
                result = connect("::1", server.port, "--timeout", ms(limit_s), stdin=silent)
            self.assertFails(result, 7, "dialogue-timeout")
            self.assertIn(b"expired while waiting for a name on standard input", result.err)
        unhurried(attempt, 0.3)

    @needs_names
    def test_a_limit_that_expires_during_name_resolution_is_a_temporary_failure(self):
        with Names(HOSTS, dns=True) as names, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as name_server:
            name_server.bind((names.name_server, 53))
            result = connect("missing.example", 6000, "--timeout", "300ms", wrap=names.wrap)
        self.assertFails(result, 3, "resolve-temporary")
        self.assertIn(b"--timeout (0.3 s) expired while resolving missing.example", result.err)

    def test_v_reports_the_address_and_the_connect_time(self):
        with Server() as server:
            result = connect("::1", server.port, "-v", "Michael")
        self.assertDialogue(result, hello(b"Michael"))
        self.assertRegex(result.err.decode(), rf"\[::1\]:{server.port}\D.*\d ?(µs|us|ms|s)\b")

    def test_the_source_address_is_the_one_asked_for(self):
        def serve(peer):
            peer.send(OPENING).expect(b"exit\n").send(GOODBYE)
        with Script(serve, "127.0.0.1") as server:
            self.assertDialogue(connect("127.0.0.1", server.port, "--source", "127.0.0.5"))
        self.assertEqual([address[0] for address in server.peers], ["127.0.0.5"])

    def test_a_source_that_is_not_an_address_of_this_machine(self):
        with Server(listen=[("127.0.0.1", "0")]) as server:
            result = connect("127.0.0.1", server.port, "--source", "192.0.2.1")
        self.assertFails(result, 8, "system-address-not-available")
        self.assertIn(b"192.0.2.1", result.err)


class Answers(Case):
    """Servers that do not send what they should."""

    def fails(self, script, word, *args, out=None, **options):
        with script as server:
            result = connect(server.host, server.port, *(args or ("Michael",)), **options)
        self.assertFails(result, 7, word)
        if out is not None:
            self.assertEqual(result.out, out)
        return result

    def test_a_wrong_answer(self):
        for wrong in (b"Server: Hello Bob!\n", b"Server: Hello Michael?\n", b"server: Hello Michael!\n", b"\0", b"\n"):
            with self.subTest(wrong=wrong):
                self.fails(scripted(OPENING, wrong + QUESTION, ends=False), "dialogue-wrong-answer")

    def test_a_wrong_welcome(self):
        result = self.fails(scripted(b"SSH-2.0-OpenSSH_9.2\r\n", ends=False), "dialogue-wrong-answer")
        self.assertIn(b"SSH-2.0", result.err)

    def test_more_than_the_answer(self):
        self.fails(scripted(OPENING, hello(b"Michael") + b"Server: Hello?", ends=False), "dialogue-wrong-answer")

    def test_an_endless_wrong_answer_is_cut_short(self):
        def serve(peer):
            with contextlib.suppress(ConnectionError):
                for _ in range(10_000):
                    peer.send(b"x" * 65536)
        self.fails(Script(serve), "dialogue-wrong-answer")

    def test_an_early_end(self):
        for payload in (b"", b"Server: Wel", WELCOME, OPENING):
            with self.subTest(payload=payload):
                result = self.fails(scripted(payload), "dialogue-early-end", out=payload)
                self.assertNotIn(b"TLS", result.err)

    def test_an_early_end_in_mid_word(self):
        self.fails(scripted(OPENING, b"Server: Hel"), "dialogue-early-end", out=OPENING + b"Server: Hel")

    def test_an_end_without_good_bye(self):
        self.fails(scripted(OPENING, hello(b"Michael"), b""), "dialogue-early-end", out=OPENING + hello(b"Michael"))

    def test_a_good_bye_too_soon(self):
        self.fails(scripted(OPENING, GOODBYE), "dialogue-early-end", out=OPENING + GOODBYE)
        self.fails(scripted(OPENING + GOODBYE), "dialogue-early-end")

    def test_bytes_after_the_final_message(self):
        self.fails(scripted(OPENING, hello(b"Michael"), GOODBYE + b"x"), "dialogue-wrong-answer")

    def test_no_end_after_good_bye(self):
        self.fails(scripted(OPENING, hello(b"Michael"), GOODBYE, ends=False), "dialogue-timeout", "Michael",
                   "--answer-timeout", "300ms")

    def test_too_many_connections(self):
        result = self.fails(scripted(TOO_MANY), r"dialogue-\S+", out=TOO_MANY)
        self.assertRegex(result.err, rb"too many connections")

    def test_no_answer_in_time(self):
        for words in ((b"",), (OPENING, b"Server: Hel")):
            with self.subTest(words=words):
                began = time.monotonic()
                self.fails(scripted(*words, ends=False), "dialogue-timeout", "Michael", "--answer-timeout", "300ms")
                self.assertBetween(time.monotonic() - began, 0.29, 5)

    def test_an_answer_sent_byte_by_byte_times_out(self):
        def serve(peer):
            with contextlib.suppress(ConnectionError):
                for byte in OPENING:
                    peer.send(bytes([byte]))
                    if select.select([peer.socket], [], [], 0.1)[0]:
                        return
        self.fails(Script(serve), "dialogue-timeout", "Michael", "--answer-timeout", "400ms")

    def test_a_reset(self):
        def serve(peer):
            peer.send(OPENING).expect(b"Michael\n").reset()
        self.fails(Script(serve), "dialogue-reset")

    def test_a_reset_after_good_bye_is_no_clean_end(self):
        def serve(peer):
            peer.send(OPENING).expect(b"exit\n").send(GOODBYE).reset()
        with Script(serve) as server:
            self.assertIn(connect(server.host, server.port).code, (0, 7))

    def test_the_whole_run_has_a_limit(self):
        def attempt(limit_s):
            began = time.monotonic()
            result = self.fails(scripted(OPENING, ends=False), r"dialogue-timeout", "Michael", "--timeout", ms(limit_s))
            self.assertGreaterEqual(time.monotonic() - began, 0.95 * limit_s)
            self.assertIn(f"--timeout ({limit_s:g} s) expired while waiting for the server's answer".encode(), result.err)
        unhurried(attempt, 0.4)

    def test_an_answer_in_single_bytes_is_an_answer(self):
        def serve(peer):
            for received, payload in ((b"", OPENING), (b"Michael\n", hello(b"Michael")), (b"exit\n", GOODBYE)):
                peer.expect(received)
                for byte in payload:
                    peer.send(bytes([byte]))
        with Script(serve) as server:
            self.assertDialogue(connect(server.host, server.port, "Michael"), hello(b"Michael"))


class Outputs(Case):
    """A standard output that cannot take what is written to it is an error, neither death nor silence."""

    def test_closed(self):
        with Server() as server:
            result = connect("::1", server.port, "Michael", wrap=shell(">&-"))
        self.assertFails(result, 8, "system-output")

    def test_full(self):
        with Server() as server, open("/dev/full", "wb") as full:
            result = connect("::1", server.port, "Michael", stdout=full)
        self.assertFails(result, 8, "system-output")

    def test_a_closed_pipe(self):
        reader, writer = os.pipe()
        os.close(reader)
        with Server() as server:
            result = connect("::1", server.port, "Michael", stdout=writer)
        os.close(writer)
        self.assertFails(result, 8, "system-output")

    def test_the_reader_goes_away_on_the_way(self):
        with Server() as server:
            child = spawn(["--connect", "::1", str(server.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, bufsize=0)
            self.assertEqual(os.read(child.stdout.fileno(), len(OPENING)), OPENING)
            child.stdout.close()
            child.stdin.write(b"Michael\n")
            self.assertEqual(child.wait(LIMIT_S), 8)
            self.assertRegex(child.stderr.read(), rb"^tcpgreet: \S.* \(system-output\)\n$")
            child.stdin.close()
            child.stderr.close()

    def test_a_slow_reader_gets_every_byte(self):
        names = [b"name %d" % i for i in range(4000)]
        with Server() as server:
            out, out_end = os.pipe()
            child = spawn(["--connect", "::1", str(server.port)], stdin=subprocess.PIPE, stdout=out_end)
            os.close(out_end)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.communicate(b"".join(n + b"\n" for n in names), timeout=0.5)
            with open(out, "rb") as pipe:
                self.assertEqual(pipe.read(), OPENING + b"".join(map(hello, names)) + GOODBYE)
            self.assertEqual(child.wait(LIMIT_S), 0)

    def blocked(self, *args, **options):
        """The client with a standard output that is full and that no process reads."""
        reader, writer = unread_pipe()
        self.addCleanup(os.close, reader)
        child = spawn(["--connect", *args], stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.PIPE, **options)
        os.close(writer)
        return child

    def test_a_reader_that_does_not_read_delays_no_time_limit(self):
        def attempt(limit_s):
            with Server() as server:
                child = self.blocked("::1", str(server.port), "Michael", "--timeout", ms(limit_s))
                _, err = child.communicate(timeout=LIMIT_S)
            self.assertEqual(child.returncode, 8)
            self.assertIn(f"--timeout ({limit_s:g} s) expired while writing to standard output, which is not being read",
                          err.decode())
        unhurried(attempt, 0.4)

    def test_a_reader_that_does_not_read_delays_no_interrupt(self):
        with Server() as server:
            child = self.blocked("::1", str(server.port), "Michael")
            server.log.expect("is closed: ")
            child.send_signal(signal.SIGINT)
            _, err = child.communicate(timeout=LIMIT_S)
        self.assertEqual((child.returncode, err), (130, b"tcpgreet: interrupted (interrupted)\n"))

    def test_a_reader_that_does_not_read_pauses_the_dialogue_and_its_time_limit(self):
        names = b"".join(b"%01000d\n" % i for i in range(5000))

        def attempt(limit_s):
            with Server() as server, tempfile.TemporaryFile() as file:
                file.write(names)
                file.seek(0)
                reader, writer = os.pipe()
                child = spawn(["--connect", "::1", str(server.port), "--answer-timeout", ms(limit_s)], stdin=file,
                              stdout=writer, stderr=subprocess.DEVNULL)
                os.close(writer)
                with open(reader, "rb") as pipe:
                    await_that(lambda: self.is_settled(file, 1.2 * limit_s), "the client to wait", 3 * limit_s + LIMIT_S)
                    self.assertLess(os.lseek(file.fileno(), 0, os.SEEK_CUR), 1_000_000)
                    out = pipe.read()
                self.assertEqual(child.wait(LIMIT_S), 0)
            self.assertEqual(out, OPENING + b"".join(map(hello, names.split())) + GOODBYE)
        unhurried(attempt, 1)

    def is_settled(self, file, seconds):
        """Whether it has begun to read the file and does not go on for that long."""
        before = os.lseek(file.fileno(), 0, os.SEEK_CUR)
        time.sleep(seconds)
        return 0 < before == os.lseek(file.fileno(), 0, os.SEEK_CUR)

    def test_a_standard_error_that_is_not_read_delays_neither_a_time_limit_nor_an_interrupt(self):
        reader, writer = unread_pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        with scripted(OPENING, ends=False) as server:
            for mode in ["--connect", "--explain", "-v"], ["--connect"], ["--probe", "--explain"]:
                args = [mode[0], server.host, str(server.port), *mode[1:]]
                with self.subTest(args=args, by="a time limit"):
                    unhurried(lambda limit_s: self.assertEqual(
                        run(*args, "--timeout", ms(limit_s), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                            stderr=writer).code, 7), 0.4)
                with self.subTest(args=args, by="an interrupt"):
                    before = len(server.peers)
                    child = spawn(args, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=writer)
                    await_that(lambda: len(server.peers) > before, "a connection")
                    child.send_signal(signal.SIGINT)
                    self.assertEqual(child.wait(LIMIT_S), 130)
                    child.stdin.close()

    def test_a_standard_error_that_is_not_read_delays_no_exit(self):
        reader, writer = unread_pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        with refusing_port() as port:
            for code, args in ((2, ["--nonsense"]), (4, ["--connect", "::1", str(port)]), (0, ["--help"]),
                               (4, ["--bench", "::1", str(port)]), (4, ["--probe", "::1", str(port), "-v"]),
                               (4, ["--probe", "::1", str(port), "--retry", "400ms", "-v"])):
                with self.subTest(args):
                    self.assertEqual(run(*args, stderr=writer).code, code)

    def test_messages_to_a_slow_reader_are_written_in_full(self):
        with Server() as server:
            args = ["--connect", "::1", str(server.port), "--explain", *["Michael"] * 100]
            result = run(*args, wrap=["sh", "-c", '"$@" 2>&1 >/dev/null | (sleep 0.2; cat)', "sh"])
        self.assertGreater(len(result.out), 1 << 14)
        self.assertIn(b" shutdown(", result.out)
        self.assertNotIn(b"dropped", result.out)

    def test_standard_error_closed_is_no_crash(self):
        with refusing_port() as port:
            self.assertEqual(connect("::1", port, wrap=shell("2>&-")).code, 4)
        with Server() as server:
            self.assertDialogue(connect("::1", server.port, "Michael", "-v", wrap=shell("2>&-")), hello(b"Michael"))

    def test_everything_closed_never_writes_into_the_socket(self):
        received = []

        def serve(peer):
            peer.send(OPENING)
            while True:
                with contextlib.suppress(ConnectionError):
                    data = peer.receive()
                    received.append(data)
                    if data:
                        continue
                return
        with Script(serve) as server:
            result = connect(server.host, server.port, "Michael", "-v", wrap=shell("<&- >&- 2>&-"))
        self.assertEqual(result.code, 8)
        self.assertIn(b"".join(received), (b"", b"Michael\n"))


class Terminals(Case):
    """What the program prints to standard error can drive no terminal, whatever its character set."""

    def refused(self, *words, **options):
        with scripted(*words, ends=False) as server:
            result = connect("::1", server.port, "Michael", **options)
        self.assertFails(result, 7, "dialogue-wrong-answer")
        return result.err

    def test_bytes_that_drive_an_8_bit_terminal_are_escaped_outside_utf_8(self):
        payload = "Server: \u00c0 \u015b\n".encode()  # in UTF-8: c3 80, c5 9b
        self.assertIn("\u00c0 \u015b".encode(), self.refused(payload))
        self.assertIn(rb"\xc3\x80 \xc5\x9b", self.refused(payload, env=environment(LC_ALL="C")))

    def test_c1_controls_are_escaped_in_every_locale(self):
        for locale in ("C", "C.UTF-8"):
            err = self.refused(b"\x9b31m \xc2\x9b31m\n", env=environment(LC_ALL=locale))
            self.assertIn(rb"\x9b31m \xc2\x9b31m", err)

    def test_a_quote_inside_quoted_text_is_escaped(self):
        self.assertIn(rb'the server sent "its \"hi\" (', self.refused(b'its "hi" ('))
        with Script(lambda peer: peer.send(b'220 "x" ESMTP\r\n').receive()) as server:
            result = run("--probe", "::1", str(server.port))
        self.assertIn(rb'"220 \"x\" ESMTP', result.out)

    def test_an_argument_is_escaped_outside_utf_8(self):
        result = run("--connect", "::1", "6000", "--\u00c0", env=environment(LC_ALL="C"))
        self.assertFails(result, 2, "usage")
        self.assertIn(rb"--\xc3\x80", result.err)

    def test_microseconds_are_us_outside_utf_8(self):
        with Server() as server:
            for args in (["--probe"], ["--probe", "--count", "2", "--interval", "10ms"], ["--probe", "--format", "nagios"],
                         ["--bench", "--duration", "50ms"], ["--connect", "-v"]):
                result = run(args[0], "::1", str(server.port), *args[1:], env=environment(LC_ALL="C"))
                self.assertEqual(result.code, 0, result)
                self.assertTrue((result.out + result.err).isascii(), result)


class Descriptors(Case):
    """Where descriptors run out, that is what is reported."""

    def test_few_descriptors_are_reported_as_that_in_every_mode(self):
        with Server() as server:
            port = str(server.port)
            modes = (["--connect", "::1", port, "Michael"], ["--connect", "name.invalid", port],
                     ["--connect", "::1", port, "--tls"], ["--probe", "::1", port], ["--probe", "name.invalid", port],
                     ["--bench", "::1", port, "--connections", "1"])
            for limit in range(4, 13):
                for args in modes:
                    with self.subTest(limit=limit, args=args):
                        result = run(*args, wrap=["sh", "-c", f'ulimit -n {limit} && exec "$@"', "sh"])
                        self.assertFails(result, 8, "system-descriptors")


class Usage(Case):
    """A command line that cannot be meant is refused before anything is opened."""

    def test_refusals_name_what_is_wrong(self):
        refusals = (
            (["--connect", "::1"], "--connect"), (["--connect"], "--connect"), (["--listen"], "--listen"), ([], ""),
            (["--connect", "::1", "6000", "--listen", "::1", "6000"], "--listen|--connect"),
            (["--connect", "::1", "65536"], "65536"), (["--connect", "::1", "-1"], "--connect"),
            (["--connect", "", "6000"], "--connect"),
            (["--connect", "::1", "6000", "--no-such-option"], "--no-such-option"),
            (["--connect", "::1", "6000", "--answer-timeout"], "--answer-timeout"),
            (["--connect", "::1", "6000", "--answer-timeout", "soon"], "--answer-timeout"),
            (["--connect", "::1", "6000", "--answer-timeout", "-1s"], "--answer-timeout"),
            (["--connect", "::1", "6000", "--timeout", "1s", "--timeout", "2s"], "--timeout"),
            (["--connect", "::1", "6000", "--framing", "none"], "--framing"),
            (["--connect", "::1", "6000", "--idle-timeout", "1s"], "--idle-timeout"),
            (["--connect", "::1", "6000", "--source", "here"], "--source"),
            (["--connect", "::1", "6000", "-4", "-6"], "-4|-6|--ipv4|--ipv6"),
            (["--listen", "::1", "6000", "--framing", "bare"], "--framing"),
            (["--listen", "::1", "0", "--max-connections", "0"], "--max-connections"),
            (["--listen", "::1", "0", "--max-connections", "many"], "--max-connections"),
            (["--connect", "::1", "6000", "--connect", "::1", "6000"], "--connect"),
        )
        for args, named in refusals:
            with self.subTest(args=args):
                result = run(*args)
                self.assertFails(result, 2, "usage")
                self.assertIsNotNone(re.search(named, result.err.decode()), repr(result))
                self.assertEqual(result.out, b"")

    def test_an_argument_in_an_error_is_shown_escaped(self):
        result = run("--connect", "::1", "6000", "--\x1b[31m")
        self.assertFails(result, 2, "usage")
        self.assertNotIn(b"\x1b", result.err)

    def test_help_fits_a_terminal_and_names_every_exit(self):
        result = run("--help")
        self.assertEqual((result.code, result.err), (0, b""))
        self.assertLessEqual(max(map(len, result.out.decode().splitlines())), 80)
        for word in ("--listen", "--connect", "--framing", "--idle-timeout"):
            self.assertIn(word, result.out.decode())
        self.assertEqual(run("-h").out, result.out)

    def test_version_prints_the_versions_of_libraries(self):
        result = run("--version")
        self.assertEqual((result.code, result.err), (0, b""))
        self.assertRegex(result.out.decode(), r"^tcpgreet \d+\.\d+")
        self.assertRegex(result.out.decode(), r"libuv \d+\.\d+")
        self.assertEqual(run("-V").out, result.out)

    def test_help_that_cannot_be_written_is_an_error(self):
        for option in ("--help", "--version"):
            with open("/dev/full", "wb") as full:
                self.assertFails(run(option, stdout=full), 8, "system-output")


if __name__ == "__main__":
    main()
