"""--watch: a server loads its certificates again when their files change, whole pairs only."""

import hashlib
import os
import pathlib
import shutil
import ssl
import unittest

from harness import IS_ROOT, OPENING, Case, Peer, Server, hello, main, run
from test_service_manager import Notifications, passing
from tls_harness import certificates, folder, skip_without_tls


def fingerprint(pair):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pathlib.Path(pair[0]).read_text().partition("-----END")[0]
                                                   + "-----END CERTIFICATE-----\n")).hexdigest()


def served(server):
    """The fingerprint of the certificate that a new connection gets."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with Peer(server) as peer, context.wrap_socket(peer.socket, server_hostname="localhost") as tls:
        return hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()


def replace(source, target):
    """As a careful program replaces a file."""
    shutil.copy(source, f"{target}.new")
    os.replace(f"{target}.new", target)


@unittest.skipUnless(shutil.which("openssl"), "the openssl command is not there")
class Watch(Case):
    def setUp(self):
        super().setUp()
        self.old, self.new = certificates().server, certificates("--host", "localhost").server
        self.assertNotEqual(fingerprint(self.old), fingerprint(self.new))
        self.folder = folder()
        self.pair = str(self.folder / "tls.crt"), str(self.folder / "tls.key")

    def put(self, pair):
        for source, target in zip(pair, self.pair):
            replace(source, target)

    def serve(self, *options, **popen):
        return Server("--tls", "--cert", self.pair[0], "--key", self.pair[1], "--watch", *options, **popen)

    def expect_served(self, server, pair):
        self.assertEqual(served(server), fingerprint(pair))

    def test_a_pair_that_is_replaced_is_served(self):
        self.put(self.old)
        for workers in "1", "3":
            with self.subTest(workers), self.serve("--workers", workers) as server:
                self.expect_served(server, self.old)
                for count, pair in (1, self.new), (2, self.old):
                    self.put(pair)
                    server.log.expect("^Certificates reloaded$", count)
                    for _ in range(4):
                        self.expect_served(server, pair)

    def test_a_half_replaced_pair_is_not_served_and_the_whole_one_is(self):
        self.put(self.old)
        with self.serve() as server:
            replace(self.new[0], self.pair[0])
            server.log.expect("^Cannot reload the certificates, keeping the current ones: ")
            self.expect_served(server, self.old)
            replace(self.new[1], self.pair[1])
            server.log.expect("^Certificates reloaded$")
            self.expect_served(server, self.new)

    def test_a_volume_of_kubernetes_is_followed_through_its_links(self):
        def volume(number, pair):
            made = self.folder / f"..2026_{number}"
            made.mkdir()
            shutil.copy(pair[0], made / "tls.crt")
            shutil.copy(pair[1], made / "tls.key")
            (self.folder / "..data_tmp").symlink_to(made.name)
            os.replace(self.folder / "..data_tmp", self.folder / "..data")
        volume(1, self.old)
        for name in "tls.crt", "tls.key":
            (self.folder / name).symlink_to(f"..data/{name}")
        with self.serve() as server:
            for number, pair in (2, self.new), (3, self.old):
                volume(number, pair)
                shutil.rmtree(self.folder / f"..2026_{number - 1}")
                server.log.expect("^Certificates reloaded$", number - 1)
                self.expect_served(server, pair)

    def test_dialogues_go_on_and_the_service_manager_is_notified(self):
        self.put(self.old)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with Notifications() as notify, self.serve(**passing((), notify=notify)) as server, Peer(server) as peer, \
                context.wrap_socket(peer.socket, server_hostname="localhost") as tls:
            at = notify.expect("^READY=1$")
            self.put(self.new)
            at = notify.expect("^RELOADING=1\nMONOTONIC_USEC=", after=at)
            notify.expect("^READY=1$", after=at)
            tls.sendall(b"Michael\n")
            data = b""
            while not data.endswith(hello(b"Michael")):
                data += tls.recv(4096)
            self.assertEqual(data, OPENING + hello(b"Michael"))

    @unittest.skipUnless(IS_ROOT, "needs root")
    def test_a_folder_that_the_servers_user_may_not_enter_is_watched(self):
        self.put(self.old)
        self.folder.chmod(0o700)
        with self.serve("--user", "daemon") as server:
            self.expect_served(server, self.old)
            for count, pair in (1, self.new), (2, self.old):
                self.put(pair)
                server.log.expect("^Certificates reloaded$", count)
                self.expect_served(server, pair)

    def test_ticket_keys_are_watched_too(self):
        keys = self.folder / "tickets"
        keys.write_bytes(os.urandom(80))
        keys.chmod(0o600)
        with Server("--tls", "--ticket-keys", str(keys), "--watch") as server:
            keys.write_bytes(os.urandom(79))
            server.log.expect("keeping the current ones: the ticket keys in ")
            keys.write_bytes(os.urandom(160))
            server.log.expect("^Certificates reloaded$")

    def test_it_needs_files(self):
        for args in ("--watch",), ("--tls", "--watch"):
            result = run("--listen", "::1", "0", *args)
            self.assertEqual(result.code, 2, result)
            self.assertRegex(result.err, rb"--watch (needs --tls|has no files: it needs --cert or --ticket-keys)")


skip_without_tls()

if __name__ == "__main__":
    main()
