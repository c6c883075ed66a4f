"""The table of faults: what is wrong with a path, and what a probe says of it.

A row: the fault, where it is met, the verdict's word, the findings' words, and what the text says.
"""

import collections
import concurrent.futures
import contextlib
import json
import unittest

import probe_peers as peers
from harness import PATIENCE, ROOT, Case, main
from net_harness import FAR4
from probe_net import (MORE4, above_tls, behind_a_middlebox, below_tls, far, far_after_a_lost_syn, far_among,
                       far_certificates, lay, made, older, ours, plain, presenting, refusing, why_no_path)
from tls_harness import VERSIONS, has_tls

Row = collections.namedtuple("Row", "fault place word findings says")
SOON = "--connect-timeout", f"{round(600 * PATIENCE)}ms"  # where the limit is what ends it
ANSWER_SOON = "--answer-timeout", f"{round(300 * PATIENCE)}ms"
EXIT_CODES = {"ok": 0, "resolve": 3, "connect": 4, "tls": 5, "cert": 6, "dialogue": 7, "degraded": 9, "threshold": 10}
TLS12, TLS13 = VERSIONS


class Schema:
    """Holds a result against docs/probe-v1.schema.json, where Python can."""

    def __init__(self):
        self._check = None
        with contextlib.suppress(ImportError):
            from jsonschema import Draft202012Validator
            self._check = Draft202012Validator(json.loads((ROOT / "docs" / "probe-v1.schema.json").read_text()))

    def validate(self, found):
        if self._check:
            self._check.validate(found)


SCHEMA = Schema()


def server_pair():
    return made().server


def exit_code(word):
    return EXIT_CODES[word.partition("-")[0]]


def cut_flights():
    """The server's own flight, in both versions, breaks off in three ways."""
    for what, way, word, findings, says in (
            ("cut", "end", "tls-protocol", "tls-cut", "in the middle of the TLS handshake"),
            ("RST", "reset", "tls-protocol", "tls-cut", "in the middle of the TLS handshake"),
            ("stall", "stay", "tls-timeout", "tls-stalled", "the TLS handshake with ::1 took too long")):
        for version in VERSIONS:
            yield Row(f"{what} in the server's flight, {version.name}",
                      below_tls(peers.cut_in_flight(server_pair, version, way), *(SOON if way == "stay" else ())),
                      word, findings, says)


