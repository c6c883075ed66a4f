"""--watch: a server loads its certificates again when their files change, whole pairs only."""

import os
import shutil
import unittest

from harness import IS_ROOT, OPENING, Case, Server, hello, main, run
from test_service_manager import Notifications, passing
from tls_harness import certificates, client_context, fingerprint, folder, put_volume, skip_without_tls, tls_peer


def replace(source, target):
    """As a careful program replaces a file."""
    shutil.copy(source, f"{target}.new")
    os.replace(f"{target}.new", target)


@unittest.skipUnless(shutil.which("openssl"), "the openssl command is not there")
class Watch(Case):
    def setUp(self):
        super().setUp()
        self.old, self.new = certificates().server, certificates("--host", "localhost").server
        self.folder = folder()
        self.pair = str(self.folder / "tls.crt"), str(self.folder / "tls.key")

    def put(self, pair):
        for source, target in zip(pair, self.pair):
            replace(source, target)

    def serve(self, *options, **popen):
        return Server("--tls", "--cert", self.pair[0], "--key", self.pair[1], "--watch", *options, **popen)

    def expect_served(self, server, pair):
        """A new connection gets this certificate."""
        with tls_peer(server, client_context()) as peer:
            self.assertEqual(peer.socket.getpeercert(True), fingerprint(pair[0]))

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
        put_volume(self.folder, self.old)
        with self.serve() as server:
            for count, pair in (1, self.new), (2, self.old):
                put_volume(self.folder, pair)
                server.log.expect("^Certificates reloaded$", count)
                self.expect_served(server, pair)

    def test_dialogues_go_on_and_the_service_manager_is_notified(self):
        self.put(self.old)
        with Notifications() as notify, self.serve(**passing((), notify=notify)) as server, \
                tls_peer(server, client_context()) as peer:
            peer.expect(OPENING)
            at = notify.expect("^READY=1$")
            self.put(self.new)
            at = notify.expect("^RELOADING=1\nMONOTONIC_USEC=", after=at)
            notify.expect("^READY=1$", after=at)
            peer.send(b"Michael\n").expect(hello(b"Michael"))

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
        for args, why in ((("--watch",), b"--watch needs --tls"),
                          (("--tls", "--watch"), b"--watch has no files: it needs --cert or --ticket-keys")):
            result = run("--listen", "::1", "0", *args)
            self.assertEqual(result.code, 2, result)
            self.assertIn(why, result.err)


skip_without_tls()

if __name__ == "__main__":
    main()
