"""TLS on the command line: identities and their keys, pins, options, --explain, the key log, the environment."""

import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import termios
import unittest

from harness import (BINARY, GOODBYE, IS_ROOT, LIMIT_S, OPENING, Case, Names, Script, Server, Terminal, await_that,
                     connect, environment, hello, main, ms, needs_names, run, unhurried)
from tls_harness import (DUAL, VERSIONS, Program, TlsScript, certificates, client_context, exchange, dialogue, folder,
                         greet, has_tls, identity, openssl, pin_of, server_context, skip_without_tls, tls_peer)

MICHAEL = hello(b"Michael")
HAS_TLS = has_tls()
WITHOUT_TLS = os.environ.get("TCPGREET_NO_TLS") or (BINARY if not HAS_TLS else None)


class TlsCase(Case):
    def setUp(self):
        super().setUp()
        self.made = certificates()

    def serve(self, *options, **more):
        return Server("--tls", *self.made.serve(), *options, **more)

    def run_client(self, server, *options, **more):
        host = server.host if server.host != "::" else "::1"
        return connect(host, server.port, "Michael", "--tls", "--ca", self.made.ca, *options, **more)

    def assertRefusesToListen(self, code, word, sentence, *options, **more):
        """The server ends before it listens, with this sentence."""
        result = run("--listen", "::1", "0", "--tls", *options, **more)
        self.assertEqual(result.code, code, repr(result))
        self.assertEqual(result.out, b"", "nothing was announced")
        self.assertRegex(result.err.decode(), rf"(?m)^tcpgreet: {sentence} \({word}\)$")


class Greeting(TlsCase):
    def test_client_and_server_hold_a_dialogue_on_both_families(self):
        with self.serve(**DUAL) as server:
            for host in ("::1", "127.0.0.1", "localhost"):
                result = connect(host, server.port, "Michael", "Tracy", "--tls", "--ca", self.made.ca)
                self.assertDialogue(result, MICHAEL, hello(b"Tracy"))
                self.assertEqual(result.err, b"")
            server.expect_counters(" 3 connections, 0 open now, 3 TLS handshakes, .* 6 names greeted, .* 0 failed")

    def test_every_address_is_announced_with_tls(self):
        with self.serve(**DUAL) as server:
            self.assertEqual([match[3] for match in server.announcements], [" with TLS"] * 2)
        with Server() as server:
            self.assertIsNone(server.announcements[0][3])

    def test_names_come_through_tls_byte_for_byte(self):
        names = [bytes(range(1, 10)) + bytes(range(11, 256)), b"\xff\xfe\0x", b"x" * 1024, b"Michael"]
        with self.serve() as server:
            result = connect("::1", server.port, "--tls", "--ca", self.made.ca, stdin=b"\n".join(names))
            self.assertDialogue(result, *[hello(name) for name in names])

    def test_many_names_take_many_records(self):
        names = [b"%d" % n * 50 for n in range(500)]
        with self.serve() as server, tls_peer(server, client_context(self.made)) as peer:
            peer.expect(OPENING)
            peer.send(b"".join(name + b"\n" for name in names))  # more than one record
            for name in names:
                peer.expect(hello(name))
            peer.send(b"exit\n").expect(GOODBYE).expect_eof()

    def test_a_bare_name_ends_by_a_pause(self):
        with self.serve("--pause", "50ms") as server, tls_peer(server, client_context(self.made)) as peer:
            peer.expect(OPENING).send(b"Michael").expect(MICHAEL).send(b"exit").expect(GOODBYE).expect_eof()

    def test_negotiated_parameters_are_printed_on_request(self):
        library = re.search(rb"OpenSSL (\d+)\.(\d+)", run("--version").out)
        group = "X25519MLKEM768" if tuple(map(int, library.groups())) >= (3, 5) else "x25519"
        with self.serve() as server:
            result = self.run_client(server, "-v")
        self.assertDialogue(result, MICHAEL)
        self.assertRegex(result.err.decode(),
                         rf"(?m)^Using TLSv1\.3, TLS_AES_128_GCM_SHA256, {group} "
                         r"with localhost, 127\.0\.0\.1, ::1 "
                         rf"\(issued by tcpgreet CA \w+, pin {pin_of(self.made.server[0])}\)$")

    def test_an_end_of_input_sends_exit_and_ends_cleanly(self):
        with TlsScript(greet, server_context(self.made.server)) as server:  # greet wants close_notify
            self.assertDialogue(self.run_client(server), MICHAEL)