PLAIN = [
    Row("nothing",
        ours(),
        "ok", "", "All is well."),
    Row("nobody listens",
        refusing(),
        "connect-refused", "all-refused", "Connection refused"),
    Row("accepts and says nothing",
        plain(peers.silent, *ANSWER_SOON),
        "dialogue-timeout", "mute", "the server did not answer within"),
    Row("RST after accept",
        plain(peers.resets_at_once),
        "dialogue-reset", "resets", "the peer reset the connection"),
    Row("ends after accept",
        plain(peers.ends_at_once),
        "dialogue-early-end", "early-end", "the server ended the dialogue after 0 greetings"),
    Row("RST after the welcome",
        plain(peers.resets_after_the_welcome),
        "dialogue-reset", "resets", "the peer reset the connection"),
    Row("welcome cut mid-word",
        plain(peers.cuts_the_welcome),
        "dialogue-early-end", "early-end", "the server ended the dialogue after 0 greetings"),
    Row("greeting cut mid-word",
        plain(peers.cuts_the_greeting),
        "dialogue-early-end", "early-end", "the server ended the dialogue after 0 greetings"),
    Row("greets somebody else",
        plain(peers.greets_somebody_else),
        "dialogue-wrong-answer", "wrong-answer", 'the server said "Server: Hello Somebody!'),
    Row("mute after the welcome",
        plain(peers.answers_nobody, *ANSWER_SOON),
        "dialogue-timeout", "unanswered", "the server did not answer within"),
    Row("never ends",
        plain(peers.never_ends, *ANSWER_SOON),
        "dialogue-timeout", "unanswered", "the server did not answer within"),
    Row("RST instead of an end",
        plain(peers.resets_instead_of_ending),
        "dialogue-reset", "resets", "the peer reset the connection"),
    Row("an SSH server",
        plain(peers.is_ssh),
        "dialogue-wrong-answer", "wrong-service", 'the server said "SSH-2.0-OpenSSH_9.2p1 Debian-2'),
    Row("an SSH server, asked only whether it is there",
        plain(peers.is_ssh, "--until", "connect"),
        "ok", "", "All is well."),
    Row("a mail server",
        plain(peers.is_smtp),
        "dialogue-wrong-answer", "wrong-service", 'the server said "220 mail.example ESMTP'),
    Row("an HTTP server",
        plain(peers.is_http, *ANSWER_SOON),
        "dialogue-wrong-answer", "wrong-service", 'the server said "HTTP/1.1 400 Bad Request'),
    Row("a middlebox that truncates",
        behind_a_middlebox(peers.truncating, 50000, "--volume", "200k"),
        "dialogue-early-end", "volume-broken", "of 204800 bytes, in a name of"),
    Row("slower than --crit",
        ours("--misbehave", "delay:200ms", options=("--crit", "welcome=0.1")),
        "threshold", "", "outside --crit welcome=0.1"),
    Row("--misbehave delay",
        ours("--misbehave", "delay:3s", options=ANSWER_SOON),
        "dialogue-timeout", "mute", "the server did not answer within"),
    Row("--misbehave drip",
        ours("--misbehave", "drip:3s", options=ANSWER_SOON),
        "dialogue-timeout", "unanswered", "the server did not answer within"),
    Row("--misbehave reset",
        ours("--misbehave", "reset"),
        "dialogue-reset", "resets", "the peer reset the connection"),
    Row("--misbehave half-close",
        ours("--misbehave", "half-close", options=ANSWER_SOON),
        "dialogue-early-end", "early-end", "the server ended the dialogue after 0 greetings"),
    Row("--misbehave mute",
        ours("--misbehave", "mute", options=ANSWER_SOON),
        "dialogue-timeout", "mute", "the server did not answer within"),
]

