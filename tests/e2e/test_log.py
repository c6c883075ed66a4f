"""Log lines: their time and level, their facts as fields, what journald adds, and a terminal that closes."""

import json
import os
import re
import signal
import socket
import time
import unittest

from harness import (GOODBYE, LIMIT_S, OPENING, ROOT, TOO_MANY, Case, Peer, Server, Terminal, environment, hello, main,
                     ms, refusing_port, run, skip_file, unhurried)
from tls_harness import Certificates, certificates, has_tls, identity

try:
    from jsonschema import Draft202012Validator as Validator
except ImportError:
    skip_file("Python's jsonschema is not there, or too old (scripts/install-dependencies test)")

SCHEMA = json.loads((ROOT / "docs" / "log-v1.schema.json").read_text())
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
HOSTILE = b"\x1b[2J\r\xff\xfe\"\\},{\xe2\x80\xa8\x00\x7f"


def dialogue(server, name=b"Michael"):
    with Peer(server) as peer:
        peer.send(name + b"\nexit\n").expect(OPENING + hello(name) + GOODBYE).expect_eof()
        return peer.address


class LogCase(Case):
    def events(self, raw, word=None):
        """Every line is an object as the schema has it; those of one event."""
        validator = Validator(SCHEMA)
        objects = [json.loads(line) for line in raw.decode().splitlines()]
        for found in objects:
            errors = [error.message for error in validator.iter_errors(found)]
            self.assertEqual(errors, [], found)
        return [found for found in objects if word in (None, found["event"])]

    def only(self, raw, word):
        found = self.events(raw, word)
        self.assertEqual(len(found), 1, raw)
        return found[0]