class Identity(TlsCase):
    """Certificates and keys of the server."""

    def copy(self, mode=0o600, pair=None):
        """The server's key in a file of its own."""
        certificate, key = pair or self.made.server
        path = folder() / "own.key"
        with open(key, "rb") as file:
            path.write_bytes(file.read())
        path.chmod(mode)
        return str(path)

    def test_without_a_certificate_the_command_to_paste_works(self):
        for listen in (("::1", "0"), ("127.0.0.1", "0"), ("0",)):
            with self.subTest(listen), Server("--tls", listen=[listen], announcements=3 - len(listen)) as server:
                command = server.log.expect(r"connect with: tcpgreet (--connect .*)$")[0][1]
                pin = re.search("--pin (sha256:[0-9a-f]{64})$", command)[1]
                self.assertDialogue(run(*shlex.split(command), "Michael"), MICHAEL)
                host = "::1" if server.host == "::" else server.host
                with tls_peer(server, client_context()) as peer:
                    der = peer.socket.getpeercert(True)
                    exchange(peer)
                made = folder() / "made.crt"
                made.write_text(ssl.DER_cert_to_PEM_cert(der))
                self.assertEqual(pin_of(made), pin)
                result = connect(host, server.port, "--tls", "Michael")
                self.assertFails(result, 6, "cert-self-signed")
                result = connect(host, server.port, "Michael", "--tls", "--ca", made)
                self.assertDialogue(result, MICHAEL)

    def test_each_run_makes_another_certificate(self):
        pins = set()
        for _ in range(2):
            with Server("--tls") as server:
                pins.add(server.log.expect("--pin (sha256:.*)$")[0][1])
        self.assertEqual(len(pins), 2)

    def test_a_key_that_others_can_read_is_refused(self):
        for mode in (0o644, 0o666, 0o604, 0o620, 0o660):
            key = self.copy(mode)
            with self.subTest(oct(mode)):
                self.assertRefusesToListen(8, "system-permission",
                                           rf"the key in {key} is accessible to others \(mode {mode:04o}\): chmod 600 .*",
                                           "--cert", self.made.server[0], "--key", key)
                with Server("--tls", "--insecure", "--cert", self.made.server[0], "--key", key) as server:
                    self.assertDialogue(self.run_client(server), MICHAEL)
        tickets = folder() / "tickets"
        tickets.write_bytes(openssl("rand", "80"))
        tickets.chmod(0o644)
        own = (*self.made.serve(), "--ticket-keys", str(tickets))
        self.assertRefusesToListen(8, "system-permission",
                                   rf"the ticket key file {tickets} is accessible to others \(mode 0644\): chmod 600 .*", *own)
        with Server("--tls", "--insecure", *own) as server:
            self.assertDialogue(self.run_client(server), MICHAEL)
        for mode in (0o600, 0o400, 0o640, 0o440):
            with self.subTest(oct(mode)), \
                    Server("--tls", "--cert", self.made.server[0], "--key", self.copy(mode)) as server:
                self.assertDialogue(self.run_client(server), MICHAEL)

    def test_a_client_key_that_others_can_read_is_refused(self):
        key = self.copy(0o644, self.made.client)
        with self.serve() as server:
            result = self.run_client(server, "--cert", self.made.client[0], "--key", key)
            self.assertFails(result, 8, "system-permission")
            server.expect_counters(" 0 connections")

    def test_a_key_that_does_not_fit_is_refused_before_listening(self):
        certificate = self.made.server[0]
        for key in (self.made.client[1], certificates("--rsa").server[1]):
            self.assertRefusesToListen(8, "system-file",
                                       f"the key in {key} does not belong to the certificate in {certificate}",
                                       "--cert", certificate, "--key", key)

    def test_files_that_hold_something_else_are_named(self):
        nothing = folder() / "nothing"
        nothing.touch(0o600)
        half = folder() / "half.crt"
        with open(self.made.server[0], "rb") as file:
            half.write_bytes(file.read()[:300])
        two = folder() / "two.crt"
        with open(self.made.server[0], "rb") as one, open(self.made.ca, "rb") as other:
            two.write_bytes(one.read() + other.read()[:300])
        certificate, key = self.made.server
        self.assertRefusesToListen(8, "system-file", f"there is no certificate in {nothing} .*", "--cert", nothing,
                                   "--key", key)
        self.assertRefusesToListen(8, "system-file", f"there is no private key in {nothing} .*", "--cert", certificate,
                                   "--key", nothing)
        self.assertRefusesToListen(8, "system-file", rf"--cert {half} is damaged: block 1 \(CERTIFICATE\) was cut off, .*", "--cert", half,
                                   "--key", key)
        self.assertRefusesToListen(8, "system-file", rf"--cert {two} is damaged: block 2 \(CERTIFICATE\) was cut off, .*",
                                   "--cert", two, "--key", key)
        glued = folder() / "glued.crt"
        with open(self.made.server[0], "rb") as one, open(self.made.ca, "rb") as other:
            glued.write_bytes(one.read().rstrip() + other.read())
        self.assertRefusesToListen(8, "system-file", rf"--cert {glued} is damaged: in line \d+ a BEGIN or END is not .*",
                                   "--cert", glued, "--key", key)
        for option in "--ca", "--client-ca":
            self.assertFails(run("--listen", "::1", "0", "--tls", option, two) if option == "--client-ca" else
                             run("--connect", "::1", "1", "--tls", option, two), 8, "system-file")

    def test_a_root_in_front_of_the_servers_certificate_is_named(self):
        certificate, key = self.made.server
        turned = folder() / "root-first.crt"
        with open(self.made.ca, "rb") as one, open(certificate, "rb") as other:
            turned.write_bytes(one.read() + other.read())
        self.assertRefusesToListen(8, "system-file", f"the key in {key} belongs to certificate 2 in {turned}, which must "
                                   "be the first there, in front of the CA certificates",
                                   "--cert", turned, "--key", key)

    def on_curve(self, curve):
        """A certificate and its key."""
        place = folder()
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-noenc", "-keyout", "key",
                "-out", "crt", "-subj", "/CN=x", "-addext", "subjectAltName=DNS:localhost,IP:::1", cwd=place)
        (place / "key").chmod(0o600)
        return str(place / "crt"), str(place / "key")

    def test_a_curve_with_which_no_handshake_can_succeed_is_refused_at_the_start(self):
        for curve in "brainpoolP256r1", "secp256k1", "secp224r1":
            with self.subTest(curve):
                self.assertRefusesToListen(8, "system-file", rf"the key in \S+ is on the curve {curve}, which the groups and "
                                           r"signatures offered by this program exclude: no TLS handshake can succeed .*",
                                           *identity(self.on_curve(curve)))
        for curve in "P-384", "P-521":
            certificate, key = self.on_curve(curve)
            with self.subTest(curve), Server("--tls", *identity((certificate, key))) as server:
                self.assertDialogue(connect("::1", server.port, "Michael", "--tls", "--ca", certificate), MICHAEL)
        self.assertRefusesToListen(8, "system-file", ".* short a key.*|using a certificate .*",
                                   *identity(certificates("--bad").bad("weak-rsa")))

    def test_a_file_that_is_not_there_is_a_usage_error_that_names_the_option(self):
        certificate, key = self.made.server
        for option, others in (("--cert", ("--key", key)), ("--key", ("--cert", certificate)),
                               ("--client-ca", ()), ("--ticket-keys", ()),
                               ("--key-passphrase-file", ("--cert", certificate, "--key", key))):
            with self.subTest(option):
                self.assertRefusesToListen(2, "usage", f"{option} /nowhere/x cannot be read: No such file or directory",
                                           option, "/nowhere/x", *others)

    @unittest.skipUnless(IS_ROOT, "only root has files that another user may not read")
    def test_a_file_that_may_not_be_read_is_named_with_its_option(self):
        certificate, key = self.made.server
        if subprocess.run(["test", "-x", BINARY], user=65534).returncode:
            self.skipTest("another user may not execute the program where it is")
        self.assertRefusesToListen(8, "system-permission", f"--cert {certificate} cannot be read: Permission denied",
                                   "--cert", certificate, "--key", key, user=65534)

    def encrypted(self):
        path = folder() / "encrypted.key"
        path.write_bytes(openssl("pkey", "-in", self.made.server[1], "-aes256", "-passout", "pass:open sesame"))
        path.chmod(0o600)
        return "--cert", self.made.server[0], "--key", str(path)

    def passphrase(self, text):
        path = folder() / "passphrase"
        path.write_text(text)
        path.chmod(0o600)
        return "--key-passphrase-file", str(path)

    def test_the_pass_phrase_of_a_key_comes_from_a_file(self):
        for text in ("open sesame\n", "open sesame", "open sesame\r\nnot this\n"):
            with Server("--tls", *self.encrypted(), *self.passphrase(text)) as server:
                self.assertDialogue(self.run_client(server), MICHAEL)
                server.reload()
                self.assertDialogue(self.run_client(server), MICHAEL)
        self.assertRefusesToListen(8, "system-file", r"the pass phrase for the key in \S+ is wrong", *self.encrypted(),
                                   *self.passphrase("close sesame\n"))
        self.assertRefusesToListen(8, "system-file", r"the first line of --key-passphrase-file \S+ is empty",
                                   *self.encrypted(), *self.passphrase(""))

    def test_without_a_terminal_a_pass_phrase_is_not_asked_for(self):
        self.assertRefusesToListen(8, "system-file", "the key in .* is encrypted and there is no terminal to ask for its pass phrase: "
                                   "give --key-passphrase-file", *self.encrypted(), stdin=b"open sesame\n")

    def type_unseen(self, terminal, text):
        """Types once the terminal shows nothing of it any more."""
        await_that(lambda: not terminal.attributes()[3] & termios.ECHO, "the echo to be off")
        return terminal.send(text)

    def test_at_a_terminal_the_pass_phrase_is_asked_for(self):
        options = ("--listen", "::1", "0", "--tls", *self.encrypted())
        with Terminal(*options) as terminal:
            self.type_unseen(terminal.expect(b"Pass phrase for "), b"open sesame\n").expect(b"with TLS")
            self.assertNotIn(b"sesame", terminal.shown())
            terminal.process.send_signal(signal.SIGTERM)
            self.assertEqual(terminal.wait(), 0)
        with Terminal(*options) as terminal:
            self.type_unseen(terminal.expect(b"Pass phrase for "), b"close sesame\n").expect(b"is wrong")
            self.assertEqual(terminal.wait(), 8)

    def test_a_signal_at_the_question_leaves_the_terminal_as_it_was(self):
        for send in (lambda terminal: terminal.send(b"\x03"),
                     lambda terminal: terminal.process.send_signal(signal.SIGTERM)):
            with Terminal("--listen", "::1", "0", "--tls", *self.encrypted()) as terminal:
                terminal.expect(b"Pass phrase for ")
                await_that(lambda: not terminal.attributes()[3] & termios.ECHO, "the echo to be off")
                send(terminal)
                await_that(lambda: terminal.attributes()[3] & termios.ECHO, "the echo to be on")
                self.assertIn(terminal.wait(), (-signal.SIGINT, -signal.SIGTERM))

    def test_a_certificate_that_ends_soon_is_warned_of(self):
        soon, later = certificates("--days", "3"), certificates("--days", "30")
        for made, warned in ((soon, True), (later, False)):
            with Server("--tls", *made.serve()) as server:
                dialogue(server, client_context(made))
                server.reload()
                found = re.findall(rb"The certificate for localhost, 127.0.0.1, ::1 expires in (2\.9|3\.0) days",
                                   server.log.bytes())
                self.assertEqual(len(found), 2 if warned else 0, server.log.bytes())
        with Server("--tls", *identity(certificates("--bad").bad("expired"))) as server:
            server.log.expect("The certificate for .* has expired, clients reject it")
        for name, fault in (("expiring-intermediate", r'"tcpgreet expiring intermediate CA" above .* expires in 5\.\d days'),
                           ("expired-intermediate", r'"tcpgreet expired intermediate CA" above .* has expired, clients')):
            with Server("--tls", *identity(certificates("--bad").bad(name))) as server:
                server.log.expect("The CA certificate " + fault)


