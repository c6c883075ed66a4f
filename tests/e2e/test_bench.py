"""--bench and --bench-merge: whether what they count is what happened."""

import collections
import contextlib
import json
import os
import pathlib
import re
import resource
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import xml.etree.ElementTree as xml

try:
    from jsonschema import Draft202012Validator as Validator
except ImportError:  # not there, or too old: results are read without their schema
    Validator = None

import tls_harness
from harness import (GOODBYE, IN_BACKGROUND, LIMIT_S, OPENING, ROOT, Case, Names, Script, Server, Terminal, hello, listening,
                     main, ms, needs_names, refusing_port, run, shell, spawn, unhurried, unread_pipe)

SCHEMA = json.loads((ROOT / "docs" / "bench-v1.schema.json").read_text())
DUAL = {"listen": [("0",)], "announcements": 2}
SHORT = ("--duration", "300ms")
HOSTS = "127.0.0.1 localhost\n::1 both\n127.0.0.1 both\n"


def bench(host, port, *options, **more):
    return run("--bench", host, str(port), *options, **more)


def measured(result):
    """The one JSON object that a bench wrote, as its schema has it."""
    written = json.loads(result.out)
    if Validator is not None:
        Validator(SCHEMA).validate(written)
    return written


@contextlib.contextmanager
def deaf_port(host="127.0.0.1"):
    """A port whose queue is full, so that Linux drops further SYNs."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(listening(host, backlog=0))
        for _ in range(16):
            caller = held.enter_context(socket.socket(listener.family, socket.SOCK_STREAM))
            caller.settimeout(0.05)
            try:
                caller.connect(listener.getsockname())
            except socket.timeout:
                break
        else:
            raise unittest.SkipTest("no queue is ever full here")
        yield listener.getsockname()[1]


def names_received(peer):
    """Opens the dialogue, then yields the names of the peer until it ends."""
    peer.send(OPENING)
    received = b""
    while True:
        name, newline, rest = received.partition(b"\n")
        if newline:
            received = rest
            yield name
            continue
        data = peer.receive()
        if not data:
            return
        received += data


def greet(peer, answer=hello):
    """A dialogue in the server's role. answer: the bytes for a name; it may also do something else, and raise."""
    with contextlib.suppress(ConnectionError):
        for name in names_received(peer):
            if name == b"exit":
                peer.send(GOODBYE).end().read_all()
                return
            peer.send(answer(name))


class Counting:
    """An answer of which number `special` is another one, over all connections."""

    def __init__(self, special, otherwise):
        self._lock = threading.Lock()
        self._special = special
        self._otherwise = otherwise
        self.count = 0

    def __call__(self, name):
        with self._lock:
            self.count += 1
            special = self.count == self._special
        return self._otherwise(name) if special else hello(name)


class Gone(ConnectionError):
    """The answer was to go away."""