TLS = [
    Row("nothing, over TLS",
        ours(tls=True),
        "ok", "", "All is well."),
    Row("another program's TLS server, up to the handshake",
        above_tls(peers.silent, "--until", "tls"),
        "ok", "", "All is well."),
    Row("TLS met in plain",
        ours(tls=True, tls_probe=False, options=ANSWER_SOON),
        "dialogue-tls-peer", "tls-peer", "it may speak TLS (add --tls)"),
    Row("our own server without TLS",
        ours(tls_probe=True),
        "tls-plaintext-peer", "plaintext-peer", r'it said "Server: Welcome!\nServer: '),
    Row("an SSH server met with TLS",
        below_tls(peers.is_ssh),
        "tls-plaintext-peer", "plaintext-peer", 'it said "SSH-2.0-OpenSSH'),
    Row("an HTTP server met with TLS",
        below_tls(peers.is_http),
        "tls-plaintext-peer", "plaintext-peer", 'it said "HTTP/1.1 400 Bad Request'),
    Row("silent when met with TLS",
        below_tls(peers.silent, *SOON),
        "tls-silent-peer", "silent-peer", "says nothing in answer to the TLS handshake"),
    Row("handshake_failure",
        below_tls(peers.alerts),
        "tls-alert", "tls-alert", 'the TLS alert "handshake failure"'),
    Row("a handshake that makes no sense",
        below_tls(peers.garbles),
        "tls-protocol", "tls-protocol", "unexpected message"),
    Row("only TLS 1.2, asked for 1.3",
        above_tls(peers.ends_well, "--tls-min", "1.3", version=TLS12),
        "tls-protocol", "tls-version", "speaks no TLS version that this side allows"),
    Row("wants a client certificate, TLS 1.2",
        above_tls(peers.ends_well, version=TLS12, client_ca=True),
        "tls-client-certificate", "client-certificate", "asked for a client certificate"),
    Row("wants a client certificate, TLS 1.3",
        above_tls(peers.ends_well, version=TLS13, client_ca=True),
        "tls-client-certificate", "client-certificate", "requires a client certificate"),
    Row("cut after ClientHello",
        below_tls(peers.cut_at_hello("end")),
        "tls-protocol", "tls-cut", "in the middle of the TLS handshake"),
    Row("RST after ClientHello",
        below_tls(peers.cut_at_hello("reset")),
        "tls-protocol", "tls-cut", "in the middle of the TLS handshake"),
    *cut_flights(),
    Row("cut after our Finished, TLSv1_2",
        below_tls(peers.cut_after_flight(server_pair, TLS12, "end")),
        "tls-protocol", "tls-cut", "in the middle of the TLS handshake"),
    Row("RST after our Finished, TLSv1_2",
        below_tls(peers.cut_after_flight(server_pair, TLS12, "reset")),
        "tls-protocol", "tls-cut", "in the middle of the TLS handshake"),
    Row("cut after our Finished, TLSv1_3",
        below_tls(peers.cut_after_flight(server_pair, TLS13, "end")),
        "dialogue-truncated", "truncated", "without close_notify"),
    Row("RST after our Finished, TLSv1_3",
        below_tls(peers.cut_after_flight(server_pair, TLS13, "reset")),
        "dialogue-reset", "resets", "the peer reset the connection"),
    Row("cut after both Finished, TLSv1_2",
        below_tls(peers.cut_after_handshake(server_pair, TLS12, "end")),
        "dialogue-truncated", "truncated", "without close_notify"),
    Row("mute after TLS",
        above_tls(peers.silent, *ANSWER_SOON),
        "dialogue-timeout", "mute-after-tls", "the server did not answer within"),
    Row("RST after TLS",
        above_tls(peers.resets_at_once),
        "dialogue-reset", "resets", "the peer reset the connection"),
    Row("greeting cut mid-word over TLS",
        above_tls(peers.cuts_the_greeting),
        "dialogue-truncated", "truncated", "without close_notify"),
    Row("close without close_notify",
        above_tls(peers.ends_without_close_notify),
        "dialogue-truncated", "truncated", "without close_notify"),
    Row("a middlebox that truncates TLS",
        behind_a_middlebox(peers.truncating, 50000, "--volume", "200k", tls=True),
        "dialogue-truncated", "volume-broken", "of 204800 bytes, in a name of"),
    Row("--misbehave no-close-notify",
        ours("--misbehave", "no-close-notify", tls=True),
        "dialogue-truncated", "truncated", "without close_notify"),
    Row("--misbehave mute, over TLS",
        ours("--misbehave", "mute", options=ANSWER_SOON, tls=True),
        "dialogue-timeout", "mute-after-tls", "the server did not answer within"),
    Row("--misbehave reset, over TLS",
        ours("--misbehave", "reset", tls=True),
        "dialogue-reset", "resets", "the peer reset the connection"),
]

