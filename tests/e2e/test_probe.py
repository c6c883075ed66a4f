"""The table of faults: what is wrong with a path, and what a probe says of it.

A row: the fault, where it is met, the verdict's word, the finding's word, and what the text says.
"""

import collections
import concurrent.futures
import json
import unittest

import probe_peers as peers
from harness import PATIENCE, ROOT, Case, main
from json_schema import Schema
from net_harness import FAR4
from probe_net import (MORE4, above_tls, behind_a_middlebox, below_tls, far, far_after_a_lost_syn, far_among,
                       far_certificates, lay, made, older, ours, plain, presenting, refusing, why_no_path)
from tls_harness import VERSIONS, has_tls

Row = collections.namedtuple("Row", "fault place word finding says")
SOON = "--connect-timeout", f"{round(600 * PATIENCE)}ms"  # where the limit is what ends it
ANSWER_SOON = "--answer-timeout", f"{round(300 * PATIENCE)}ms"
EXIT_CODES = {"ok": 0, "resolve": 3, "connect": 4, "tls": 5, "cert": 6, "dialogue": 7, "degraded": 9, "threshold": 10}
SCHEMA = Schema(json.loads((ROOT / "docs" / "probe-v1.schema.json").read_text()))
TLS12, TLS13 = VERSIONS


def server_pair():
    return made().server


PLAIN = [
    Row("nothing", ours(), "ok", None, ""),
    Row("nobody listens", refusing(), "connect-refused", "", ""),
    Row("accepts and says nothing", plain(peers.silent, *ANSWER_SOON), "dialogue-timeout", "", ""),
    Row("RST after accept", plain(peers.resets_at_once), "dialogue-reset", "", ""),
    Row("ends after accept", plain(peers.ends_at_once), "dialogue-early-end", "", ""),
    Row("RST after the welcome", plain(peers.resets_after_the_welcome), "dialogue-reset", "", ""),
    Row("welcome cut mid-word", plain(peers.cuts_the_welcome), "dialogue-early-end", "", ""),
    Row("greeting cut mid-word", plain(peers.cuts_the_greeting), "dialogue-early-end", "", ""),
    Row("greets somebody else", plain(peers.greets_somebody_else), "dialogue-wrong-answer", "", ""),
    Row("mute after the welcome", plain(peers.answers_nobody, *ANSWER_SOON), "dialogue-timeout", "", ""),
    Row("never ends", plain(peers.never_ends, *ANSWER_SOON), "dialogue-timeout", "", ""),
    Row("RST instead of an end", plain(peers.resets_instead_of_ending), "dialogue-reset", "", ""),
    Row("an SSH server", plain(peers.is_ssh), "dialogue-wrong-answer", "", ""),
    Row("an SSH server, asked only whether it is there", plain(peers.is_ssh, "--until", "connect"), "ok", None, ""),
    Row("a mail server", plain(peers.is_smtp), "dialogue-wrong-answer", "", ""),
    Row("an HTTP server", plain(peers.is_http, *ANSWER_SOON), "dialogue-wrong-answer", "", ""),
    Row("a middlebox that truncates", behind_a_middlebox(peers.truncating, 50000, "--volume", "200k"),
        "dialogue-early-end", "", ""),
    Row("slower than --crit", ours("--misbehave", "delay:200ms", options=("--crit", "welcome=0.1")), "threshold", "",
        ""),
    Row("--misbehave delay", ours("--misbehave", "delay:3s", options=ANSWER_SOON), "dialogue-timeout", "", ""),
    Row("--misbehave drip", ours("--misbehave", "drip:3s", options=ANSWER_SOON), "dialogue-timeout", "", ""),
    Row("--misbehave reset", ours("--misbehave", "reset"), "dialogue-reset", "", ""),
    Row("--misbehave half-close", ours("--misbehave", "half-close", options=ANSWER_SOON), "dialogue-early-end", "", ""),
    Row("--misbehave mute", ours("--misbehave", "mute", options=ANSWER_SOON), "dialogue-timeout", "", ""),
]