def values_from(histogram, seconds):
    """How many values are in buckets that begin at so many seconds or later."""
    def low_ns(bucket):
        return bucket if bucket < 2048 else (bucket % 1024 + 1024) << (bucket // 1024 - 1)
    return sum(count for bucket, count in histogram["buckets"] if low_ns(bucket) >= seconds * 1e9)


class BenchCase(Case):
    def bench(self, host, port, *options, code=0, **more):
        """Runs a bench; returns its result, whose parts fit each other."""
        done = bench(host, port, "--format", "json", *options, **more)
        self.assertEqual(done.code, code, repr(done))
        result = measured(done)
        self.assertEqual(result["schema"], "tcpgreet.bench.v1")
        for histogram, count in (("answers", "names"), ("connects", "connections")):
            self.assertEqual(result[histogram]["count"], result[count], histogram)
            self.assertEqual(sum(n for _, n in result[histogram]["buckets"]), result[count], histogram)
        self.assertEqual(sum(result["slots"]), result["names"])
        return result

    def assertScheduled(self, result, rate, seconds, workers):
        """An open loop sends a name for each that is due, or counts it as late."""
        count = result["names"] + result["late"]
        self.assertGreaterEqual(count, rate * seconds - 4 * workers)
        self.assertLessEqual(count, rate * result["duration_seconds"] + 4 * workers)

    def assertAgrees(self, server, *results):
        """The server counted what the benches counted."""
        connections, resumed, names = (sum(r[key] for r in results) for key in ("connections", "resumed", "names"))
        handshakes = sum(r["connections"] for r in results if r["tls"])
        server.expect_counters(rf"^Counters: {connections} connections, 0 open now, {handshakes} TLS handshakes, "
                               rf"{resumed} of them resumed, {names} names greeted, 0 closed without data, 0 rejected, "
                               "0 failed, 0 timed out, 0 unknown protocol, ")
        for result in results:
            self.assertEqual(result["failures"], {})


class CountsAgree(BenchCase):
    def test_kept_connections(self):
        with Server() as server:
            result = self.bench("::1", server.port, "--connections", "7", *SHORT)
            self.assertEqual(result["connections"], 7)
            self.assertGreater(result["names"], 7)
            self.assertFalse(result["open_loop"])
            self.assertAgrees(server, result)

    def test_three_names_a_connection(self):
        def attempt(seconds):
            with Server() as server:
                result = self.bench("::1", server.port, "--names", "3", "--connections", "5", "--duration", ms(seconds))
                self.assertLessEqual(result["names"], 3 * result["connections"])
                self.assertGreater(result["names"], 3 * (result["connections"] - 6))
                self.assertAgrees(server, result)
                self.assertGreater(result["connections"], 5)
        unhurried(attempt, 0.3)

    def test_workers_on_both_sides(self):
        with Server("--workers", "2") as server:
            options = "--workers", "2", "--connections", "9", *SHORT
            kept = self.bench("::1", server.port, *options)
            self.assertEqual(kept["connections"], 9)
            self.assertAgrees(server, kept, self.bench("::1", server.port, "--names", "1", *options))

    def test_more_workers_than_connections(self):
        with Server() as server:
            result = self.bench("::1", server.port, "--workers", "8", "--connections", "2", *SHORT)
            self.assertEqual(result["connections"], 2)
            self.assertAgrees(server, result)

    @needs_names
    def test_both_families_in_turn(self):
        with Names(HOSTS) as names, Server(**DUAL) as server:
            result = self.bench("both", server.port, "--connections", "10", *SHORT, wrap=names.wrap)
            self.assertEqual(result["connections"], 10)
            self.assertAgrees(server, result)
            for address in (r"\[::1\]", r"127\.0\.0\.1"):
                server.log.expect(rf"Accept new connection from {address}:", 5)

    @needs_names
    def test_one_family_only(self):
        with Names(HOSTS) as names, Server(**DUAL) as server:
            self.assertAgrees(server, self.bench("both", server.port, "-4", "--connections", "4", *SHORT,
                                                 wrap=names.wrap))
            server.log.expect(r"Accept new connection from 127\.0\.0\.1:", 4)

    def test_the_open_loop_sends_as_many_names_as_are_scheduled(self):
        with Server() as server:
            result = self.bench("::1", server.port, "--rate", "1000", "--duration", "500ms")
            self.assertTrue(result["open_loop"])
            self.assertEqual(result["rate_asked"], 1000)
            self.assertScheduled(result, 1000, 0.5, workers=1)
            self.assertAgrees(server, result)

    def test_the_open_loop_of_several_workers_keeps_one_rate(self):
        with Server("--workers", "2") as server:
            result = self.bench("::1", server.port, "--rate", "1000", "--workers", "3", "--duration", "500ms")
            self.assertScheduled(result, 1000, 0.5, workers=3)
            self.assertAgrees(server, result)

    def test_the_open_loop_with_fresh_connections(self):
        with Server() as server:
            result = self.bench("::1", server.port, "--rate", "200", "--names", "1", "--connections", "4",
                                "--duration", "500ms")
            self.assertGreater(result["names"], 4)
            self.assertIn(result["connections"] - result["names"], range(5))  # for names that were not due any more
            self.assertScheduled(result, 200, 0.5, workers=1)
            self.assertAgrees(server, result)

    def test_no_connection_is_lost_under_a_load_of_connecting_and_closing(self):
        def attempt(seconds):
            with Server("--workers", "2") as server:
                result = self.bench("::1", server.port, "--names", "1", "--connections", "100", "--workers", "2",
                                    "--duration", ms(seconds))
                self.assertAgrees(server, result)
                self.assertGreater(result["connections"], 100)
        unhurried(attempt, 0.5)


class CountsAgreeOverTls(BenchCase):
    def setUp(self):
        super().setUp()
        if b"--tls is not available" in run("--connect", "::1", "1", "--tls").err:
            self.skipTest("this program was built without TLS")
        self.made = tls_harness.certificates()
        self.options = "--tls", "--ca", self.made.ca, "--connections", "4"

    def test_full_handshakes(self):
        def attempt(seconds):
            with Server("--tls", *self.made.serve()) as server:
                result = self.bench("::1", server.port, "--names", "2", *self.options, "--duration", ms(seconds))
                self.assertTrue(result["tls"])
                self.assertEqual(result["resumed"], 0)
                self.assertAgrees(server, result)
                self.assertGreater(result["connections"], 4)
        unhurried(attempt, 0.3)

    def test_resumed_handshakes(self):
        def attempt(seconds):
            with Server("--workers", "2", "--tls", *self.made.serve()) as server:
                result = self.bench("::1", server.port, "--names", "1", "--resume", *self.options, "--duration", ms(seconds))
                self.assertLess(result["resumed"], result["connections"])
                self.assertAgrees(server, result)
                self.assertGreater(result["resumed"], 0)
        unhurried(attempt, 0.3)

    def test_a_pending_handshake_at_the_end_is_reported_as_a_handshake(self):
        with listening() as silent:
            result = self.bench("::1", silent.getsockname()[1], *self.options, *SHORT, code=5)
        self.assertEqual((result["connections"], result["failures"]), (0, {"tls-silent-peer": 4}))

    def test_an_unknown_ca_ends_the_run_early(self):
        with Server("--tls", *self.made.serve()) as server:
            done = bench("::1", server.port, "--tls", "--ca", tls_harness.certificates("--bad").ca, "--duration", "1h",
                         "--format", "json")
            self.assertFails(done, 6, "cert-untrusted")
            self.assertEqual(list(measured(done)["failures"]), ["cert-untrusted"])


class ServersThatMisbehave(BenchCase):
    def failures(self, answer, *options, code=7):
        """What a bench of a server that answers so counts as failed."""
        with Script(lambda peer: greet(peer, answer)) as server:
            self.result = self.bench("::1", server.port, "--connections", "2", *SHORT, *options, code=code)
        return self.result["failures"]

    def test_one_wrong_byte_is_found(self):
        answer = Counting(5, lambda name: hello(name).replace(b"Hello", b"Hallo"))
        self.assertEqual(self.failures(answer), {"dialogue-wrong-answer": 1})
        self.assertEqual(self.result["names"], answer.count - 1)

    def test_the_answer_to_another_name_is_detected(self):
        answer = Counting(5, lambda name: hello(name[:-1] + (b"0" if name[-1:] != b"0" else b"1")))
        self.assertEqual(self.failures(answer), {"dialogue-wrong-answer": 1})

    def test_a_byte_too_many_is_found(self):
        answer = Counting(5, lambda name: hello(name) + b"\n")
        self.assertEqual(self.failures(answer), {"dialogue-wrong-answer": 1})

    def test_a_reset_is_reported(self):
        def reset(peer):
            def go(name):
                peer.reset()
                raise Gone
            greet(peer, Counting(3, go))
        with Script(reset) as server:
            result = self.bench("::1", server.port, "--connections", "2", *SHORT, code=7)
        self.assertEqual(list(result["failures"]), ["dialogue-reset"])
        self.assertGreaterEqual(result["failures"]["dialogue-reset"], 2)

    def test_an_early_end_is_reported(self):
        def leave(name):
            raise Gone
        self.assertEqual(list(self.failures(leave)), ["dialogue-early-end"])
        self.assertEqual(self.result["names"], 0)

    def test_silence_is_reported(self):
        failures = self.failures(lambda name: b"", "--answer-timeout", "200ms")
        self.assertEqual(list(failures), ["dialogue-timeout"])

    def test_a_pending_connect_at_the_end_is_reported_as_a_connect(self):
        with deaf_port() as port:
            result = self.bench("127.0.0.1", port, "--connections", "2", *SHORT, code=4)
        self.assertEqual((result["connections"], result["failures"]), (0, {"connect-timeout": 2}))

    def test_a_pending_answer_at_the_end_is_reported_as_an_answer(self):
        failures = self.failures(lambda name: b"")
        self.assertEqual((self.result["connections"], failures), (2, {"dialogue-timeout": 2}))

    def test_the_most_frequent_failure_is_the_exit_code(self):
        with Script(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n").end().read_all()) as server:
            done = bench("::1", server.port, "--connections", "2", *SHORT)
        self.assertFails(done, 7, "dialogue-wrong-answer")
        self.assertIn(b"No answer received.", done.out)

    def stalled(self, *options):
        """Latencies of four connections to a server that stops for 500 ms once, after 40 names."""
        calm = threading.Lock()

        def stall(name):
            with calm:
                time.sleep(0.5)
            return hello(name)

        pause = Counting(40, stall)

        def answer(name):
            with calm:
                pass
            return pause(name)

        with Script(lambda peer: greet(peer, answer)) as server:
            return self.bench("::1", server.port, "--connections", "4", "--duration", "1s", *options)["answers"]

    def test_a_stall_counts_for_every_name_that_was_due_meanwhile(self):
        answers = self.stalled("--rate", "200")
        self.assertGreaterEqual(answers["max"], 0.5)
        self.assertGreaterEqual(answers["p99"], 0.4)
        self.assertGreaterEqual(values_from(answers, 0.1), 50)

    def test_in_a_closed_loop_a_stall_is_one_answer_a_connection(self):
        answers = self.stalled()
        self.assertGreaterEqual(answers["max"], 0.5)
        self.assertLess(values_from(answers, 0.4), 20)  # in an open loop a hundred are due meanwhile

    def test_names_scheduled_but_not_sent_are_reported(self):
        with Script(lambda peer: greet(peer, lambda name: b"")) as server:
            result = self.bench("::1", server.port, "--connections", "2", "--rate", "100", "--answer-timeout", "10s",
                                *SHORT, code=7)
        self.assertEqual(result["names"], 0)
        self.assertScheduled(result, 100, 0.3, workers=1)


class WhatStandsInTheWay(BenchCase):
    def test_without_a_listener_the_run_ends_early(self):
        with refusing_port() as port:
            for options in ((), ("--workers", "2"), ("--connections", "1"), ("--rate", "100")):
                done = bench("::1", port, "--duration", "1h", "--format", "json", *options)
                self.assertFails(done, 4, "connect-refused")
                self.assertEqual(list(measured(done)["failures"]), ["connect-refused"])

    @needs_names
    def test_one_connection_tries_every_address_before_it_gives_up(self):
        for host in "127.0.0.1", "::1":
            with Names(HOSTS) as names, Script(greet, host=host) as server:
                done = bench("both", server.port, "--connections", "1", "--format", "json", *SHORT, wrap=names.wrap)
                self.assertGreater(measured(done)["names"], 0, done)

    def test_too_few_descriptors_are_reported_before_the_run(self):
        with Script(greet) as server:
            done = bench("::1", server.port, "--connections", "100",
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
            self.assertFails(done, 8, "system-descriptors")
            self.assertEqual((done.out, server.peers), (b"", []))
            self.assertRegex(done.err, rb"100 connections need \d+ file descriptors, but the hard limit is 64 ")

    def test_the_soft_limit_is_raised(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        with Server() as server:
            self.bench("::1", server.port, "--connections", "100", *SHORT,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)))

    def test_too_few_ports_are_reported_before_the_run(self):
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 31000:
            self.skipTest("needs 31000 descriptors")
        with refusing_port("127.0.0.1") as port:
            done = bench("127.0.0.1", port, "--connections", "30000")
            self.assertFails(done, 8, "system-other")
            self.assertIn(b"--source FIRST-LAST", done.err)
            self.assertEqual(done.out, b"")

    def test_source_addresses_are_used_in_turn(self):
        with Script(greet, host="127.0.0.1") as server:
            self.bench("127.0.0.1", server.port, "--source", "127.0.0.2-127.0.0.5", "--connections", "8", *SHORT)
            used = collections.Counter(address[0] for address in server.peers)
        self.assertEqual(used, {f"127.0.0.{i}": 2 for i in range(2, 6)})

    def test_one_source_address(self):
        with Script(greet, host="127.0.0.1") as server:
            self.bench("localhost", server.port, "--source", "127.0.0.9", "--connections", "3", *SHORT)
            self.assertEqual({address[0] for address in server.peers}, {"127.0.0.9"})

    def test_a_wrong_source_is_refused_in_words(self):
        wrong = (("127.0.0.5-127.0.0.2", 2, "usage", b"is not a range"),
                 ("127.0.0.1-127.0.9.1", 2, "usage", b"is not a range"),
                 ("127.0.0.5-::1", 2, "usage", b"--source 127.0.0.5-::1"),
                 ("127.0.0.2-", 2, "usage", b"--source takes an IPv4 or IPv6 address"),
                 ("-127.0.0.2", 2, "usage", b"--source"),
                 ("many", 2, "usage", b"--source takes an IPv4 or IPv6 address"),
                 ("::1", 3, "resolve-not-found", b"family of --source"),
                 ("192.0.2.7", 8, "system-address-not-available", b"--source 192.0.2.7"))
        with refusing_port("127.0.0.1") as port:
            for words, code, word, payload in wrong:
                with self.subTest(words):
                    done = bench("127.0.0.1", port, f"--source={words}", *SHORT)
                    self.assertFails(done, code, word)
                    self.assertIn(payload, done.err)
                    self.assertEqual(done.out, b"")

    def test_sigint_ends_the_run_and_the_result_is_printed(self):
        with Server() as server:
            child = spawn(["--bench", "::1", str(server.port), "--connections", "3", "--format", "json", "--duration",
                           "60s"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            server.log.expect("Accept new connection", 3)
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=LIMIT_S)
            self.assertEqual(child.returncode, 130, err)
            self.assertIn(b"(interrupted)", err)
            result = json.loads(out)
            self.assertLess(result["duration_seconds"], 30)
            self.assertAgrees(server, result)

    def test_sigterm_ends_the_run_and_the_result_is_reported(self):
        with Server() as server:
            child = spawn(["--bench", "::1", str(server.port), "--connections", "3", "--format", "json", "--duration",
                           "60s"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            server.log.expect("Accept new connection", 3)
            child.send_signal(signal.SIGTERM)
            out, err = child.communicate(timeout=LIMIT_S)
            self.assertEqual(child.returncode, 143, err)
            self.assertIn(b"(terminated)", err)
            self.assertAgrees(server, json.loads(out))

    @needs_names
    def test_a_name_server_that_is_silent_delays_neither_the_time_limit_nor_an_interrupt(self):
        args = ["--bench", "missing.example", "6000", "--connect-timeout"]
        with Names("", dns=True) as names, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as name_server:
            name_server.bind((names.name_server, 53))
            name_server.settimeout(LIMIT_S)
            done = run(*args, "200ms", wrap=names.wrap)
            self.assertFails(done, 3, "resolve-temporary")
            self.assertIn(b"no name server answered for missing.example within 0.2 s", done.err)
            while select.select([name_server], [], [], 0)[0]:
                name_server.recv(512)
            child = spawn([*args, "1m"], wrap=names.wrap, stderr=subprocess.PIPE)
            name_server.recv(512)
            child.send_signal(signal.SIGINT)
            child.communicate(timeout=LIMIT_S)
            self.assertEqual(child.returncode, 130)

    def test_a_sigint_that_is_ignored_does_not_end_the_run(self):
        with Server() as server:
            child = spawn(["--bench", "::1", str(server.port), "--connections", "3", "--format", "json", "--duration",
                           "500ms"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, wrap=IN_BACKGROUND)
            server.log.expect("Accept new connection", 3)
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=LIMIT_S)
            self.assertEqual(child.returncode, 0, err)
            self.assertGreaterEqual(json.loads(out)["duration_seconds"], 0.45)

    def test_a_reader_that_does_not_read_does_not_delay_an_interrupt(self):
        reader, writer = unread_pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        with Server() as server:
            child = spawn(["--bench", "::1", str(server.port), "--connections", "2", *SHORT], stdout=writer,
                          stderr=subprocess.PIPE)
            server.log.expect("is closed: ", 2)
            child.send_signal(signal.SIGINT)
            _, err = child.communicate(timeout=LIMIT_S)
            self.assertEqual((child.returncode, err), (130, b"tcpgreet: interrupted (interrupted)\n"))

    def test_a_closed_standard_output_is_a_failure(self):
        with Server() as server:
            for redirection in (">&-", ">/dev/full"):
                done = bench("::1", server.port, "--connections", "2", *SHORT, wrap=shell(redirection))
                self.assertFails(done, 8, "system-output")

    def test_a_server_that_is_stopped_drains_and_the_bench_ends_by_itself(self):
        def attempt(seconds):
            with Server("--workers", "2", "--drain-timeout", "100ms") as server:
                child = spawn(["--bench", "::1", str(server.port), "--connections", "6", "--format", "json", "--duration",
                               ms(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                server.log.expect("Accept new connection", 6)
                self.assertEqual(server.stop(), 0)
                out, err = child.communicate(timeout=seconds + LIMIT_S)
            result = json.loads(out)
            self.assertIn(child.returncode, (4, 7), err)
            self.assertEqual(result["failures"].get("dialogue-early-end"), 6, result["failures"])
            self.assertEqual(set(result["failures"]), {"dialogue-early-end", "connect-refused"})
        unhurried(attempt, 1)

    def test_progress_is_printed_on_a_terminal_only(self):
        def attempt(seconds):
            with Server() as server:
                line = "--bench", "::1", str(server.port), "--connections", "2", "--duration", ms(seconds)
                with Terminal(*line) as terminal:
                    terminal.expect(f" of {seconds:g} s, ".encode()).expect(b" names/s").expect(b"OK: ", seconds + LIMIT_S)
                    self.assertEqual(terminal.process.wait(LIMIT_S), 0)
                self.assertEqual(run(*line, limit_s=seconds + LIMIT_S).err, b"")
        unhurried(attempt, 0.8)


class Merging(BenchCase):
    def setUp(self):
        super().setUp()
        place = tempfile.TemporaryDirectory(prefix="tcpgreet-e2e-bench-")
        self.addCleanup(place.cleanup)
        self.folder = pathlib.Path(place.name)

    def keep(self, name, data):
        path = self.folder / name
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        return path

    def merge(self, *files, form="json", options=()):
        done = run("--bench-merge", *files, "--format", form, *options)
        if b"needs jansson" in done.err:
            self.skipTest("this program was built without jansson")
        self.assertEqual((done.code, done.err), (0, b""), repr(done))
        return done.out

    def results(self):
        """Three benches of one server, written to files, with different things in them."""
        with Server() as server:
            runs = [bench("::1", server.port, "--format", "json", "--duration", "200ms", *options)
                    for options in (("--connections", "2"), ("--connections", "3", "--names", "1"),
                                    ("--rate", "300", "--workers", "2"))]
        for done in runs:
            self.assertEqual(done.code, 0, repr(done))
        return [self.keep(f"{i}.json", done.out) for i, done in enumerate(runs)], [measured(done) for done in runs]

    def test_a_sum_is_exact(self):
        files, results = self.results()
        total = json.loads(self.merge(*files))
        for key in ("names", "connections", "connections_asked", "late", "rate_asked", "runs"):
            self.assertEqual(total[key], sum(result[key] for result in results), key)
        self.assertEqual(total["runs"], 3)
        self.assertTrue(total["open_loop"])
        self.assertEqual(total["duration_seconds"], max(result["duration_seconds"] for result in results))
        for key in ("answers", "connects"):
            buckets = collections.Counter()
            for result in results:
                buckets.update(dict(result[key]["buckets"]))
            self.assertEqual(total[key]["buckets"], [[b, n] for b, n in sorted(buckets.items())], key)
            self.assertEqual(total[key]["count"], sum(buckets.values()), key)
            self.assertEqual(total[key]["min"], min(result[key]["min"] for result in results), key)
            self.assertEqual(total[key]["max"], max(result[key]["max"] for result in results), key)

    def test_sums_can_be_added_up(self):
        files, _ = self.results()
        pair = self.keep("pair.json", self.merge(*files[:2]))
        self.assertEqual(self.merge(pair, files[2]), self.merge(*files))
        self.assertEqual(self.merge(files[0]), files[0].read_bytes())

    def test_failures_are_added_by_reason(self):
        with refusing_port() as port:
            done = bench("::1", port, "--connections", "3", "--format", "json", *SHORT)
        file = self.keep("failed.json", done.out)
        failures = json.loads(self.merge(file, file))["failures"]
        self.assertEqual(failures, {"connect-refused": 2 * measured(done)["failures"]["connect-refused"]})

    def test_a_sum_that_could_not_be_merged_again_is_refused_by_name(self):
        files, results = self.results()
        for key, most in ("runs", 2**31 - 1), ("names", 2**53), ("rate_asked", 2.0**53):
            with self.subTest(key):
                path = self.keep(key, {**results[0], key: most})
                self.merge(path)
                done = run("--bench-merge", files[1], path, path)
                self.assertFails(done, 8, "system-file")
                self.assertIn(f"{path}: its sum with the results before it exceeds".encode(), done.err)
                self.assertEqual(done.out, b"")

    def test_a_file_that_is_no_result_is_refused_by_name(self):
        files, results = self.results()
        self.merge(files[0])
        whole = files[0].read_bytes()
        broken = {"cut": whole[:len(whole) // 2], "empty": b"", "text": b"Bench of ::1\n", "two": whole + whole,
                  "more": {**results[0], "more": 1}, "another": {**results[0], "schema": "tcpgreet.bench.v2"},
                  "less": {k: v for k, v in results[0].items() if k != "answers"},
                  "negative": {**results[0], "names": -1}, "strange": {**results[0], "failures": {"no-such-word": 1}}}
        for name, data in broken.items():
            with self.subTest(name):
                path = self.keep(name, data)
                done = run("--bench-merge", files[1], path)
                self.assertFails(done, 8, "system-file")
                self.assertIn(str(path).encode(), done.err)
                self.assertEqual(done.out, b"")
        for path in (self.folder,):
            done = run("--bench-merge", path)
            self.assertFails(done, 8, "system-file")
            self.assertIn(str(path).encode(), done.err)
        done = run("--bench-merge", self.folder / "nowhere")
        self.assertFails(done, 2, "usage")
        self.assertIn(b"nowhere cannot be read: No such file or directory", done.err)

    def test_prometheus_reads_the_same_counts(self):
        files, results = self.results()
        text = self.merge(*files, form="prometheus").decode()
        found, typed = {}, set()
        for line in text.splitlines():
            if line.startswith("#"):
                kind, name = re.fullmatch(r"# (HELP|TYPE) (tcpgreet_bench_\w+) \S.*", line).groups()
                typed |= {name} if kind == "TYPE" else set()
                continue
            name, labels, value = re.fullmatch(r"(tcpgreet_bench_\w+)\{((?:\w+=\"(?:[^\"\\\n]|\\.)*\",?)+)\} (\S+)",
                                               line).groups()
            self.assertIn(re.sub("_(sum|count)$", "", name), typed, line)
            self.assertNotIn((name, labels), found)
            found[name, labels] = float(value)
        target = f'target="{results[0]["target"]}"'
        for name, count in (("names_total", "names"), ("connections_total", "connections"), ("runs", "runs"),
                            ("answer_latency_seconds_count", "names")):
            self.assertEqual(found[f"tcpgreet_bench_{name}", target], sum(r[count] for r in results), name)

    def test_a_plot_is_an_svg(self):
        plot = self.folder / "plot.svg"
        with Server() as server:
            done = bench("::1", server.port, "--connections", "2", *SHORT, "--plot", plot)
        self.assertEqual((done.code, done.err), (0, b""))
        picture = xml.parse(plot).getroot()
        self.assertEqual(picture.tag, "{http://www.w3.org/2000/svg}svg")
        self.assertIn(f"[::1]:{server.port}", "".join(picture.itertext()))

    def test_a_plot_of_a_sum_shows_the_sum(self):
        files, results = self.results()
        plot = self.folder / "sum.svg"
        total = json.loads(self.merge(*files, options=("--plot", plot)))
        self.assertGreater(total["names"], max(result["names"] for result in results))
        picture = xml.parse(plot).getroot()
        self.assertEqual(picture.tag, "{http://www.w3.org/2000/svg}svg")
        texts = picture.iter("{http://www.w3.org/2000/svg}text")
        shown = [" ".join("".join(text.itertext()).split()) for text in texts]
        self.assertEqual(shown[0], f"Bench of {results[0]['target']}")
        self.assertIn("3 results merged", shown[1])
        self.assertTrue(shown[2].startswith(f"{total['names']:,} names in "), shown[2])
        self.assertIn(f" {total['connections']:,} connections", shown[2])

    def test_a_plot_that_could_not_be_written_is_a_failure_after_the_result(self):
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch, "gone")
            folder.mkdir()

            def answer(name):
                with contextlib.suppress(FileNotFoundError):
                    folder.rmdir()
                return hello(name)

            with Script(lambda peer: greet(peer, answer)) as server:
                done = bench("::1", server.port, "--connections", "1", *SHORT, "--plot", folder / "bench.svg")
        self.assertFails(done, 8, "system-file")
        self.assertIn(b"every byte verified", done.out)
        self.assertIn(b"bench.svg", done.err)

    def test_a_plot_that_cannot_be_written_is_refused_before_the_run(self):
        done = bench("::1", 1, *SHORT, "--plot", "/dev/full")
        self.assertFails(done, 2, "usage")
        self.assertEqual(done.out, b"")
        self.assertIn(b"--plot /dev/full cannot be written: No space left on device", done.err)


if __name__ == "__main__":
    main()