CERTIFICATES = [
    Row("expired",
        presenting(peers.ends_well, "expired"),
        "cert-expired", "cert-expired", "expired 3 days ago"),
    Row("not yet valid",
        presenting(peers.ends_well, "not-yet-valid"),
        "cert-not-yet-valid", "cert-not-yet-valid", "valid only in 6 days"),
    Row("other name",
        presenting(peers.ends_well, "wrong-name"),
        "cert-name", "cert-name", "is for wrong.example, 192.0.2.1, not for ::1"),
    Row("self-signed",
        presenting(peers.ends_well, "self-signed"),
        "cert-self-signed", "self-signed", "is signed by itself, not by a CA"),
    Row("unknown CA",
        presenting(peers.ends_well, "unknown-ca"),
        "cert-untrusted", "cert-untrusted", 'was issued by "tcpgreet unknown CA"'),
    Row("missing intermediate",
        presenting(peers.ends_well, "missing-intermediate"),
        "cert-untrusted", "missing-intermediate", 'was issued by "tcpgreet intermediate CA"'),
    Row("expired intermediate",
        presenting(peers.ends_well, "expired-intermediate"),
        "cert-expired", "cert-expired", '"tcpgreet expired intermediate CA"'),
    Row("wrong purpose",
        presenting(peers.ends_well, "wrong-purpose"),
        "cert-purpose", "cert-purpose", "is not meant for a TLS server"),
    Row("RSA of 1024 bits",
        presenting(peers.ends_well, "weak-rsa"),
        "cert-weak", "cert-weak", "too short a key"),
    Row("SHA-1",
        presenting(peers.ends_well, "sha1"),
        "cert-weak", "cert-weak", "broken hash"),
    Row("address in CN only",
        presenting(peers.ends_well, "ip-in-cn"),
        "cert-name", "cert-name", "a common name alone does not count"),
    Row("name in CN only",
        presenting(peers.ends_well, "name-in-cn", "--servername", "localhost"),
        "cert-name", "cert-name", "a common name alone does not count"),
    Row("a NUL in its name",
        presenting(peers.ends_well, "nul-in-san", "--servername", "localhost"),
        "cert-name", "cert-name", r"is for localhost\x00.evil.example, not for localhost"),
    Row("partial wildcard",
        presenting(peers.ends_well, "partial-wildcard", "--servername", "foo.greet.example"),
        "cert-name", "cert-name", "is for f*.greet.example, not for foo.greet.example"),
    Row("an unknown critical extension",
        presenting(peers.ends_well, "unknown-critical"),
        "cert-untrusted", "cert-untrusted", "unhandled critical extension"),
    Row("another key than pinned",
        above_tls(peers.ends_well, "--pin", "sha256:" + "00" * 32),
        "cert-pin", "cert-pin", "another key than --pin allows"),
    Row("fewer days left than --expect-days",
        above_tls(peers.ends_well, "--expect-days", "400"),
        "threshold", "", "--expect-days asks for 400"),
    Row("expired, with --insecure",
        presenting(peers.ends_well, "expired", "--insecure"),
        "ok", "cert-expired", "expired 3 days ago"),
]

PATHS = [
    Row("nothing, over both families",
        far("both"),
        "ok", "", "All is well."),
    Row("NXDOMAIN",
        far("nobody", listen=()),
        "resolve-not-found", "not-found", "there is no address for nobody.greet.example"),
    Row("SERVFAIL",
        far("servfail", listen=()),
        "resolve-temporary", "dns-temporary", "no name server had an answer for servfail.greet.example"),
    Row("no name server answers",
        far("never", *SOON, listen=()),
        "resolve-temporary", "dns-temporary", "no name server answered"),
    Row("AAAA answered after 3 s",
        far("aaaa-late"),
        "ok", "dns-slow-one-type", "IPv6: 1 address in 3.0"),
    Row("A answered after 3 s",
        far("a-late"),
        "ok", "dns-slow-one-type", "IPv4: 1 address in 3.0"),
    Row("AAAA never answered",
        far("aaaa-never", *SOON),
        "degraded", "dns-temporary", "no name server answered for the IPv6 addresses"),
    Row("SERVFAIL for AAAA",
        far("aaaa-servfail"),
        "degraded", "dns-temporary", "the name service fails for IPv6"),
    Row("IPv6 swallowed while IPv4 lives",
        far("swallowed6", *SOON),
        "degraded", "ipv6-dead", "[fd77::2]"),
    Row("the same, with --require any",
        far("swallowed6", *SOON, "--require", "any"),
        "ok", "ipv6-dead", "[fd77::2]"),
    Row("IPv4 swallowed while IPv6 lives",
        far("swallowed4", *SOON),
        "degraded", "ipv4-dead", "10.77.0.2:"),
    Row("IPv6 refused while IPv4 lives",
        far("both", listen=[FAR4]),
        "degraded", "ipv6-dead", "Connection refused"),
    Row("no route for IPv6",
        far("no-route6"),
        "degraded", "ipv6-dead", "Network is unreachable"),
    Row("no route at all",
        far("no-route", listen=()),
        "connect-unreachable", "unreachable-all", "Network is unreachable"),
    Row("every SYN swallowed",
        far("swallowed", *SOON, listen=()),
        "connect-timeout", "timeout-all", "no answer within"),
    Row("SYN dropped on one address of four",
        far("cluster-dead", *SOON),
        "degraded", "address-differs", "3 of 4 addresses well"),
    Row("one address of four refuses",
        far("cluster", listen=[FAR4, *MORE4[:2]]),
        "degraded", "address-differs", "3 of 4 addresses well"),
    Row("one address of four resets",
        far_among("cluster", {MORE4[1]: peers.resets_at_once}),
        "degraded", "address-differs resets", "3 of 4 addresses well"),
    Row("one address of four is something else",
        far_among("cluster", {MORE4[2]: peers.is_ssh}),
        "degraded", "address-differs wrong-service", "3 of 4 addresses well"),
    Row("the first SYN lost",
        far_after_a_lost_syn(),
        "ok", "lost-syn", "SYN sent again 1 time"),
    Row("large segments swallowed",
        far("big", *ANSWER_SOON, "--volume", "20k"),
        "dialogue-timeout", "volume-broken", "the path may not carry large packets"),
    Row("only IPv6 asked for, only IPv4 there",
        far("four", "-6"),
        "resolve-not-found", "not-found", "only IPv6 was asked for"),
]

