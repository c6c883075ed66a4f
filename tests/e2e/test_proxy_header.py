"""PROXY headers: a server that demands them, and clients that send them."""

import json
import socket
import struct

from harness import GOODBYE, OPENING, Case, Peer, Script, Server, client_hello, connect, hello, main, run

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LINE = b"PROXY TCP4 192.0.2.1 198.51.100.2 5000 443\r\n"
FULL = b"Server: Sorry, too many guests.\n"


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def tlv(kind, value):
    return bytes([kind]) + struct.pack(">H", len(value)) + value


def binary(command=0x21, family=0x11, block=None, tlvs=b"", checksum=False):
    """A header of version 2, by default of 192.0.2.1:5000."""
    if block is None:
        block = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.2") + struct.pack(">HH", 5000, 443)
    if checksum:
        tlvs += tlv(3, bytes(4))
    header = SIGNATURE + bytes([command, family]) + struct.pack(">H", len(block + tlvs)) + block + tlvs
    return header[:-4] + struct.pack(">I", crc32c(header)) if checksum else header


def line_of(address, port=5000):
    return f"PROXY TCP4 {address} 198.51.100.2 {port} 443\r\n".encode()


class Received(Case):
    def server(self, *options, **more):
        return Server("--proxy-protocol", *options, **more)

    def test_the_header_names_the_peer(self):
        headers = {
            "192.0.2.1:5000": [LINE, binary(), binary(checksum=True), binary(tlvs=tlv(4, b"")),
                               binary(tlvs=tlv(1, b"h2") + tlv(2, b"example.org") + tlv(0x30, b"blue") + tlv(0xe5, b"?"))],
            "[2001:db8::1]:7": [b"PROXY TCP6 2001:db8::1 2001:db8::2 7 443\r\n",
                                binary(family=0x21, block=socket.inet_pton(socket.AF_INET6, "2001:db8::1") * 2 +
                                       struct.pack(">HH", 7, 443))],
        }
        with self.server("--log-format", "json") as server:
            for peer, each in headers.items():
                for count, header in enumerate(each, 1):
                    with Peer(server) as client:
                        client.send(header + b"Michael\nexit\n")
                        client.expect(OPENING + hello(b"Michael") + GOODBYE).expect_eof()
                    server.log.expect(f'"event":"closed".*"peer":"{peer}"'.replace("[", "\\[").replace("]", "\\]"),
                                      count)
            closed = [json.loads(text) for text in server.log.lines() if '"event":"closed"' in text]
            for event in closed:
                self.assertRegex(event["proxy_peer"], r"^\[::1\]:\d+$")

    def test_a_proxys_own_connection_keeps_the_address_of_its_socket(self):
        headers = [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ::1 ::1 1 2\r\n", binary(0x20, 0, b""), binary(0x20, 0xff, b"??"),
                   binary(0x21, 0, b""), binary(0x21, 0x31, bytes(216)), binary(family=0x12)]
        with self.server() as server:
            for count, header in enumerate(headers, 1):
                with Peer(server) as client:
                    client.send(header + b"exit\n").expect(OPENING + GOODBYE).expect_eof()
                server.log.expect(r"Connection from (\[::1\]:\d+) is closed: exit, .* proxy_peer=\1 ", count)

    def test_a_header_may_come_in_pieces(self):
        for header in (LINE, binary(tlvs=tlv(5, b"\x01id"), checksum=True)):
            with self.server() as server, Peer(server) as client:
                for byte in header:
                    client.send(bytes([byte]))
                client.expect(OPENING).send(b"exit\n").expect(GOODBYE).expect_eof()

    def test_nothing_is_sent_before_the_header(self):
        with self.server() as server, Peer(server) as client:
            self.assertTrue(client.stays_silent(0.3))
            client.send(LINE).expect(OPENING)

    def test_a_silent_connection_is_not_logged_under_the_proxys_address(self):
        with self.server() as server, Peer(server) as client:
            client.stays_silent(1.3)
            client.send(LINE).expect(OPENING)
            server.log.expect(r"Accept new connection from 192\.0\.2\.1:5000 proxy_peer=\[::1\]:\d+$")
            self.assertNotIn("from [::1]", "".join(server.log.lines()))

    def test_what_is_no_header_is_closed_at_once_and_counted(self):
        wrong = [b"Michael\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 1.2.3.4\r\n",
                 b"PROXY TCP4 192.0.2.1 198.51.100.2 5000 443\n", b"PROXY " + b"a" * 200, SIGNATURE + b"\x31",
                 SIGNATURE + b"\x21\x11\xff\xff", binary(tlvs=b"\x02\xff\xff"), binary(checksum=True)[:-1] + b"\0",
                 binary(0x22), binary(family=0x41)]
        with self.server() as server:
            for first in wrong:
                with Peer(server) as client:
                    client.send(first)
                    self.assertEqual(client.read_all(), b"", first)
            for partial in (b"PROXY TCP4 ", SIGNATURE):
                with Peer(server) as client:
                    client.send(partial).end()
                    self.assertEqual(client.read_all(), b"", partial)
            server.expect_counters(f" {len(wrong) + 2} rejected for their PROXY header")

    def test_a_connection_that_ends_without_a_byte_is_silent(self):
        with self.server() as server:
            Peer(server).close()
            server.expect_counters(r" 1 closed without data.* 0 rejected for their PROXY header")

    def test_a_header_that_does_not_come_in_time_ends_the_connection(self):
        with self.server("--handshake-timeout", "200ms") as server:
            for first in (b"", b"PROXY", SIGNATURE):
                with Peer(server) as client:
                    if first:
                        client.send(first)
                    self.assertEqual(client.read_all(), b"")
            server.log.expect("no complete PROXY header in time", 3)
            server.expect_counters(" 3 timed out")

    def test_only_the_addresses_of_proxy_from_may_send_one(self):
        both = [("::1", "0"), ("127.0.0.1", "0")]
        with self.server("--proxy-from", "192.0.2.0/24", "--proxy-from", "::1", listen=both) as server:
            ports = [int(text.rsplit(":", 1)[1]) for text in server.out.bytes().decode().split("\n")[:2]]
            with Peer(("::1", ports[0])) as client:
                client.send(LINE).expect(OPENING)
            with Peer(("127.0.0.1", ports[1])) as client:
                self.assertEqual(client.read_all(), b"")
            server.log.expect(r"Connection from 127\.0\.0\.1:\d+ rejected: it may not send a PROXY header")
            server.expect_counters(" 1 rejected for their PROXY header")

    def test_without_the_option_a_header_is_a_name(self):
        with Server() as server, Peer(server) as client:
            client.expect(OPENING).send(LINE).expect(hello(LINE[:-2]))

    def test_the_headers_address_counts_for_the_limits(self):
        with self.server("--max-per-address", "1") as server:
            with Peer(server) as first, Peer(server) as second, Peer(server) as other:
                first.send(line_of("192.0.2.1")).expect(OPENING)
                second.send(line_of("192.0.2.1", 5001)).expect(FULL).expect_eof()
                other.send(line_of("192.0.2.2")).expect(OPENING)
                server.log.expect(r"Connection from 192\.0\.2\.1:5001 rejected: its address has 1 open \(see --max-per-address\)$")
            server.expect_counters(r" 0 open now.* 1 rejected,")
            with Peer(server) as again:
                again.send(line_of("192.0.2.1")).expect(OPENING)

    def test_connections_without_a_header_count_among_all(self):
        with self.server("--max-connections", "1") as server, Peer(server) as silent:
            server.expect_counters(" 1 open now")
            with Peer(server) as second:
                second.send(LINE).expect(FULL).expect_eof()
            silent.send(LINE).expect(OPENING)

    def test_the_unique_id_is_logged_escaped(self):
        with self.server() as server, Peer(server) as client:
            client.send(binary(tlvs=tlv(5, b"a\n\x1b[2J")) + b"exit\n").expect(OPENING + GOODBYE)
            server.log.expect(r"closed: .* unique_id=a\\n\\x1b\[2J ")

    def test_a_warning_where_any_address_may_send_one(self):
        with self.server(listen=[("127.0.0.1", "0")]) as server:
            with Peer(("127.0.0.1", server.port)) as client:
                client.send(LINE).expect(OPENING)
            self.assertNotIn("--proxy-from", "".join(server.log.lines()))
        with self.server(listen=[("0.0.0.0", "0")]) as server:
            server.log.expect("restrict who may send one with --proxy-from")

    def test_explain_shows_what_the_header_reports(self):
        with self.server("--explain") as server, Peer(server) as client:
            client.send(binary(tlvs=tlv(2, b"example.org"))).expect(OPENING)
            server.log.expect(r"PROXY header received: 192\.0\.2\.1:5000 to 198\.51\.100\.2:443, v2, "
                              r'authority "example.org"')


