"""--probe with --send, --expect and --reject: an exchange with a peer that is not a tcpgreet server."""

import contextlib
import json
import ssl
import threading

from harness import LIMIT_S, Case, Script, Server, main, ms, run, unhurried
from tls_harness import TlsScript, certificates, has_tls, server_context
from test_probe_mode import validate


def mail(peer):
    """A mail server, as far as the probe goes."""
    with contextlib.suppress(ConnectionError):
        peer.send(b"220 mail.example.net ESMTP\r\n").expect(b"EHLO probe\r\n")
        peer.send(b"250-mail.example.net\r\n250 STARTTLS\r\n").expect(b"QUIT\r\n")
        peer.send(b"221 bye\r\n").end().read_all()


def redis(peer):
    with contextlib.suppress(ConnectionError):
        peer.expect(b"PING\r\n").send(b"+PONG\r\n").read_all()


def web(peer):
    with contextlib.suppress(ConnectionError):
        peer.expect(b"GET / HTTP/1.0\r\n\r\n").send(b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\nhello\n").end().read_all()


def mute(peer):
    with contextlib.suppress(ConnectionError):
        peer.read_all()


def sends(data):
    def serve(peer):
        with contextlib.suppress(ConnectionError):
            peer.send(data).read_all()
    return serve


def slowly(data, pause_s):
    """One byte at a time."""
    def serve(peer):
        with contextlib.suppress(ConnectionError):
            for i in range(len(data)):
                peer.send(data[i:i + 1])
                threading.Event().wait(pause_s)
            peer.read_all()
    return serve


class ExchangeCase(Case):
    def setUp(self):
        super().setUp()
        if b"PCRE2" not in run("--version").out:
            self.skipTest("this program was built without PCRE2")

    def probe(self, function, *options, form="json", **more):
        with Script(function) as server:
            return run("--probe", "::1", str(server.port), "--timeout", f"{LIMIT_S}s", "--format", form, *options, **more)

    def found(self, function, *options):
        """The exit status, the JSON result and its only address."""
        result = self.probe(function, *options)
        found = json.loads(result.out)
        validate(found)
        address, = found["addresses"]
        return result.code, found, address

    def assertMet(self, function, *options, line):
        code, found, address = self.found(function, *options)
        self.assertEqual((code, found["verdict"]["word"], found["verified"]), (0, "ok", "exchange"), found)
        self.assertEqual((found["until"], address["peer_said"]), ("exchange", line))
        self.assertIn("exchange", address["phases"])
        self.assertFalse({"welcome", "name", "close"} & set(address["phases"]))

    def assertUnmet(self, function, *options, word, text):
        code, found, address = self.found(function, *options)
        self.assertEqual((code, address["reason"], address["failed_phase"]), (7, word, "exchange"), found)
        self.assertRegex(address["text"], text)
        self.assertEqual([finding["word"] for finding in found["findings"]], ["exchange-unmet"])
        return address


class Exchange(ExchangeCase):
    def test_a_mail_server(self):
        self.assertMet(mail, "--expect", "^220 ", "--send", r"EHLO probe\r\n", "--reject", "^[45]", "--expect", "^250 ",
                       "--send", r"QUIT\r\n", "--expect", "^221", line="221 bye")

    def test_a_request_without_a_greeting(self):
        self.assertMet(redis, "--send", r"PING\r\n", "--expect", r"^\+PONG$", line="+PONG")
        self.assertMet(web, "--send", r"GET / HTTP/1.0\r\n\r\n", "--expect", r"^HTTP/1\.[01] 200", line="HTTP/1.0 200 OK")

    def test_bytes_that_no_line_has(self):
        self.assertMet(sends(b"\0N"), "--send", r"\0\0\0\x08\x04\xd2\x16\x2f", "--expect", "N", line=r"\x00N")

    def test_one_byte_at_a_time_is_the_same(self):
        self.assertMet(slowly(b"220 a\r\n250 b\r\n", 0.03), "--expect", "^2", "--send", "x", "--expect", "^2",
                       line="250 b")
        self.assertUnmet(slowly(b"220 a\r\n500 b\r\n", 0.03), "--expect", "^2", "--send", "x", "--reject", "^5",
                         "--expect", "^2", word="dialogue-unexpected", text=r'--reject "\^5" matched: received "500 b')

    def test_our_own_server_asks_without_a_newline(self):
        with Server() as server:
            result = run("--probe", "::1", str(server.port), "--expect", r"name\?$", "--send", r"Ann\n",
                         "--expect", "^Server: Hello Ann!$")
            self.assertEqual(result.code, 0, result)

    def test_through_tls(self):
        if not has_tls():
            self.skipTest("this program was built without TLS")
        made = certificates()
        with TlsScript(web, server_context(made.server)) as server:
            result = run("--probe", "::1", str(server.port), "--tls", "--ca", str(made.ca), "--format", "json",
                         "--send", r"GET / HTTP/1.0\r\n\r\n", "--expect", "^HTTP/1.[01] 200")
            found = json.loads(result.out)
            self.assertEqual((result.code, found["verified"]), (0, "exchange"), result)
            self.assertTrue({"tls", "exchange"} <= set(found["addresses"][0]["phases"]))

    def test_a_last_send_to_a_server_that_requires_a_client_certificate(self):
        if not has_tls():
            self.skipTest("this program was built without TLS")
        made = certificates()
        with TlsScript(mute, server_context(made.server, ssl.TLSVersion.TLSv1_3, client_ca=made.ca)) as server:
            target = "--probe", "::1", str(server.port), "--tls", "--ca", str(made.ca), "--send", "x"
            result = run(*target, "--format", "json")
            self.assertEqual((result.code, json.loads(result.out)["verdict"]["word"]), (5, "tls-client-certificate"), result)
            identity = "--cert", made.client[0], "--key", made.client[1]
            self.assertEqual(run(*target, *identity).code, 0)
            self.assertEqual(run(*target[:-2], "--until", "tls", *identity).code, 0)

    def test_a_last_send_to_a_server_that_only_requests_a_client_certificate(self):
        if not has_tls():
            self.skipTest("this program was built without TLS")
        made = certificates()
        context = server_context(made.server, ssl.TLSVersion.TLSv1_3, client_ca=made.ca)
        context.verify_mode, context.num_tickets = ssl.CERT_OPTIONAL, 0  # which would be its acceptance

        def answers(peer):
            peer.expect(b"x").send(b"y").expect_eof()

        def ends(peer):
            peer.expect(b"x").end()

        for serve, remarks in (answers, []), (ends, ["closed-at-once"]):
            with self.subTest(serve.__name__), TlsScript(serve, context) as server:
                result = run("--probe", "::1", str(server.port), "--tls", "--ca", str(made.ca), "--send", "x", "--format", "json")
                found = json.loads(result.out)
                self.assertEqual((result.code, [remark["word"] for remark in found["remarks"]]), (0, remarks), result)

    def test_a_last_send_is_sent_and_nothing_is_awaited(self):
        def receives(peer):
            peer.expect(b"QUIT\n").expect_eof().reset()
        code, found, address = self.found(receives, "--send", r"QUIT\n")
        self.assertEqual((code, found["verified"], address["peer_said"]), (0, "exchange", None), found)

    def test_a_last_reject_watches_for_a_second_of_silence(self):
        self.assertUnmet(slowly(b"1\n2\n3\n", 0.05), "--send", "x", "--reject", "^3", word="dialogue-unexpected",
                         text='matched: received "3')
        code, found, _ = self.found(mute, "--send", "x", "--reject", "^3")
        self.assertEqual((code, found["verified"], found["remarks"]), (0, "exchange", []), found)
        code, found, _ = self.found(lambda peer: peer.end(), "--reject", "^3")
        self.assertEqual((code, [remark["word"] for remark in found["remarks"]]), (0, ["closed-at-once"]), found)


class Unmet(ExchangeCase):
    def test_a_silent_peer(self):
        address = self.assertUnmet(mute, "--send", "PING", "--expect", "PONG", "--answer-timeout", "200ms",
                                   word="dialogue-timeout", text="within 0.2 s: nothing was received .*ends without")
        self.assertIsNone(address["peer_said"])

    def test_another_answer_is_quoted_and_escaped(self):
        def attempt(limit_s):
            address = self.assertUnmet(sends(b"-ERR \x1b[2J\r\n"), "--send", r"PING\r\n", "--expect", "PONG", "--answer-timeout",
                                       ms(limit_s), word="dialogue-timeout", text=r'received "-ERR \\x1b\[2J\\r\\n"')
            self.assertEqual(address["peer_said"], r"-ERR \x1b[2J")
        unhurried(attempt, 0.3)

    def test_a_peer_that_ends(self):
        def ends(peer):
            peer.send(b"421 busy\r\n").end().read_all()
        self.assertUnmet(ends, "--expect", "^220", word="dialogue-unexpected",
                         text=r'the peer closed the connection before --expect "\^220" matched: received "421 busy')

    def test_a_peer_that_resets(self):
        def resets(peer):
            peer.expect(b"x").reset()
        code, _, address = self.found(resets, "--send", "x", "--expect", "y")
        self.assertEqual((code, address["reason"], address["failed_phase"]), (7, "dialogue-reset", "exchange"))

    def test_a_flood(self):
        self.assertUnmet(sends(b"x" * 200000), "--expect", "^y", word="dialogue-unexpected",
                         text='did not match in the first 65536 bytes: received "x+[.]{3}"')

    def test_a_pattern_of_too_many_steps(self):
        self.assertUnmet(sends(b"a" * 60 + b"b\n"), "--expect", "(a+)+$", word="dialogue-unexpected",
                         text="takes too many steps")

    def test_a_wrong_command_line_names_the_option(self):
        for options, text in (((r"--send", r"a\q"), rb"--send: unknown escape \\q at offset 1"),
                              (("--expect", "(a"), rb'--expect "\(a": missing closing parenthesis, at offset 2'),
                              (("--reject", "a*"), rb'--reject "a\*" also matches an empty answer'),
                              (("--send", "a", "--until", "tls"), rb"--send demands an exchange .* another --until"),
                              (("--expect", "a", "--volume", "1k"), rb"--volume cannot be used with --expect"),
                              (("--expect", "a", "--warn", "welcome=1"), rb"--warn limits welcome, which is not measured")):
            with self.subTest(options=options):
                result = run("--probe", "::1", "1", *options)
                self.assertEqual(result.code, 2, result)
                self.assertRegex(result.err, text)


class Faces(ExchangeCase):
    PING = "--send", r"PING\r\n", "--expect", "^.PONG"

    def test_text(self):
        result = self.probe(redis, *self.PING, form="text")
        self.assertEqual(result.code, 0, result)
        self.assertRegex(result.out, rb"OK through the exchange, 1/1 address OK")
        self.assertRegex(result.out, rb'OK through the exchange; as expected \(it sent "[+]PONG"\)')

    def test_nagios_and_its_limits(self):
        result = self.probe(redis, *self.PING, "--warn", "exchange=5", form="nagios")
        self.assertEqual(result.code, 0, result)
        self.assertRegex(result.out, rb"OK - .*through the exchange.* 'exchange'=[0-9.]+s;5;;0;")
        result = self.probe(redis, *self.PING, "--crit", "exchange=0.000001", form="nagios")
        self.assertEqual(result.code, 2, result)

    def test_prometheus(self):
        result = self.probe(redis, *self.PING, form="prometheus")
        self.assertRegex(result.out, rb'phase="exchange"')

    def test_a_plot(self):
        result = self.probe(redis, *self.PING, "--plot", "-", form="text")
        self.assertIn(b'class="bar exchange"', result.out)

    def test_each_step_is_explained(self):
        result = self.probe(redis, *self.PING, "--explain", form="text")
        self.assertRegex(result.err, rb'--send: "PING')
        self.assertRegex(result.err, rb'matched: --expect \^.PONG: "[+]PONG"')

    def test_rounds_and_a_command(self):
        result = self.probe(redis, *self.PING, "--count", "2", "--interval", "10ms", form="text")
        self.assertEqual(result.code, 0, result)
        self.assertEqual(self.probe(redis, *self.PING, "--retry", "5s", "--", "sh", "-c", "exit 5", form="text").code, 5)


if __name__ == "__main__":
    main()