TLS_PATHS = [
    Row("one address of four shows another name",
        far_certificates("cluster", peers.ends_well, {MORE4[2]: lambda: made().bad("wrong-name")}),
        "degraded", "address-differs cert-name", "is for wrong.example, 192.0.2.1, not for cluster.greet.example"),
    Row("one address of four shows an older certificate",
        far_certificates("cluster", peers.ends_well, {MORE4[0]: older}),
        "ok", "address-differs cert-expires-soon", "3 days left"),
]


def measure(row):
    """What the probe says there, as JSON and as text."""
    return row.place.probe("--format", "json"), row.place.probe()


def warnings_of(result):
    """What is said whatever is found."""
    return b"tcpgreet: --insecure: the certificate is not checked, anybody may be answering\n" * \
        ("--insecure" in result.args)


class Faults(Case):
    """Every row is measured beside others; then each is compared."""

    limit_s = 60

    def check(self, rows):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            measured = [pool.submit(measure, row) for row in rows]
        for row, future in zip(rows, measured):
            with self.subTest(row.fault):
                self.compare(row, *future.result())

    def compare(self, row, machine, text):
        code = exit_code(row.word)
        found = json.loads(machine.out)
        SCHEMA.validate(found)
        words = [finding["word"] for finding in found["findings"]]
        self.assertEqual((found["verdict"]["word"], found["verdict"]["exit_code"]), (row.word, code), repr(machine))
        self.assertEqual((text.code, text.err), (code, warnings_of(text)), repr(text))
        self.assertEqual((machine.code, machine.out.count(b"\n")), (code, 1), repr(machine))
        if code == 0:
            self.assertEqual(machine.err, warnings_of(machine))
        else:
            self.assertFails(machine, code, row.word)
        self.assertEqual(words, row.findings.split(), repr(machine))
        self.assertIn(row.says, " ".join(text.out.decode().split()))


class Peers(Faults):

    def test_a_peer_that_is_wrong(self):
        self.check(PLAIN)

    @unittest.skipUnless(has_tls(), "this program was built without TLS")
    def test_a_peer_that_is_wrong_over_tls(self):
        self.check(TLS)

    @unittest.skipUnless(has_tls(), "this program was built without TLS")
    def test_a_certificate_that_is_wrong(self):
        self.check(CERTIFICATES)


@unittest.skipIf(why_no_path(), why_no_path())
class Paths(Faults):

    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(lay())

    def test_a_path_that_is_wrong(self):
        self.check(PATHS)

    @unittest.skipUnless(has_tls(), "this program was built without TLS")
    def test_an_address_that_differs_over_tls(self):
        self.check(TLS_PATHS)


if __name__ == "__main__":
    main()
