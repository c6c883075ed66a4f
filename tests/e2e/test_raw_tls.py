"""`--connect … --tls --raw`: the end of standard input costs no answer, and what a peer's end means."""

import contextlib
import hashlib
import os
import select
import socket
import ssl
import subprocess
import tempfile

from harness import LIMIT_S, Case, Script, Server, await_that, connect, free_port, main, spawn
from tls_harness import (VERSIONS, ByHand, Program, TlsScript, certificates, folder, needs, server_context,
                         skip_without_tls)

MUCH = 64 << 20
BLOCK = bytes(range(256)) * 4096
REQUEST = b"GET / HTTP/1.0\r\n\r\n"


def raw(port, *args, host="::1", **options):
    return connect(host, port, "--raw", "--tls", "--ca", certificates().ca, *args, **options)


def read_tls(peer):
    """Everything up to close_notify."""
    data = bytearray()
    with contextlib.suppress(ssl.SSLZeroReturnError):
        while chunk := peer.socket.recv(1 << 16):
            data += chunk
    return bytes(data)


def end_tls(peer):
    peer.socket = peer.socket.unwrap()


class HalfClose(Case):

    def test_the_answer_comes_behind_the_end_of_standard_input(self):
        def serve(peer):
            peer.send(b"all of " + read_tls(peer))
            end_tls(peer)

        for version in VERSIONS:
            with TlsScript(serve, server_context(certificates().server, version)) as server:
                result = raw(server.port, stdin=b"question")
            self.assertEqual((result.code, result.out, result.err), (0, b"all of question", b""), version)

    def test_no_fin_follows_close_notify_before_the_peer_has_ended(self):
        """Some servers give up a request at the FIN of its client."""
        def serve(peer):
            tls = ByHand(peer, server_context(certificates().server), server_side=True)
            tls.do(tls.tls.do_handshake)
            data = b""
            while chunk := tls.do(lambda: end_or_bytes(tls.tls)):
                data += chunk
            self.assertEqual(data, b"question")
            tls.do(tls.tls.write, b"answer")
            await_that(lambda: child.stdout.read(6), "the answer")
            self.assertEqual(select.select([peer.socket], [], [], 0)[0], [])
            tls.step(tls.tls.unwrap)
            peer.send(tls.records())
            peer.expect_eof()

        def end_or_bytes(tls):
            try:
                return tls.read(65536)
            except ssl.SSLZeroReturnError:
                return b""

        with Script(serve) as server:
            child = spawn(["--connect", "::1", str(server.port), "--raw", "--tls", "--ca", certificates().ca],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
            child.stdin.write(b"question")
            child.stdin.close()
            self.assertEqual(child.wait(LIMIT_S), 0)
            child.stdout.close()

    def test_a_peer_that_ends_without_close_notify_is_truncated_behind_its_bytes(self):
        for version in VERSIONS:
            with TlsScript(lambda peer: peer.send(b"answer to " + read_tls(peer)),
                           server_context(certificates().server, version)) as server:
                result = raw(server.port, stdin=b"question")
            self.assertEqual(result.out, b"answer to question")
            self.assertFails(result, 7, "dialogue-truncated")

    def test_a_reset_is_a_failure_behind_what_was_received(self):
        def serve(peer):
            peer.send(b"partial").expect(b"x")
            peer.reset()

        with TlsScript(serve, server_context(certificates().server)) as server:
            child = spawn(["--connect", "::1", str(server.port), "--raw", "--tls", "--ca", certificates().ca],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
            self.assertEqual(child.stdout.read(7), b"partial")
            child.stdin.write(b"x")
            self.assertEqual(child.wait(LIMIT_S), 7)
            self.assertIn(b"(dialogue-reset)", child.stderr.read())
            for pipe in (child.stdin, child.stdout, child.stderr):
                pipe.close()

    def test_a_greeting_server_answers_names_from_a_pipe(self):
        with Server("--tls", *certificates().serve()) as server:
            result = raw(server.port, stdin=b"Michael\nexit\n")
        self.assertEqual((result.code, result.err), (0, b""))
        self.assertTrue(result.out.endswith(b"Server: Hello Michael!\nServer: What's your name?Server: Good bye!\n"))

    @needs("openssl")
    def test_a_page_of_openssl_s_server(self):
        for version in ("-tls1_2", "-tls1_3"):
            with Program("openssl", "s_server", "-accept", "0", "-www", version, "-cert", certificates().server[0], "-key",
                         certificates().server[1]) as server:
                server.expect(b"ACCEPT")
                port = max(server.ports().values())
                result = raw(port, stdin=REQUEST)
            self.assertIn(b"HTTP/1.0 200 ok", result.out)
            self.assertIn(b"</HTML>", result.out.upper())
            self.assertIn(result.code, (0, 7))

    @needs("nginx")
    def test_a_page_of_nginx_also_through_a_slow_upstream(self):
        """nginx gives up a proxied request whose client has sent a FIN."""
        def upstream(peer):
            peer.receive()
            peer.stays_silent(0.3)
            peer.send(b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nslow")

        place = folder()
        with Script(upstream, "127.0.0.1") as slow:
            port = free_port("127.0.0.1")
            pair = certificates().server
            (place / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {place}/pid; error_log stderr;
events {{ worker_connections 64; }}
http {{ access_log off; client_body_temp_path {place}/a; proxy_temp_path {place}/b; fastcgi_temp_path {place}/c;
        uwsgi_temp_path {place}/d; scgi_temp_path {place}/e;
  server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {pair[0]}; ssl_certificate_key {pair[1]};
    location / {{ return 200 "quick"; }}
    location /slow {{ proxy_pass http://127.0.0.1:{slow.port}; }} }} }}
""")
            with Program("nginx", "-p", place, "-c", place / "nginx.conf"):
                await_that(lambda: can_connect(port), "nginx to listen")
                quick = raw(port, stdin=REQUEST, host="127.0.0.1")
                slowly = raw(port, stdin=REQUEST.replace(b"/ ", b"/slow "), host="127.0.0.1")
        self.assertTrue(quick.out.endswith(b"\r\n\r\nquick"), quick)
        self.assertTrue(slowly.out.endswith(b"\r\n\r\nslow"), slowly)
        for result in (quick, slowly): # it may send no close_notify where it has received one
            self.assertIn((result.code, b"(dialogue-truncated)" in result.err), ((0, False), (7, True)), result)


def can_connect(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), LIMIT_S):
        return True
    return False


class Transfers(Case):

    def test_many_bytes_to_the_peer(self):
        received = []

        def serve(peer):
            found, count = hashlib.sha256(), 0
            with contextlib.suppress(ssl.SSLZeroReturnError):
                while chunk := peer.socket.recv(1 << 16):
                    found.update(chunk)
                    count += len(chunk)
            received.append((found.digest(), count))
            end_tls(peer)

        due = hashlib.sha256()
        with TlsScript(serve, server_context(certificates().server)) as server, tempfile.TemporaryFile() as file:
            for number in range(MUCH // len(BLOCK)):
                piece = b"%032d" % number + BLOCK[32:]
                due.update(piece)
                file.write(piece)
            file.flush()
            file.seek(0)
            result = raw(server.port, stdin=file)
        self.assertEqual((result.code, result.err), (0, b""))
        self.assertEqual(received, [(due.digest(), MUCH)])

    def test_many_bytes_from_the_peer(self):
        due = hashlib.sha256()

        def serve(peer):
            for number in range(MUCH // len(BLOCK)):
                piece = b"%032d" % number + BLOCK[32:]
                due.update(piece)
                peer.send(piece)
            end_tls(peer)

        with TlsScript(serve, server_context(certificates().server)) as server:
            result = raw(server.port)
        self.assertEqual((result.code, len(result.out)), (0, MUCH))
        self.assertEqual(hashlib.sha256(result.out).digest(), due.digest())


class Verification(Case):

    def test_no_byte_is_sent_to_a_peer_that_is_not_verified(self):
        made = certificates("--bad")
        for name, word in (("expired", "cert-expired"), ("self-signed", "cert-self-signed")):
            with TlsScript(lambda peer: self.fail("it went on"), server_context(made.bad(name))) as server, \
                    tempfile.TemporaryFile() as file:
                file.write(b"secret")
                file.flush()
                file.seek(0)
                result = connect("::1", server.port, "--raw", "--tls", "--ca", made.ca, stdin=file)
                self.assertFails(result, 6, word)
                self.assertEqual(os.lseek(file.fileno(), 0, os.SEEK_CUR), 0)
            self.assertEqual(len(server.refusals), 1)
            self.assertEqual(result.out, b"")

    def test_a_missing_client_certificate_is_named_although_the_peer_resets(self):
        with Server("--tls", *certificates().serve(), "--client-ca", certificates().ca) as server, \
                open("/dev/zero", "rb") as zero:
            result = raw(server.port, stdin=zero)
        self.assertFails(result, 5, "tls-client-certificate")


if __name__ == "__main__":
    skip_without_tls()
    main()