class Agreement(TlsCase):
    """Versions, ciphers, protocols."""

    def test_a_protocol_is_agreed_or_refused(self):
        with self.serve("--alpn", "greet/2,greet/1") as server:
            for offered, agreed in (("greet/1", "greet/1"), ("greet/1,greet/2", "greet/2"), ("x,greet/1", "greet/1")):
                result = self.run_client(server, "-v", "--alpn", offered)
                self.assertDialogue(result, MICHAEL)
                self.assertIn(f", ALPN {agreed} with".encode(), result.err)
            result = self.run_client(server, "--alpn", "greet/3")
            self.assertFails(result, 5, "tls-alert")
            self.assertIn(b"no_application_protocol", result.err)
            self.assertDialogue(self.run_client(server), MICHAEL)  # who offers none is welcome
        with self.serve() as server:
            result = self.run_client(server, "-v", "--alpn", "greet/1")  # a server that knows no ALPN ignores it
            self.assertDialogue(result, MICHAEL)
            self.assertNotIn(b"ALPN", result.err)

    def test_the_lowest_version_can_be_raised(self):
        with self.serve("--tls-min", "1.3") as server:
            dialogue(server, client_context(self.made, VERSIONS[1]))
            with self.assertRaisesRegex(ssl.SSLError, "PROTOCOL_VERSION"):
                tls_peer(server, client_context(self.made, VERSIONS[0]))
            server.log.expect("is closed: the peer chose a TLS version that this side does not allow")
        with self.serve("--tls-min", "1.2") as server:
            dialogue(server, client_context(self.made, VERSIONS[0]))

    def test_old_versions_and_weak_ciphers_are_refused(self):
        with self.serve() as server:
            base = ("openssl", "s_client", "-connect", f"[::1]:{server.port}")
            for options in (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
                            ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"),
                            ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"),
                            ("-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"), ("-tls1_3", "-groups", "P-521")):
                with self.subTest(options), Program(*base, *options) as client:
                    self.assertNotEqual(client.wait(), 0, client.out.bytes())
                    self.assertRegex(client.out.bytes(), b"alert (protocol version|handshake failure)")
            dialogue(server, client_context(self.made))

    def test_the_servers_order_decides(self):
        with self.serve() as server:
            for version, options, cipher in (
                    (VERSIONS[0], "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256",
                     "ECDHE-ECDSA-AES128-GCM-SHA256"), (VERSIONS[1], None, "TLS_AES_128_GCM_SHA256")):
                context = client_context(self.made, version)
                if options:
                    context.set_ciphers(options)
                with tls_peer(server, context) as peer:
                    self.assertEqual(peer.socket.cipher()[0], cipher)
                    exchange(peer)

    def test_openssl_conf_cannot_loosen_anything(self):
        config = folder() / "openssl.cnf"
        config.write_text("openssl_conf = loose\n[loose]\nssl_conf = ssl\n[ssl]\nsystem_default = all\n[all]\n"
                          "MinProtocol = TLSv1\nCipherString = ALL:@SECLEVEL=0\n")
        env = environment(OPENSSL_CONF=str(config))
        with self.serve(env=env) as server:
            # Under the same file s_client does go down to TLS 1.1: it is the server that refuses.
            with Program("openssl", "s_client", "-connect", f"[::1]:{server.port}", "-tls1_1", env=env) as client:
                self.assertNotEqual(client.wait(), 0)
                self.assertIn(b"alert protocol version", client.out.bytes())
        bad = certificates("--bad")
        for name in ("weak-rsa", "sha1"):
            with TlsScript(greet, server_context(bad.bad(name), weak=True)) as server:
                result = connect("::1", server.port, "Michael", "--tls", "--ca", bad.ca, env=env)
                self.assertFails(result, 6, "cert-weak")
        config.write_text("openssl_conf = tight\n[tight]\nssl_conf = ssl\n[ssl]\nsystem_default = all\n[all]\n"
                          "MaxProtocol = TLSv1.2\n")
        with self.serve(env=env) as server:  # it is not even read
            result = self.run_client(server, "-v", env=env)
            self.assertDialogue(result, MICHAEL)
            self.assertIn(b"Using TLSv1.3", result.err)


