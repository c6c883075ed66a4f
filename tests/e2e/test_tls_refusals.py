"""The client under TLS: whom it believes, whom it refuses with which words, and what it makes of strange peers."""

import contextlib
import os
import pathlib
import re
import shutil
import ssl
import warnings

import harness
from harness import (BINARY, GOODBYE, LIMIT_S, OPENING, Case, Script, Server, connect, environment, hello, main, ms,
                     needs_names, unhurried)
from tls_harness import (VERSIONS, ByHand, Program, TlsScript, certificates, client_context, dialogue, folder, greet, issue,
                         openssl, pin_of, server_context, skip_without_tls)

WARNING = b"tcpgreet: --insecure: the certificate is not verified, the connection may be intercepted\n"
MICHAEL = hello(b"Michael")


def has_idn():
    with open(BINARY, "rb") as file:
        return b"idn2_to_ascii_8z" in file.read()


def wait_for_end(peer):
    with contextlib.suppress(OSError):
        while peer.receive():
            pass


def run_client(server, *options, **more):
    """Our client sends one name to the server."""
    return connect("::1", server.port, "Michael", "--tls", *options, **more)


class TlsCase(Case):
    def assertRefused(self, result, word, sentence=None):
        """Nothing was sent, and the one line of stderr is the sentence."""
        self.assertFails(result, 6 if word.startswith("cert-") else 5, word)
        self.assertEqual(result.out, b"", repr(result))
        self.assertEqual(result.err.count(b"\n"), 1, repr(result))
        if sentence:
            self.assertRegex(result.err.decode(), f"^tcpgreet: {sentence} \\({word}\\)\n$")