class Text(LogCase):
    def test_each_line_begins_with_a_time_of_now(self):
        before = time.time()
        with Server("-v") as server:
            dialogue(server)
            server.log.expect("is closed: ")
            server.stop()
            server.log.join()
            lines = server.log.raw().decode().splitlines()
        self.assertGreaterEqual(len(lines), 3)
        for line in lines:
            self.assertRegex(line, rf"^{TIME} (warning: )?[A-Z]")
            stamp = time.mktime(time.strptime(line[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
            self.assertTrue(before - 1 <= stamp <= time.time() + 1, line)

    def test_a_warning_and_an_error_bear_their_level(self):
        with Server("--misbehave", "mute") as server:
            server.log.expect("MISBEHAVES")
            self.assertRegex(server.log.raw().decode(), rf"(?m)^{TIME} warning: THIS SERVER MISBEHAVES")
        if not has_tls():
            self.skipTest("this program was built without TLS, and has no certificate whose reload fails")
        made = Certificates()
        with Server("--tls", *made.serve()) as server:
            os.unlink(made.server[0])
            server.send_signal(signal.SIGHUP)
            server.log.expect("Cannot reload")
            self.assertRegex(server.log.raw().decode(), rf"(?m)^{TIME} error: Cannot reload the certificates, ")

    def test_a_closed_connection_has_its_facts_behind_the_message(self):
        with Server() as server:
            dialogue(server)
            server.log.expect(r"is closed: exit, 1 name, \S+ \S+ bytes_in=13 bytes_out=\d+$")

    def test_journald_gets_a_priority_and_no_time(self):
        reader, writer = os.pipe()
        at = os.fstat(writer)
        env = environment(JOURNAL_STREAM=f"{at.st_dev}:{at.st_ino}")
        with Server("-v", "--misbehave", "delay:1ms", stderr=writer, env=env) as server:
            os.close(writer)
            dialogue(server)
            server.stop()
        with os.fdopen(reader, "rb") as log:
            lines = log.read().decode().splitlines()
        self.assertRegex(lines[0], "^<4>THIS SERVER MISBEHAVES")
        self.assertTrue(any(re.match(r"<6>Accept new connection from ", line) for line in lines), lines)
        for line in lines:
            self.assertRegex(line, "^<[3-7]>[A-Z]")

    def test_a_journal_stream_of_another_process_changes_nothing(self):
        with Server(env=environment(JOURNAL_STREAM="8:1")) as server:
            dialogue(server)
            server.log.expect("is closed: ")
            self.assertRegex(server.log.raw().decode(), rf"(?m)^{TIME} Accept new")

    def test_messages_of_a_client_have_no_time(self):
        with refusing_port("127.0.0.1") as port:
            result = run("--connect", "127.0.0.1", str(port), "x")
        self.assertRegex(result.err, rb"\Atcpgreet: .* \(connect-refused\)\n\Z")


class Json(LogCase):
    def test_a_plain_connection_has_every_fact(self):
        with Server("--log-format", "json") as server:
            address = dialogue(server)
            server.log.expect("closed")
            server.send_signal(signal.SIGUSR1)
            server.log.expect("counters")
            server.stop()
            server.log.join()
            raw = server.log.raw()
        accepted, closed, counters = (self.only(raw, word) for word in ("accepted", "closed", "counters"))
        self.assertEqual((accepted["peer"], accepted["local"]), (address, f"[::1]:{server.port}"))
        self.assertEqual((closed["peer"], closed["local"]), (address, f"[::1]:{server.port}"))
        self.assertEqual((closed["reason"], closed["names"], closed["bytes_in"], closed["level"]), ("exit", 1, 13, "info"))
        self.assertEqual(closed["bytes_out"], len(OPENING + hello(b"Michael") + GOODBYE))
        self.assertNotIn("tls_version", closed)
        self.assertEqual((counters["connections"], counters["names"], counters["open"]), (1, 1, 0))
        self.assertEqual(len(self.events(raw, "shutdown")), 1)

    @unittest.skipUnless(has_tls(), "this program was built without TLS")
    def test_a_tls_connection_has_the_facts_of_the_handshake(self):
        made = certificates()
        with Server("--log-format", "json", "--tls", *made.serve(), "--client-ca", made.ca,
                    listen=(("127.0.0.1", "0"),)) as server:
            result = run("--connect", "localhost", str(server.port), "-4", "--tls", "--ca", made.ca, "-v",
                         "--log-format", "json", *identity(made.client), "Michael")
            self.assertEqual(result.code, 0, result)
            server.log.expect('"closed"')
            closed = self.only(server.log.raw(), "closed")
        tls, connected, end = (self.only(result.err, word) for word in ("tls", "connected", "closed"))
        self.assertEqual((closed["tls_version"], closed["sni"], closed["resumed"]), ("TLSv1.3", "localhost", False))
        self.assertEqual(closed["client_subject"], "tcpgreet client")
        for field in ("tls_version", "cipher", "sni"):
            self.assertEqual(closed[field], tls[field])
        self.assertEqual(closed.get("group"), tls.get("group"))
        self.assertEqual((connected["peer"], connected["local"]), (closed["local"], closed["peer"]))
        self.assertEqual((end["bytes_in"], end["bytes_out"], end["names"]), (closed["bytes_out"], closed["bytes_in"], 1))

    @unittest.skipUnless(has_tls(), "this program was built without TLS")
    def test_a_failed_handshake_has_its_reason(self):
        made = certificates()
        with Server("--log-format", "json", "--tls", *made.serve()) as server, Peer(server) as peer:
            peer.send(HOSTILE + b"\n")
            server.log.expect('"closed"')
            closed = self.only(server.log.raw(), "closed")
        self.assertEqual((closed["reason"], closed["names"]), ("tls-plaintext-peer", 0))
        self.assertIn("error", closed)

    def test_hostile_bytes_stay_within_one_line_of_json_and_of_text(self):
        for form in "json", "text":
            with self.subTest(form), Server("--log-format", form, "--explain") as server, Peer(server) as peer:
                peer.expect(OPENING).send(HOSTILE + b"\n").expect(hello(HOSTILE)).send(b"exit\n").expect(GOODBYE).expect_eof()
                server.log.expect("closed")
                server.stop()
                server.log.join()
                raw = server.log.raw()
                self.assertNotRegex(raw, rb"[\x00-\x09\x0b-\x1f\x7f]")
                self.assertIn(b"x1b[2J", raw)
                if form == "json":
                    self.assertEqual(self.only(raw, "closed")["names"], 1)

    def test_rejections_and_ends_have_words(self):
        def attempt(limit_s):
            with Server("--log-format", "json", "-v", "--max-connections", "2", "--max-per-address", "1",
                        "--idle-timeout", ms(limit_s)) as server:
                with Peer(server) as peer:
                    peer.expect(OPENING)
                    with Peer(server) as other:
                        other.expect(TOO_MANY).expect_eof()
                    peer.expect(GOODBYE).expect_eof()
                server.log.expect('"idle-timeout"')
                raw = server.log.raw()
            self.assertEqual(self.only(raw, "rejected")["reason"], "max-per-address")
            self.assertIn("idle-timeout", [closed["reason"] for closed in self.events(raw, "closed")])
        unhurried(attempt, 0.3)

    def test_the_error_that_ends_a_program_is_a_line_too(self):
        with socket.create_server(("127.0.0.1", 0)) as busy:
            port = str(busy.getsockname()[1])
            for args, word in ((("--listen", "127.0.0.1", port), "system-address-in-use"),
                               (("--probe", "nothing.invalid", "1", "--volume", "x"), "usage"),
                               (("--connect", "127.0.0.1", "1", "--timeout", "never"), "usage"),
                               (("--connect", "/", port), "usage")):
                with self.subTest(args):
                    result = run(*args, "--log-format", "json")
                    failed = self.only(result.err, "failed")
                    self.assertEqual((failed["reason"], failed["level"]), (word, "error"))
                    self.assertTrue(failed["error"])

    @unittest.skipUnless(has_tls(), "this program was built without TLS")
    def test_a_probe_and_a_bench_log_json(self):
        made = certificates()
        with Server("--tls", *made.serve()) as server:
            for args in (("--probe", "::1", str(server.port), "--tls", "--insecure", "--explain", "-v"),
                         ("--bench", "::1", str(server.port), "--tls", "--insecure", "--duration", "100ms")):
                with self.subTest(args[0]):
                    result = run(*args, "--log-format=json")
                    self.assertEqual(result.code, 0, result)
                    self.assertEqual(bool(self.events(result.err, "step")), args[0] == "--probe")

    def test_a_step_is_one_event_with_its_facts(self):
        with Server() as server:
            for args in (("--probe", "::1", str(server.port)), ("--connect", "::1", str(server.port), "Ann")):
                with self.subTest(args[0]):
                    steps = self.events(run(*args, "--explain", "--log-format=json").err, "step")
                    calls = [step["call"] for step in steps]
                    for i, call in enumerate(calls):
                        if call != "recv":  # the end of the stream has a reason of its own
                            self.assertEqual("why" in steps[i], call not in calls[:i], steps[i])
                    connected = steps[calls.index("connect completed")]
                    self.assertEqual(connected["result"], 0)
                    if args[0] == "--connect":  # a probe has its times in its result
                        self.assertGreater(connected["duration_seconds"], 0)
                    self.assertIn("round trip", connected["why"])
                    self.assertIn(f"[::1]:{server.port}", " ".join(step.get("arguments", "") for step in steps))

    def test_an_attempt_is_one_event_with_its_reason(self):
        with refusing_port() as port:
            result = run("--probe", "::1", str(port), "--retry", "300ms", "-v", "--log-format=json")
        attempts = self.events(result.err, "attempt")
        self.assertTrue(attempts, result)
        for attempt in attempts:
            self.assertEqual((attempt["target"], attempt["reason"]), (f"[::1]:{port}", "connect-refused"))
            self.assertIn("refused", attempt["error"])
            self.assertGreater(attempt["duration_seconds"], 0)
            self.assertNotRegex(attempt["message"], r"\d\d:\d\d:\d\d")

    def test_the_schema_lists_the_events_of_the_sources_and_no_other(self):
        Validator.check_schema(SCHEMA)
        text = "".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.c")))
        used = set(re.findall(r"log_event\s*(?:\)\s*|\w+\s*=\s*)\{\s*(?:LOG_\w+|level),\s*\"([^\"]+)\"", text))
        used |= set(re.findall(r"for_good \? \"([^\"]+)\" : \"([^\"]+)\"", text)[0]) | {"message"}
        self.assertEqual(used, set(SCHEMA["properties"]["event"]["enum"]))

    def test_the_schema_lists_the_facts_of_the_sources_and_no_other(self):
        text = "".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.c")))
        used = set(re.findall(r"log_(?:text|count|number|flag)\(\s*(?:to_proxy \? )?\"([^\"]+)\"", text))
        used |= {"peer"} | set(re.findall(r"X\((\w+), \"", (ROOT / "src/server/counters.h").read_text()))
        pattern = next(iter(SCHEMA["patternProperties"]))
        listed = set(SCHEMA["properties"]) - {"schema", "time", "level", "event", "message"} | set(pattern[2:-2].split("|"))
        self.assertEqual(used, listed)


class Hangup(Case):
    """A terminal that closes ends a server that was started on it and has nothing to reload."""

    def test_a_terminal_that_closes_ends_the_server(self):
        for options in ((), ("--tls",)) if has_tls() else ((),):
            with self.subTest(options), Terminal("--listen", "::1", "0", *options) as terminal:
                terminal.expect(b"Waiting for connection on ")
                terminal.close()
                self.assertEqual(terminal.process.wait(LIMIT_S), 0)

    def test_a_terminal_that_closes_ends_the_exporter(self):
        with Terminal("--exporter", "127.0.0.1", "0") as terminal:
            terminal.expect(b"Waiting for connection on ")
            terminal.close()
            self.assertEqual(terminal.process.wait(LIMIT_S), 0)

    @unittest.skipUnless(has_tls(), "this program was built without TLS")
    def test_a_server_with_files_to_reload_stays(self):
        made = certificates()
        with Terminal("--listen", "::1", "0", "--tls", *made.serve()) as terminal:
            terminal.expect(b"Waiting for connection on ")
            terminal.process.send_signal(signal.SIGHUP)
            terminal.expect(b"Certificates reloaded")
            self.assertIsNone(terminal.process.poll())

    def test_a_server_without_a_terminal_stays(self):
        with Server() as server:
            server.send_signal(signal.SIGHUP)
            server.log.expect("^Nothing to reload: ")
            dialogue(server)

    def test_a_server_that_ignores_the_signal_as_under_nohup_stays(self):
        with Terminal("--listen", "::1", "0", wrap=("sh", "-c", "trap '' HUP; exec \"$@\"", "sh")) as terminal:
            terminal.expect(b"Waiting for connection on ")
            terminal.process.send_signal(signal.SIGHUP)
            terminal.expect(b"Nothing to reload: ")
            self.assertIsNone(terminal.process.poll())


if __name__ == "__main__":
    main()
