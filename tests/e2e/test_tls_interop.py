"""TLS between this program and others, both ways: OpenSSL's, GnuTLS's, Python's and Node's; resumption with each."""

import contextlib
import functools
import json
import re
import ssl

from harness import BINARY, GOODBYE, OPENING, Case, Server, connect, hello, main
from tls_harness import (DUAL, HOSTS, VERSIONS, Program, TlsScript, certificates, client_context, dialogue, folder,
                         greet, needs, openssl, pin_of, server_context, skip_without_tls)

MICHAEL, TRACY = hello(b"Michael"), hello(b"Tracy")
WHOLE = OPENING + MICHAEL + TRACY + GOODBYE
NUMBER = {ssl.TLSVersion.TLSv1_2: "1.2", ssl.TLSVersion.TLSv1_3: "1.3"}


def name_of(version):
    return f"TLSv{NUMBER[version]}"


def every_way(test):
    """A decorator: the test is run in both versions, over both families."""
    @functools.wraps(test)
    def run_all(self):
        for version in VERSIONS:
            for host in HOSTS:
                with self.subTest(version=name_of(version), host=host):
                    test(self, version, host)
    return run_all


class Pair(Case):

    def setUp(self):
        super().setUp()
        self.made = certificates()

    def serve(self, *options, **more):
        return Server("--tls", *self.made.serve(), *options, **{**DUAL, **more})

    def assertOurDialogue(self, host, port, *options):
        """Our client holds a dialogue with a foreign server."""
        result = connect(host, port, "Michael", "Tracy", "--tls", "--ca", self.made.ca, "-v", *options)
        self.assertDialogue(result, MICHAEL, TRACY)
        return result.err.decode()