TLS = [
    Row("nothing, over TLS", ours(tls=True), "ok", None, ""),
    Row("another program's TLS server, up to the handshake", above_tls(peers.silent, "--until", "tls"), "ok", None, ""),
    Row("TLS met in plain", ours(tls=True, tls_probe=False, options=ANSWER_SOON), "dialogue-tls-peer", "", ""),
    Row("our own server without TLS", ours(tls_probe=True), "tls-plaintext-peer", "", ""),
    Row("an SSH server met with TLS", below_tls(peers.is_ssh), "tls-plaintext-peer", "", ""),
    Row("an HTTP server met with TLS", below_tls(peers.is_http), "tls-plaintext-peer", "", ""),
    Row("silent when met with TLS", below_tls(peers.silent, *SOON), "tls-silent-peer", "", ""),
    Row("handshake_failure", below_tls(peers.alerts), "tls-alert", "", ""),
    Row("a handshake that makes no sense", below_tls(peers.garbles), "tls-protocol", "", ""),
    Row("only TLS 1.2, asked for 1.3", above_tls(peers.ends_well, "--tls-min", "1.3", version=TLS12), "tls-protocol",
        "", ""),
    Row("wants a client certificate, TLS 1.2", above_tls(peers.ends_well, version=TLS12, client_ca=True),
        "tls-client-certificate", "", ""),
    Row("wants a client certificate, TLS 1.3", above_tls(peers.ends_well, version=TLS13, client_ca=True),
        "tls-client-certificate", "", ""),
    Row("cut after ClientHello", below_tls(peers.cut_at_hello("end")), "tls-protocol", "", ""),
    Row("RST after ClientHello", below_tls(peers.cut_at_hello("reset")), "tls-protocol", "", ""),
    *(Row(f"{what} in the server's flight, {version.name}", below_tls(peers.cut_in_flight(server_pair, version, way),
          *(SOON if way == "stay" else ())), word, "", "")
      for what, way, word in (("cut", "end", "tls-protocol"), ("RST", "reset", "tls-protocol"),
                              ("stalls", "stay", "tls-timeout")) for version in VERSIONS),
    Row("cut after our Finished, TLSv1_2", below_tls(peers.cut_after_flight(server_pair, TLS12, "end")),
        "tls-protocol", "", ""),
    Row("RST after our Finished, TLSv1_2", below_tls(peers.cut_after_flight(server_pair, TLS12, "reset")),
        "tls-protocol", "", ""),
    Row("cut after our Finished, TLSv1_3", below_tls(peers.cut_after_flight(server_pair, TLS13, "end")),
        "dialogue-truncated", "", ""),
    Row("RST after our Finished, TLSv1_3", below_tls(peers.cut_after_flight(server_pair, TLS13, "reset")),
        "dialogue-reset", "", ""),
    Row("cut after both Finished, TLSv1_2", below_tls(peers.cut_after_handshake(server_pair, TLS12, "end")),
        "dialogue-truncated", "", ""),
    Row("mute after TLS", above_tls(peers.silent, *ANSWER_SOON), "dialogue-timeout", "", ""),
    Row("RST after TLS", above_tls(peers.resets_at_once), "dialogue-reset", "", ""),
    Row("greeting cut mid-word over TLS", above_tls(peers.cuts_the_greeting), "dialogue-truncated", "", ""),
    Row("close without close_notify", above_tls(peers.ends_without_close_notify), "dialogue-truncated", "", ""),
    Row("a middlebox that truncates TLS", behind_a_middlebox(peers.truncating, 50000, "--volume", "200k", tls=True),
        "dialogue-truncated", "", ""),
    Row("--misbehave no-close-notify", ours("--misbehave", "no-close-notify", tls=True), "dialogue-truncated", "", ""),
    Row("--misbehave mute, over TLS", ours("--misbehave", "mute", options=ANSWER_SOON, tls=True), "dialogue-timeout",
        "", ""),
    Row("--misbehave reset, over TLS", ours("--misbehave", "reset", tls=True), "dialogue-reset", "", ""),
]

CERTIFICATES = [
    Row("expired", presenting(peers.ends_well, "expired"), "cert-expired", "", ""),
    Row("not yet valid", presenting(peers.ends_well, "not-yet-valid"), "cert-not-yet-valid", "", ""),
    Row("other name", presenting(peers.ends_well, "wrong-name"), "cert-name", "", ""),
    Row("self-signed", presenting(peers.ends_well, "self-signed"), "cert-self-signed", "", ""),
    Row("unknown CA", presenting(peers.ends_well, "unknown-ca"), "cert-untrusted", "", ""),
    Row("missing intermediate", presenting(peers.ends_well, "missing-intermediate"), "cert-untrusted", "", ""),
    Row("expired intermediate", presenting(peers.ends_well, "expired-intermediate"), "cert-expired", "", ""),
    Row("wrong purpose", presenting(peers.ends_well, "wrong-purpose"), "cert-purpose", "", ""),
    Row("RSA of 1024 bits", presenting(peers.ends_well, "weak-rsa"), "cert-weak", "", ""),
    Row("SHA-1", presenting(peers.ends_well, "sha1"), "cert-weak", "", ""),
    Row("address in CN only", presenting(peers.ends_well, "ip-in-cn"), "cert-name", "", ""),
    Row("name in CN only", presenting(peers.ends_well, "name-in-cn", "--servername", "localhost"), "cert-name", "", ""),
    Row("a NUL in its name", presenting(peers.ends_well, "nul-in-san", "--servername", "localhost"), "cert-name", "",
        ""),
    Row("partial wildcard", presenting(peers.ends_well, "partial-wildcard", "--servername", "foo.greet.example"),
        "cert-name", "", ""),
    Row("an unknown critical extension", presenting(peers.ends_well, "unknown-critical"), "cert-untrusted", "", ""),
    Row("another key than pinned", above_tls(peers.ends_well, "--pin", "sha256:" + "00" * 32), "cert-pin", "", ""),
    Row("fewer days left than --expect-days", above_tls(peers.ends_well, "--expect-days", "400"), "threshold", "", ""),
    Row("expired, with --insecure", presenting(peers.ends_well, "expired", "--insecure"), "ok", "", ""),
]

