"""--starttls: a scripted server for each protocol, TLS behind its go-ahead, and what goes wrong before it."""

import contextlib
import json
import socket
import ssl

from harness import Case, Script, listening, main, ms, run, unhurried
from tls_harness import certificates, has_tls, server_context


def has_ipv6():
    with contextlib.suppress(OSError), listening("::1"):
        return True
    return False


HOSTS = ["127.0.0.1", "::1"] if has_ipv6() else ["127.0.0.1"]
NAMESPACE = "urn:ietf:params:xml:ns:xmpp-tls"
STREAM = ("<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:%s' "
          "xmlns:stream='http://etherx.jabber.org/streams'>")
FEATURES = (f"<?xml version='1.0'?><stream:stream id='1' xmlns='jabber:client' version='1.0'><stream:features>"
            f"<starttls xmlns='{NAMESPACE}'/></stream:features>")
MYSQL = b"\x0a8.0.36\0" + b"1234" + b"12345678\0" + b"\xff\xff\x21\0\0" + b"\xff\xff\x15" + 10 * b"\0" + 13 * b"x"


def literal(host):
    return f"[IPv6:{host}]" if ":" in host else f"[{host}]"


def xmpp(kind):
    return lambda host: [(STREAM % kind, FEATURES), (f"<starttls xmlns='{NAMESPACE}'/>", f"<proceed xmlns='{NAMESPACE}'/>")]


