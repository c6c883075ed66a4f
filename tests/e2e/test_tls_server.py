"""The server under TLS: whom it lets in, which certificate it shows, reloads, and peers that mean it ill."""

import contextlib
import os
import re
import select
import shutil
import signal
import ssl
import struct
import threading
import time
import unittest

from harness import (GOODBYE, LIMIT_S, OPENING, SANITIZED, Case, Peer, Server, await_that, client_hello, connect, hello,
                     main, ms, unhurried)
from tls_harness import (VERSIONS, ByHand, Program, certificates, client_context, exchange, der, dialogue,
                         fingerprint, folder, identity, issue, openssl, skip_without_tls, tls_peer)

MICHAEL = hello(b"Michael")


def copies(*files):
    """New files with the same bytes and modes, to be changed by a test."""
    place = folder()
    return [str(shutil.copy(file, place / os.path.basename(file))) for file in files]


class TlsCase(Case):
    def setUp(self):
        super().setUp()
        self.made = certificates()

    def serve(self, *options, **more):
        return Server("--tls", *self.made.serve(), *options, **more)

    def assertServed(self, server):
        """Others are served as usual."""
        dialogue(server, client_context(self.made), b"Michael")


class ClientCertificates(TlsCase):
    def tls_peer(self, server, pair, version=None, session=None, context=None):
        context = context or client_context(self.made, version, pair=pair)
        return dialogue(server, context, b"Michael", session=session)

    def assertRejected(self, server, pair, version, why, session=None, context=None):
        """The client receives an alert, the log a sentence."""
        line = f"is closed: {why}, 0 names"
        before = len(re.findall(line, server.log.bytes().decode()))
        with self.assertRaisesRegex(ssl.SSLError, "ALERT"):
            self.tls_peer(server, pair, version, session, context)
        server.log.expect(line, before + 1)

    def pairs(self):
        """Client certificates that are rejected, and the log line of each."""
        rsa = certificates("--rsa")
        return ((None, "(the client sent no certificate|.*did not return a certificate)"),
                (rsa.client, r'the client\'s certificate was issued by "tcpgreet CA \w+", which is not trusted .*'),
                (issue(self.made, "late", "clientAuth", -90000, -3600),
                 r"the client's certificate expired 1 hour ago \(20.* UTC\); the client must renew it"),
                (issue(self.made, "early", "clientAuth", 3700, 90000), "the client's certificate is not valid before .*"),
                (self.made.server, "the client's certificate is not for a TLS client .*"))

    def test_required_means_required(self):
        for options in (("--client-ca", self.made.ca), ("--client-ca", self.made.ca, "--client-auth", "require")):
            with self.serve(*options) as server:
                for version in VERSIONS:
                    for pair, why in self.pairs():
                        with self.subTest(version=version.name, why=why):
                            self.assertRejected(server, pair, version, why)
                    self.tls_peer(server, self.made.client, version)
                server.expect_counters(" 2 TLS handshakes, .* 2 names greeted, .* 10 failed")

    def test_requested_means_none_or_a_good_one(self):
        with self.serve("--client-ca", self.made.ca, "--client-auth", "request") as server:
            for version in VERSIONS:
                self.tls_peer(server, None, version)
                self.tls_peer(server, self.made.client, version)
                for pair, why in self.pairs()[1:]:
                    with self.subTest(version=version.name, why=why):
                        self.assertRejected(server, pair, version, why)

    def test_our_client_learns_what_is_missing(self):
        with self.serve("--client-ca", self.made.ca) as server:
            base = ("Michael", "--tls", "--ca", self.made.ca)
            self.assertDialogue(connect("::1", server.port, *base, *identity(self.made.client)), MICHAEL)
            result = connect("::1", server.port, *base)
            self.assertFails(result, 5, "tls-client-certificate")
            self.assertIn(b"give --cert and --key", result.err)
            result = connect("::1", server.port, *base, *identity(certificates("--rsa").client))
            self.assertFails(result, 5, "tls-client-certificate")
            self.assertIn(b"the peer rejected our certificate: unknown_ca", result.err)

    def test_the_ca_of_clients_may_be_a_directory(self):
        place = folder()
        name = openssl("x509", "-in", self.made.ca, "-noout", "-hash").decode().strip()
        shutil.copy(self.made.ca, place / f"{name}.0")
        with self.serve("--client-ca", str(place)) as server:
            self.tls_peer(server, self.made.client)
            self.assertRejected(server, None, None, ".*certificate")

    def trusted(self, server, pairs, times=1):
        """For each certificate, whether the server accepted it, that often."""
        def is_accepted(pair):
            try:
                self.tls_peer(server, pair)
            except ssl.SSLError:
                return False
            return True
        return [[is_accepted(pair) for _ in range(times)] for pair in pairs]

    def test_a_directory_is_read_at_the_start_and_at_a_reload(self):
        place, other = folder(), certificates("--rsa")

        def put(made):
            name = openssl("x509", "-in", made.ca, "-noout", "-hash").decode().strip()
            shutil.copy(made.ca, place / f"{name}.0")

        put(self.made)
        with self.serve("--client-ca", str(place)) as server:
            put(other)
            pairs = (self.made.client, other.client)
            self.assertEqual(self.trusted(server, pairs), [[True], [False]])
            for link in place.iterdir():
                link.unlink()
            put(other)
            self.assertEqual(self.trusted(server, pairs), [[True], [False]])
            server.reload()
            self.assertEqual(self.trusted(server, pairs), [[False], [True]])

    def test_all_workers_trust_the_same_after_a_storm_of_reloads(self):
        made, other, place = self.made, certificates("--rsa"), folder() / "ca.crt"
        shutil.copy(made.ca, place)
        with self.serve("--client-ca", str(place), "--workers", "4") as server:
            for now, before in ((other, made), (made, other)) * 3:
                for _ in range(20):
                    server.send_signal(signal.SIGHUP)
                shutil.copy(now.ca, f"{place}.new")
                os.rename(f"{place}.new", place)
                for _ in range(20):
                    server.send_signal(signal.SIGHUP)
                for _ in range(2):  # the first line may be of a reload that had read the files
                    server.reload()
                self.assertEqual(self.trusted(server, (now.client, before.client), 12), [[True] * 12, [False] * 12])

    def test_a_ticket_does_not_get_around_a_policy(self):
        keys = folder() / "keys"
        keys.touch(mode=0o600)
        keys.write_bytes(openssl("rand", "80"))
        own, other = ("--client-ca", self.made.ca), ("--client-ca", certificates("--rsa").ca)
        shared = ("--ticket-keys", str(keys))
        with self.serve(*shared) as free, self.serve(*shared, *own, "--client-auth", "request") as asking, \
                self.serve(*shared, *own) as strict, self.serve(*shared, *other) as foreign:
            for version in VERSIONS:
                for easy in (free, asking):
                    context = client_context(self.made, version)
                    session, _ = self.tls_peer(easy, None, context=context)
                    self.assertTrue(self.tls_peer(easy, None, context=context, session=session)[1])
                    self.assertRejected(strict, None, None, ".*certificate", session, context)
                context = client_context(self.made, version, pair=self.made.client)
                session, _ = self.tls_peer(strict, None, context=context)
                self.assertTrue(self.tls_peer(strict, None, context=context, session=session)[1], "its own it takes")
                self.assertRejected(foreign, None, None, ".*, which is not trusted here .*", session, context)

    def test_a_ca_that_is_withdrawn_is_withdrawn_from_tickets_too(self):
        ca, = copies(self.made.ca)
        with self.serve("--client-ca", ca) as server:
            for version in VERSIONS:
                context = client_context(self.made, version, pair=self.made.client)
                session, _ = self.tls_peer(server, None, context=context)
                shutil.copy(certificates("--rsa").ca, ca)
                server.reload()
                self.assertRejected(server, None, None, ".*, which is not trusted here .*", session, context)
                shutil.copy(self.made.ca, ca)
                server.reload()

    def test_a_certificate_that_expires_ends_its_tickets(self):
        def attempt(seconds):
            with self.serve("--client-ca", self.made.ca) as server:
                ends = time.time() + seconds
                pair = issue(self.made, "short", "clientAuth", -60, seconds)
                contexts = [client_context(self.made, version, pair=pair) for version in VERSIONS]
                sessions = [self.tls_peer(server, None, context=context)[0] for context in contexts]
                for context, session in zip(contexts, sessions):
                    self.assertTrue(self.tls_peer(server, None, context=context, session=session)[1])
                time.sleep(max(0, ends + 1.5 - time.time()))  # certificates have whole seconds
                for context, session in zip(contexts, sessions):
                    self.assertRejected(server, None, None, "the client's certificate expired .*", session, context)
        unhurried(attempt, 3)