class KeyLog(TlsCase):
    def test_the_client_writes_its_secrets_to_the_key_log(self):
        logs = {VERSIONS[1]: "CLIENT_HANDSHAKE_TRAFFIC_SECRET SERVER_HANDSHAKE_TRAFFIC_SECRET CLIENT_TRAFFIC_SECRET_0 "
                             "SERVER_TRAFFIC_SECRET_0 EXPORTER_SECRET", VERSIONS[0]: "CLIENT_RANDOM"}
        for version, labels in logs.items():
            ours, theirs = folder() / "ours", folder() / "theirs"
            context = server_context(self.made.server, version)
            context.keylog_filename = str(theirs)
            with self.subTest(version=version.name), TlsScript(greet, context) as server:
                self.assertDialogue(self.run_client(server, env=environment(SSLKEYLOGFILE=str(ours))), MICHAEL)
                lines = ours.read_text().splitlines()
                self.assertEqual({line.split()[0] for line in lines}, set(labels.split()))
                self.assertTrue(all(re.fullmatch(r"[A-Z_0-9]+ [0-9a-f]{64} [0-9a-f]{64,96}", line) for line in lines))
                reported = [line for line in theirs.read_text().splitlines() if not line.startswith("#")]
                self.assertEqual(sorted(lines), sorted(reported), "both sides know the same secrets")
                before = len(lines)
                self.assertDialogue(self.run_client(server, env=environment(SSLKEYLOGFILE=str(ours))), MICHAEL)
                self.assertEqual(len(ours.read_text().splitlines()), 2 * before, "it is added to")

    def test_the_server_never_does(self):
        log = folder() / "keys"
        with self.serve(env=environment(SSLKEYLOGFILE=str(log))) as server:
            self.assertDialogue(self.run_client(server), MICHAEL)
        self.assertFalse(log.exists())

    @unittest.skipUnless(IS_ROOT, "only root can make a set-user-id program of another user")
    def test_a_set_user_id_program_writes_none(self):
        place = folder()
        place.chmod(0o777)
        program = shutil.copy(BINARY, place / "tcpgreet")
        os.chmod(program, 0o4755)
        with self.serve() as server:
            for user, writes in ((0, True), (65534, False)):
                log = place / f"keys-{user}"
                result = connect("::1", server.port, "Michael", "--tls", "--insecure", executable=program, user=user,
                                 env=environment(SSLKEYLOGFILE=str(log)))
                self.assertDialogue(result, MICHAEL)
                self.assertEqual(log.exists(), writes, user)

    def test_a_key_log_that_cannot_be_written_is_reported(self):
        with self.serve() as server:
            result = self.run_client(server, env=environment(SSLKEYLOGFILE="/nowhere/keys"))
            self.assertFails(result, 8, "system-file")
            self.assertIn(b"SSLKEYLOGFILE /nowhere/keys", result.err)
            with tempfile.TemporaryDirectory() as folder:
                fifo = os.path.join(folder, "keys")
                os.mkfifo(fifo)  # which no process reads
                for place, why in (fifo, b"it is a FIFO that no process reads from (start its reader first)"), \
                        (folder, b"it is a directory (give the name of a file)"), ("/dev/full", b"No space left on device"):
                    with self.subTest(place=place):
                        result = self.run_client(server, env=environment(SSLKEYLOGFILE=place))
                        self.assertFails(result, 8, "system-file")
                        self.assertIn(b"cannot write to SSLKEYLOGFILE %s: %s" % (place.encode(), why), result.err)