PATHS = [
    Row("nothing, over both families", far("both"), "ok", None, ""),
    Row("NXDOMAIN", far("nobody", listen=()), "resolve-not-found", "", ""),
    Row("SERVFAIL", far("servfail", listen=()), "resolve-temporary", "", ""),
    Row("no name server answers", far("never", *SOON, listen=()), "resolve-temporary", "", ""),
    Row("AAAA answered after 3 s", far("aaaa-late"), "ok", "", ""),
    Row("A answered after 3 s", far("a-late"), "ok", "", ""),
    Row("AAAA never answered", far("aaaa-never", *SOON), "degraded", "", ""),
    Row("SERVFAIL for AAAA", far("aaaa-servfail"), "degraded", "", ""),
    Row("IPv6 swallowed while IPv4 lives", far("swallowed6", *SOON), "degraded", "", ""),
    Row("the same, with --require any", far("swallowed6", *SOON, "--require", "any"), "ok", "", ""),
    Row("IPv4 swallowed while IPv6 lives", far("swallowed4", *SOON), "degraded", "", ""),
    Row("IPv6 refused while IPv4 lives", far("both", listen=[FAR4]), "degraded", "", ""),
    Row("no route for IPv6", far("no-route6"), "degraded", "", ""),
    Row("no route at all", far("no-route", listen=()), "connect-unreachable", "", ""),
    Row("every SYN swallowed", far("swallowed", *SOON, listen=()), "connect-timeout", "", ""),
    Row("SYN dropped on one address of four", far("cluster-dead", *SOON), "degraded", "", ""),
    Row("one address of four refuses", far("cluster", listen=[FAR4, *MORE4[:2]]), "degraded", "", ""),
    Row("one address of four resets", far_among("cluster", {MORE4[1]: peers.resets_at_once}), "degraded", "", ""),
    Row("one address of four is something else", far_among("cluster", {MORE4[2]: peers.is_ssh}), "degraded", "", ""),
    Row("the first SYN lost", far_after_a_lost_syn(), "ok", "", ""),
    Row("large segments swallowed", far("big", *ANSWER_SOON, "--volume", "20k"), "dialogue-timeout", "", ""),
    Row("only IPv6 asked for, only IPv4 there", far("four", "-6"), "resolve-not-found", "", ""),
]

TLS_PATHS = [
    Row("one address of four shows another name",
        far_certificates("cluster", peers.ends_well, {FAR4: server_pair, MORE4[0]: server_pair, MORE4[1]: server_pair,
                                                      MORE4[2]: lambda: made().bad("wrong-name")}),
        "degraded", "", ""),
    Row("one address of four shows an older certificate",
        far_certificates("cluster", peers.ends_well, {FAR4: server_pair, MORE4[0]: older, MORE4[1]: server_pair,
                                                      MORE4[2]: server_pair}), "ok", "", ""),
]


def measure(row):
    """What the probe says there, as JSON and as text."""
    return row.place.probe("--format", "json"), row.place.probe()


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
        code = EXIT_CODES[row.word.partition("-")[0]]
        found = json.loads(machine.out)
        self.assertEqual(SCHEMA.complaints(found), [])
        words = [finding["word"] for finding in found["findings"]]
        self.assertEqual((found["verdict"]["word"], found["verdict"]["exit_code"]), (row.word, code), repr(machine))
        self.assertEqual((machine.code, text.code), (code, code), repr(text))
        self.assertEqual((machine.out.count(b"\n"), machine.err, text.err), (1, b"", b""))
        self.assertEqual(words[:1], [row.finding] if row.finding else [], repr(machine))
        self.assertRegex(text.out.decode(), row.says)


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
