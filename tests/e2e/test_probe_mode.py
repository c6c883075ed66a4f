"""--probe as a command: exit codes, rounds, retries, COMMAND, and where its words go."""

import contextlib
import fcntl
import json
import os
import pathlib
import pty
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import unittest
import xml.etree.ElementTree as xml

from harness import (BINARY, GOODBYE, IN_BACKGROUND, LIMIT_S, OPENING, ROOT, Case, Lines, Names, Peer, Script, Server, Terminal,
                     demanding, environment, free_port, hello, main, ms, needs_names, refusing_port, run, shell, spawn, unhurried,
                     unread_pipe)
from probe_peers import sends
from tls_harness import has_tls

BOTH = "::1 both\n127.0.0.1 both\n"
NEVER_MET = "0.000001"  # seconds in which nothing is done


def probe(host, port, *options, **more):
    return run(*demanding(host, port, *options), **more)


def validate(found):
    """Holds an object against the schema that it names, where Python can."""
    with contextlib.suppress(ImportError):
        from jsonschema import Draft202012Validator
        name = found["schema"].removeprefix("tcpgreet.").replace(".", "-")
        Draft202012Validator(json.loads((ROOT / "docs" / f"{name}.schema.json").read_text())).validate(found)


def greet(peer):
    """One dialogue with a client that ends its names."""
    received = b""
    with contextlib.suppress(ConnectionError):
        peer.send(OPENING)
        while True:
            name, newline, rest = received.partition(b"\n")
            if not newline:
                data = peer.receive()
                if not data:
                    return
                received += data
            elif name == b"exit":
                peer.send(GOODBYE).end().read_all()
                return
            else:
                received = rest
                peer.send(hello(name))


def mute(peer):
    """Accepts the connection and sends nothing."""
    with contextlib.suppress(ConnectionError):
        peer.read_all()


@contextlib.contextmanager
def only_on_ipv6():
    """A server on ::1, and no listener on 127.0.0.1 with the same port."""
    with Server(listen=[("::1", str(free_port("::1")))]) as server, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as held:
        held.bind(("127.0.0.1", server.port))
        yield server


class Running:
    """A probe that goes on, its two outputs line by line."""

    def __init__(self, *args, **options):
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        try:
            self.process = spawn(("--probe", *args), stdin=subprocess.DEVNULL, stdout=out_end, stderr=err_end,
                                 **options)
        finally:
            os.close(out_end)
            os.close(err_end)
        self.out, self.err = Lines(out), Lines(err)

    def wait(self):
        code = self.process.wait(LIMIT_S)
        self.out.join()
        self.err.join()
        return code

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.wait()