class Explain(TlsCase):
    COMMON = ("ClientHello", "ServerHello", "Certificate", "Finished", "ChangeCipherSpec")
    MESSAGES = {VERSIONS[1]: (*COMMON, "EncryptedExtensions", "CertificateVerify", "NewSessionTicket"),
                VERSIONS[0]: (*COMMON, "ServerKeyExchange", "ServerHelloDone", "ClientKeyExchange", "NewSessionTicket")}

    def test_the_client_prints_each_message(self):
        for version, messages in self.MESSAGES.items():
            with TlsScript(greet, server_context(self.made.server, version)) as server:
                result = self.run_client(server, "--explain")
            self.assertDialogue(result, MICHAEL)
            printed = result.err.decode()
            for message in messages:
                with self.subTest(version=version.name, message=message):
                    way = "sent" if message.startswith("Client") else "received"
                    if message not in ("Finished", "ChangeCipherSpec"):
                        self.assertRegex(printed, rf"(?m) ms  TLS {message} {way}, \d+ bytes \(socket \d+\)")
            for event in ("Finished sent", "Finished received", "ChangeCipherSpec sent"):
                self.assertRegex(printed, rf"TLS {event}, \d+ bytes?")
            self.assertRegex(printed, rf"TLS handshake complete: {version.name.replace('_', '.')}, \S+AES\S+, [Xx]25519\S*, full hand")
            self.assertRegex(printed, "(?s)TLS handshake complete.*TLS close_notify received.*TLS close_notify sent|"
                                   "TLS handshake complete.*TLS close_notify sent.*TLS close_notify received")

    def test_bytes_of_a_tls_connection_are_counted_and_never_shown_as_text(self):
        with self.serve("--explain") as server:
            printed = self.run_client(server, "--explain").err.decode()
            server.log.expect(r" close\(\d+\)")
        for text in printed, server.log.bytes().decode():
            moved = re.findall(r" ms  (?:recv|send)\(\d+\) = [1-9].*", text)
            self.assertGreater(len(moved), 5)
            for line in moved:
                self.assertRegex(line, r"= \d+ (encrypted bytes?|bytes? during the TLS handshake)  \[")

    def test_the_server_logs_each_message(self):
        context = client_context(self.made)
        with self.serve("--explain") as server:
            session, _ = dialogue(server, context, b"Michael")
            server.log.expect("TLS ClientHello received, .* bytes")
            server.log.expect("TLS CertificateVerify sent, .* bytes")
            server.log.expect(r"TLS handshake complete: TLSv1\.3, .*, full handshake")
            server.log.expect("TLS close_notify sent")
            dialogue(server, context, session=session)
            server.log.expect(r"TLS handshake complete: TLSv1\.3, .*, resumed")

    def test_a_refusal_is_explained_too(self):
        with TlsScript(greet, server_context(self.made.server)) as server:
            result = connect("::1", server.port, "Michael", "--tls", "--explain", "--ca", certificates("--rsa").ca)
        self.assertEqual(result.code, 6)
        self.assertRegex(result.err, b"TLS alert sent: unknown_ca")

    def test_mutual_tls_is_explained(self):
        context = server_context(self.made.server, client_ca=self.made.ca)
        with TlsScript(greet, context) as server:
            result = self.run_client(server, "--explain", *identity(self.made.client))
        self.assertDialogue(result, MICHAEL)
        self.assertRegex(result.err, b"TLS CertificateRequest received")
        self.assertRegex(result.err, b"TLS CertificateVerify sent")

    def test_a_hello_retry_is_explained(self):
        context = server_context(self.made.server)
        context.set_ecdh_curve("secp384r1")
        with TlsScript(greet, context) as server:
            result = self.run_client(server, "--explain")
        self.assertDialogue(result, MICHAEL)
        self.assertRegex(result.err, rb"(?s)ClientHello sent.*HelloRetryRequest received.*ClientHello sent")