class Sent(Case):
    def test_client_probe_and_bench_are_served_behind_their_header(self):
        for version in ("v1", "v2"):
            with Server("--proxy-protocol") as server:
                at = ("::1", str(server.port), "--send-proxy", version)
                self.assertDialogue(connect(*at, "Michael"), hello(b"Michael"))
                self.assertEqual(run("--probe", *at, "--until", "dialogue").code, 0)
                bench = run("--bench", *at, "--names", "2", "--connections", "4", "--duration", "100ms")
                self.assertEqual(bench.code, 0, bench)
                server.expect_counters(" 0 rejected for their PROXY header")

    def test_over_tls_the_header_comes_first(self):
        with Server("--tls", "--proxy-protocol") as server:
            at = ("::1", str(server.port), "--tls", "--insecure", "--send-proxy", "v2")
            result = connect(*at, "Michael")
            self.assertEqual(result.code, 0, result)
            server.log.expect(r"closed: exit, 1 name, .* proxy_peer=\S+ .*tls_version=TLSv1\.3")

    def test_over_tls_the_clienthello_may_share_a_segment_with_the_header(self):
        with Server("--tls", "--proxy-protocol") as server:
            for header in (LINE, binary()):
                with Peer(server) as client:
                    client.send(header + client_hello())
                    self.assertEqual(client.receive()[:1], b"\x16")  # a ServerHello

    def test_over_tls_a_rejected_address_is_closed_before_the_handshake(self):
        with Server("--tls", "--proxy-protocol", "--max-per-address", "1") as server:
            with Peer(server) as first, Peer(server) as second:
                first.send(LINE)
                server.log.expect("Accept new connection from 192")
                second.send(LINE)
                self.assertEqual(second.read_all(), b"")
            server.expect_counters(r" 0 TLS handshakes.* 1 rejected,")

    def test_raw_sends_it_in_front_of_the_input(self):
        def peer(client):
            client.send(client.read_all())

        with Script(peer) as script:
            result = run("--connect", "::1", str(script.port), "--raw", "--send-proxy", "v1", stdin=b"hello")
            self.assertRegex(result.out, rb"^PROXY TCP6 ::1 ::1 \d+ \d+\r\nhello$")

    def test_a_client_hints_that_one_may_be_missing_where_the_probe_does(self):
        HINT = b"; it may expect a PROXY header (try --send-proxy v2)"
        for server_options, options in ((("--tls",), ("--tls", "--insecure")), ((), ())):
            with self.subTest(options=options), \
                    Server(*server_options, "--proxy-protocol", "--handshake-timeout", "1500ms") as server:
                result = run("--connect", "::1", str(server.port), "Anna", *options)
                self.assertNotEqual(result.code, 0)
                self.assertIn(HINT, result.err)
                found = run("--probe", "::1", str(server.port), "--format", "json", *(options or ("--until", "dialogue")))
                self.assertEqual([remark["word"] for remark in json.loads(found.out)["remarks"]], ["proxy-header"])
                self.assertEqual(run("--connect", "::1", str(server.port), "Anna", *options, "--send-proxy", "v2").code, 0)
        for peer in (lambda peer: peer.end(), lambda peer: peer.reset(), lambda peer: peer.send(b"421 busy\r\n").end()):
            with self.subTest(peer=peer), Script(peer) as script:
                result = run("--connect", "::1", str(script.port), "Anna")
                self.assertNotEqual(result.code, 0)
                self.assertNotIn(HINT, result.err)


class Options(Case):
    def test_what_the_options_need(self):
        for options, words in (
                (("--proxy-from", "::1"), "--proxy-from needs --proxy-protocol"),
                (("--handshake-timeout", "1s"), "--handshake-timeout needs --tls or --proxy-protocol"),
                (("--proxy-protocol", "--proxy-from", "192.0.2.1/24"), "did you mean 192.0.2.0/24?"),
                (("--proxy-protocol", "--proxy-from", "example.org"), "--proxy-from takes an address or a network")):
            result = run("--listen", "::1", "0", *options)
            self.assertFails(result, 2, "usage")
            self.assertIn(words, result.err.decode())


if __name__ == "__main__":
    main()