class BadCertificates(TlsCase):
    """Each has one fault. The CA is trusted, so that only the fault can be why."""

    EXPIRED = r"expired 3 days ago \(20\d\d-\d\d-\d\d \d\d:\d\d UTC\); ask its operator to renew it"
    NOT_YET = r"is not valid before 20\d\d-\d\d-\d\d \d\d:\d\d UTC \(in less than 7 days\): check the clocks of this machine and of its issuer"
    NO_NAMES = r"has no host name or address in subjectAltName \(a common name is not used\)"
    FOR = r"is for {}, not for {} \(--servername sets the name to expect\)"
    # certificate: reason, the message about the certificate of {host}, whether a pin alone makes up for it
    TABLE = {
        "expired": ("cert-expired", EXPIRED, False),
        "not-yet-valid": ("cert-not-yet-valid", NOT_YET, False),
        "wrong-name": ("cert-name", FOR.format(r"wrong\.example, 192\.0\.2\.1", "{host}"), True),
        "self-signed": ("cert-self-signed", r"is self-signed, not issued by a CA .*--ca FILE, or --pin\)", True),
        "unknown-ca": ("cert-untrusted", r'was issued by "tcpgreet unknown CA", which is not trusted '
                       r'here .*--ca.*', True),
        "missing-intermediate": ("cert-untrusted", r'was issued by "tcpgreet intermediate CA", which is not trusted '
                                 r'here .*the peer must send its certificate along\)', True),
        "wrong-purpose": ("cert-purpose", r"is not for a TLS server \(.*\)", False),
        "weak-rsa": ("cert-weak", r"has too short a key \(RSA needs 2048 bits\)", False),
        # A pin names the key: signatures below it do not matter then.
        "sha1": ("cert-weak", r"is signed with a broken hash such as SHA-1", True),
        "ip-in-cn": ("cert-name", NO_NAMES, True),
        "name-in-cn": ("cert-name", NO_NAMES, True),
        "nul-in-san": ("cert-name", FOR.format(r"localhost\\x00\.evil\.example", "{host}"), True),
        "unknown-critical": ("cert-untrusted", r"has a critical extension that this program does not know", False),
        "name-constraints": ("cert-untrusted", r"has a name that a CA above it may not issue .*", False),
    }

    def setUp(self):
        super().setUp()
        self.made = certificates("--bad")

    def serve(self, name, version=None):
        return TlsScript(greet, server_context(self.made.bad(name), version, weak=True))

    def test_each_is_refused_with_its_reason(self):
        for name, (word, sentence, _) in self.TABLE.items():
            for version, host, options in ((VERSIONS[0], "::1", ()),
                                           (VERSIONS[1], "localhost", ("--servername", "localhost"))):
                with self.subTest(name, version=version.name), self.serve(name, version) as server:
                    result = run_client(server, "--ca", self.made.ca, *options)
                    self.assertRefused(result, word, f"the certificate of {host} {sentence.format(host=host)}")
                self.assertEqual(len(server.peers), 1)
                self.assertEqual(server.facts, [], "the peer is reported before it sends data")

    def test_a_faulty_certificate_above_is_named(self):
        with self.serve("expired-intermediate") as server:
            self.assertRefused(run_client(server, "--ca", self.made.ca), "cert-expired",
                               r'the CA certificate "tcpgreet expired intermediate CA" above that of ::1 '
                               + self.EXPIRED)

    def test_a_key_usage_that_forbids_the_signature_is_named(self):
        with self.serve("wrong-key-usage", VERSIONS[1]) as server:  # in TLS 1.2 OpenSSL's server does not begin with it
            self.assertRefused(run_client(server, "--ca", self.made.ca), "cert-purpose",
                               r"the certificate of ::1 may not be used for signatures, which every TLS handshake needs "
                               r"\(its key usage lacks digitalSignature\)")

    PARTIAL = r"the certificate of foo\.greet\.example is for f\*\.greet\.example, not for foo\.greet\.example .*"

    def test_a_partial_wildcard_matches_nothing(self):
        with self.serve("partial-wildcard") as server:
            self.assertRefused(run_client(server, "--ca", self.made.ca, "--servername", "foo.greet.example"), "cert-name",
                               self.PARTIAL)

    @needs_names
    def test_a_partial_wildcard_does_not_match_the_host_that_is_connected_to(self):
        with harness.Names("::1 foo.greet.example\n") as names, self.serve("partial-wildcard") as server:
            base = ("foo.greet.example", server.port, "Michael", "--tls", "--ca", self.made.ca)
            self.assertRefused(connect(*base, wrap=names.wrap), "cert-name", self.PARTIAL)
            self.assertEqual(server.names, ["foo.greet.example"])

    def test_an_intermediate_that_is_sent_along_makes_a_chain(self):
        certificate, key = self.made.bad("missing-intermediate")
        chain = folder() / "chain.crt"
        chain.write_bytes(b"".join(pathlib.Path(path).read_bytes()
                                   for path in (certificate, self.made.bad("intermediate")[0])))
        with TlsScript(greet, server_context((chain, key))) as server:
            self.assertDialogue(run_client(server, "--ca", self.made.ca), MICHAEL)

    def test_insecure_accepts_anything_and_warns_each_time(self):
        for name in (*self.TABLE, "expired-intermediate", "partial-wildcard"):
            with self.subTest(name), self.serve(name) as server:
                result = run_client(server, "--insecure", *["-q"] * (len(name) % 2))
                self.assertDialogue(result, MICHAEL)
                self.assertEqual(result.err, WARNING)

    def test_a_pin_stands_in_for_trust_and_name_and_for_nothing_else(self):
        for name, (word, sentence, covered) in self.TABLE.items():
            pin = ("--pin", pin_of(self.made.bad(name)[0]))
            with self.subTest(name), self.serve(name) as server:
                result = run_client(server, *pin)
                if covered:
                    self.assertDialogue(result, MICHAEL)
                    self.assertEqual(result.err, b"")
                else:
                    self.assertRefused(result, word, f"the certificate of ::1 {sentence}")
                self.assertRefused(run_client(server, *pin, "--ca", self.made.ca), word)

    def test_the_right_pin_is_no_excuse_beside_a_ca(self):
        for name in ("unknown-ca", "wrong-name", "self-signed"):
            with self.subTest(name), self.serve(name) as server:
                self.assertRefused(run_client(server, "--ca", self.made.ca, "--pin",
                                       pin_of(self.made.bad(name)[0])), self.TABLE[name][0])

    def test_another_key_than_pinned_is_refused(self):
        wrong = pin_of(self.made.client[0])
        right = pin_of(self.made.server[0])
        with TlsScript(greet, server_context(self.made.server)) as server:
            for options in ((), ("--ca", self.made.ca), ("--insecure",)):
                with self.subTest(options):
                    result = run_client(server, "--pin", wrong, *options)
                    self.assertFails(result, 6, "cert-pin")
                    self.assertEqual(result.out, b"")
                    self.assertIn(f"the certificate of ::1 has another key than --pin allows: {right} ".encode(),
                                  result.err)
            self.assertDialogue(run_client(server, "--pin", wrong, "--pin", right.upper().replace("SHA", "sha")),
                                MICHAEL)
            self.assertDialogue(run_client(server, "--ca", self.made.ca, "--pin", right), MICHAEL)