def in_terminal(columns, *args, **env):
    """What a probe writes to a terminal so wide, as text."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = spawn(("--probe", *args), stdin=subprocess.DEVNULL, stdout=slave, env=environment(**env))
    os.close(slave)
    shown = b""
    with open(master, "rb", buffering=0) as terminal, contextlib.suppress(OSError):  # EIO: it is closed
        while data := terminal.read(65536):
            shown += data
    process.wait(LIMIT_S)
    return shown.decode()


class ProbeCase(Case):
    def assertEnds(self, result, code, in_out=b"", err=b""):
        """This exit code, these bytes somewhere in standard output, and exactly these in standard error."""
        self.assertEqual((result.code, result.err), (code, err), repr(result))
        self.assertIn(in_out, result.out, repr(result))


class ExitCodes(ProbeCase):
    def test_ok(self):
        with Server() as server:
            self.assertEnds(probe("::1", server.port), 0, b": OK, 1/1 address OK, ")

    def test_refused(self):
        with refusing_port() as port:
            self.assertEnds(probe("::1", port), 4, b"connect-refused")

    @needs_names
    def test_degraded_unless_one_address_is_enough(self):
        with Names(BOTH) as names, only_on_ipv6() as server:
            self.assertEnds(probe("both", server.port, wrap=names.wrap), 9, b"degraded, 1/2 addresses OK")
            self.assertEnds(probe("both", server.port, "--require", "any", wrap=names.wrap), 0)
            self.assertEnds(probe("both", server.port, "-6", wrap=names.wrap), 0)
            self.assertEnds(probe("both", server.port, "-4", wrap=names.wrap), 4, b"connect-refused")

    def test_a_limit_is_named_with_its_value(self):
        with Server() as server:
            done = probe("::1", server.port, "--warn", f"connect={NEVER_MET}")
            self.assertEnds(done, 10, b"threshold")
            self.assertRegex(done.out, rb"connect took \S+ s at \[::1\]:%d, outside --warn connect=0.000001\n"
                             % server.port)
            self.assertEnds(probe("::1", server.port, "--warn", "0:1000", "--crit", "2000"), 0)

    def test_words_that_no_zone_can_mend_are_not_blamed_on_one(self):
        for host, port, payload in (("::1", "nosuchservice", b"- There is no TCP service named nosuchservice: use a port"),
                                 ("fe80::1%nolink", "1", b"- There is no address fe80::1%nolink: this machine has no")):
            with self.subTest(host=host):
                self.assertEnds(probe(host, port), 3, payload)

    def test_the_name_is_not_blamed_for_an_unknown_service(self):
        done = probe("localhost", "nosuchservice")
        self.assertEnds(done, 3, b"IPv6: none (no such service); IPv4: none (no such service)\n")
        self.assertNotIn(b"no such name", done.out)

    def test_usage(self):
        for options in (["--count", "0"], ["--retry", "1s", "--count", "2"], ["--warn", "x"], ["--until", "end"]):
            with self.subTest(options=options):
                done = probe("::1", 1, *options)
                self.assertFails(done, 2, "usage")
                self.assertEqual(done.out, b"")

    def test_the_end_of_the_whole_run(self):
        with Script(mute) as server:
            self.assertEnds(probe("::1", server.port, "--timeout", "200ms"), 7, b"dialogue-timeout")

    def test_the_timeout_of_the_run_distinguishes_silence_from_a_stall(self):
        if b"built without TLS" in run("--version").out:
            self.skipTest("this program was built without TLS")
        def attempt(limit_s):
            with Script(mute) as server:
                done = probe("::1", server.port, "--tls", "--insecure", "--timeout", ms(limit_s), "-q", "--format", "json")
                self.assertEqual((done.code, json.loads(done.out)["verdict"]["word"]), (5, "tls-silent-peer"))
        unhurried(attempt, 0.3)

    def test_an_interrupt(self):
        with Script(mute) as server:
            for number, code, sentence in ((signal.SIGINT, 130, r"interrupted \(interrupted\)"),
                                           (signal.SIGTERM, 143, r"terminated by a signal \(terminated\)")):
                running = Running("::1", str(server.port), "--explain")
                running.err.expect("connect")
                self.assertEqual(running.end(number), code)
                word = b"interrupted" if number == signal.SIGINT else b"terminated"
                self.assertTrue(running.out.bytes().startswith(b"[::1]:%d: %s, 0/1 address OK, " % (server.port, word)))
                self.assertIn(b"connect ", running.out.bytes())
                running.err.expect(f"^tcpgreet: {sentence}$")

    def test_an_interrupt_that_is_ignored_does_not_end_it(self):
        with Server("--misbehave", "delay:300ms") as server:
            running = Running("::1", str(server.port), "--explain", wrap=IN_BACKGROUND)
            running.err.expect("connect")
            self.assertEqual(running.end(), 0)


class Output(ProbeCase):
    def test_quiet_is_silent_whatever_was_found(self):
        with Server() as server, refusing_port() as port:
            for done, code in ((probe("::1", server.port, "-q"), 0), (probe("::1", port, "-q"), 4),
                               (probe("::1", server.port, "-q", "--count", "2", "--interval", "10ms"), 0),
                               (probe("::1", server.port, "-q", "--crit", NEVER_MET), 10)):
                self.assertEqual((done.code, done.out, done.err), (code, b"", b""))

    def test_quiet_leaves_what_is_for_machines(self):
        with refusing_port() as port:
            done = probe("::1", port, "-q", "--format", "json")
            self.assertEqual((done.code, done.err), (4, b""))
            self.assertEqual(json.loads(done.out)["verdict"]["word"], "connect-refused")

    def test_json_is_one_line_and_the_sentence_is_for_people(self):
        with Server() as server, refusing_port() as port:
            ok = probe("::1", server.port, "--format", "json")
            self.assertEnds(ok, 0)
            self.assertEqual(ok.out.count(b"\n"), 1)
            self.assertEqual(json.loads(ok.out)["schema"], "tcpgreet.probe.v1")
            validate(json.loads(ok.out))
            self.assertFails(probe("::1", port, "--format", "json"), 4, "connect-refused")
            over = probe("::1", server.port, "--format", "json", "--crit", NEVER_MET)
            self.assertFails(over, 10, "threshold")
            self.assertEqual(json.loads(over.out)["verdict"]["word"], "threshold")

    def test_prometheus(self):
        with Server() as server:
            self.assertEnds(probe("::1", server.port, "--format", "prometheus"), 0, b"\n# TYPE ")

    def test_a_full_disk_is_reported(self):
        with Server() as server, open("/dev/full", "wb") as full:
            for options in [], ["--format", "json"], ["--format", "prometheus"], ["--count", "2"]:
                with self.subTest(options=options):
                    self.assertFails(probe("::1", server.port, *options, stdout=full), 8, "system-output")

    def test_a_reader_that_does_not_read_delays_neither_an_interrupt_nor_the_time_limit(self):
        reader, writer = unread_pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        for options in [], ["--format", "json"], ["--format", "prometheus"], ["--count", "9", "--interval", "100ms"]:
            with self.subTest(options=options), Server() as server:
                args = ["--probe", "::1", str(server.port), *options]
                child = spawn(args, stdout=writer, stderr=subprocess.PIPE)
                server.log.expect("is closed: ")
                child.send_signal(signal.SIGINT)
                _, err = child.communicate(timeout=LIMIT_S)
                self.assertEqual((child.returncode, err), (130, b"tcpgreet: interrupted (interrupted)\n"))
                unhurried(lambda limit_s: self.assertFails(run(*args, "--timeout", ms(limit_s), stdout=writer), 8, "system-output"),
                          0.5)

    def test_a_closed_standard_output_is_reported(self):
        with Server() as server:
            self.assertFails(probe("::1", server.port, wrap=shell(">&-")), 8, "system-output")

    def test_the_width_of_the_page_and_its_colours(self):
        with Server() as server:
            narrow = probe("::1", server.port, env=environment(COLUMNS="50"))
            wide = probe("::1", server.port, "--color", "always", env=environment(COLUMNS="120"))
            self.assertLessEqual(max(map(len, narrow.out.decode().splitlines())), 50)
            self.assertNotIn(b"\x1b", narrow.out)
            self.assertIn(b"\x1b[", wide.out)
            self.assertGreater(max(map(len, wide.out.decode().splitlines())), 80)

    def test_a_terminals_width_and_colours(self):
        with Server() as server:
            where = "::1", str(server.port)
            plain = in_terminal(120, *where)
            self.assertIn(max(map(len, plain.splitlines())), range(100, 121))
            self.assertNotIn("\x1b", plain)
            self.assertNotIn("\x1b", in_terminal(120, *where, NO_COLOR="", TERM="dumb"))
            self.assertIn("\x1b[", in_terminal(120, *where, NO_COLOR="", TERM="xterm"))
            self.assertNotIn("\x1b", in_terminal(120, *where, "--color=never", NO_COLOR="", TERM="xterm"))

    def test_a_terminal_that_is_not_utf8_gets_ascii(self):
        with Server() as server:
            done = probe("::1", server.port, "--count", "1", env=environment(LC_ALL="C"))
            self.assertEnds(done, 0, b" us")
            self.assertTrue(done.out.isascii(), done)
            self.assertTrue(probe("::1", server.port, env=environment(LC_ALL="C")).out.isascii())

    def test_the_plot_is_written_completely_or_the_reason_is_reported(self):
        with Server() as server, tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "probe.svg"
            for options in [], ["-q"], ["--count", "2", "--interval", "10ms"]:
                with self.subTest(options=options):
                    file.write_text("x" * 100000)
                    self.assertEnds(probe("::1", server.port, "--plot", file, *options), 0)
                    self.assertTrue(xml.parse(file).getroot().tag.endswith("svg"))
            nowhere = probe("::1", server.port, "--plot", f"{folder}/no/probe.svg")
            self.assertFails(nowhere, 2, "usage")
            self.assertIn(b"/no/probe.svg cannot be written: No such file or directory", nowhere.err)
            self.assertFails(probe("::1", server.port, "--plot", folder), 2, "usage")

    def test_nothing_is_connected_to_where_the_plot_cannot_be_written(self):
        with Script(mute) as server, tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
            fifo, local = f"{folder}/fifo", f"{folder}/socket"
            os.mkfifo(fifo)
            listener.bind(local)
            places = {"/no/where.svg": b"No such file or directory (create its directory first)",
                      folder: b"it is a directory (give the name of a file)",
                      fifo: b"it is a FIFO that no process reads from (start its reader first)",
                      local: b"it is a socket (give the name of a file)",
                      "/dev/full": b"No space left on device (free some, or give a place on another device)"}
            for mode in ["--probe", "::1", str(server.port)], ["--bench", "::1", str(server.port)], ["--bench-merge", fifo]:
                for place, why in places.items():
                    with self.subTest(mode=mode, place=place):
                        done = run(*mode, "--plot", place)
                        self.assertFails(done, 2, "usage")
                        self.assertIn(b"--plot %s cannot be written: %s" % (place.encode(), why), done.err)
            self.assertEqual(server.peers, [])

    @unittest.skipUnless(os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], check=False).returncode == 0,
                         "mounts a small file system")
    def test_a_plot_on_a_full_file_system_is_refused_before_the_run(self):
        with Script(mute) as server, tempfile.TemporaryDirectory() as folder:
            done = run("-m", "sh", "-c", 'mount -t tmpfs -o size=4k none "$0" && head -c 4096 /dev/zero >"$0/full" && '
                       'exec "$@"', folder, BINARY, "--probe", "::1", str(server.port), "--plot", f"{folder}/plot.svg",
                       executable="unshare")
            self.assertFails(done, 2, "usage")
            self.assertIn(b"cannot be written: No space left on device (free some,", done.err)
            self.assertEqual(server.peers, [])

    def test_a_fifo_gets_the_whole_plot_of_the_run(self):
        with Server() as server, tempfile.TemporaryDirectory() as folder:
            os.mkfifo(f"{folder}/fifo")
            reader = os.open(f"{folder}/fifo", os.O_RDONLY | os.O_NONBLOCK)
            try:
                self.assertEnds(run("--probe", "::1", str(server.port), "--plot", f"{folder}/fifo"), 0)
                self.assertTrue(xml.fromstring(os.read(reader, 65536)).tag.endswith("svg"))
            finally:
                os.close(reader)

    def test_a_plot_to_standard_output_stands_there_alone(self):
        with Server() as server, refusing_port() as port:
            for args in (["--probe"], ["--probe", "--count", "2", "--interval", "10ms"],
                         ["--bench", "--duration", "100ms"]):
                with self.subTest(args=args):
                    done = run(args[0], "::1", str(server.port), *args[1:], "--plot", "-")
                    self.assertEqual((done.code, done.err), (0, b""))
                    self.assertTrue(xml.fromstring(done.out).tag.endswith("svg"))
            done = probe("::1", port, "--plot", "-")
            self.assertFails(done, 4, "connect-refused")
            self.assertTrue(xml.fromstring(done.out).tag.endswith("svg"))
            self.assertFails(probe("::1", port, "--plot", "-", "--format", "json"), 2, "usage")

    def test_volume(self):
        with Server() as server:
            done = probe("::1", server.port, "--volume", "64k", "--format", "json")
            self.assertEnds(done, 0)
            self.assertGreaterEqual(json.loads(done.out)["addresses"][0]["volume"]["sent_bytes"], 65536)


    def test_a_slow_peer_does_not_delay_a_transfer_forever(self):
        with Server("--misbehave", "drip:2ms") as server:
            done = probe("::1", server.port, "--volume", "1M", "--answer-timeout", "500ms",
                         env=environment(COLUMNS="400"))
            self.assertEnds(done, 7, b" is not complete in time: no answer was complete within 1 s, after ")

    def test_what_came_before_the_end_of_the_run_is_quoted(self):
        rows = [("Server: Wel", "dialogue-timeout", "--until", "dialogue")]
        if has_tls():
            rows.append(("220 hi", "tls-plaintext-peer", "--tls"))
        if b"PCRE2" in run("--version").out:
            rows.append(("220 hi", "dialogue-timeout", "--expect", "^250"))
        for words, word, *options in rows:
            def attempt(limit_s):
                with Script(sends(words.encode())) as server:
                    done = run("--probe", "::1", str(server.port), *options, "--timeout", ms(limit_s), "--format", "json")
                verdict = json.loads(done.out)["verdict"]
                self.assertEqual(verdict["word"], word, verdict)
                self.assertIn(f'--timeout ({limit_s:g} s) expired: received "{words}"', verdict["text"])
            with self.subTest(options=options):
                unhurried(attempt, 0.3)

    def test_a_transfer_that_the_end_of_the_run_cuts_blames_no_path(self):
        def attempt(limit_s):
            with Server() as server:
                done = probe("::1", server.port, "--volume", "1024M", "--timeout", ms(limit_s),
                             env=environment(COLUMNS="400"))
            self.assertEnds(done, 7, f" is not complete in time: --timeout ({limit_s:g} s) expired.".encode())
            self.assertNotIn(b"large packets", done.out)
        unhurried(attempt, 0.3)


class Monitoring(ProbeCase):
    def plugin(self, code, state, *args):
        done = run("--probe", *args, "--format", "nagios")
        self.assertEqual((done.code, done.err), (code, b""), repr(done))
        self.assertRegex(done.out, rb"^TCPGREET %s - [^\n]+\n$" % state, repr(done))
        return done.out

    def test_states_and_their_codes(self):
        with Server() as server, refusing_port() as port:
            ok, closed = ("::1", str(server.port)), ("::1", str(port))
            self.assertIn(b" | ", self.plugin(0, b"OK", *ok))
            self.plugin(0, b"OK", *ok, "--warn", "1000")
            self.plugin(1, b"WARNING", *ok, "--warn", NEVER_MET)
            self.plugin(2, b"CRITICAL", *ok, "--warn", NEVER_MET, "--crit", NEVER_MET)
            self.plugin(2, b"CRITICAL", *closed)

    def test_a_wrong_command_line_is_unknown(self):
        self.assertEqual(self.plugin(3, b"UNKNOWN", "::1", "1", "--bogus|x"),
                         b"TCPGREET UNKNOWN - unknown option: --bogus/x (usage)\n")
        self.plugin(3, b"UNKNOWN", "::1", "1", "--count", "2")
        self.plugin(3, b"UNKNOWN", "::1", "1", "--tls", "--ca", "/nonexistent")

    def test_a_plot_that_cannot_be_written_is_unknown_in_one_line(self):
        with Server() as server:
            done = probe("::1", server.port, "--format", "nagios", "--plot", "/nowhere/probe.svg")
            self.assertEnds(done, 3, b"TCPGREET UNKNOWN - --plot /nowhere/probe.svg cannot be written: No such")
            self.assertEqual(done.out.count(b"\n"), 1)

    def test_a_line_that_cannot_be_written_is_unknown(self):
        with Server() as server, open("/dev/full", "wb") as full:
            done = probe("::1", server.port, "--format", "nagios", stdout=full)
            self.assertEqual(done.code, 3)
            self.assertIn(b"(system-output)", done.err)


class Rounds(ProbeCase):
    def test_so_many_lines_and_a_summary(self):
        with Server() as server:
            done = probe("::1", server.port, "--count", "3", "--interval", "10ms")
            self.assertEnds(done, 0)
            lines = done.out.decode().splitlines()
            for line in lines[:3]:
                self.assertRegex(line, rf"^\d\d:\d\d:\d\d \[::1\]:{server.port} OK \S+ \S+: resolve .*, close \S+ \S+$")
            self.assertEqual(lines[3:6], ["", f"[::1]:{server.port}: 3 rounds, 3 all OK",
                                          f"[::1]:{server.port}: 3 rounds, 0 failed (0 %)"])
            self.assertRegex(lines[6], r"^  total: min \S+ \S+, median \S+ \S+, p99 \S+ \S+$")
            self.assertRegex(lines[7], r"^  connect: min ")
            self.assertEqual(len(lines), 8)
            server.expect_counters(r"^Counters: 3 connections, ")

    def test_an_interrupt_ends_with_the_summary(self):
        with Server() as server:
            running = Running("::1", str(server.port), "--interval", "10ms")
            running.out.expect(r"\[::1\]:\d+ OK ", 3)
            self.assertEqual(running.end(), 0)
            running.out.expect(r"^\[::1\]:\d+: \d+ rounds, \d+ all OK$")
            self.assertEqual(running.err.bytes(), b"")

    def test_a_round_shows_how_long_the_failed_phase_took(self):
        with Script(mute) as server:
            done = probe("::1", server.port, "--count", "1", "--answer-timeout", "300ms")
            self.assertEqual(done.code, 7)
            self.assertRegex(done.out, rb"dialogue-timeout: resolve \S+ \S+, connect \S+ \S+, welcome failed after \S+ m?s\n")
        with refusing_port() as port:
            done = probe("::1", port, "--count", "1")
            self.assertRegex(done.out, rb"connect-refused: resolve \S+ \S+, connect failed after \S+ \S*s\n")

    def test_sigterm_ends_with_the_summary_and_143(self):
        with Server() as server:
            running = Running("::1", str(server.port), "--interval", "10ms")
            running.out.expect(r"\[::1\]:\d+ OK ", 3)
            self.assertEqual(running.end(signal.SIGTERM), 143)
            running.out.expect(r"^\[::1\]:\d+: \d+ rounds")

    def test_an_interrupt_before_the_first_round_is_over(self):
        with Script(mute) as server:
            running = Running("::1", str(server.port), "--interval", "1s", "--explain")
            running.err.expect("connect")
            self.assertEqual(running.end(), 130)
            self.assertEqual(running.out.bytes(), b"")

    def test_the_end_of_the_whole_run_ends_with_the_summary(self):
        def attempt(limit_s):
            with Server() as server:
                self.assertEnds(probe("::1", server.port, "--interval", "10ms", "--timeout", ms(limit_s)), 0, b"all OK\n")
        unhurried(attempt, 0.3)
        with Script(mute) as server:
            done = probe("::1", server.port, "--interval", "10ms", "--timeout", "200ms")
            self.assertEnds(done, 7, b": 1 round, 0 all OK, the worst dialogue-timeout: ")

    def test_the_code_is_that_of_the_worst_round(self):
        count = [0]

        def second_is_bad(peer):
            count[0] += 1
            if count[0] == 2:
                peer.reset()
            else:
                greet(peer)

        with Script(second_is_bad) as server:
            done = probe("::1", server.port, "--count", "3", "--interval", "10ms")
            self.assertEnds(done, 7, b": 3 rounds, 2 all OK, the worst dialogue-reset: ")
            self.assertIn(b": 3 rounds, 1 failed (33.3 %), mostly dialogue-reset\n", done.out)

    def test_json_lines_and_their_summary(self):
        with Server() as server:
            done = probe("::1", server.port, "--count", "2", "--interval", "10ms", "--format", "json")
            self.assertEnds(done, 0)
            *rounds, summary = map(json.loads, done.out.splitlines())
            self.assertEqual(len(rounds), 2)
            for one in *rounds, summary:
                validate(one)
            self.assertEqual([one["schema"] for one in rounds], ["tcpgreet.probe.v1"] * 2)
            self.assertEqual(summary["schema"], "tcpgreet.probe-summary.v1")
            self.assertEqual((summary["rounds"], summary["ok"]), (2, 2))
            self.assertEqual(summary["addresses"][0]["total_seconds"]["count"], 2)
        with refusing_port() as port:
            done = probe("::1", port, "--count", "2", "--interval", "10ms", "--format", "json")
            self.assertFails(done, 4, "connect-refused")
            summary = json.loads(done.out.splitlines()[-1])
            validate(summary)
            self.assertEqual(summary["addresses"][0]["reasons"], {"connect-refused": 2})

    def test_no_round_begins_before_the_last_is_over(self):
        lock, now, most = threading.Lock(), [0], [0]

        def slow(peer):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            threading.Event().wait(0.03)  # three intervals
            greet(peer)
            with lock:
                now[0] -= 1

        with Script(slow) as server:
            done = probe("::1", server.port, "--count", "4", "--interval", "10ms")
            self.assertEnds(done, 0, b": 4 rounds, 4 all OK")
        self.assertEqual(most[0], 1)

    @needs_names
    def test_a_change_of_addresses_is_reported(self):
        with Names("127.0.0.2 both\n") as names, Server(listen=[("0",)], announcements=2) as server:
            for options in [], ["--format", "json"]:
                with self.subTest(options=options):
                    running = Running("both", str(server.port), "--interval", "20ms", *options, wrap=names.wrap)
                    payload = running.err if options else running.out
                    running.out.expect("127.0.0.2", 2)
                    names.change("127.0.0.2 both\n127.0.0.3 both\n")
                    payload.expect(rf"both:{server.port}: .*now also .*127\.0\.0\.3:{server.port}")
                    names.change("127.0.0.3 both\n")
                    payload.expect(rf"both:{server.port}: .*no longer .*127\.0\.0\.2:{server.port}")
                    running.end()
                    running.out.expect(r'^127\.0\.0\.3:\d+: \d+ rounds?, |"schema":"tcpgreet.probe-summary.v1"')
                    names.change("127.0.0.2 both\n")


class LateServer:
    """A port that refuses until it is opened; then it greets."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        self.socket.bind(("::1", 0))
        self.socket.settimeout(LIMIT_S)
        self.port = self.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def open(self):
        self.socket.listen()
        self._thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                with Peer(self.socket.accept()[0]) as peer:
                    greet(peer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        if self._thread.ident:
            self._thread.join(LIMIT_S)


class Waiting(ProbeCase):
    def test_a_server_that_comes_up_later(self):
        with LateServer() as server:
            running = Running("::1", str(server.port), "--retry", "30s", "-v")
            running.err.expect(r"^\d\d:\d\d:\d\d \[::1\]:\d+ connect-refused", 2)
            server.open()
            self.assertEqual(running.wait(), 0)
            running.out.expect(": OK, 1/1 address")
            self.assertNotIn(b"refused", running.out.bytes())

    def test_it_gives_up_with_the_last_round(self):
        with refusing_port() as port:
            done = probe("::1", port, "--retry", "400ms")
            self.assertEnds(done, 4, b"connect-refused")
            self.assertEqual(done.out.count(b"connect-refused, 0/1"), 1)
            unhurried(lambda limit_s: self.assertGreaterEqual(
                probe("::1", port, "--retry", ms(limit_s), "-v").err.count(b" connect-refused: "), 2), 0.4)

    def test_a_signal_ends_it_with_the_report_of_the_last_failure(self):
        with refusing_port() as port:
            for number in signal.SIGINT, signal.SIGTERM:
                running = Running("::1", str(port), "--retry", "1m", "-v", "--", "true")
                running.err.expect(" connect-refused: ")
                self.assertEqual(running.end(number), 128 + number)
                running.err.expect(": connect-refused, 0 of 1|: connect-refused, 0/1")
            running = Running("::1", str(port), "--retry", "1m", "-v", "--format", "nagios")
            running.err.expect(" connect-refused: ")
            self.assertEqual(running.end(), 2)
            self.assertRegex(running.out.bytes(), rb"^TCPGREET CRITICAL - [^\n]*\n$")
            running = Running("::1", str(port), "--retry", "1m", "-v", "--format", "json")
            running.err.expect(" connect-refused: ")
            self.assertEqual(running.end(), 130)
            self.assertEqual(json.loads(running.out.bytes())["verdict"]["word"], "connect-refused")

    def test_a_round_is_cut_to_what_is_left(self):
        with Script(mute) as server:
            self.assertEnds(probe("::1", server.port, "--retry", "300ms"), 7, b"dialogue-timeout")

    def test_a_last_round_that_was_cut_short_does_not_hide_what_was_found(self):
        with Server("--misbehave", "delay:200ms") as server:
            unhurried(lambda limit_s: self.assertEnds(
                probe("::1", server.port, "--retry", ms(limit_s), "--crit", NEVER_MET, limit_s=limit_s + LIMIT_S), 10, b"threshold"),
                2)

    def test_an_exceeded_limit_is_not_ok(self):
        def attempt(limit_s):
            with Server() as server:
                args = "::1", server.port, "--retry", ms(limit_s), "--crit", NEVER_MET
                self.assertEnds(probe(*args), 10, b"threshold")
                self.assertEnds(probe(*args, "--format", "nagios", "--", "true"), 2, b"CRITICAL")
        unhurried(attempt, 0.2)


class Command(ProbeCase):
    def test_it_becomes_the_command_and_its_code_counts(self):
        with Server() as server:
            running = Running("::1", str(server.port), "--", "sh", "-c", "echo $$; exit 42")
            self.assertEqual(running.wait(), 42)
            self.assertEqual(running.out.bytes(), b"%d\n" % running.process.pid)
            self.assertEqual(running.err.bytes(), b"")

    def test_it_waits_and_then_becomes_the_command(self):
        with LateServer() as server:
            running = Running("::1", str(server.port), "--retry", "30s", "-v", "--", "echo", "up", "--", "-q")
            running.err.expect("connect-refused")
            server.open()
            self.assertEqual((running.wait(), running.out.bytes()), (0, b"up -- -q\n"))

    def test_no_command_runs_after_a_failure(self):
        with refusing_port() as port:
            for options in [], ["--retry", "200ms"]:
                done = probe("::1", port, *options, "--", "echo", "up")
                self.assertEqual((done.code, done.out), (4, b""), repr(done))
                self.assertIn(b"connect-refused", done.err)
            done = probe("::1", port, "-q", "--", "echo", "up")
            self.assertEqual((done.code, done.out, done.err), (4, b"", b""))

    def test_a_form_for_machines_stands_before_the_commands_output(self):
        with Server() as server:
            done = probe("::1", server.port, "--format", "json", "--", "echo", "up")
            self.assertEnds(done, 0)
            first, second = done.out.splitlines()
            self.assertEqual((json.loads(first)["verdict"]["word"], second), ("ok", b"up"))

    def test_it_inherits_no_descriptor_and_no_signal(self):
        look = "ls /proc/self/fd | wc -l; grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status"
        with Server() as server:
            here = subprocess.run(["sh", "-c", look], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
            done = probe("::1", server.port, "--", "sh", "-c", look)
            self.assertEqual(done.out, here.stdout)

    def test_an_interrupt_that_is_ignored_stays_so(self):
        with Server() as server:
            done = probe("::1", server.port, "--", "sh", "-c", "grep SigIgn /proc/self/status",
                         wrap=IN_BACKGROUND)
            self.assertEqual(int(done.out.split()[1], 16) & 1 << signal.SIGINT - 1, 1 << signal.SIGINT - 1)

    def test_a_command_that_cannot_run_has_the_exit_codes_of_env(self):
        with Server() as server:
            self.assertEnds(probe("::1", server.port, "--", "/nonexistent\x1b"), 127, err=
                            b"tcpgreet: all checks passed, but \"/nonexistent\\x1b\" cannot be run: No such file or directory\n")
            self.assertEnds(probe("::1", server.port, "--", "/etc"), 126, err=
                            b"tcpgreet: all checks passed, but \"/etc\" cannot be run: Permission denied\n")


class Progress(Case):
    """What a person sees while a probe takes long."""

    def test_a_retry_reports_its_attempts_and_the_last_result_on_a_terminal(self):
        with refusing_port() as port, Terminal("--probe", "::1", str(port), "--retry", "60s") as terminal:
            terminal.expect(f"Probing [::1]:{port}: ".encode()).expect(b" of 60 s, attempt ")
            terminal.expect(b", last result: connect-refused")
            terminal.process.send_signal(signal.SIGTERM)
            terminal.expect(b"\r" + b" " * 79 + b"\r").expect(b"connect-refused, 0/1 address")
            self.assertEqual(terminal.wait(), 143)

    def test_a_slow_probe_reports_its_time_and_leaves_nothing_of_it(self):
        with Script(lambda peer: peer.read_all()) as server, \
                Terminal("--probe", "::1", str(server.port), "--until", "dialogue", "--timeout", "30s",
                         "--answer-timeout", "2500ms") as terminal:
            terminal.expect(f"Probing [::1]:{server.port}: ".encode()).expect(b" s of 30 s")
            self.assertEqual(terminal.wait(), 7)
            self.assertIn(b"\r" + b" " * 79 + b"\r", terminal.shown())

    def test_without_a_terminal_and_with_quiet_nothing_is_reported(self):
        with Script(lambda peer: peer.read_all()) as server:
            options = "--probe", "::1", str(server.port), "--until", "dialogue", "--answer-timeout", "2500ms"
            self.assertEqual(run(*options).err.count(b"Probing"), 0)
            with Terminal(*options, "-q") as terminal:
                self.assertEqual(terminal.wait(), 7)
                self.assertNotIn(b"Probing", terminal.shown())


if __name__ == "__main__":
    main()
