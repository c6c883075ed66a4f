"""--whoami: the connection as the server sees it."""

import socket

from harness import GOODBYE, OPENING, QUESTION, Case, Peer, Server, connect, hello, main
from test_proxy_header import LINE, binary, tlv
from tls_harness import certificates, identity

INSTANCE = f"Server: instance: {socket.gethostname()}\n".encode()


def facts(result_or_bytes):
    """The lines of the first answer: key to value."""
    text = result_or_bytes.decode().split("Server: What's your name?")[1]
    return dict(line.removeprefix("Server: ").split(": ", 1) for line in text.splitlines())


class Whoami(Case):
    def ask(self, server, header=b""):
        with Peer(server) as client:
            client.send(header + b"whoami\nexit\n")
            return client.read_all()

    def test_a_plain_connection(self):
        with Server("--whoami") as server:
            for number in (1, 2):
                with Peer(server) as client:
                    port = client.socket.getsockname()[1]
                    lines = (f"Server: peer: [::1]:{port}\nServer: local: [::1]:{server.port}\n".encode() + INSTANCE +
                             f"Server: connection: {number}\n".encode())
                    client.expect(OPENING).send(b"Ann\nwhoami\nwhoami\n")
                    client.expect(hello(b"Ann") + 2 * (lines + QUESTION)).send(b"Whoami\nexit\n")
                    client.expect(hello(b"Whoami") + GOODBYE).expect_eof()
                server.log.expect("closed: exit, 2 names", number)

    def test_a_pause_may_end_it(self):
        with Server("--whoami") as server, Peer(server) as client:
            client.expect(OPENING).send(b"whoami").expect(b"Server: peer: ")

    def test_without_the_option_it_is_a_name(self):
        with Server() as server, Peer(server) as client:
            client.expect(OPENING).send(b"whoami\n").expect(hello(b"whoami"))

    def test_behind_a_proxy_header(self):
        with Server("--whoami", "--proxy-protocol") as server:
            known = facts(self.ask(server, LINE))
            self.assertEqual(known["proxy"], "192.0.2.1:5000 to 198.51.100.2:443, v1")
            self.assertRegex(known["peer"], r"^\[::1\]:\d+$")
            self.assertEqual(known["local"], f"[::1]:{server.port}")
            known = facts(self.ask(server, binary(tlvs=tlv(2, b"ex\n\x1b[2J.org"))))
            self.assertEqual(known["proxy"], "192.0.2.1:5000 to 198.51.100.2:443, v2")
            self.assertEqual(known["authority"], "ex\\n\\x1b[2J.org")
            self.assertEqual(list(known), ["peer", "local", "proxy", "authority", "instance", "connection"])
            self.assertEqual(facts(self.ask(server, b"PROXY UNKNOWN\r\n"))["proxy"], "unknown, v1")
            self.assertEqual(facts(self.ask(server, binary(0x20, 0, b"")))["proxy"], "local, v2")

    def test_over_tls(self):
        made = certificates()
        with Server("--whoami", "--tls", *identity(made.pair("server")), "--client-ca", made.ca, "--alpn", "x,h2") as server:
            result = connect("::1", server.port, "--tls", "--ca", made.ca, "--servername", "localhost", "--alpn", "h2",
                             *identity(made.pair("client")), "whoami")
            self.assertEqual(result.code, 0, result)
            known = facts(result.out)
            self.assertRegex(known["tls"], r"^TLSv1\.3, TLS_AES_\d+_GCM_SHA\d+, \S+$")
            self.assertEqual((known["sni"], known["alpn"]), ("localhost", "h2"))
            self.assertIn("client", known["client-certificate"])
            self.assertEqual(list(known), ["peer", "local", "tls", "sni", "alpn", "client-certificate", "instance",
                                           "connection"])

    def test_the_client_verifies_the_answer(self):
        with Server("--whoami") as server:
            result = connect("::1", server.port, "whoami", "Ann")
            self.assertEqual(result.code, 0, result)
            self.assertIn(b"Server: peer: [::1]:", result.out)


if __name__ == "__main__":
    main()