class Trust(TlsCase):
    """Where trust comes from."""

    def setUp(self):
        super().setUp()
        self.made, self.other = certificates("--bad"), certificates()

    def serve(self):
        return TlsScript(greet, server_context(self.made.server))

    def hashed(self):
        """A directory as OpenSSL looks CAs up in."""
        place = folder()
        name = openssl("x509", "-in", self.made.ca, "-noout", "-hash").decode().strip()
        shutil.copy(self.made.ca, place / f"{name}.0")
        return str(place)

    def test_a_ca_is_a_file_or_a_directory(self):
        both = folder() / "both.crt"
        both.write_bytes(b"".join(pathlib.Path(m.ca).read_bytes() for m in (self.other, self.made)))
        with self.serve() as server:
            for ca in (self.made.ca, both, self.hashed()):
                self.assertDialogue(run_client(server, "--ca", ca), MICHAEL)
            self.assertRefused(run_client(server, "--ca", self.other.ca), "cert-untrusted")
            unhashed = run_client(server, "--ca", self.made.folder)
            self.assertFails(unhashed, 8, "system-file")
            self.assertIn(b"has no hashed links, by which certificates in a directory are found: run openssl rehash ",
                          unhashed.err)

    def test_the_system_store_is_believed_by_default(self):
        with self.serve() as server:
            for env in ({"SSL_CERT_FILE": self.made.ca, "SSL_CERT_DIR": "/nowhere"},
                        {"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": self.hashed()}):
                self.assertDialogue(run_client(server, env=environment(**env)), MICHAEL)
                self.assertRefused(run_client(server, "--ca", self.other.ca, env=environment(**env)),
                                   "cert-untrusted")
            env = environment(SSL_CERT_FILE=self.other.ca, SSL_CERT_DIR="/nowhere")
            self.assertRefused(run_client(server, env=env), "cert-untrusted")

    def test_a_fault_of_a_trust_store_is_not_blamed_on_the_server(self):
        """Nor waited for. An entry of a directory is read in the handshake, a file at the start."""
        cut = pathlib.Path(self.made.ca).read_bytes()[:-60]
        for put, sentence in (
                (os.mkfifo, "{} cannot be read: it is a FIFO, not a regular file"),
                (os.mkdir, "{} cannot be read: it is a directory, not a regular file"),
                (lambda path: openssl("x509", "-in", self.made.ca, "-outform", "DER", "-out", path),
                 r"there is no CA certificate in {} \(PEM is expected\)"),
                (lambda path: pathlib.Path(path).write_bytes(cut), "{} is damaged: block 1 .*")):
            place = self.hashed()
            path = f"{place}/{os.listdir(place)[0]}"
            os.rename(path, f"{place}/12345678.0")
            put(path)
            for options, env, prefix, what in (
                    (("--ca", place), {}, "the certificate of ::1 cannot be verified: ", "--ca"),
                    ((), {"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": place},
                     "the certificate of ::1 cannot be verified: ", "SSL_CERT_DIR"),
                    ((), {"SSL_CERT_FILE": path, "SSL_CERT_DIR": self.hashed()}, "", "SSL_CERT_FILE")):
                with self.subTest(sentence, what=what), self.serve() as server:
                    result = run_client(server, *options, env=environment(**env))
                    self.assertFails(result, 8, "system-file")
                    self.assertRegex(result.err.decode(),
                                     f"^tcpgreet: {prefix}{sentence.format(f'{what} {path}')} \\(system-file\\)\n$")

    def test_variables_that_are_empty_are_reported_as_that(self):
        with self.serve() as server:
            self.assertRefused(run_client(server, env=environment(SSL_CERT_FILE="", SSL_CERT_DIR="")),
                               "cert-no-trust-store",
                               ".* neither SSL_CERT_FILE, which is empty, nor SSL_CERT_DIR, which is empty .*")

    def test_an_invalid_ca_is_reported(self):
        nothing = folder() / "nothing.pem"
        nothing.write_text("no certificate\n")
        with self.serve() as server:
            self.assertFails(run_client(server, "--ca", nothing), 8, "system-file")
            result = run_client(server, "--ca", "/nowhere/ca.crt")
            self.assertEqual(result.code, 2, repr(result))
            self.assertIn(b"--ca /nowhere/ca.crt cannot be read: No such file or directory", result.err)
        self.assertEqual(server.peers, [], "nothing is opened before")


