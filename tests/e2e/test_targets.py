"""--probe --targets: lists, their errors, results as they come, summaries, signals, limits."""

import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import threading
import unittest

from harness import LIMIT_S, SANITIZED, Case, Lines, Script, Server, await_that, main, refusing_port, run, shell, spawn
from tls_harness import has_tls
from test_probe_mode import mute, validate

UNKNOWN = "fe80::1%nowhere0 1"  # no name server is asked for it


def targets(lines, *options, **more):
    """Probes a list from standard input."""
    text = lines if isinstance(lines, bytes) else "".join(f"{line}\n" for line in lines).encode()
    return run("--probe", "--targets", "-", *options, stdin=text, **more)


def objects(result):
    """The JSON objects of the targets by their line, and the summary."""
    *each, summary = [json.loads(line) for line in result.out.splitlines()]
    for found in (*each, summary):
        validate(found)
    return {found["line"]: found for found in each}, summary


def queued(fd):
    """How many bytes a pipe holds that its reader has not read."""
    return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0]


def accepting(peer):
    """Sends what a mail server would."""
    with contextlib.suppress(ConnectionError):
        peer.send(b"220 mail.example\r\n").read_all()


class Lists(Case):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tcpgreet-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def file(self, content):
        path = self.folder / "targets.txt"
        path.write_bytes(content)
        return path

    def test_a_list_comes_through_a_fifo_in_pieces_after_its_reader(self):
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        with Server() as server:
            process = spawn(("--probe", "--targets", fifo), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            with open(fifo, "wb", buffering=0) as writer:  # opens once there is a reader
                writer.write(b"::1 ")
                await_that(lambda: queued(writer) == 0, "the first piece is read")
                writer.write(f"{server.port}\n".encode())
            out, err = process.communicate(timeout=LIMIT_S)
        self.assertEqual((process.returncode, err), (0, b""))
        self.assertIn(b"1/1 targets OK", out)

    def test_a_fifo_without_a_writer_is_awaited_until_a_signal(self):
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        process = spawn(("--probe", "--targets", fifo), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        status = pathlib.Path(f"/proc/{process.pid}/status")
        await_that(lambda: int(re.search(r"SigCgt:\s+(\S+)", status.read_text())[1], 16) >> (signal.SIGTERM - 1) & 1,
                   "the handler of the signal")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.communicate(timeout=LIMIT_S)[0], b"")
        self.assertEqual(process.returncode, 143)

    def test_the_time_of_the_whole_run_ends_the_wait_for_a_list(self):
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        reader, writer = os.pipe()  # which stays open
        os.write(writer, b"::1 1\n")
        for name, stdin in (fifo, subprocess.DEVNULL), ("-", reader):
            process = spawn(("--probe", "--targets", name, "--timeout", "100ms"), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertRegex(process.communicate(timeout=LIMIT_S)[1], rb"^tcpgreet: --timeout \(0\.1 s\) expired before the end of ")
            self.assertEqual(process.returncode, 4)
        os.close(reader)
        os.close(writer)

    def test_blank_lines_comments_and_ends_of_lines_of_any_kind(self):
        with Server() as server:
            at = f"::1 {server.port}".encode()
            for text in (at, b"\xef\xbb\xbf" + at + b"\r\n", b"# all\n\n  \t\n" + at + b"  # the only one\n\n",
                         b"'::1' \"%d\"" % server.port, b"[::1]:%d --until dialogue\n" % server.port):
                done = run("--probe", "--targets", self.file(text), "--format", "json")
                self.assertEqual((done.code, done.err), (0, b""), repr(done))
                each, summary = objects(done)
                self.assertEqual([found["verdict"]["word"] for found in each.values()], ["ok"])
                self.assertEqual((summary["targets"], summary["finished"], summary["ok"]), (1, 1, 1))

    def test_every_wrong_line_is_reported_and_nothing_is_probed(self):
        with Script(mute) as script:
            path = self.file(b"::1 %d\nhost\nhost 1 --format json\nhost 1 'x\n\0\n" % script.port + b"a" * 4097)
            done = run("--probe", "--targets", path, "--format", "json")
        self.assertEqual(script.peers, [])
        self.assertEqual((done.code, done.out), (2, b""), repr(done))
        for line, part in ((2, "the port is missing"), (3, "--format concerns the whole run"), (4, "is not closed"),
                           (5, "NUL byte"), (6, "more than 4096 bytes")):
            self.assertRegex(done.err.decode(), f"tcpgreet: {path}:{line}: .*{part}.* \\(usage\\)\n")
        self.assertIn(f"tcpgreet: 5 lines of {path} are wrong (usage)\n", done.err.decode())

    def test_one_wrong_line_is_one_message_and_of_many_the_first_ten_are(self):
        done = targets(["host"])
        self.assertEqual(done.err.count(b"\n"), 2, repr(done))
        self.assertEqual(done.code, 2)
        done = targets(["host"] * 25)
        self.assertEqual(done.err.count(b"standard input:"), 10, repr(done))
        self.assertIn(b"25 lines of standard input are wrong, the first 10 are above", done.err)

    def test_a_list_without_targets_is_refused(self):
        for text in (b"", b"# none\n", b"\n \n"):
            done = targets(text)
            self.assertEqual((done.code, done.out), (2, b""), repr(done))
            self.assertIn(b"there is no target in standard input", done.err)

    def test_what_is_no_regular_file_is_refused(self):
        for path, word, code in ((self.folder, b"a directory", 8), ("/dev/null", b"a device", 8),
                                 (self.folder / "none", b"No such file", 2)):
            done = run("--probe", "--targets", path)
            self.assertEqual((done.code, done.out), (code, b""), repr(done))
            self.assertIn(word, done.err)

    @unittest.skipUnless(has_tls(), "needs a program with TLS")
    def test_a_file_that_a_line_names_is_looked_for_first(self):
        done = targets(["::1 1 --tls --ca /nonexistent/ca.pem", "::1 2"])
        self.assertEqual((done.code, done.out), (2, b""), repr(done))
        self.assertIn(b"standard input:1: --ca /nonexistent/ca.pem cannot be read", done.err)

    def test_options_for_one_target_are_refused(self):
        for options in (("--count", "2"), ("--interval", "1s"), ("--retry", "1s"), ("--plot", "x.svg"), ("--explain",)):
            done = targets(["::1 1"], *options)
            self.assertEqual(done.code, 2, repr(done))
            self.assertIn(f"{options[0]} is for one target: it cannot be used with --targets".encode(), done.err)
        self.assertIn(b"a COMMAND is for one target", targets(["::1 1"], "--", "ls").err)
        self.assertIn(b"--probe takes no HOST PORT", run("--probe", "::1", "1", "--targets", "x").err)
        self.assertIn(b"--parallel needs --targets", run("--probe", "::1", "1", "--parallel", "2").err)


class Results(Case):
    def setUp(self):
        super().setUp()
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.server = self.stack.enter_context(Server())
        self.refusing = self.stack.enter_context(refusing_port())
        self.mute = self.stack.enter_context(Script(mute))
        self.mail = self.stack.enter_context(Script(accepting))
        self.mixed = [f"::1 {self.server.port}", f"::1 {self.mute.port} --until dialogue --answer-timeout 50ms",
                      f"::1 {self.refusing}", UNKNOWN, f"::1 {self.mail.port}",
                      f"::1 {self.mute.port} " + ("--until tls --connect-timeout 200ms" if has_tls() else
                                                  "--until dialogue --answer-timeout 50ms")]
        self.words = ["ok", "dialogue-timeout", "connect-refused", "resolve-not-found", "ok",
                      "tls-silent-peer" if has_tls() else "dialogue-timeout"]

    def test_every_target_has_its_own_result_and_the_first_failure_in_the_list_is_the_exit_code(self):
        done = targets(self.mixed, "--format", "json")
        each, summary = objects(done)
        self.assertEqual([each[line]["verdict"]["word"] for line in sorted(each)], self.words)
        self.assertEqual((summary["targets"], summary["finished"], summary["ok"]), (6, 6, 2))
        self.assertEqual(summary["reasons"], {word: self.words.count(word) for word in self.words})
        self.assertEqual(summary["first_failure"]["word"], "dialogue-timeout")
        self.assertEqual(done.code, 7, repr(done))
        self.assertEqual(targets(self.mixed[2:], "-q").code, 4)
        self.assertEqual(targets(self.mixed[3:], "-q").code, 3)
        self.assertEqual(targets(self.mixed[:1], "-q").code, 0)

    @unittest.skipUnless(has_tls(), "needs a program with TLS")
    def test_each_line_has_its_own_verification(self):
        with Server("--tls") as server:
            each, summary = objects(targets([f"::1 {server.port}", f"::1 {server.port} --insecure", f"::1 {self.server.port}"] * 3,
                                            "--tls", "--until", "tls", "--format", "json"))
        words = [each[line]["verdict"]["word"] for line in sorted(each)]
        self.assertEqual(words, ["cert-self-signed", "ok", "tls-plaintext-peer"] * 3)
        self.assertEqual(summary["ok"], 3)

    def test_text_has_a_line_for_each_and_a_summary(self):
        done = targets(self.mixed)
        self.assertEqual((done.code, done.err), (7, b""), repr(done))
        lines, summary = done.out.decode().split("\n\n")
        lines = lines.splitlines()
        self.assertEqual(sorted(line.split()[0] for line in lines), sorted(word.replace("ok", "OK") for word in self.words))
        for line in lines:
            self.assertRegex(line, r"^\S+ +\S+ (ms|s|µs)  \S+:\d+(  .*)?$")
            self.assertEqual(re.search(r"(ms|s|µs)  ", line).end(), 34, line)
        self.assertRegex("\n".join(lines), rf"connect-refused +.*  \[::1\]:{self.refusing}  Connection refused")
        self.assertRegex("\n".join(lines), r'OK +.*through TCP; not a tcpgreet server \(it sent "220 mail.example"\)')
        self.assertIn("4/6 targets failed: ", summary)
        self.assertRegex(summary, r"time of those OK: median .*, p99 .*,\s+slowest ")
        self.assertEqual(targets(self.mixed, "-q").out, b"")

    @staticmethod
    def in_terminal(columns, path):
        """All that is written to a terminal so wide."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = spawn(("--probe", "--targets", path), stdin=subprocess.DEVNULL, stdout=slave)
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: no process has it open any more
            while data := os.read(master, 65536):
                shown += data
        os.close(master)
        process.wait(LIMIT_S)
        return shown.decode()

    def test_lines_fit_a_terminal(self):
        path = pathlib.Path(tempfile.mkdtemp(prefix="tcpgreet-e2e-")) / "list"
        self.addCleanup(shutil.rmtree, path.parent)
        path.write_text("\n".join(self.mixed))
        for columns in (40, 80, 120):
            shown = self.in_terminal(columns, path)
            self.assertIn("4/6 targets failed", shown)
            for line in shown.splitlines():
                self.assertLessEqual(len(line), columns if columns > 40 else 60, shown)

    def test_a_silent_target_does_not_hold_up_the_others(self):
        reader, writer = os.pipe()
        process = spawn(("--probe", "--targets", "-", "--parallel", "2"), stdin=subprocess.PIPE, stdout=writer,
                        stderr=subprocess.DEVNULL)
        os.close(writer)
        out = Lines(reader)
        process.stdin.write(f"::1 {self.mute.port} --until dialogue --answer-timeout 1h\n".encode()
                            + f"::1 {self.server.port}\n".encode() * 20)
        process.stdin.close()
        out.expect(r"^OK ", count=20)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(LIMIT_S), 143)
        out.join()
        self.assertIn(b"20/21 targets OK; 1 not finished", out.bytes())

    def test_signals_end_a_run_after_its_report(self):
        for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
            process = spawn(("--probe", "--targets", "-", "--format", "json"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
            process.stdin.write(f"::1 {self.refusing}\n::1 {self.mute.port} --until dialogue\n".encode())
            process.stdin.close()
            first = process.stdout.readline()
            process.send_signal(number)
            rest = process.stdout.read()
            self.assertEqual(process.wait(LIMIT_S), code)
            self.assertEqual(json.loads(first)["line"], 1)
            summary = json.loads(rest)
            validate(summary)
            self.assertEqual((summary["targets"], summary["finished"]), (2, 1))
            process.stdout.close()
            process.stderr.close()

    def test_a_signal_while_the_list_is_read_ends_the_program(self):
        for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
            process = spawn(("--probe", "--targets", "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            process.stdin.write(b"::1 1\n")
            process.stdin.flush()
            status = pathlib.Path(f"/proc/{process.pid}/status")
            await_that(lambda: int(re.search(r"SigCgt:\s+(\S+)", status.read_text())[1], 16) >> (number - 1) & 1,
                       "the handler of the signal")
            process.send_signal(number)
            self.assertEqual(process.wait(LIMIT_S), code)
            for stream in (process.stdin, process.stdout, process.stderr):
                stream.close()

    def test_the_time_of_the_whole_run_ends_what_is_in_flight(self):
        done = targets([f"::1 {self.mute.port} --until dialogue"] * 3, "--timeout", "300ms", "--parallel", "2", "--format", "json")
        each, summary = objects(done)
        self.assertEqual(sorted(each), [1, 2])
        self.assertEqual({found["verdict"]["word"] for found in each.values()}, {"dialogue-timeout"})
        self.assertEqual((summary["finished"], done.code), (2, 7), repr(done))
        done = targets([f"::1 {self.mute.port} --until dialogue --timeout 100ms", f"::1 {self.server.port}"])
        self.assertEqual(done.code, 7, repr(done))
        self.assertIn(b"--timeout (0.1 s) expired", done.out)

    def test_metrics_of_all_targets_stand_together(self):
        done = targets([*self.mixed, f"::1 {self.server.port} --until connect"], "--format", "prometheus")
        text = done.out.decode()
        heads = re.findall(r"^# TYPE (\S+)", text, re.M)
        self.assertEqual(len(heads), len(set(heads)))
        samples = [line for line in text.splitlines() if not line.startswith("#")]
        self.assertEqual(len(samples), len({line.rpartition(" ")[0] for line in samples}))
        success = re.findall(r'^tcpgreet_probe_success\{target="(\S+?)"(?:,line="(\d+)")?\} ([01])$', text, re.M)
        self.assertEqual(len(success), 7)
        self.assertEqual(sorted(line for target, line, _ in success if target == f"[::1]:{self.server.port}"), ["1", "7"])
        self.assertEqual([line for target, line, _ in success if target == f"[::1]:{self.refusing}"], [""])
        if shutil.which("promtool"):
            subprocess.run(["promtool", "check", "metrics"], input=done.out, check=True)

    def test_a_plugin_has_one_line_for_all_and_one_for_each_failure_or_doubt(self):
        done = targets(self.mixed, "--format", "nagios")
        first, *rest = done.out.decode().splitlines()
        self.assertEqual((done.code, done.err), (2, b""), repr(done))
        self.assertRegex(first, r"^TCPGREET CRITICAL - 4/6 targets failed: .* \|'ok'=2;;;0;6 'failed'=4;;;0;6 'median'=")
        self.assertEqual(len(rest), 4)
        for line in rest:
            self.assertRegex(line, r"^CRITICAL - ")
        done = targets(self.mixed[:1], "--format", "nagios")
        self.assertRegex(done.out, rb"^TCPGREET OK - 1/1 targets OK \|")
        self.assertEqual(done.code, 0)
        done = targets([self.mixed[0], f":: {self.server.port}"], "--format", "nagios")
        self.assertRegex(done.out, rb"^TCPGREET OK - 2/2 targets OK .*\nOK - .*; :: is no host's address,.*\n$")
        done = targets([f":: {self.server.port}", f":: {self.server.port} --until connect"])
        self.assertRegex(done.out, rb"(?m)^OK .*:\d+  :: is no host's address,")
        self.assertRegex(done.out, rb"(?m)^OK .*:\d+  through TCP; :: is no host's address,")
        done = targets([f"{self.mixed[0]} --warn total=0.000001"], "--format", "nagios")
        self.assertEqual(done.code, 1, repr(done))


class Limits(Case):
    def test_as_many_at_a_time_as_asked_for(self):
        changed, come, let_go, limit = threading.Condition(), [0], [0], 3

        def serve(peer):
            with changed:
                come[0] += 1
                self.assertLessEqual(come[0] - let_go[0], limit)
                changed.notify_all()
                changed.wait_for(lambda: come[0] >= limit, LIMIT_S)  # the first ones wait for each other
                let_go[0] += 1  # before it can know
            peer.send(b"hello\n").read_all()

        with Script(serve) as script:
            done = targets([f"::1 {script.port}"] * 300, "--parallel", str(limit), "--format", "json")
        each, summary = objects(done)
        self.assertEqual((len(each), summary["ok"], done.code), (300, 300, 0), repr(done)[-500:])

    def test_few_descriptors_lower_the_number_in_words(self):
        with Server() as server:
            done = targets([f"::1 {server.port}"] * 100, wrap=["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh"])
        self.assertEqual(done.code, 0, repr(done))
        self.assertIn(b"100/100 targets OK", done.out)
        self.assertRegex(done.err, rb"^tcpgreet: only \d targets are probed at a time: 64 descriptors may be open "
                                   rb"\(raise ulimit -n\)\n$")

    @unittest.skipIf(SANITIZED, "sanitizers need address space")
    def test_few_threads_make_names_slower_and_end_nothing(self):
        with Server(listen=(("127.0.0.1", "0"),)) as server:
            done = targets([f"localhost {server.port} -4"] * 64, wrap=["sh", "-c", 'ulimit -v 300000 && exec "$@"', "sh"])
        self.assertEqual(done.code, 0, repr(done))
        self.assertIn(b"64/64 targets OK", done.out)

    def test_a_reader_that_is_gone_ends_the_run(self):
        with Server() as server:
            done = targets([f"::1 {server.port}"] * 50, wrap=shell(">/dev/full"))
        self.assertEqual(done.code, 8, repr(done))
        self.assertIn(b"system-output", done.err)


if __name__ == "__main__":
    main()