def mute(peer):
    peer.read_all()


def closing(peer):
    peer.receive()


def resetting(peer):
    peer.receive()
    peer.reset()


class NextAddress(TlsCase):
    """An address that connects and is of no use in the handshake leaves its turn to the next."""

    HOSTS = "::1 he.test\n127.0.0.1 he.test\n"

    def run_client(self, port, *options, hosts=HOSTS):
        with Names(hosts) as names:
            return connect("he.test", port, "Michael", "--tls", "--ca", self.made.ca, "--servername", "localhost",
                           *options, wrap=names.wrap)

    @needs_names
    def test_the_next_address_is_used_where_the_first_does_not_answer_the_handshake(self):
        with self.serve(listen=[("127.0.0.1", "0")]) as server:
            for useless in mute, closing, resetting:
                def attempt(limit_s):
                    with Script(useless, port=server.port) as first:
                        result = self.run_client(server.port, "--connect-timeout", ms(limit_s), "-v")
                        self.assertDialogue(result, MICHAEL)
                        self.assertIn(f"Trying the next address: [::1]:{first.port}: ".encode(), result.err)
                        self.assertEqual(len(first.peers), 1)
                with self.subTest(useless.__name__):
                    unhurried(attempt, 3)

    @needs_names
    def test_a_certificate_that_is_refused_is_an_answer(self):
        with self.serve(listen=[("127.0.0.1", "0")]) as server, \
                Server("--tls", *certificates("--rsa").serve(), listen=[("::1", str(server.port))]):
            self.assertFails(self.run_client(server.port), 6, "cert-untrusted")

    @needs_names
    def test_the_error_names_each_address_and_those_not_tried(self):
        hosts = "".join(f"127.0.0.{i} he.test\n" for i in range(1, 8))
        with Script(mute, host="0.0.0.0") as server:
            result = self.run_client(server.port, "--connect-timeout", "1s", hosts=hosts)
        self.assertFails(result, 5, "tls-silent-peer")
        tried, untried = result.err.decode().split("; not tried: ")
        self.assertEqual(len(set(re.findall(r"127\.0\.0\.\d", tried))) + len(set(re.findall(r"127\.0\.0\.\d", untried))), 7)
        self.assertLessEqual(len(set(re.findall(r"127\.0\.0\.\d", tried))), 4)