class Names(TlsCase):
    """Which name is asked for, and which certificate is believed for it."""

    def serve(self, made, host="::1"):
        return TlsScript(greet, server_context(made.server), host)

    def test_the_host_is_asked_for_unless_it_is_an_address(self):
        made = certificates()
        asked = [(("localhost",), (), "localhost"), (("127.0.0.1",), (), None),
                 (("127.0.0.1",), ("--servername", "localhost"), "localhost"),
                 (("127.0.0.1",), ("--servername", "localhost."), "localhost"),
                 (("localhost",), ("--servername", "127.0.0.1"), None), (("127.0.0.1",), ("--servername", "::1"), None)]
        with self.serve(made, "127.0.0.1") as server:
            for (host,), options, _ in asked:
                with self.subTest(host=host, options=options):
                    self.assertDialogue(connect(host, server.port, "Michael", "-4", "--tls", "--ca", made.ca, *options),
                                        MICHAEL)
        self.assertEqual(server.names, [name for *_, name in asked])

    def test_addresses_are_compared_as_addresses(self):
        made = certificates("--host", "127.0.0.1")
        with self.serve(made, "127.0.0.1") as four, self.serve(made) as six:
            self.assertDialogue(connect("127.0.0.1", four.port, "Michael", "--tls", "--ca", made.ca), MICHAEL)
            self.assertRefused(run_client(six, "--ca", made.ca), "cert-name",
                               r"the certificate of ::1 is for 127\.0\.0\.1, not for ::1 .*")
            self.assertRefused(connect("localhost", four.port, "Michael", "-4", "--tls", "--ca", made.ca), "cert-name")
            self.assertDialogue(run_client(six, "--ca", made.ca, "--servername", "127.0.0.1"), MICHAEL)

    def test_an_address_has_many_spellings(self):
        made = certificates("--host", "2001:db8::1")
        with self.serve(made) as server:
            self.assertDialogue(run_client(server, "--ca", made.ca, "--servername", "2001:DB8:0::0:1"), MICHAEL)
            self.assertRefused(run_client(server, "--ca", made.ca, "--servername", "2001:db8::2"), "cert-name")

    def test_a_wildcard_stands_for_one_label(self):
        made = certificates("--host", "*.wild.test")
        table = {"a.wild.test": True, "A.WILD.test": True, "a.wild.test.": True, "wild.test": False,
                 "a.b.wild.test": False, "a.wild.test.evil": False, "*.wild.test": None, "127.0.0.1": False}
        with self.serve(made) as server:
            for name, believed in table.items():
                with self.subTest(name):
                    result = run_client(server, "--ca", made.ca, "--servername", name)
                    if believed:
                        self.assertDialogue(result, MICHAEL)
                    elif believed is not None:
                        self.assertRefused(result, "cert-name", f"the certificate of {re.escape(name)} is for "
                                           rf"\*\.wild\.test, not for {re.escape(name)} .*")

    def test_an_international_name_is_compared_as_the_dns_has_it(self):
        made = certificates("--host", "xn--bcher-kva.test")
        names = ["xn--bcher-kva.test", "XN--BCHER-KVA.test"]
        if has_idn():
            names += ["bücher.test", "BÜCHER.test", "bu\u0308cher.test", "bücher.test."]
        with self.serve(made) as server:
            for name in names:
                with self.subTest(name):
                    self.assertDialogue(run_client(server, "--ca", made.ca, "--servername", name), MICHAEL)
            self.assertRefused(run_client(server, "--ca", made.ca, "--servername", "bucher.test"), "cert-name")
        self.assertEqual({name.lower() for name in server.names}, {"xn--bcher-kva.test", "bucher.test"})
        if not has_idn():
            self.skipTest("the A-label is checked; this program was built without libidn2")

    def test_a_name_that_no_certificate_can_hold_is_refused_before_a_handshake(self):
        with self.serve(certificates()) as server:
            result = run_client(server, "--servername", "a." * 200 + "test")
            self.assertIn(result.code, (2, 6), repr(result))
        self.assertEqual((server.names, server.facts), ([], []))