def at(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Openssl(Pair):
    def s_client(self, server, host, *options):
        return Program("openssl", "s_client", "-connect", at(host, server.port), "-CAfile", self.made.ca,
                       "-verify_return_error", "-verify_ip", host, *options)

    def flag(self, version):
        return f"-tls{NUMBER[version].replace('.', '_')}"

    @every_way
    def test_s_client_holds_a_dialogue_with_our_server(self, version, host):
        with self.serve() as server, self.s_client(server, host, "-quiet", self.flag(version)) as client:
            client.expect(OPENING).send(b"Michael\n").expect(MICHAEL).send(b"Tracy\n").expect(TRACY).send(b"exit\n")
            self.assertEqual(client.wait(), 0, client.out.bytes())
            payload = client.out.bytes()
            self.assertEqual(payload[payload.index(b"Server"):], WHOLE)
            server.expect_counters(r" 1 TLS handshakes, 0 of them resumed, 2 names")

    def s_client_again(self, server, host, session, version, *more):
        """One dialogue that keeps its session, or uses the kept one; returns what s_client prints of it."""
        with self.s_client(server, host, "-ign_eof", self.flag(version), *session, *more) as client:
            client.expect(OPENING).send(b"Michael\n").expect(MICHAEL).send(b"exit\n").expect(GOODBYE)
            client.wait()
            return re.search(r"^(New|Reused), (TLSv1\.\d)", client.out.bytes().decode(), re.M).groups()

    @every_way
    def test_s_client_resumes(self, version, host):
        file = folder() / "session"
        with self.serve() as server:
            for option, kind in (("-sess_out", "New"), ("-sess_in", "Reused")):
                self.assertEqual(self.s_client_again(server, host, (option, file), version), (kind, name_of(version)))
            server.expect_counters(r" 2 TLS handshakes, 1 of them resumed")

    def drive(self, process, answers):
        """Runs the dialogue through a server without one, as its client's data arrive."""
        process.send(OPENING)
        for word, answer in answers:
            process.expect(word + b"\n").send(answer)

    def s_server(self, host, *options):
        return Program("openssl", "s_server", "-accept", at(host, 0), "-cert", self.made.server[0], "-key",
                       self.made.server[1], "-naccept", "1", *options)

    @every_way
    def test_our_client_holds_a_dialogue_with_s_server(self, version, host):
        answers = [(b"Michael", MICHAEL), (b"Tracy", TRACY), (b"exit", GOODBYE)]
        with self.s_server(host, self.flag(version)) as server:
            with Program(*self.our_client(host, server.ports()[host])) as client:
                self.drive(server, answers)
                client.expect(GOODBYE)
                server.send(b"q\n")  # ends its connection without close_notify: it knows no other way
                self.assertEqual(client.wait(), 7, client.out.bytes())
                payload = client.out.bytes()
                self.assertIn(f"Using {name_of(version)}, ".encode(), payload)
                # What -v reports is on standard error, and may come between two lines of the dialogue.
                payload = re.sub(rb"(Connected to|Using TLS).*\n", b"", payload)
                self.assertIn(WHOLE, payload)
                self.assertRegex(payload, rb"tcpgreet: .*without close_notify \(dialogue-truncated\)\n$")

    def our_client(self, host, port):
        return (BINARY, "--connect", host, str(port), "Michael", "Tracy", "--tls", "--ca", self.made.ca, "-v")

    def test_an_s_server_with_another_answer_is_reported(self):
        with self.s_server("::1", "-quiet") as server:
            client = Program(*self.our_client("::1", server.ports()["::1"]))
            with client:
                server.send(b"220 mail.example ESMTP\r\n")
                self.assertEqual(client.wait(), 7, client.out.bytes())
                self.assertRegex(client.out.bytes(),
                                 rb"(?m)^tcpgreet: .*220 mail\.example.* \(dialogue-wrong-answer\)$")

    def test_the_web_page_of_an_s_server_is_an_end_without_a_word(self):
        with self.s_server("::1", "-www") as server:
            result = connect("::1", server.ports()["::1"], "Michael", "--tls", "--ca", self.made.ca,
                             "--answer-timeout", "300ms")
        self.assertEqual(result.code, 7, repr(result))
        self.assertRegex(result.err, rb"\(dialogue-(early-end|timeout|wrong-answer)\)\n$")

    def test_keys_are_updated_in_the_middle_of_a_dialogue(self):
        with self.serve() as server, self.s_client(server, "::1", "-tls1_3") as client:
            client.expect(OPENING).send(b"K\n").expect(b"KEYUPDATE").send(b"Michael\n").expect(MICHAEL)
            client.send(b"k\n").expect(b"KEYUPDATE", 2)
            client.send(b"exit\n").expect(GOODBYE).wait()
        self.assertRegex(server.log.bytes(), b"is closed: .*1 name,")

    def test_a_client_that_checks_the_name_believes_ours(self):
        with self.serve() as server:
            for name, code in (("localhost", 0), ("other.test", 1)):
                with Program("openssl", "s_client", "-connect", at("::1", server.port), "-CAfile", self.made.ca,
                             "-verify_return_error", "-verify_hostname", name, "-quiet") as client:
                    with contextlib.suppress(BrokenPipeError):
                        client.send(b"exit\n")
                    self.assertEqual(client.wait(), code, client.out.bytes())


@needs("gnutls-cli")
class Gnutls(Pair):
    def priority(self, version):
        return f"NORMAL:-VERS-ALL:+VERS-TLS{NUMBER[version]}"

    def gnutls_cli(self, server, host, version, *options):
        return Program("gnutls-cli", "--x509cafile", self.made.ca, "--port", str(server.port), "--verify-hostname",
                       "localhost", "--sni-hostname", "localhost", "--priority", self.priority(version), *options, host)

    @every_way
    def test_gnutls_cli_holds_a_dialogue_with_our_server(self, version, host):
        with self.serve() as server, self.gnutls_cli(server, host, version, "--logfile", "/dev/null") as client:
            client.expect(OPENING).send(b"Michael\n").expect(MICHAEL).send(b"Tracy\n").expect(TRACY).send(b"exit\n")
            self.assertEqual(client.wait(), 0, client.out.bytes())
            self.assertIn(WHOLE, client.out.bytes())

    @every_way
    def test_gnutls_cli_resumes(self, version, host):
        with self.serve() as server:
            # It ends its first connection as soon as it has a ticket.
            with self.gnutls_cli(server, host, version, "--resume", "--waitresumption") as client:
                client.expect(b"This is a resumed session").expect(OPENING).send(b"Michael\n").expect(MICHAEL)
                client.send(b"exit\n").expect(GOODBYE)
                self.assertEqual(client.wait(), 0, client.out.bytes())
            server.expect_counters(r" 2 TLS handshakes, 1 of them resumed")

    @needs("gnutls-serv")
    def test_our_client_shakes_hands_with_gnutls_serv(self):
        for version in VERSIONS:
            with Program("gnutls-serv", "--echo", "--port", "0", "--x509certfile", self.made.server[0],
                         "--x509keyfile", self.made.server[1], "--priority", self.priority(version)) as server:
                ports = server.ports()
                for host in HOSTS:
                    with self.subTest(version=name_of(version), host=host):
                        # An echo sends nothing first, and sends "exit" back where a good bye is due.
                        result = connect(host, ports[host], "Michael", "--tls", "--ca", self.made.ca, "-v",
                                         "--answer-timeout", "200ms")
                        self.assertIn(f"Using {name_of(version)}, ".encode(), result.err)
                        self.assertFails(result, 7, "dialogue-(timeout|wrong-answer)")

    @needs("gnutls-serv")
    def test_gnutls_serv_reads_our_client_certificate(self):
        for version in VERSIONS:
            with Program("gnutls-serv", "--echo", "--port", "0", "--x509certfile", self.made.server[0], "--x509keyfile",
                         self.made.server[1], "--x509cafile", self.made.ca, "--require-client-cert",
                         "--verify-client-cert", "--priority", self.priority(version)) as server:
                port = server.ports()["::1"]
                base = "Michael", "--tls", "--ca", self.made.ca, "-v"
                with self.subTest(version=name_of(version)):
                    result = connect("::1", port, *base, "--cert", self.made.client[0], "--key", self.made.client[1],
                                     "--answer-timeout", "200ms")
                    self.assertFails(result, 7, "dialogue-(timeout|wrong-answer)")
                    self.assertFails(connect("::1", port, *base), 5, "tls-client-certificate")


class Python(Pair):
    @every_way
    def test_python_holds_a_dialogue_with_our_server(self, version, host):
        with self.serve() as server:
            dialogue(server, client_context(self.made, version), b"Michael", b"Tracy", host=host)
        self.assertRegex(server.log.bytes(), rb"is closed: .* 2 names,")

    @every_way
    def test_python_resumes(self, version, host):
        with self.serve() as server:
            context = client_context(self.made, version)
            session, reused = dialogue(server, context, b"Michael", host=host)
            self.assertFalse(reused)
            session, reused = dialogue(server, context, b"Michael", host=host, session=session)
            self.assertTrue(reused)
            self.assertTrue(dialogue(server, context, host=host, session=session)[1], "a ticket of a resumption")

    def test_a_ticket_outlives_a_reload(self):
        with self.serve() as server:
            for version in VERSIONS:
                context = client_context(self.made, version)
                session, _ = dialogue(server, context)
                server.reload()
                self.assertTrue(dialogue(server, context, session=session)[1], name_of(version))

    def keys(self, file, *keys):
        file.touch(mode=0o600)
        file.write_bytes(b"".join(keys))
        return str(file)

    def test_servers_that_share_ticket_keys_resume_each_others_sessions(self):
        shared = self.keys(folder() / "keys", openssl("rand", "80"))
        with self.serve("--ticket-keys", shared) as one, self.serve("--ticket-keys", shared) as two, \
                self.serve() as foreign:
            for version in VERSIONS:
                context = client_context(self.made, version)
                session, _ = dialogue(one, context)
                self.assertFalse(dialogue(foreign, context, session=session)[1], "tickets are sealed")
                self.assertTrue(dialogue(two, context, session=session)[1], name_of(version))

    def test_ticket_keys_are_rotated_by_a_reload(self):
        old, new = openssl("rand", "80"), openssl("rand", "80")
        file = folder() / "keys"
        context = client_context(self.made)

        def rotate(server, *keys):
            self.keys(file, *keys)
            server.reload()

        with self.serve("--ticket-keys", self.keys(file, old)) as server:
            session, _ = dialogue(server, context)
            rotate(server, new, old)
            self.assertTrue(dialogue(server, context, session=session)[1], "the old key opens still")
            rotate(server, new)
            self.assertFalse(dialogue(server, context, session=session)[1], "the old key is gone")
            self.keys(file, b"short")
            server.reload(r"keeping the current ones: the ticket keys in .* are not .* 80 bytes")
            self.assertFalse(dialogue(server, context, session=session)[1])

    @every_way
    def test_our_client_holds_a_dialogue_with_python(self, version, host):
        with TlsScript(greet, server_context(self.made.server, version), host) as server:
            err = self.assertOurDialogue(host, server.port)
        self.assertIn(f"Using {name_of(version)}, ", err)
        self.assertIn(f"pin {pin_of(self.made.server[0])})", err)
        self.assertEqual([name_of(version)], [facts[0] for facts in server.facts])


NODE_CLIENT = r"""
const tls = require('tls'), fs = require('fs');
const [host, port, ca, version] = process.argv.slice(1);
const connect = (session, next) => {
    let received = '', kept = null, ended = false;
    const s = tls.connect({host, port, ca: fs.readFileSync(ca), minVersion: version, maxVersion: version, session,
                           checkServerIdentity: (name, cert) => tls.checkServerIdentity(host, cert)},
        () => console.log(s.getProtocol(), s.authorized, s.isSessionReused()));
    const script = ['Michael\n', 'Tracy\n', 'exit\n'];
    s.on('data', data => { received += data; if (received.endsWith('name?') && script.length) s.write(script.shift()); });
    s.on('session', session => { kept = session; });
    s.on('end', () => { ended = true; });
    s.on('error', error => { console.log('error', error.message); process.exit(1); });
    s.on('close', () => { console.log(JSON.stringify([received, ended])); next(kept); });
};
connect(undefined, kept => connect(kept, () => {}));
"""

NODE_SERVER = r"""
const tls = require('tls'), fs = require('fs');
const [host, cert, key, version] = process.argv.slice(1);
const question = "Server: What's your name?";
const server = tls.createServer({cert: fs.readFileSync(cert), key: fs.readFileSync(key), minVersion: version,
                                 maxVersion: version}, s => {
    let begun = '';
    s.write('Server: Welcome!\n' + question);
    s.on('error', error => console.log('error', error.message));
    s.on('data', data => {
        const names = (begun + data).split('\n');
        begun = names.pop();
        for (const name of names)
            name === 'exit' ? s.end('Server: Good bye!\n') : s.write(`Server: Hello ${name}!\n${question}`);
    });
});
server.listen(0, host, () => console.log('port ' + server.address().port));
"""


@needs("node")
class Node(Pair):
    @every_way
    def test_node_holds_a_dialogue_with_our_server_and_resumes(self, version, host):
        with self.serve() as server:
            with Program("node", "-e", NODE_CLIENT, host, str(server.port), self.made.ca, name_of(version)) as node:
                self.assertEqual(node.wait(), 0, node.out.bytes())
                first, payload, second, again = node.out.lines()
        self.assertEqual(first, f"{name_of(version)} true false")
        self.assertEqual(second, f"{name_of(version)} true true")
        self.assertEqual([json.loads(payload), json.loads(again)], [[WHOLE.decode(), True]] * 2)

    @every_way
    def test_our_client_holds_a_dialogue_with_node(self, version, host):
        with Program("node", "-e", NODE_SERVER, host, *self.made.server, name_of(version)) as node:
            port = int(node.out.expect(r"^port (\d+)$")[0][1])
            self.assertIn(f"Using {name_of(version)}, ", self.assertOurDialogue(host, port))
            self.assertNotIn(b"error", node.out.bytes())


if __name__ == "__main__":
    skip_without_tls()
    main()