class Identities(TlsCase):
    """Several certificates: the name that the client asks for chooses, and what it can check."""

    def shown(self, server, name, version=None):
        """The certificate that the server shows to who asks for a name; "::1": for none."""
        with tls_peer(server, client_context(version=version), name) as peer:
            shown = peer.socket.getpeercert(True)
            exchange(peer)
        return shown

    def test_the_name_chooses(self):
        one = certificates("--host", "a.test")
        two = certificates("--rsa", "--host", "b.test", "--host", "*.c.test")  # the first's key type would be preferred
        table = {"a.test": one, "b.test": two, "x.c.test": two, "B.TEST": two, "c.test": one, "unknown.test": one,
                 "::1": one}
        with Server("--tls", *one.serve(), *two.serve()) as server:
            for version in VERSIONS:
                for name, made in table.items():
                    with self.subTest(name, version=version.name):
                        self.assertEqual(self.shown(server, name, version), fingerprint(made.server[0]))
            for made, name in ((one, "a.test"), (two, "b.test")):
                result = connect("::1", server.port, "Michael", "--tls", "--ca", made.ca, "--servername", name)
                self.assertDialogue(result, MICHAEL)
            result = connect("::1", server.port, "Michael", "--tls", "--ca", one.ca, "--servername", "b.test")
            self.assertFails(result, 6, "cert-untrusted")

    def test_one_key_type_for_each_client(self):
        ec, rsa = certificates(), certificates("--rsa")
        with Server("--tls", *ec.serve(), *rsa.serve()) as server:
            for options, made in ((("-tls1_3", "-sigalgs", "ecdsa_secp256r1_sha256"), ec),
                                  (("-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"), rsa),
                                  (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"), ec),
                                  (("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), rsa),
                                  (("-tls1_3",), ec)):
                for name in ((), ("-servername", "localhost"), ("-servername", "unknown.test")):
                    with self.subTest(options, name=name), \
                            Program("openssl", "s_client", "-connect", f"[::1]:{server.port}", "-ign_eof",
                                    *(name or ("-noservername",)), *options) as client:
                        client.expect(OPENING).send(b"exit\n").expect(GOODBYE).wait()
                        self.assertEqual(der(client.out.bytes().decode()), fingerprint(made.server[0]))

    def test_a_chain_is_sent_whole(self):
        made = certificates("--bad")
        certificate, key = made.bad("missing-intermediate")
        chain, key = copies(certificate, key)
        with open(chain, "ab") as file, open(made.bad("intermediate")[0], "rb") as above:
            file.write(above.read())
        with Server("--tls", "--cert", chain, "--key", key) as server:
            dialogue(server, client_context(made), b"Michael")

    def test_a_session_of_one_name_is_not_shown_to_another(self):
        one, two = certificates("--host", "a.test"), certificates("--host", "b.test", "--host", "*.c.test")
        with Server("--tls", *one.serve(), *two.serve()) as server:
            context = client_context()
            with tls_peer(server, context, "a.test") as peer:
                session = exchange(peer)
            with tls_peer(server, context, "a.test", session) as peer:
                self.assertTrue(peer.socket.session_reused)
                exchange(peer)


class Reload(TlsCase):
    def setUp(self):
        super().setUp()
        self.other = certificates("--rsa")
        self.cert, self.key = copies(*self.made.server)

    def serve(self, *options, **more):
        return Server("--tls", "--cert", self.cert, "--key", self.key, *options, **more)

    def put(self, pair):
        for source, place in zip(pair, (self.cert, self.key)):
            shutil.copy(source, place + ".new")
            os.rename(place + ".new", place)

    def shown(self, server):
        with tls_peer(server, client_context()) as peer:
            shown = peer.socket.getpeercert(True)
            exchange(peer, b"Michael")
        return shown

    def assertShows(self, server, made):
        """Every worker has it, once the log has its line."""
        for _ in range(8):
            self.assertEqual(self.shown(server), fingerprint(made.server[0]))

    def test_a_reload_changes_the_certificate_and_no_dialogue(self):
        with self.serve() as server, tls_peer(server, client_context(self.made)) as before:
            before.expect(OPENING).send(b"Michael\n").expect(MICHAEL)
            self.put(self.other.server)
            server.reload()
            self.assertShows(server, self.other)
            before.send(b"Tracy\n").expect(hello(b"Tracy")).send(b"exit\n").expect(GOODBYE).expect_eof()

    def test_no_dialogue_is_lost_under_load(self):
        failures, stopped, done = [], threading.Event(), []
        seen, changed = {}, threading.Condition()

        def load():
            contexts = [client_context(version=version) for version in VERSIONS]
            while not stopped.is_set():
                try:
                    with tls_peer(server, contexts[len(done) % 2]) as peer:
                        shown = peer.socket.getpeercert(True)
                        exchange(peer, b"Michael", b"Tracy")
                except Exception as failure:
                    failures.append(failure)
                    return
                with changed:
                    done.append(shown)
                    seen[shown] = len(done)
                    changed.notify_all()

        with self.serve() as server:
            threads = [threading.Thread(target=load, daemon=True) for _ in range(4)]
            for thread in threads:
                thread.start()
            for turn in range(6):
                made = (self.other, self.made)[turn % 2]
                self.put(made.server)
                server.reload()
                with changed:
                    mark = len(done)
                    self.assertTrue(changed.wait_for(
                        lambda: failures or seen.get(fingerprint(made.server[0]), 0) > mark + 10, 6 * LIMIT_S), "the new one")
            for _ in range(20):  # signals in a storm
                server.send_signal(signal.SIGHUP)
            with changed:
                mark = len(done)
                changed.wait_for(lambda: failures or len(done) > mark + 20, 6 * LIMIT_S)
            stopped.set()
            for thread in threads:
                thread.join(6 * LIMIT_S)
            self.assertEqual(failures, [])
            server.expect_counters(rf"Counters: {len(done)} connections, 0 open now, {len(done)} TLS handshakes, "
                                   rf".* {2 * len(done)} names greeted, .* 0 failed")

    def bad_files(self):
        """Ways to damage the files, and the log line of each."""
        def half():
            os.truncate(self.cert, 200)

        def cut_key():
            os.truncate(self.key, 100)

        yield "the certificate is half-written", half, "--cert .* is damaged: block 1 .CERTIFICATE. was cut off"
        yield "the key is half-written", cut_key, "--key .* is damaged: block 1 .* was cut off"
        yield "the key is not there", lambda: os.unlink(self.key), "--key .* cannot be read: No such file or directory"
        yield "the certificate is not there", lambda: os.unlink(self.cert), "--cert .* cannot be read: No such file"
        yield "the key is another's", lambda: shutil.copy(self.other.server[1], self.key), \
            "the key in .* does not belong to the certificate in .*"
        yield "only the certificate is new", lambda: shutil.copy(self.other.server[0], self.cert), \
            "the key in .* does not belong to the certificate in .*"
        yield "others can read the key", lambda: os.chmod(self.key, 0o644), \
            r"the key in .* is accessible to others \(mode 0644\)"
        yield "it is empty", lambda: os.truncate(self.cert, 0), "there is no certificate in .*"
        yield "it is a folder", lambda: (os.unlink(self.cert), os.mkdir(self.cert)), ".* it is a directory"
        curve = folder()
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1", "-noenc", "-keyout",
                "key", "-out", "crt", "-subj", "/CN=x", cwd=curve)
        (curve / "key").chmod(0o600)
        yield "a curve that no handshake can use", lambda: self.put((curve / "crt", curve / "key")), ".* brainpoolP256r1"
        for name, path in (("key", self.key), ("certificate", self.cert)):  # with no writer, an open would wait for ever
            yield f"the {name} is a FIFO", lambda path=path: (os.unlink(path), os.mkfifo(path)), ".* it is a FIFO"

    def test_a_bad_file_keeps_the_old_one_and_the_reason_is_logged(self):
        with self.serve() as server:
            for name, spoil, why in self.bad_files():
                with self.subTest(name):
                    spoil()
                    server.reload(f"Cannot reload the certificates, keeping the current ones: {why}")
                    self.assertEqual(self.shown(server), fingerprint(self.made.server[0]))
                    if os.path.isdir(self.cert):
                        os.rmdir(self.cert)
                    self.put(self.made.server)
            self.put(self.other.server)
            server.reload()
            self.assertShows(server, self.other)

    def test_a_server_with_nothing_to_reload_logs_it(self):
        for options in (("--tls",), ()):
            with Server(*options) as server:
                server.reload("Nothing to reload: ")
                self.assertDialogue(connect("::1", server.port, "Michael", *options, *["--insecure"] * len(options)),
                                    MICHAEL)

    def test_a_hangup_before_the_start_is_complete_is_a_reload(self):
        def hang_up():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])  # it stays pending across exec
            os.kill(os.getpid(), signal.SIGHUP)

        with self.serve(preexec_fn=hang_up) as server:
            server.log.expect("Certificates reloaded")
            self.assertShows(server, self.made)

    def test_a_reload_while_draining_harms_nothing(self):
        with self.serve("--drain-timeout", "5s") as server, tls_peer(server, client_context(self.made)) as peer:
            peer.expect(OPENING).send(b"Michael\nex").expect(MICHAEL)
            server.send_signal(signal.SIGTERM)
            server.log.expect("^Shutting down: ")
            server.send_signal(signal.SIGHUP)
            server.log.expect("Certificates reloaded")
            peer.send(b"it\n").expect(GOODBYE).expect_eof()
            self.assertEqual(server.wait(), 0)