class StrangePeers(TlsCase):
    """What is no TLS, or TLS that goes wrong."""

    def setUp(self):
        super().setUp()
        self.made = certificates()

    def meet(self, function, *options):
        """Our client meets a scripted plain peer."""
        with Script(function) as server:
            return run_client(server, "--ca", self.made.ca, *options)

    def test_a_plaintext_peer_is_quoted(self):
        words = {b"SSH-2.0-x\x1b[31m\0\xff\r\n": r"SSH-2\.0-x\\x1b\[31m\\x00\\xff\\r\\n",
                 b"HTTP/1.1 400 Bad Request\r\n\r\n": r"HTTP/1\.1 400 Bad Request\\r\\n\\r\\n",
                 b"2": "2", OPENING: r"Server: Welcome!\\nServer: What's your name\?",
                 b"-" * 70: "-" * 64 + r"\.\.\."}
        for payload, shown in words.items():
            for ends in (True, False):
                with self.subTest(payload, ends=ends):
                    def serve(peer):
                        peer.send(payload)
                        if ends:
                            peer.end()
                        peer.read_all()  # a ClientHello and a FIN, no RST

                    def attempt(limit_s):
                        self.assertRefused(self.meet(serve, "--connect-timeout", ms(limit_s)), "tls-plaintext-peer",
                                           rf'::1 does not use TLS on this port: it sent "{shown}" \(omit --tls, .*\)')
                    unhurried(attempt, 0.5)

    def test_a_plaintext_peer_that_offers_starttls_gets_that_remedy(self):
        for ends in (True, False):
            with self.subTest(ends=ends):
                def serve(peer):
                    peer.send(b"220 mail.example ESMTP\r\n")
                    if ends:
                        peer.end()
                    peer.read_all()

                def attempt(limit_s):
                    self.assertRefused(self.meet(serve, "--connect-timeout", ms(limit_s)), "tls-plaintext-peer",
                                       r'::1 does not use TLS from the start on this port: it sent '
                                       r'"220 mail\.example ESMTP\\r\\n" \(give --starttls smtp, or use the TLS port\)')
                unhurried(attempt, 0.5)

    def test_our_own_plain_server_is_recognised_and_recognises_us(self):
        with Server() as server:
            self.assertRefused(run_client(server), "tls-plaintext-peer")
            server.log.expect("is closed: .*TLS")
            server.expect_counters(" 1 unknown protocol")

    def test_a_silent_peer_is_awaited_until_the_timeout(self):
        result = self.meet(wait_for_end, "--connect-timeout", "500ms")
        self.assertRefused(result, "tls-silent-peer", r"(?:\S+: )?no reply to the ClientHello from ::1 \(.*\)")
        self.assertBetween(result.seconds, 0.45, 5)

    def test_a_handshake_that_stalls_is_not_waited_for_either(self):
        def serve(peer):
            tls = ByHand(peer, server_context(self.made.server), server_side=True)
            peer.send(tls.flight()[:200])
            wait_for_end(peer)

        def attempt(limit_s):
            result = self.meet(serve, "--connect-timeout", ms(limit_s))
            self.assertRefused(result, "tls-timeout", r"(?:\S+: )?the TLS handshake with ::1 took too long")
            self.assertBetween(result.seconds, 0.9 * limit_s, limit_s + 5)
        unhurried(attempt, 0.5)

    def test_a_handshake_in_single_bytes_is_a_handshake(self):
        for version in VERSIONS:
            def serve(peer):
                tls = ByHand(peer, server_context(self.made.server, version), server_side=True)

                def drip(data):
                    for byte in data:
                        peer.send(bytes([byte]))
                tls.do(tls.tls.do_handshake, send=drip)
                tls.do(tls.tls.write, OPENING, send=drip)
                self.assertEqual(tls.do(tls.tls.read, 100), b"Michael\n")
                tls.do(tls.tls.write, MICHAEL, send=drip)
                self.assertEqual(tls.do(tls.tls.read, 100), b"exit\n")
                tls.do(tls.tls.write, GOODBYE, send=drip)
                tls.step(tls.tls.unwrap)
                drip(tls.records())
                peer.end()
            with self.subTest(version=version.name):
                self.assertDialogue(self.meet(serve), MICHAEL)

    def test_a_handshake_that_is_cut_off_anywhere(self):
        for version, counts in ((VERSIONS[1], (0, 1, 4, 5, 6, 95, 130, 400, -1)), (VERSIONS[0], (5, 60, -1))):
            for count in counts:
                for way in ("end", "reset"):
                    def serve(peer):
                        tls = ByHand(peer, server_context(self.made.server, version), server_side=True)
                        peer.send(tls.flight()[:count])
                        if way == "end":
                            peer.end()
                            wait_for_end(peer)
                        else:
                            peer.reset()
                    when = "during the TLS handshake" if count else (
                        r"on the ClientHello without a reply; it may expect a PROXY header \(try --send-proxy v2\)")
                    with self.subTest(version=version.name, bytes=count, way=way):
                        did = {"end": "closed", "reset": "reset"}[way]
                        self.assertRefused(self.meet(serve), "tls-protocol", rf"(?:\S+: )?the peer {did} the connection {when}")

    def test_records_that_make_no_sense(self):
        for name, record in {"garbage in a handshake record": b"\x16\x03\x03\x00\x0aabcdefghij",
                             "data before keys": b"\x17\x03\x03\x00\x05hello",
                             "a record longer than any": b"\x16\x03\x03\xff\xff" + bytes(100),
                             "an empty handshake record": b"\x16\x03\x03\x00\x00" * 40,
                             "a change of ciphers, again and again": b"\x14\x03\x03\x00\x01\x01" * 60,
                             "a record of an unknown kind": b"\x18\x03\x03\x00\x03abc" + bytes(20)}.items():
            def serve(peer):
                peer.receive()
                peer.send(record)
                wait_for_end(peer)
            with self.subTest(name):
                result = self.meet(serve, "--connect-timeout", "2s" if "kind" in name else "1h")
                self.assertEqual(result.code, 5, repr(result))
                self.assertRegex(result.err, rb"\((tls-protocol|tls-plaintext-peer)\)\n$")

    def test_a_server_with_old_versions_only(self):
        old = server_context(self.made.server, weak=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with TlsScript(greet, old) as server:
            self.assertRefused(run_client(server, "--ca", self.made.ca), "tls-protocol",
                               "the peer supports no TLS version that this side allows")
        with TlsScript(greet, server_context(self.made.server, VERSIONS[0])) as server:
            self.assertRefused(run_client(server, "--ca", self.made.ca, "--tls-min", "1.3"), "tls-protocol")
            self.assertDialogue(run_client(server, "--ca", self.made.ca, "--tls-min", "1.2"), MICHAEL)

    def test_a_server_with_weak_ciphers_only(self):
        for ciphers in ("AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256"):
            pair = self.made.server if "ECDSA" in ciphers else certificates("--rsa").server
            context = server_context(pair, VERSIONS[0], weak=True)
            context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
            with self.subTest(ciphers), TlsScript(greet, context) as server:
                self.assertRefused(run_client(server, "--ca", self.made.ca), "tls-alert")

    def test_an_alert_is_reported_by_its_name(self):
        for number, name, word in ((40, "handshake_failure", "tls-alert"), (80, "internal_error", "tls-alert"),
                                   (112, "unrecognized_name", "tls-alert"), (109, "missing_extension", "tls-alert"),
                                   (255, "alert 255", "tls-alert"),
                                   (48, "unknown_ca", "tls-alert"),  # no certificate was requested
                                   (70, "no TLS version", "tls-protocol"), (0, "ended TLS", "tls-protocol")):
            def serve(peer):
                peer.receive()
                peer.send(bytes([0x15, 3, 3, 0, 2, 2 if number else 1, number]))
                wait_for_end(peer)
            with self.subTest(number):
                self.assertRefused(self.meet(serve), word, f".*{name}.*")

    def test_a_client_certificate_that_is_asked_for(self):
        other = certificates("--rsa")
        for version in VERSIONS:
            context = server_context(self.made.server, version, client_ca=self.made.ca)
            with self.subTest(version=version.name), TlsScript(greet, context) as server:
                base = ("--ca", self.made.ca)
                result = run_client(server, *base, "--cert", self.made.client[0], "--key", self.made.client[1])
                self.assertDialogue(result, MICHAEL)
                self.assertEqual(server.facts[0][3]["subject"], ((("commonName", "tcpgreet client"),),))
                self.assertRefused(run_client(server, *base), "tls-client-certificate", r".*--cert and --key\)")
                for pair in (other.client, self.made.server, issue(self.made, "late", "clientAuth", -9000, -3600)):
                    result = run_client(server, *base, "--cert", pair[0], "--key", pair[1])
                    self.assertRefused(result, "tls-client-certificate", "the peer rejected our certificate: .*")

    def test_a_client_certificate_that_was_not_sent_is_not_the_one_that_is_rejected(self):
        """Java's server has bad_certificate for none."""
        context = server_context(self.made.server, VERSIONS[0])
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(self.made.ca)
        absent = r'the server requested a client certificate and then sent the TLS alert "{}" \(give --cert and --key\)'
        for number, name in ((42, "bad_certificate"), (43, "unsupported_certificate"), (46, "certificate_unknown"),
                             (48, "unknown_ca"), (40, "handshake_failure")):
            def serve(peer):
                peer.send(ByHand(peer, context, server_side=True).flight())
                peer.receive()
                peer.send(bytes([0x15, 3, 3, 0, 2, 2, number]))
                wait_for_end(peer)
            with self.subTest(name):
                self.assertRefused(self.meet(serve), "tls-client-certificate", absent.format(name))
                shown = self.meet(serve, "--cert", self.made.client[0], "--key", self.made.client[1])
                if number == 40:
                    self.assertRefused(shown, "tls-alert", 'the peer sent the TLS alert "handshake_failure"')
                else:
                    self.assertRefused(shown, "tls-client-certificate", f"the peer rejected our certificate: {name}")

    def test_a_certificate_that_is_required_although_one_was_sent_is_a_rejection_of_that(self):
        context = server_context(self.made.server, VERSIONS[0], client_ca=self.made.ca)
        sentences = {(): "the server requires a client certificate \\(give --cert and --key\\)",
                     ("--cert", self.made.client[0], "--key", self.made.client[1]):
                     "the peer rejected our certificate: certificate_required"}

        def serve(peer):
            peer.send(ByHand(peer, context, server_side=True).flight())
            peer.receive()
            peer.send(bytes([0x15, 3, 3, 0, 2, 2, 116]))
            wait_for_end(peer)
        for options, sentence in sentences.items():
            with self.subTest(sentence):
                self.assertRefused(self.meet(serve, *options), "tls-client-certificate", sentence)

    def test_a_client_certificate_that_the_server_has_no_signature_algorithm_for_is_not_sent(self):
        unfit = "ours was not sent: it fits no signature algorithm that both sides allow"
        for flag, sentence in (("-tls1_3", f"the server requires a client certificate ({unfit})"),
                               ("-tls1_2", "the server requested a client certificate and then sent the TLS alert "
                                f'"handshake_failure" ({unfit})')):
            with self.subTest(flag), Program(
                    "openssl", "s_server", "-accept", "[::1]:0", "-cert", self.made.server[0], "-key", self.made.server[1],
                    "-CAfile", self.made.ca, "-Verify", "1", "-client_sigalgs", "RSA-PSS+SHA256", flag) as server:
                base = ("::1", str(server.ports()["::1"]), "--tls", "--ca", self.made.ca, "--cert", self.made.client[0], "--key",
                        self.made.client[1])
                self.assertRefused(connect(*base, "Michael"), "tls-client-certificate", re.escape(sentence))
                shown = harness.run("--probe", *base, "--until", "tls")
                self.assertEqual(shown.code, 5, repr(shown))
                self.assertIn(b"a client certificate is required; the one of --cert was not sent",
                              b" ".join(shown.out.split()))

    def test_the_key_of_a_client_may_stand_in_its_certificate_file(self):
        both = folder() / "both.pem"
        both.touch(0o600)
        both.write_bytes(b"".join(pathlib.Path(path).read_bytes() for path in self.made.client))
        context = server_context(self.made.server, client_ca=self.made.ca)
        with TlsScript(greet, context) as server:
            self.assertDialogue(run_client(server, "--ca", self.made.ca, "--cert", both), MICHAEL)


class Ends(TlsCase):
    """How a dialogue under TLS may end, and what a plain client makes of a TLS server."""

    def setUp(self):
        super().setUp()
        self.made = certificates()

    def meet(self, function, *options, version=None):
        with TlsScript(function, server_context(self.made.server, version)) as server:
            return run_client(server, "--ca", self.made.ca, *options)

    def assertEnds(self, function, word, out):
        for version in VERSIONS:
            with self.subTest(version=version.name):
                result = self.meet(function, version=version)
                self.assertFails(result, 5 if word.startswith("tls") else 7, word)
                self.assertEqual(result.out, out)

    def test_a_cut_is_distinguished_from_an_end(self):
        def cut(peer):
            peer.send(OPENING).expect(b"Michael\n")
            peer.end()
            wait_for_end(peer)
        self.assertEnds(cut, "dialogue-truncated", OPENING)

        def close(peer):
            peer.send(OPENING).expect(b"Michael\n")
            with contextlib.suppress(ssl.SSLError):  # the client has nothing to send to such a peer
                peer.socket.unwrap()
        self.assertEnds(close, "dialogue-early-end", OPENING)

    def test_a_cut_after_the_good_bye_is_a_cut(self):
        def serve(peer):
            peer.send(OPENING).expect(b"Michael\n").send(MICHAEL).expect(b"exit\n").send(GOODBYE).end()
            wait_for_end(peer)
        self.assertEnds(serve, "dialogue-truncated", OPENING + MICHAEL + GOODBYE)

    def test_a_cut_inside_a_record_is_a_cut(self):
        def serve(peer):
            tls = ByHand(peer, server_context(self.made.server), server_side=True)
            tls.do(tls.tls.do_handshake)
            tls.step(tls.tls.write, OPENING)
            peer.send(tls.records()[:-5]).end()
            wait_for_end(peer)
        with Script(serve) as server:
            result = run_client(server, "--ca", self.made.ca)
        self.assertFails(result, 7, "dialogue-truncated")
        self.assertEqual(result.out, b"")

    def test_a_changed_byte_is_noticed(self):
        def serve(peer):
            tls = ByHand(peer, server_context(self.made.server), server_side=True)
            tls.do(tls.tls.do_handshake)
            tls.step(tls.tls.write, OPENING)
            data = bytearray(tls.records())
            data[-20] ^= 1
            peer.send(data)
            wait_for_end(peer)
        with Script(serve) as server:
            result = run_client(server, "--ca", self.made.ca)
        self.assertFails(result, 5, "tls-protocol")
        self.assertEqual(result.out, b"")

    def test_a_reset_is_reported(self):
        def serve(peer):
            peer.send(OPENING).expect(b"Michael\n")
            peer.reset()
        self.assertEnds(serve, "dialogue-reset", OPENING)

    def test_a_wrong_answer_is_reported(self):
        def serve(peer):
            peer.send(OPENING).expect(b"Michael\n").send(hello(b"Tracy"))
            wait_for_end(peer)
        result = self.meet(serve)
        self.assertFails(result, 7, "dialogue-wrong-answer")

    def test_a_server_that_sends_nothing_over_tls(self):
        received = []

        def listen(peer):
            with contextlib.suppress(OSError):
                if data := peer.receive():
                    received.append(data)
        result = self.meet(listen, "--answer-timeout", "300ms")
        self.assertFails(result, 7, "dialogue-timeout")
        self.assertNotIn(b"--tls", result.err)
        self.assertEqual(received, [], "whether it waits for a handshake need not be found out")
        self.assertBetween(result.seconds, 0.28, 5)

    def test_what_waits_inside_tls_never_stalls_a_dialogue(self):
        def serve(peer):
            tls = ByHand(peer, server_context(self.made.server), server_side=True)
            tls.do(tls.tls.do_handshake)
            for part in (OPENING[:3], OPENING[3:9], OPENING[9:]):
                tls.step(tls.tls.write, part)
            peer.send(tls.records())
            self.assertEqual(tls.do(tls.tls.read, 100), b"Michael\n")
            for byte in MICHAEL:  # many records in one segment
                tls.step(tls.tls.write, bytes([byte]))
            peer.send(tls.records())
            self.assertEqual(tls.do(tls.tls.read, 100), b"exit\n")
            tls.step(tls.tls.write, GOODBYE)
            tls.step(tls.tls.unwrap)
            peer.send(tls.records())  # good bye and close_notify in one segment
            peer.end()
        with Script(serve) as server:
            result = run_client(server, "--ca", self.made.ca)
        self.assertDialogue(result, MICHAEL)

    def test_a_welcome_that_comes_with_the_end_of_the_handshake_is_read(self):
        def serve(peer):
            tls = ByHand(peer, server_context(self.made.server, version), server_side=True)
            while not tls.step(tls.tls.do_handshake):
                peer.send(tls.records())
                tls.receive_records()
            tls.step(tls.tls.write, OPENING)
            peer.send(tls.records())
            self.assertEqual(tls.do(tls.tls.read, 100), b"Michael\n")
            tls.do(tls.tls.write, MICHAEL)
            self.assertEqual(tls.do(tls.tls.read, 100), b"exit\n")
            tls.step(tls.tls.write, GOODBYE)
            tls.step(tls.tls.unwrap)
            peer.send(tls.records()).end()
        if hasattr(os, "sched_setaffinity"):  # on one processor the server often answers within the client's send
            processors = os.sched_getaffinity(0)
            self.addCleanup(os.sched_setaffinity, 0, processors)
            os.sched_setaffinity(0, {min(processors)})
        for version in VERSIONS:
            with self.subTest(version=version.name), Script(serve) as server:
                for _ in range(20):
                    self.assertDialogue(run_client(server, "--ca", self.made.ca), MICHAEL)

    def test_a_plain_client_recognises_a_tls_server_long_before_the_time_for_an_answer_is_over(self):
        for handshake_timeout in ("10s", "400ms"):
            with Server("--tls", *self.made.serve(), "--handshake-timeout", handshake_timeout) as server:
                result = connect("::1", server.port, "Michael", "--answer-timeout", "1h")
                self.assertFails(result, 7, "dialogue-tls-peer")
                self.assertIn(b"the server uses TLS: add --tls", result.err)

    def test_a_plain_client_recognises_a_tls_server_that_refuses_the_handshake(self):
        def serve(peer):
            if peer.receive().startswith(b"\x16\x03"):
                peer.send(b"\x15\x03\x01\0\x02\x02\x28")
            while peer.receive():
                pass
        with Script(serve) as server:
            self.assertFails(connect("::1", server.port, "Michael"), 7, "dialogue-tls-peer")

    def test_a_silent_server_is_not_called_a_tls_server(self):
        def attempt(limit_s):
            received = []

            def serve(peer):
                with contextlib.suppress(ConnectionError):
                    received.append(peer.receive(limit_s + LIMIT_S))
                    while peer.receive(limit_s + LIMIT_S):
                        pass
            with Script(serve) as server:
                result = connect("::1", server.port, "Michael", "--timeout", ms(limit_s), limit_s=limit_s + LIMIT_S)
            self.assertFails(result, 7, "dialogue-timeout")
            self.assertIn(f"--timeout ({limit_s:g} s) expired".encode(), result.err)
            self.assertEqual(sorted(data[:2] for data in received), [b"", b"\x16\x03"])
        unhurried(attempt, 3)

    def test_the_limit_of_the_whole_run_reports_a_silent_handshake(self):
        def serve(peer):
            with contextlib.suppress(ConnectionError):
                while peer.receive():
                    pass

        def attempt(limit_s):
            with Script(serve) as server:
                result = connect("::1", server.port, "Michael", "--tls", "--timeout", ms(limit_s))
            self.assertFails(result, 5, "tls-silent-peer")
            self.assertIn(f"--timeout ({limit_s:g} s) expired while waiting for a reply to the ClientHello".encode(), result.err)
        unhurried(attempt, 0.4)

    def test_a_plain_client_recognises_a_tls_server_by_its_alert(self):
        def attempt(limit_s):
            with Server("--tls", *self.made.serve()) as server:
                result = connect("::1", server.port, "Michael", "--answer-timeout", ms(limit_s))
                self.assertFails(result, 7, "dialogue-tls-peer")
                self.assertIn(b"--tls", result.err)
                server.log.expect('is closed: .*does not use TLS: it sent "exit')
                server.expect_counters(" 1 unknown protocol")
                dialogue(server, client_context(self.made), b"Michael")
        unhurried(attempt, 0.3)


if __name__ == "__main__":
    skip_without_tls()
    main()