class Usage(TlsCase):
    def assertUsage(self, sentence, *args):
        result = run(*args)
        self.assertEqual((result.code, result.out), (2, b""), repr(result))
        self.assertRegex(result.err.decode().splitlines()[0], rf"^tcpgreet: {sentence} \(usage\)$")

    def test_options_that_need_another_name_it(self):
        for option in ("--ca x", "--servername x", "--insecure", "--pin sha256:" + "0" * 64, "--cert x", "--key x",
                       "--key-passphrase-file x", "--tls-min 1.3", "--alpn x"):
            with self.subTest(option):
                self.assertUsage(f"{option.split()[0]} needs --tls", "--connect", "::1", "1", *option.split())
        for option in ("--client-ca x", "--client-auth require", "--ticket-keys x", "--cert x"):
            with self.subTest(option):
                self.assertUsage(f"{option.split()[0]} needs --tls", "--listen", "::1", "0", *option.split())
        self.assertUsage("--handshake-timeout needs --tls or --proxy-protocol", "--listen", "::1", "0",
                         "--handshake-timeout", "1s")
        listen, certificate, key = ("--listen", "::1", "0", "--tls"), *self.made.server
        self.assertUsage("--client-auth needs --client-ca", *listen, "--client-auth", "require")
        self.assertUsage("--key-passphrase-file needs --cert", *listen, "--key-passphrase-file", key)
        self.assertUsage("--cert is given 1 time and --key 2 times.*", *listen, "--cert", certificate, "--key", key,
                         "--key", key)
        self.assertUsage("--key needs --cert", *listen, "--key", key)

    def test_options_of_the_other_side_are_refused(self):
        for option in ("--client-ca x", "--client-auth require", "--ticket-keys x", "--handshake-timeout 1s"):
            self.assertUsage(f"{option.split()[0]} is for --listen, not for --connect",
                             "--connect", "::1", "1", "--tls", *option.split())
        for option in ("--ca x", "--servername x", "--pin sha256:" + "0" * 64):
            self.assertUsage(f"{option.split()[0]} is for --connect.*, not for --listen",
                             "--listen", "::1", "0", "--tls", *option.split())

    def test_values_are_checked(self):
        base = ("--connect", "::1", "1", "--tls")
        zeros = "sha256:" + "0" * 64
        for value in ("x", "sha256:", zeros[:-1], zeros + "0", "sha1:" + "0" * 64, zeros[:-1] + "g", zeros + ","):
            self.assertUsage("--pin takes sha256: and 64 hexadecimal digits, not .*", *base, "--pin", value)
        for value in ("1.1", "1", "2", "TLSv1.2", "1.30"):
            self.assertUsage("--tls-min takes 1.2 or 1.3, not .*", *base, "--tls-min", value)
        for value in (",", "a,,b", "a,", "x" * 256):
            self.assertUsage("--alpn takes protocol names of 1 to 255 bytes.*", *base, "--alpn", value)
        self.assertUsage("--client-auth takes require or request, not .*", "--listen", "::1", "0", "--tls",
                         "--client-auth", "maybe")
        for option in ("--ca", "--servername", "--cert", "--alpn"):
            self.assertUsage(f"{option} needs a value.*", *base, option, "")
        self.assertUsage("--servername is given twice", *base, "--servername", "a", "--servername", "b")
        self.assertUsage("--ca is given twice", *base, "--ca", "a", "--ca", "b")
        self.assertUsage("--cert can be given once.*", *base, "--cert", "a", "--cert", "b")