class Endings(TlsCase):
    def test_the_end_is_close_notify_and_then_fin(self):
        with self.serve() as server:
            for version in VERSIONS:
                dialogue(server, client_context(self.made, version), b"Michael")  # ends with unwrap()
            server.expect_counters(" 0 failed")
        self.assertEqual(server.log.bytes().count(b"is closed: exit, 1 name"), 2)

    def test_a_client_that_sends_close_notify_ends_cleanly(self):
        with self.serve() as server:
            for version in VERSIONS:
                with tls_peer(server, client_context(self.made, version)) as peer:
                    peer.expect(OPENING).send(b"Michael\n").expect(MICHAEL)
                    with contextlib.closing(peer.socket.unwrap()) as plain:
                        plain.settimeout(LIMIT_S)
                        self.assertEqual(plain.recv(1), b"")
            server.log.expect("is closed: the peer ended, 1 name,", 2)
            server.expect_counters(" 0 failed")

    def test_a_client_that_ends_without_close_notify_is_distinguished(self):
        with self.serve() as server:
            for version in VERSIONS:
                with tls_peer(server, client_context(self.made, version)) as peer:
                    peer.expect(OPENING).send(b"Michael\n").expect(MICHAEL)
                    peer.end()
            server.log.expect("is closed: the stream was cut off: the peer ended it without close_notify, 1 name", 2)
            with tls_peer(server, client_context(self.made)) as peer:
                peer.expect(OPENING).send(b"Michael\n").expect(MICHAEL).reset()
            server.log.expect("is closed: .*reset")
            server.expect_counters(" 0 open now")

    def test_a_server_that_stops_sends_the_final_message_and_close_notify(self):
        with self.serve("--drain-timeout", "0") as server, tls_peer(server, client_context(self.made)) as peer, \
                Peer(server) as silent:
            peer.expect(OPENING)
            server.send_signal(signal.SIGTERM)
            peer.expect(GOODBYE).expect_eof()
            peer.close()
            silent.close()
            self.assertEqual(server.wait(), 0)

    def test_a_connection_over_the_limit_is_rejected(self):
        with self.serve("--max-connections", "1") as server, tls_peer(server, client_context(self.made)) as peer:
            peer.expect(OPENING)
            with self.assertRaises((OSError, ssl.SSLError)):
                tls_peer(server, client_context(self.made))
            server.expect_counters(" 1 rejected")
            server.log.expect(r"rejected: all 1 are in use \(see --max-connections\)")
            peer.send(b"exit\n").expect(GOODBYE).expect_eof()
            peer.close()
            server.expect_counters(" 0 open now")

            def is_served():  # its place is given back after it was counted
                with contextlib.suppress(OSError, ssl.SSLError):
                    self.assertServed(server)
                    return True
            await_that(is_served, "there is a place again")


    def test_handshakes_that_stall_make_room_for_others(self):
        with self.serve("--max-handshakes", "2", "--workers", "2", listen=(("127.0.0.1", "0"),)) as server, contextlib.ExitStack() as peers:
            for _ in range(5):
                peers.enter_context(Peer(server, source="127.0.0.2")).send(client_hello())
            server.log.expect(r"TLS handshakes in progress: 2, the limit \(--max-handshakes\); 127\.0\.0\.2:\d+ waits")
            for _ in range(3):
                self.assertServed(server)
            server.log.expect("is closed: TLS handshake closed to make room for another: the limit of handshakes in progress is reached")

    @staticmethod
    def unread(server):
        """How many bytes each connection of a server has not been read of."""
        with open("/proc/net/tcp6") as sockets:
            lines = [line.split() for line in sockets]
        return [int(line[4][9:], 16) for line in lines if line[1].endswith(f":{server.port:04X}") and line[3] == "01"]

    @unittest.skipIf(SANITIZED, "a sanitizer takes memory of its own")
    def test_the_largest_client_hellos_stay_within_the_memory_that_is_logged(self):
        count, whole = 300, b"\x01" + (131000).to_bytes(3, "big") + bytes(131000)
        hello = b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part
                         for part in (whole[i:i + 16384] for i in range(0, len(whole), 16384)))
        options = [f"--max-{name}={count}" for name in ("connections", "per-address", "handshakes")]
        with self.serve("--workers", "1", *options) as server, contextlib.ExitStack() as stack:
            most = int(server.log.expect(rf"at most {count} connections, about (\d+) MiB")[0][1])
            for _ in range(count):
                stack.enter_context(Peer(server)).send(hello[:-8])
            await_that(lambda: self.unread(server) == [0] * count, "the server has read everything")
            with open(f"/proc/{server.process.pid}/status") as status:
                peak = int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1])
            self.assertLess(count * 128, peak, "this is no flood")
            self.assertLess(peak, most * 1024)

    def test_a_handshake_for_which_others_make_room_is_not_reported_as_waiting(self):
        both = (("::1", "0"), ("127.0.0.1", "0"))
        with self.serve("--max-handshakes", "4", "--workers", "1", "--log-format", "json", listen=both) as server, \
                contextlib.ExitStack() as peers:
            for _ in range(4):
                peers.enter_context(Peer(server)).send(client_hello()).receive()
            other = peers.enter_context(Peer(("127.0.0.1", int(server.announcements[1][2]))))
            self.assertEqual(other.send(client_hello()).receive()[:1], b"\x16")  # a ServerHello
            server.log.expect(r'"reason":"tls-timeout","error":"TLS handshake closed to make room for another: ')
            self.assertNotIn(b" waits", server.log.bytes())

    def test_no_peer_in_its_handshake_holds_the_end(self):
        with self.serve("--drain-timeout", "300ms", "--handshake-timeout", "60s") as server, \
                contextlib.ExitStack() as peers:
            for first in (b"", client_hello()[:50], client_hello()):
                peers.enter_context(Peer(server)).send(first)
            with tls_peer(server, client_context(self.made)) as deaf:
                deaf.expect(OPENING)
                self.assertEqual(server.stop(), 0)