# Of each protocol: what the server expects and then sends, for a client that comes from a host.
TALKS = {
    "smtp": lambda host: [("", "220-mail ESMTP\r\n220 ready\r\n"),
                          (f"EHLO {literal(host)}\r\n", "250-mail\r\n250-STARTTLS\r\n250 DSN\r\n"),
                          ("STARTTLS\r\n", "220 go\r\n")],
    "lmtp": lambda host: [("", "220 mail LMTP\r\n"), (f"LHLO {literal(host)}\r\n", "250-mail\r\n250 STARTTLS\r\n"),
                          ("STARTTLS\r\n", "220 go\r\n")],
    "imap": lambda host: [("", "* OK ready\r\n"), ("a1 CAPABILITY\r\n", "* CAPABILITY IMAP4rev1 STARTTLS\r\na1 OK\r\n"),
                          ("a2 STARTTLS\r\n", "a2 OK go\r\n")],
    "pop3": lambda host: [("", "+OK ready\r\n"), ("STLS\r\n", "+OK go\r\n")],
    "ftp": lambda host: [("", "220 ready\r\n"), ("AUTH TLS\r\n", "234 go\r\n")],
    "nntp": lambda host: [("", "201 ready\r\n"), ("STARTTLS\r\n", "382 go\r\n")],
    "sieve": lambda host: [("", "\"IMPLEMENTATION\" \"x\"\r\n{8}\r\nSTARTTLS\r\nOK\r\n"), ("STARTTLS\r\n", "OK go\r\n")],
    "irc": lambda host: [("STARTTLS\r\n", "PING :7\r\n"), ("PONG :7\r\n", ":irc 670 * :go\r\n")],
    "xmpp": xmpp("client"),
    "xmpp-server": xmpp("server"),
    "ldap": lambda host: [(b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037",
                           b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\0\x04\0\x04\0")],
    "postgres": lambda host: [(b"\0\0\0\x08\x04\xd2\x16\x2f", b"S")],
    "mysql": lambda host: [(b"", len(MYSQL).to_bytes(3, "little") + b"\0" + MYSQL),
                           (b"\x20\0\0\x01\0\x8a\0\0\0\0\0\x01\x2d" + 23 * b"\0", b"")],
}


def encoded(text):
    return text if isinstance(text, bytes) else text.encode()


class Starttls(Case):
    def setUp(self):
        super().setUp()
        if not has_tls():
            self.skipTest("this program was built without TLS")

    def serve(self, host, talk, after, more=b""):
        """A server that holds its part, sends more, and then does `after` with the peer."""
        def serve_one(peer):
            for expected, answer in talk:
                data = encoded(expected)
                if data:  # and nothing of the ClientHello that may follow it
                    self.assertEqual(peer.socket.recv(len(data), socket.MSG_WAITALL), data)
                peer.send(encoded(answer))
            if more:
                peer.send(more)
            after(peer)

        return Script(serve_one, host)

    def probe(self, script, protocol, *options):
        result = run("--probe", script.host, str(script.port), "--starttls", protocol, "--servername", "localhost",
                     "--ca", certificates().ca, "--format", "json", *options)
        found = json.loads(result.out)
        self.assertEqual(result.code, found["verdict"]["exit_code"], result)
        return found, found["addresses"][0]

    def begin_tls(self, peer):
        """Python's TLS takes over, and waits for the client's end."""
        peer.socket = server_context(certificates().server).wrap_socket(peer.socket, server_side=True)
        try:
            while peer.receive():
                pass
        except (ConnectionError, ssl.SSLError):
            pass

    def test_tls_begins_behind_the_go_ahead_of_each_protocol(self):
        for protocol, talk in TALKS.items():
            for host in HOSTS:
                with self.subTest(protocol=protocol, host=host):
                    with self.serve(host, talk(host), self.begin_tls) as script:
                        found, address = self.probe(script, protocol, "--until", "tls")
                    self.assertEqual((found["verdict"]["word"], address["verified"]), ("ok", "tls"), found)
                    phases = address["phases"]
                    self.assertEqual(list(phases), ["resolve", "connect", "starttls", "tls"], found)
                    end = phases["starttls"]["begin_seconds"] + phases["starttls"]["seconds"]
                    self.assertAlmostEqual(end, phases["tls"]["begin_seconds"], delta=1e-6)

    def assertRefused(self, protocol, talk, text, after=lambda peer: peer.expect_eof(), more=b"", word="tls-starttls",
                      options=(), phase="starttls"):
        with self.serve("127.0.0.1", talk, after, more) as script:
            found, address = self.probe(script, protocol, *options)
        self.assertEqual((found["verdict"]["exit_code"], address["reason"], address["failed_phase"]), (5, word, phase), found)
        self.assertIn(text, address["text"])
        return found

    def test_what_is_not_offered_is_quoted(self):
        self.assertRefused("smtp", [("", "220 mail\r\n"), ("EHLO [127.0.0.1]\r\n", "250-mail\r\n250 SIZE 1\r\n")],
                           'localhost does not offer STARTTLS (SMTP): it sent "250-mail\\r\\n250 SIZE 1"')
        self.assertRefused("postgres", [(b"\0\0\0\x08\x04\xd2\x16\x2f", b"N")], 'does not offer STARTTLS (PostgreSQL)')

    def test_what_is_refused_is_quoted_and_escaped(self):
        self.assertRefused("pop3", [("", "+OK\r\n"), ("STLS\r\n", b"-ERR \x9b31m no\r\n")],
                           'refused STARTTLS (POP3): it sent "-ERR \\x9b31m no"')

    def test_data_behind_the_go_ahead_is_an_injection(self):
        for protocol, talk in TALKS.items():
            with self.subTest(protocol=protocol):
                steps = [(encoded(expected), encoded(answer)) for expected, answer in talk("127.0.0.1")]
                if not steps[-1][1]:  # MySQL has no go-ahead
                    steps.pop()
                expected, answer = steps[-1]
                steps[-1] = (expected, answer + b"INJECTED\r\n")
                self.assertRefused(protocol, steps, 'before TLS began (command injection): "INJECTED"')

    def test_data_that_comes_instead_of_tls_is_refused(self):
        def late(peer):
            peer.expect(b"\x16\x03\x01")  # the ClientHello
            peer.send(b"INJECTED\r\n").end()

        with self.serve("127.0.0.1", TALKS["pop3"](""), late) as script:
            found, address = self.probe(script, "pop3")
        self.assertEqual((address["reason"], address["failed_phase"]), ("tls-starttls", "tls"), found)
        self.assertIn('agreed to STARTTLS and then sent "INJECTED\\r\\n" instead of TLS', address["text"])

    def test_another_protocol_is_named(self):
        self.assertRefused("smtp", [("", "SSH-2.0-OpenSSH_9.2p1\r\n")],
                           'does not use SMTP on this port: it sent "SSH-2.0-OpenSSH_9.2p1" (ssh)')
        self.assertRefused("smtp", [("", "* OK IMAP4rev1 ready\r\n")], "(give --starttls imap)")

    def test_a_silent_peer(self):
        def attempt(limit_s):
            found = self.assertRefused("imap", [], "localhost sent nothing while STARTTLS (IMAP) was awaited",
                                       word="tls-silent-peer", options=("--connect-timeout", ms(limit_s)))
            self.assertEqual(found["findings"][0]["word"], "silent-peer")
        unhurried(attempt, 0.3)

    def test_a_peer_that_stalls(self):
        def attempt(limit_s):
            self.assertRefused("ftp", [("", "220 ready\r\n"), ("AUTH TLS\r\n", "234-go\r\n")], 'it sent "234-go"',
                               word="tls-timeout", options=("--connect-timeout", ms(limit_s)))
            self.assertRefused("ftp", [("", "220 ready\r\n"), ("AUTH TLS\r\n", "2")],
                               f'--timeout ({limit_s:g} s) expired: received "2"', word="tls-timeout",
                               options=("--timeout", ms(limit_s)))
        unhurried(attempt, 0.3)

    def test_a_peer_that_closes_or_resets(self):
        self.assertRefused("nntp", [("", "200 ready\r\n"), ("STARTTLS\r\n", "")], "closed the connection during STARTTLS",
                           after=lambda peer: peer.end())
        self.assertRefused("xmpp", [(STREAM % "client", "")], "reset the connection without sending anything",
                           after=lambda peer: peer.reset())

    def test_a_peer_that_agrees_and_does_not_begin_tls(self):
        agrees = [("", "220 ready\r\n"), ("AUTH TLS\r\n", "234 go\r\n")]
        found = self.assertRefused("ftp", agrees, "", word="tls-protocol", phase="tls",
                                   after=lambda peer: peer.receive() and peer.end())
        self.assertIn("agrees to STARTTLS, and the connection is closed on the ClientHello", found["findings"][0]["text"])

        def attempt(limit_s):
            found = self.assertRefused("ftp", agrees, "", word="tls-silent-peer", phase="tls",
                                       after=lambda peer: peer.read_all(), options=("--connect-timeout", ms(limit_s)))
            self.assertIn("agrees to STARTTLS and does not reply to the ClientHello", found["findings"][0]["text"])
        unhurried(attempt, 0.3)

    def test_a_tls_server_is_not_met_with_starttls(self):
        def alert(peer):
            peer.send(b"\x15\x03\x03\0\x02\x02\x46").end()

        self.assertRefused("ldap", [], "uses TLS from the start on this port (give --tls instead of --starttls ldap)",
                           after=alert)

    def test_a_plain_server_that_was_met_with_tls_gets_the_remedy(self):
        with self.serve("127.0.0.1", [("", "220 mail.example ESMTP\r\n")], lambda peer: peer.receive()) as script:
            result = run("--probe", script.host, str(script.port), "--tls", "--format", "json")
        found = json.loads(result.out)
        self.assertEqual(found["verdict"]["word"], "tls-plaintext-peer", found)
        self.assertIn("give --starttls smtp", found["addresses"][0]["text"])
        self.assertIn("give --starttls smtp, or use the TLS port, usually 465.", found["findings"][0]["text"])

    def test_until_connect_needs_no_starttls(self):
        with self.serve("127.0.0.1", [], lambda peer: peer.expect_eof()) as script:
            found, address = self.probe(script, "irc", "--until", "connect")
        self.assertEqual((found["verdict"]["word"], list(address["phases"])), ("ok", ["resolve", "connect"]), found)

    def test_every_face_has_the_phase(self):
        faces = {"text": b" STARTTLS", "prometheus": b'phase="starttls"', "nagios": b"'starttls'="}
        for form, part in faces.items():
            with self.subTest(form=form), self.serve("127.0.0.1", TALKS["smtp"]("127.0.0.1"), self.begin_tls) as script:
                result = run("--probe", script.host, str(script.port), "--starttls", "smtp", "--insecure", "--format", form,
                             "--until", "tls")
                self.assertIn(part, result.out, result)
        with self.serve("127.0.0.1", TALKS["smtp"]("127.0.0.1"), self.begin_tls) as script:
            result = run("--probe", script.host, str(script.port), "--starttls", "smtp", "--insecure", "--plot", "-", "--until",
                         "tls", "--explain")
        self.assertIn(b"class=\"bar starttls\"", result.out, result)
        self.assertIn(b"STARTTLS complete", result.err, result)
        self.assertIn(b"220-mail ESMTP", result.err, result)

    def test_a_limit_on_the_phase(self):
        with self.serve("127.0.0.1", TALKS["pop3"](""), self.begin_tls) as script:
            found, _ = self.probe(script, "pop3", "--until", "tls", "--warn", "starttls=0.000001")
        self.assertEqual(found["verdict"]["word"], "threshold", found)
        self.assertRegex(found["verdict"]["text"], r"\bstarttls\b")

    def test_a_raw_client(self):
        def echo(peer):
            peer.socket = server_context(certificates().server).wrap_socket(peer.socket, server_side=True)
            peer.expect(b"NOOP\r\n")
            peer.send(b"250 ok\r\n")
            peer.socket.unwrap()

        for host in HOSTS:
            with self.subTest(host=host), self.serve(host, TALKS["smtp"](host), echo) as script:
                result = run("--connect", script.host, str(script.port), "--raw", "--starttls", "smtp", "--ca",
                             certificates().ca, stdin=b"NOOP\r\n")
                self.assertEqual((result.code, result.out), (0, b"250 ok\r\n"), result)

    def test_a_raw_client_that_is_refused(self):
        talk = [("", "+OK\r\n"), ("STLS\r\n", "-ERR no\r\n")]
        with self.serve("127.0.0.1", talk, lambda peer: peer.expect_eof()) as script:
            result = run("--connect", script.host, str(script.port), "--raw", "--starttls", "pop3", "--insecure")
        self.assertEqual((result.code, result.out), (5, b""), result)
        self.assertIn(b'127.0.0.1 refused STARTTLS (POP3): it sent "-ERR no" (tls-starttls)', result.err)

    def test_a_raw_client_whose_time_is_over(self):
        def attempt(limit_s):
            with self.serve("127.0.0.1", [], lambda peer: peer.expect_eof()) as script:
                result = run("--connect", script.host, str(script.port), "--raw", "--starttls", "imap", "--insecure", "--timeout",
                             ms(limit_s))
            self.assertEqual(result.code, 5, result)
            self.assertIn(b"sent nothing while STARTTLS (IMAP) was awaited", result.err)
        unhurried(attempt, 0.3)

    def test_the_command_line(self):
        for words, text in ((("--starttls", "smpt"), b"did you mean smtp?"),
                            (("--starttls", "http"), b"--starttls takes smtp"),
                            (("--tls", "--warn", "starttls=1"), b"--warn limits starttls, which is not measured")):
            with self.subTest(words=words):
                result = run("--probe", "127.0.0.1", "1", *words)
                self.assertEqual(result.code, 2, result)
                self.assertIn(text, result.err)
        result = run("--connect", "127.0.0.1", "1", "--starttls", "smtp", "name")
        self.assertEqual(result.code, 2, result)
        self.assertIn(b"--starttls with --connect needs --raw", result.err)


if __name__ == "__main__":
    main()