@unittest.skipUnless(WITHOUT_TLS, "TCPGREET_NO_TLS is not set to a build without TLS")
class BuiltWithout(Case):
    def run_without(self, *args):
        return subprocess.run([WITHOUT_TLS, *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S,
                              env=environment())

    def test_tls_is_refused_in_words(self):
        for args in (("--connect", "::1", "1", "--tls"), ("--listen", "::1", "0", "--tls"),
                     ("--connect", "::1", "1", "--tls", "--insecure", "Michael")):
            result = self.run_without(*args)
            self.assertEqual((result.returncode, result.stdout), (2, b""))
            self.assertRegex(result.stderr, rb"^tcpgreet: --tls is not available in this build .* \(usage\)\n")

    def test_the_version_reports_it(self):
        self.assertIn(b"built without TLS", self.run_without("--version").stdout)

    def test_plain_dialogues_work(self):
        with Server() as server:
            result = self.run_without("--connect", "::1", str(server.port), "Michael")
            self.assertEqual((result.returncode, result.stdout), (0, OPENING + MICHAEL + GOODBYE))

    @unittest.skipUnless(HAS_TLS, "there is no build with TLS to meet")
    def test_tls_peers_are_recognised(self):
        def attempt(limit_s):
            with Server("--tls") as server:
                result = self.run_without("--connect", "::1", str(server.port), "Michael", "--answer-timeout", ms(limit_s))
            self.assertEqual(result.returncode, 7)
            self.assertIn(b"(dialogue-tls-peer)", result.stderr)
        unhurried(attempt, 0.3)


if __name__ == "__main__":
    if HAS_TLS:
        skip_without_tls()
    else:
        sys.argv[1:] = ["BuiltWithout"]  # the rest has nothing to test
    main()