class OtherProtocols(TlsCase):
    """What is no TLS, or no good TLS. Each time the others are served."""

    def test_plain_words_are_named(self):
        words = {b"Michael\n": r"Michael\\n",
                 b"GET / HTTP/1.1\r\nHost: x\r\n\r\n": r"GET / HTTP/1\.1\\r\\nHost: x\\r\\n",
                 b"\x1b[2J\0\xff\r\n": r"\\x1b\[2J\\x00\\xff\\r\\n", b"PUT /x\n": r"PUT /x\\n",
                 b"CONNECT x:1 HTTP/1.1\r\n\r\n": "CONNECT x:1 HTTP", b"SSH-2.0-x\r\n": r"SSH-2\.0-x\\r\\n"}
        with self.serve("--handshake-timeout", "1h") as server:
            for payload in words:
                with Peer(server) as peer:
                    peer.send(payload)
                    self.assertEqual(peer.read_all(), b"")  # at once, not when a time limit is over, and without an RST
            for shown in words.values():
                server.log.expect(rf'is closed: the client does not use TLS: it sent "{shown}')
            server.expect_counters(f" {len(words)} unknown protocol")
            self.assertServed(server)

    def hello(self, version=None):
        return ByHand(None, client_context(self.made, version)).hello()

    def test_a_handshake_in_single_bytes_is_a_handshake(self):
        with self.serve() as server:
            for version in VERSIONS:
                with Peer(server) as peer:
                    tls = ByHand(peer, client_context(self.made, version))

                    def drip(data):
                        for byte in data:
                            peer.send(bytes([byte]))
                    tls.do(tls.tls.do_handshake, send=drip)
                    payload = b""
                    for wanted, word in ((OPENING, b"Michael\n"), (MICHAEL, b"exit\n"), (GOODBYE, None)):
                        while not payload.endswith(wanted):
                            payload += tls.do(tls.tls.read, 1000, send=drip)
                        if word:
                            tls.do(tls.tls.write, word, send=drip)
                    self.assertEqual(payload, OPENING + MICHAEL + GOODBYE)
                    tls.do(tls.tls.unwrap, send=drip)
                    peer.expect_eof()
            server.expect_counters(" 2 TLS handshakes, .* 0 failed")

    def test_a_hello_in_many_records_is_a_hello(self):
        with self.serve() as server, Peer(server) as peer:
            tls = ByHand(peer, client_context(self.made))
            body = tls.hello()[5:]
            peer.send(b"".join(b"\x16\x03\x01" + struct.pack(">H", len(part)) + part
                               for part in (body[i:i + 7] for i in range(0, len(body), 7))))
            tls.do(tls.tls.do_handshake)
            self.assertEqual(tls.do(tls.tls.read, 1000), OPENING)

    def test_a_handshake_that_stalls_is_cut(self):
        first = self.hello()

        def attempt(limit_s):
            with self.serve("--handshake-timeout", ms(limit_s)) as server:
                began = time.monotonic()
                peers = [Peer(server) for _ in range(30)]
                for count, peer in enumerate(peers):
                    peer.send(first[:count * 3])
                self.assertServed(server)
                for peer in peers:
                    with contextlib.suppress(ConnectionError):
                        peer.expect_eof()
                    peer.close()
                self.assertGreaterEqual(time.monotonic() - began, 0.95 * limit_s)
                server.log.expect("is closed: the client started no TLS handshake")
                server.log.expect("is closed: the TLS handshake with the client took too long", 29)
                server.expect_counters(" 0 open now,.* 30 timed out")
        unhurried(attempt, 0.3)

    def test_a_handshake_sent_too_slowly_is_cut(self):
        def attempt(limit_s):
            with self.serve("--handshake-timeout", ms(limit_s)) as server:
                began = time.monotonic()
                with Peer(server) as peer, contextlib.suppress(ConnectionError):
                    for byte in self.hello():  # each byte is on time, the handshake is not
                        peer.send(bytes([byte]))
                        if select.select([peer.socket], [], [], limit_s / 15)[0]:
                            break
                self.assertBetween(time.monotonic() - began, 0.95 * limit_s, limit_s + 5)
                server.log.expect("is closed: the TLS handshake with the client took too long")
        unhurried(attempt, 0.3)

    def test_a_finished_handshake_has_no_such_limit(self):
        def attempt(limit_s):
            with self.serve("--handshake-timeout", ms(limit_s)) as server, tls_peer(server, client_context(self.made)) as peer:
                peer.expect(OPENING).stays_silent(2 * limit_s)
                peer.send(b"Michael\n").expect(MICHAEL).send(b"exit\n").expect(GOODBYE).expect_eof()
        unhurried(attempt, 0.3)

    def test_a_client_that_cuts_its_handshake_is_only_logged(self):
        first = self.hello()
        with self.serve() as server:
            fds = len(server.fds())
            for count in (1, 4, 5, 6, len(first) // 2, len(first) - 1, len(first)):
                for way in (Peer.end, Peer.reset):
                    with Peer(server) as peer:
                        peer.send(first[:count])
                        way(peer)
                        if way == Peer.end:
                            with contextlib.suppress(ConnectionError):
                                peer.read_all()
            server.log.expect("is closed: .*(during the TLS handshake|reset)", 14)
            server.expect_counters(" 0 open now,.* 14 failed")
            await_that(lambda: len(server.fds()) == fds, "all descriptors to be closed")
            self.assertServed(server)

    def test_a_scanner_is_counted_and_not_logged(self):
        with self.serve() as server:
            for _ in range(100):
                Peer(server).close()
            server.expect_counters(" 0 open now,.* 100 closed without data")
            self.assertNotIn(b"is closed", server.log.bytes())
            self.assertServed(server)

    def test_records_that_make_no_sense_are_refused(self):
        hello_head = b"\x16\x03\x01\x40\x00\x01\xff\xff\xff\x03\x03"
        records = {"garbage": b"\x16\x03\x01\x00\x0aabcdefghij", "data first": b"\x17\x03\x03\x00\x05hello",
                   "too long a record": b"\x16\x03\x01\xff\xff" + bytes(1000),
                   "too long a hello": hello_head + bytes(0x4000 - 6),
                   "empty records": b"\x16\x03\x01\x00\x00" * 100, "alerts": b"\x15\x03\x01\x00\x02\x01\x5a" * 100,
                   "a heartbeat": b"\x18\x03\x02\x00\x03\x01\x40\x00", "SSL 2": b"\x80\x2e\x01\x00\x02" + bytes(50),
                   "SSL 3": b"\x16\x03\x00\x00\x2f\x01\x00\x00\x2b\x03\x00" + bytes(32) +
                            b"\x00\x00\x04\x00\x0a\x00\x05\x01\x00"}
        with self.serve("--handshake-timeout", "1s") as server:
            for name, record in records.items():
                with self.subTest(name), Peer(server) as peer:
                    peer.send(record)
                    with contextlib.suppress(ConnectionError):
                        payload = peer.read_all()
                        self.assertNotIn(b"Server", payload)
            server.log.expect("is closed: ", len(records))
            server.expect_counters(" 0 open now")
            self.assertServed(server)

    def s_client(self, server, *options):
        return Program("openssl", "s_client", "-connect", f"[::1]:{server.port}", "-CAfile", self.made.ca, *options)

    def test_a_flood_of_key_updates_is_cut_off(self):
        with self.serve() as server, self.s_client(server, "-tls1_3") as client:
            client.expect(OPENING)
            for count in range(1, 21):
                client.send(b"K\n").expect(b"KEYUPDATE", count)
            client.send(b"Michael\n").expect(MICHAEL)  # some are nothing to mind
            with contextlib.suppress(BrokenPipeError):
                for count in range(21, 61):  # how many the server has read when it ends this is not visible from here
                    client.send(b"K\n")
                    await_that(lambda: client.out.bytes().count(b"KEYUPDATE") >= count
                               or client.process.poll() is not None, "a key update or the end")
            client.wait()
            server.log.expect("is closed: the peer floods this side with handshake messages, 1 name")
            self.assertServed(server)

    def test_renegotiation_is_refused(self):
        with self.serve() as server, self.s_client(server, "-tls1_2") as client:
            client.expect(OPENING).send(b"R\n").expect(b"RENEGOTIATING").expect(b"no renegotiation")
            client.wait()
            server.log.expect("is closed")
            self.assertServed(server)

    def test_many_at_once(self):
        failures = []

        def talk():
            try:
                for _ in range(5):
                    dialogue(server, client_context(self.made), b"Michael", b"Tracy")
            except Exception as failure:
                failures.append(failure)
        with self.serve() as server:
            threads = [threading.Thread(target=talk, daemon=True) for _ in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(6 * LIMIT_S)
            self.assertEqual(failures, [])
            server.expect_counters("Counters: 100 connections, 0 open now, 100 TLS handshakes, .* 200 names greeted")


if __name__ == "__main__":
    skip_without_tls()
    main()
