"""The table of faults: what is wrong with a path, and how a probe reports it.

A row: the fault, where it is met, the verdict's word, the findings' words, and a part of the text.
"""

import collections
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import tempfile
import unittest

import probe_peers as peers
from harness import PATIENCE, ROOT, SOCKET_CALL, Case, main, without_ipv6
from net_harness import FAR4, why_no_cable
from probe_net import (MORE4, NO_ROUTE4, NO_ROUTE6, above_tls, begins_tls, behind_a_middlebox, behind_starttls, below_tls, complete, far,
                       far_after_a_lost_syn, far_among, far_certificates, few_ports, in_a_network, ipv4_gone, ipv6_off, lacking,
                       lay, made, no_loopback6, older, only_link_local, ours, plain, presenting, refusing,
                       requesting, why_no_path,
                       with_route, without_trust_store)
from tls_harness import VERSIONS, has_tls

Row = collections.namedtuple("Row", "fault place word findings message")
SOON = "--connect-timeout", f"{round(600 * PATIENCE)}ms"  # where the limit is what ends it
ANSWER_SOON = "--answer-timeout", f"{round(300 * PATIENCE)}ms"
EXIT_CODES = {"ok": 0, "resolve": 3, "connect": 4, "tls": 5, "cert": 6, "dialogue": 7, "degraded": 9, "threshold": 10}
TLS12, TLS13 = VERSIONS
NONSENSE = os.environ.get("TCPGREET_MESSAGES") == "nonsense"  # of the program: then only data counts


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
    before = "during the TLS handshake, before the server's certificate"
    for what, way, word, findings, message in (
            ("cut", "end", "tls-protocol", "tls-cut", f"closed {before}"),
            ("RST", "reset", "tls-protocol", "tls-cut", f"reset {before}"),
            ("stall", "stay", "tls-timeout", "tls-stalled", "the TLS handshake begins and then stalls")):
        for version in VERSIONS:
            yield Row(f"{what} in the server's flight, {version.name}",
                      below_tls(peers.cut_in_flight(server_pair, version, way), *(SOON if way == "stay" else ())),
                      word, findings, message)


PLAIN = [
    Row("nothing",
        ours(),
        "ok", "", "All checks passed."),
    Row("no listener",
        refusing(),
        "connect-refused", "all-refused", "the connection is refused, nothing listens there"),
    Row("accepts and sends nothing",
        plain(peers.silent, *ANSWER_SOON),
        "dialogue-timeout", "mute", "the connection is accepted and no complete welcome follows"),
    Row("RST after accept",
        plain(peers.resets_at_once),
        "dialogue-reset", "resets", "the connection is accepted and then reset, without data"),
    Row("ends after accept",
        plain(peers.ends_at_once),
        "dialogue-early-end", "early-end", "the connection is accepted and closed before the welcome is complete"),
    Row("closes on the first line",
        plain(peers.closes_on_a_line, *ANSWER_SOON),
        "dialogue-early-end", "early-end", "the server closed the connection without sending anything"),
    Row("our own server, which expects a PROXY header",
        ours("--proxy-protocol", options=ANSWER_SOON),
        "dialogue-early-end", "early-end", "may expect a PROXY header, as a service behind a load balancer does"),
    Row("closes on the first line, and answers a ClientHello",
        plain(peers.closes_unless_tls, *ANSWER_SOON),
        "dialogue-tls-peer", "tls-peer", "the server uses TLS, and this probe is plain: add --tls"),
    Row("RST after the welcome",
        plain(peers.resets_after_the_welcome),
        "dialogue-reset", "resets", "the connection is reset during the dialogue (name)"),
    Row("welcome cut mid-word",
        plain(peers.cuts_the_welcome),
        "dialogue-early-end", "early-end", "closed before the welcome is complete"),
    Row("greeting cut mid-word",
        plain(peers.cuts_the_greeting),
        "dialogue-early-end", "early-end", "the server ends the dialogue too early (name)"),
    Row("greets another name",
        plain(peers.greets_another_name),
        "dialogue-wrong-answer", "wrong-answer", 'later answer is wrong (name): expected "Server: Hello tcpgreet!'),
    Row("the welcome with another byte behind it",
        plain(peers.sends(peers.OPENING + b"X")),
        "dialogue-wrong-answer", "wrong-answer", "the welcome is correct and a later answer is wrong (name)"),
    Row("mute after the welcome",
        plain(peers.answers_nothing, *ANSWER_SOON),
        "dialogue-timeout", "unanswered", "sends its welcome and then does not answer a name"),
    Row("never ends",
        plain(peers.never_ends, *ANSWER_SOON),
        "dialogue-timeout", "unanswered", "does not close after exit"),
    Row("RST instead of an end",
        plain(peers.resets_instead_of_ending),
        "dialogue-reset", "resets", "the connection is reset during the dialogue (close)"),
    Row("an SSH server",
        plain(peers.is_ssh),
        "dialogue-wrong-answer", "wrong-service", 'another service answers (ssh): it sent "SSH-2.0-OpenSSH_9.2p1 Debian-2'),
    Row("an SSH server, asked only whether it is there",
        plain(peers.is_ssh, "--until", "connect"),
        "ok", "", "All checks passed."),
    Row("a mail server",
        plain(peers.is_smtp),
        "dialogue-wrong-answer", "wrong-service", 'another service answers (smtp): it sent "220 mail.example ESMTP'),
    Row("an HTTP server",
        plain(peers.is_http, *ANSWER_SOON),
        "dialogue-wrong-answer", "wrong-service", 'another service answers (http): it sent "HTTP/1.1 400 Bad Request'),
    Row("a middlebox that truncates",
        behind_a_middlebox(peers.truncating, 50000, "--volume", "200k"),
        "dialogue-early-end", "truncated", "a large transfer is cut off: a middlebox ends it"),
    Row("slower than --crit",
        ours("--misbehave", "delay:200ms", options=("--crit", "welcome=0.1")),
        "threshold", "", "outside --crit welcome=0.1"),
    Row("--misbehave delay",
        ours("--misbehave", "delay:3s", options=ANSWER_SOON),
        "dialogue-timeout", "mute", "the connection is accepted and no complete welcome follows"),
    Row("--misbehave drip",
        ours("--misbehave", "drip:3s", options=ANSWER_SOON),
        "dialogue-timeout", "mute", "the connection is accepted and no complete welcome follows"),
    Row("--misbehave reset",
        ours("--misbehave", "reset"),
        "dialogue-reset", "resets", "the connection is reset during the dialogue (name)"),
    Row("--misbehave half-close",
        ours("--misbehave", "half-close", options=ANSWER_SOON),
        "dialogue-early-end", "early-end", "the server ends the dialogue too early (name)"),
    Row("--misbehave mute",
        ours("--misbehave", "mute", options=ANSWER_SOON),
        "dialogue-timeout", "mute", "the connection is accepted and no complete welcome follows"),
]

ANY = "--until", "auto"
AT_ONCE = "closed the connection at once, without sending data"

SERVICES = [
    Row("our own server, any service allowed",
        ours(options=ANY),
        "ok", "", "All checks passed."),
    Row("an SSH server, any service allowed",
        plain(peers.is_ssh, *ANY),
        "ok", "", 'OK through TCP; not a tcpgreet server (it sent "SSH-2.0-OpenSSH_9.2p1 Debian-2'),
    Row("the end of a line alone, any service allowed",
        plain(peers.sends(b"\n"), *ANY),
        "ok", "", r'not a tcpgreet server (it sent "\n").'),
    Row("a mail server, any service allowed",
        plain(peers.is_smtp, *ANY),
        "ok", "", "service: smtp."),
    Row("a MySQL server, any service allowed",
        plain(peers.sends(peers.MYSQL), *ANY),
        "ok", "", "service: mysql."),
    Row("a VNC server that sends one byte at a time, any service allowed",
        plain(peers.sends(peers.VNC, 1), *ANY),
        "ok", "", 'not a tcpgreet server (it sent "RFB 003.008"), service: vnc.'),
    Row("an unknown protocol, any service allowed",
        plain(peers.sends(b"\x00\x1b[2Jhello\n"), *ANY),
        "ok", "", r'not a tcpgreet server (it sent "\x00\x1b[2Jhello").'),
    Row("a service that waits for its client, any service allowed",
        plain(peers.silent, *ANY),
        "ok", "", "OK through TCP; not a tcpgreet server (it sent nothing for 1 s)."),
    Row("ends after accept, any service allowed",
        plain(peers.ends_at_once, *ANY),
        "dialogue-early-end", "early-end", "the peer closed the connection without sending anything"),
    Row("RST after accept, any service allowed",
        plain(peers.resets_at_once, *ANY),
        "dialogue-reset", "resets", "the connection is accepted and then reset, without data"),
    Row("welcome cut mid-word, any service allowed",
        plain(peers.cuts_the_welcome, *ANY),
        "dialogue-early-end", "early-end", "closed before the welcome is complete"),
    Row("greeting cut mid-word, any service allowed",
        plain(peers.cuts_the_greeting, *ANY),
        "dialogue-early-end", "early-end", "the server ends the dialogue too early (name)"),
    Row("the welcome with another byte behind it, any service allowed",
        plain(peers.sends(peers.OPENING + b"X"), *ANY),
        "dialogue-wrong-answer", "wrong-answer", "the welcome is correct and a later answer is wrong (name)"),
    Row("our own server, which gets a PROXY header that it does not expect",
        ours(options=(*ANY, "--send-proxy", "v1")),
        "dialogue-wrong-answer", "wrong-answer", "the welcome is correct and a later answer is wrong (name)"),
    Row("ends after accept, probed through TCP",
        plain(peers.ends_at_once, "--until", "connect"),
        "ok", "", AT_ONCE),
    Row("RST after accept, probed through TCP",
        plain(peers.resets_at_once, "--until", "connect"),
        "ok", "", "reset the connection at once, without sending data"),
    Row("an SSH server where the dialogue is demanded",
        plain(peers.is_ssh),
        "dialogue-wrong-answer", "wrong-service", "another service answers (ssh): it sent"),
]

TLS_SERVICES = [
    Row("a TLS service that waits for its client",
        above_tls(peers.silent, *ANY),
        "ok", "", "OK through TCP and TLS; not a tcpgreet server (it sent nothing for 1 s)."),
    Row("a mail server over TLS",
        above_tls(peers.is_smtp, *ANY),
        "ok", "", "OK through TCP and TLS; not a tcpgreet server (it sent"),
    Row("a TLS service that ends at once",
        above_tls(peers.ends_without_a_byte, *ANY),
        "dialogue-early-end", "early-end", "the peer closed the connection without sending anything"),
    Row("a TLS service that ends at once, probed through TLS",
        above_tls(peers.ends_without_a_byte, "--until", "tls"),
        "ok", "", "OK through TCP and TLS"),
    Row("requires a client certificate, probed through TLS 1.3",
        above_tls(peers.silent, "--until", "tls", version=TLS13, client_ca=True),
        "tls-client-certificate", "client-certificate", "a client certificate is required: add --cert and --key"),
    Row("requires a client certificate, probed through TLS 1.2",
        above_tls(peers.silent, "--until", "tls", version=TLS12, client_ca=True),
        "tls-client-certificate", "client-certificate", "a client certificate is required: add --cert and --key"),
    Row("requires a client certificate, any service allowed",
        above_tls(peers.silent, *ANY, version=TLS13, client_ca=True),
        "tls-client-certificate", "client-certificate", "a client certificate is required: add --cert and --key"),
    Row("requests a client certificate, probed through TLS",
        requesting(peers.silent, "--until", "tls"),
        "ok", "", "All checks passed."),
    Row("requires a client certificate, as expected",
        above_tls(peers.silent, "--expect-alert", "certificate_required", version=TLS13, client_ca=True),
        "ok", "", "refused with the TLS alert certificate_required, as expected"),
    Row("refuses with another alert than expected",
        above_tls(peers.silent, "--expect-alert", "unknown_ca", version=TLS13, client_ca=True),
        "tls-alert", "tls-alert", "the peer sent the TLS alert certificate_required, not unknown_ca"),
    Row("does not refuse as expected",
        above_tls(peers.silent, "--expect-alert", "certificate_required"),
        "tls-no-alert", "tls-no-alert", "the server does not refuse as --expect-alert demands"),
]

EHLO = b"EHLO [IPv6:::1]\r\n"
SMTP = (b"", b"220 mail.example ESMTP\r\n"), (EHLO, b"250-mail.example\r\n250 STARTTLS\r\n")

STARTTLS = [
    Row("a mail server, TLS by STARTTLS",
        behind_starttls((*SMTP, (b"STARTTLS\r\n", b"220 go ahead\r\n")), "--until", "tls", after=begins_tls),
        "ok", "", "All checks passed."),
    Row("STARTTLS is not offered",
        behind_starttls((SMTP[0], (EHLO, b"250-mail.example\r\n250 8BITMIME\r\n"))),
        "tls-starttls", "starttls", 'does not offer STARTTLS (SMTP): it sent "250-mail.example\\r\\n250 8BITMIME"'),
    Row("STARTTLS is refused",
        behind_starttls((*SMTP, (b"STARTTLS\r\n", b"454 TLS not available\r\n"))),
        "tls-starttls", "starttls", 'refused STARTTLS (SMTP): it sent "454 TLS not available"'),
    Row("data behind the go-ahead of STARTTLS",
        behind_starttls((*SMTP, (b"STARTTLS\r\n", b"220 go ahead\r\n250 injected\r\n"))),
        "tls-starttls", "starttls", "(command injection)"),
    Row("another protocol than --starttls names",
        behind_starttls(((b"", b"* OK imap ready\r\n"),)),
        "tls-starttls", "starttls", "give --starttls imap"),
    Row("a server that uses TLS from the start, probed with --starttls",
        behind_starttls(((b"", b"\x15\x03\x03\0\x02\x02\x46"),), protocol="ldap", after=lambda peer: peer.end()),
        "tls-starttls", "starttls", "give --tls instead of --starttls ldap"),
    Row("stalls in STARTTLS",
        behind_starttls(SMTP, *SOON),
        "tls-timeout", "tls-stalled", "STARTTLS begins and then stalls, the server hangs"),
    Row("a mail server probed with --tls",
        below_tls(peers.is_smtp),
        "tls-plaintext-peer", "plaintext-peer", "give --starttls smtp"),
    Row("a mail server that sends one byte at a time, probed with --tls",
        below_tls(peers.sends(b"220 mx-01.europe.example.net ESMTP\r\n", 1)),
        "tls-plaintext-peer", "plaintext-peer",
        r'it replied "220 mx-01.europe.example.net ESMTP\r\n": give --starttls smtp'),
    Row("a prompt without the end of a line, probed with --tls",
        below_tls(peers.sends(b"\xff\xfd\x18"), "--connect-timeout", "1h"),
        "tls-plaintext-peer", "plaintext-peer", r'it replied "\xff\xfd\x18": leave out --tls'),
]

TLS = [
    Row("nothing, over TLS",
        ours(tls=True),
        "ok", "", "All checks passed."),
    Row("another program's TLS server, up to the handshake",
        above_tls(peers.silent, "--until", "tls"),
        "ok", "", "All checks passed."),
    Row("TLS met in plain",
        ours(tls=True, tls_probe=False, options=ANSWER_SOON),
        "dialogue-tls-peer", "tls-peer", "this probe is plain: add --tls"),
    Row("our own server without TLS",
        ours(tls_probe=True),
        "tls-plaintext-peer", "plaintext-peer", r'the server does not use TLS, it replied "Server: Welcome!\nServer: '),
    Row("an SSH server met with TLS",
        below_tls(peers.is_ssh),
        "tls-plaintext-peer", "plaintext-peer", 'the server does not use TLS, it replied "SSH-2.0-OpenSSH'),
    Row("an HTTP server met with TLS",
        below_tls(peers.is_http),
        "tls-plaintext-peer", "plaintext-peer", 'the server does not use TLS, it replied "HTTP/1.1 400 Bad Request'),
    Row("silent when met with TLS",
        below_tls(peers.silent, *SOON),
        "tls-silent-peer", "silent-peer", "there is no reply to the ClientHello"),
    Row("handshake_failure",
        below_tls(peers.alerts),
        "tls-alert", "tls-alert", 'the TLS alert "handshake_failure"'),
    Row("a handshake that makes no sense",
        below_tls(peers.garbles),
        "tls-protocol", "tls-protocol", "unexpected message"),
    Row("only TLS 1.2, asked for 1.3",
        above_tls(peers.ends_cleanly, "--tls-min", "1.3", version=TLS12),
        "tls-protocol", "tls-version", "the server supports no TLS version that is allowed here"),
    Row("wants a client certificate, TLS 1.2",
        above_tls(peers.ends_cleanly, version=TLS12, client_ca=True),
        "tls-client-certificate", "client-certificate", "a client certificate is required: add --cert and --key"),
    Row("wants a client certificate, TLS 1.3",
        above_tls(peers.ends_cleanly, version=TLS13, client_ca=True),
        "tls-client-certificate", "client-certificate", "a client certificate is required: add --cert and --key"),
    Row("cut after ClientHello",
        below_tls(peers.cut_at_hello("end")),
        "tls-protocol", "tls-cut", "the connection is closed on the ClientHello, without a reply"),
    Row("RST after ClientHello",
        below_tls(peers.cut_at_hello("reset")),
        "tls-protocol", "tls-cut", "the connection is reset on the ClientHello, without a reply"),
    *cut_flights(),
    Row("cut after our Finished, TLSv1_2",
        below_tls(peers.cut_after_flight(server_pair, TLS12, "end")),
        "tls-protocol", "tls-cut", "closed during the TLS handshake, after the server's certificate"),
    Row("RST after our Finished, TLSv1_2",
        below_tls(peers.cut_after_flight(server_pair, TLS12, "reset")),
        "tls-protocol", "tls-cut", "reset during the TLS handshake, after the server's certificate"),
    Row("cut after our Finished, TLSv1_3",
        below_tls(peers.cut_after_flight(server_pair, TLS13, "end")),
        "dialogue-truncated", "truncated", "the stream is truncated (welcome), without close_notify"),
    Row("RST after our Finished, TLSv1_3",
        below_tls(peers.cut_after_flight(server_pair, TLS13, "reset")),
        "dialogue-reset", "resets", "accepted and then reset, without data"),
    Row("cut after both Finished, TLSv1_2",
        below_tls(peers.cut_after_handshake(server_pair, TLS12, "end")),
        "dialogue-truncated", "truncated", "the stream is truncated (welcome), without close_notify"),
    Row("mute after TLS",
        above_tls(peers.silent, *ANSWER_SOON),
        "dialogue-timeout", "mute-after-tls", "the TLS handshake succeeds and no complete welcome follows"),
    Row("RST after TLS",
        above_tls(peers.resets_at_once),
        "dialogue-reset", "resets", "accepted and then reset, without data"),
    Row("greeting cut mid-word over TLS",
        above_tls(peers.cuts_the_greeting),
        "dialogue-truncated", "truncated", "the stream is truncated (name), without close_notify"),
    Row("close without close_notify",
        above_tls(peers.ends_without_close_notify),
        "dialogue-truncated", "truncated", "every answer arrives, but TLS ends without close_notify"),
    Row("a middlebox that truncates TLS",
        behind_a_middlebox(peers.truncating, 50000, "--volume", "200k", tls=True),
        "dialogue-truncated", "truncated", "a large transfer is cut off: a middlebox ends it"),
    Row("--misbehave no-close-notify",
        ours("--misbehave", "no-close-notify", tls=True),
        "dialogue-truncated", "truncated", "every answer arrives, but TLS ends without close_notify"),
    Row("--misbehave mute, over TLS",
        ours("--misbehave", "mute", options=ANSWER_SOON, tls=True),
        "dialogue-timeout", "mute-after-tls", "the TLS handshake succeeds and no complete welcome follows"),
    Row("--misbehave reset, over TLS",
        ours("--misbehave", "reset", tls=True),
        "dialogue-reset", "resets", "the connection is reset during the dialogue (name)"),
]

CERTIFICATES = [
    Row("expired",
        presenting(peers.ends_cleanly, "expired"),
        "cert-expired", "cert-expired", "the certificate expired 3 days ago"),
    Row("not yet valid",
        presenting(peers.ends_cleanly, "not-yet-valid"),
        "cert-not-yet-valid", "cert-not-yet-valid", "the certificate is not valid before 20"),
    Row("other name",
        presenting(peers.ends_cleanly, "wrong-name"),
        "cert-name", "cert-name", "the certificate is for wrong.example, 192.0.2.1, not for ::1"),
    Row("self-signed",
        presenting(peers.ends_cleanly, "self-signed"),
        "cert-self-signed", "self-signed", "have it issued by a CA"),
    Row("unknown CA",
        presenting(peers.ends_cleanly, "unknown-ca"),
        "cert-untrusted", "missing-intermediate", 'its issuer "tcpgreet unknown CA" is not trusted here'),
    Row("no trust store on this machine",
        without_trust_store(peers.ends_cleanly),
        "cert-no-trust-store", "no-trust-store", "the fault is this machine's, not the certificate's: the certificate of ::1 cannot be verified"),
    Row("missing intermediate",
        presenting(peers.ends_cleanly, "missing-intermediate"),
        "cert-untrusted", "missing-intermediate", "the server must send the full chain"),
    Row("expired intermediate",
        presenting(peers.ends_cleanly, "expired-intermediate"),
        "cert-expired", "cert-expired", "a CA certificate above the server's has expired"),
    Row("wrong purpose",
        presenting(peers.ends_cleanly, "wrong-purpose"),
        "cert-purpose", "cert-purpose", "the certificate is not for TLS servers"),
    Row("a key usage without digitalSignature",
        presenting(peers.ends_cleanly, "wrong-key-usage"),
        "cert-purpose", "cert-purpose", "the certificate may not be used for signatures"),
    Row("name constraints of a CA above",
        presenting(peers.ends_cleanly, "name-constraints"),
        "cert-untrusted", "cert-untrusted", "has a name that a CA above it may not issue certificates for"),
    Row("revoked",
        presenting(peers.ends_cleanly, "revoked", "--crl", "bad/revoked.crl"),
        "cert-revoked", "cert-revoked", "was revoked by its issuer"),
    Row("no revocation list of its issuer",
        presenting(peers.ends_cleanly, "expiring-intermediate", "--crl", "bad/revoked.crl"),
        "cert-untrusted", "cert-untrusted",
        'cannot be checked for revocation: --crl has no list of its issuer "tcpgreet expiring intermediate CA"'),
    Row("RSA of 1024 bits",
        presenting(peers.ends_cleanly, "weak-rsa"),
        "cert-weak", "cert-weak", "has too short a key (RSA needs 2048 bits)"),
    Row("SHA-1",
        presenting(peers.ends_cleanly, "sha1"),
        "cert-weak", "cert-weak", "is signed with a broken hash such as SHA-1"),
    Row("address in CN only",
        presenting(peers.ends_cleanly, "ip-in-cn"),
        "cert-name", "cert-name", 'the certificate of "::1" has no host name or address in subjectAltName'),
    Row("address as a DNS name",
        presenting(peers.ends_cleanly, "ip-as-dns"),
        "cert-name", "cert-name", "the certificate has ::1 as a DNS name, where no client looks for an address"),
    Row("name in CN only",
        presenting(peers.ends_cleanly, "name-in-cn", "--servername", "localhost"),
        "cert-name", "cert-name", 'the certificate of "localhost" has no host name or address in subjectAltName'),
    Row("a NUL in its name",
        presenting(peers.ends_cleanly, "nul-in-san", "--servername", "localhost"),
        "cert-name", "cert-name", r"the certificate is for localhost\x00.evil.example, not for localhost"),
    Row("partial wildcard",
        presenting(peers.ends_cleanly, "partial-wildcard", "--servername", "foo.greet.example"),
        "cert-name", "cert-name", "the certificate is for f*.greet.example, not for foo.greet.example"),
    Row("an unknown critical extension",
        presenting(peers.ends_cleanly, "unknown-critical"),
        "cert-untrusted", "cert-untrusted", "has a critical extension that this program does not know"),
    Row("another key than pinned",
        above_tls(peers.ends_cleanly, "--pin", "sha256:" + "00" * 32),
        "cert-pin", "cert-pin", "if not, the connection may be intercepted"),
    Row("fewer days left than --expect-days",
        above_tls(peers.ends_cleanly, "--expect-days", "400"),
        "threshold", "", "--expect-days asks for 400"),
    Row("a CA above that expires in five days, with --expect-days",
        presenting(peers.ends_cleanly, "expiring-intermediate", "--expect-days", "30"),
        "threshold", "cert-expires-soon", 'the CA certificate "tcpgreet expiring intermediate CA" above'),
    Row("a CA above that expires in five days",
        presenting(peers.ends_cleanly, "expiring-intermediate"),
        "ok", "cert-expires-soon", "the server needs a chain that stays valid"),
    Row("expired, with --insecure",
        presenting(peers.ends_cleanly, "expired", "--insecure"),
        "ok", "cert-expired", "it was not verified here"),
    Row("not yet valid, with --insecure",
        presenting(peers.ends_cleanly, "not-yet-valid", "--insecure"),
        "ok", "cert-not-yet-valid", "it was not verified here"),
]

PATHS = [
    Row("nothing, over both families",
        far("both"),
        "ok", "", "All checks passed."),
    Row("NXDOMAIN",
        far("nowhere", listen=()),
        "resolve-not-found", "not-found", "There is no address for nowhere.greet.example"),
    Row("SERVFAIL",
        far("servfail", listen=()),
        "resolve-temporary", "dns-temporary", "The name service fails for servfail.greet.example"),
    Row("no name server answers",
        far("never", *SOON, listen=()),
        "resolve-temporary", "dns-temporary", "The name service does not answer for never.greet.example"),
    Row("AAAA answered after 3 s",
        far("aaaa-late"),
        "ok", "dns-slow-one-type", "The AAAA answer for aaaa-late.greet.example took "),
    Row("A answered after 3 s",
        far("a-late"),
        "ok", "dns-slow-one-type", "The A answer for a-late.greet.example took "),
    Row("AAAA never answered",
        far("aaaa-never", *SOON),
        "degraded", "dns-temporary", "does not answer for the AAAA record of aaaa-never.greet.example"),
    Row("SERVFAIL for AAAA",
        far("aaaa-servfail"),
        "degraded", "dns-temporary", "The name service fails for the AAAA record of aaaa-servfail.greet.example"),
    Row("IPv6 dropped, IPv4 works",
        far("dropped6", *SOON),
        "degraded", "ipv6-unreachable", "IPv6 is unreachable, IPv4 works: no answer from [fd77::2]"),
    Row("the same, with --require any",
        far("dropped6", *SOON, "--require", "any"),
        "ok", "ipv6-unreachable", "IPv6 is unreachable, IPv4 works: no answer from [fd77::2]"),
    Row("IPv4 dropped, IPv6 works",
        far("dropped4", *SOON),
        "degraded", "ipv4-unreachable", "IPv4 is unreachable, IPv6 works: no answer from 10.77.0.2"),
    Row("IPv6 refused, IPv4 works",
        far("both", listen=[FAR4]),
        "degraded", "ipv6-unreachable", "the service may listen for IPv4 only"),
    Row("no route for IPv6",
        far("no-route6"),
        "degraded", "ipv6-unreachable", "This machine has no route to [2001:db8::1]"),
    Row("no route at all",
        far("no-route", listen=()),
        "connect-unreachable", "unreachable-all", "is it in a network at all"),
    Row("every SYN dropped",
        far("dropped", *SOON, listen=()),
        "connect-timeout", "timeout-all", "No answer from both addresses"),
    Row("SYN dropped on one address of four",
        far("cluster-drop", *SOON),
        "degraded", "address-differs", "Of 4 addresses, 10.77.0.2:"),
    Row("one address of four refuses",
        far("cluster", listen=[FAR4, *MORE4[:2]]),
        "degraded", "address-differs", "Of 4 addresses, 10.77.0.203:"),
    Row("one address of four resets",
        far_among("cluster", {MORE4[1]: peers.resets_at_once}),
        "degraded", "address-differs resets", "Of 4 addresses, 10.77.0.202:"),
    Row("one address of four is something else",
        far_among("cluster", {MORE4[2]: peers.is_ssh}),
        "degraded", "address-differs wrong-service", "Of 4 addresses, 10.77.0.203:"),
    Row("the first SYN lost",
        far_after_a_lost_syn(),
        "ok", "lost-syn", "because a SYN or its answer was lost"),
    Row("large segments dropped",
        far("big", *ANSWER_SOON, "--volume", "20k"),
        "dialogue-timeout", "volume-broken", "the path drops large packets"),
    Row("only IPv6 asked for, only IPv4 there",
        far("four", "-6"),
        "resolve-not-found", "not-found", "There is no IPv6 address for four.greet.example"),
]

TLS_PATHS = [
    Row("one address of four shows another name",
        far_certificates("cluster", peers.ends_cleanly, {MORE4[2]: lambda: made().bad("wrong-name")}),
        "degraded", "address-differs cert-name", "Of 4 addresses, 10.77.0.203:"),
    Row("one address of four shows an older certificate",
        far_certificates("cluster", peers.ends_cleanly, {MORE4[0]: older}),
        "ok", "address-differs cert-expires-soon", "At 10.77.0.201:"),
]


BOTH = {"::1": "localhost", "127.0.0.1": "localhost"}
BLOCKED = {"::": "blocked", "0.0.0.0": "blocked"}
MIXED = {NO_ROUTE6: "mixed", "127.0.0.1": "mixed"}
DOES_NOT_COUNT = "cannot be reached from here and does not count. All checks passed."
OFF = "IPv6 is switched off on this machine"

MACHINE = [
    Row("IPv6 switched off on this machine",
        lacking(ipv6_off, BOTH, "localhost"),
        "ok", "", f"{OFF}: [::1]:"),
    Row("IPv6 switched off on this machine, and no listener",
        lacking(ipv6_off, BOTH, "localhost", listens=False),
        "connect-refused", "all-refused", f"{OFF}: [::1]:6000 cannot be reached from here and does not count."),
    Row("IPv6 switched off on this machine, and asked for alone",
        lacking(ipv6_off, BOTH, "localhost", "-6", listens=False),
        "connect-unreachable", "ipv6-unavailable", f"{OFF}: [::1]:6000 cannot be reached from here; switch it on"),
    Row("IPv6 switched off on this machine, and an IPv6 address asked for",
        lacking(ipv6_off, BOTH, "::1", listens=False),
        "connect-unreachable", "ipv6-unavailable", "switch it on with sysctl -w net.ipv6.conf.all.disable_ipv6=0."),
    Row("IPv6 switched off on this machine, and a hosts file with ::1 alone",
        lacking(ipv6_off, {"::1": "localhost"}, "localhost", listens=False),
        "connect-unreachable", "ipv6-unavailable", f"{OFF}, and /etc/hosts has no IPv4 address for localhost:"),
    Row("a loopback interface without IPv6",
        lacking(no_loopback6, BOTH, "localhost"),
        "ok", "", "The loopback interface of this machine has no IPv6 address: [::1]:"),
    Row("a machine with local IPv6 addresses only",
        lacking(complete, MIXED, "mixed"),
        "ok", "", "This machine has only loopback and link-local IPv6 addresses: [2001:db8::1]:"),
    Row("a machine with a router for IPv6 and no address of its network",
        lacking(only_link_local, MIXED, "mixed", *SOON),
        "ok", "", "This machine has only loopback and link-local IPv6 addresses: [2001:db8::1]:"),
    Row("a machine with local IPv4 addresses only",
        lacking(complete, {"::1": "mixed", NO_ROUTE4: "mixed"}, "mixed"),
        "ok", "", "This machine has only loopback and link-local IPv4 addresses: 198.51.100.1:"),
    Row("a machine without any IPv4 address",
        lacking(ipv4_gone, BOTH, "localhost"),
        "ok", "", "No interface of this machine has an IPv4 address: 127.0.0.1:"),
    Row("a machine in no network",
        lacking(complete, {NO_ROUTE6: "away", NO_ROUTE4: "away"}, "away", listens=False),
        "connect-unreachable", "unreachable-all", "is it in a network at all (ip address)?"),
    Row("no route for IPv6, though there are addresses",
        lacking(in_a_network, MIXED, "mixed"),
        "degraded", "ipv6-unreachable", "This machine has no route to [2001:db8::1]:"),
    Row("a blackhole route for IPv6",
        lacking(with_route("blackhole"), MIXED, "mixed"),
        "degraded", "ipv6-unreachable", "This machine has a blackhole route to [2001:db8::1]:"),
    Row("a route that prohibits IPv6",
        lacking(with_route("prohibit"), MIXED, "mixed"),
        "degraded", "ipv6-unreachable", "A rule of this machine forbids connections to [2001:db8::1]:"),
    Row("an unreachable route for IPv6",
        lacking(with_route("unreachable"), MIXED, "mixed"),
        "degraded", "ipv6-unreachable", "This machine has a route of type unreachable to [2001:db8::1]:"),
    Row("a blackhole route for an IPv4 address",
        lacking(with_route("blackhole"), {}, NO_ROUTE4, listens=False),
        "connect-unreachable", "unreachable-all", "This machine has a blackhole route to 198.51.100.1:6000: change it"),
    Row("a multicast address",
        lacking(in_a_network, {}, "224.0.0.1", listens=False),
        "connect-unreachable", "unreachable-all", "TCP cannot connect to 224.0.0.1:6000: it is a multicast or broadcast address"),
    Row("the number of an interface that does not exist",
        lacking(complete, {}, "fe80::1%99", listens=False),
        "connect-unreachable", "unreachable-all", "This machine has no such interface for a connection to [fe80::1%99]:6000:"),
    Row("a name that leads to no host, and a local service answers",
        lacking(complete, BLOCKED, "blocked"),
        "ok", "dns-blocked", "blocked resolves to ::, which is no host's address and leads to this machine"),
    Row("a name that leads to no host, and no local service listens",
        lacking(complete, BLOCKED, "blocked", listens=False),
        "connect-refused", "dns-blocked", "usually the answer of a DNS filter that blocks the name"),
    Row("the address of no host, and a local service answers",
        lacking(complete, {}, "0.0.0.0"),
        "ok", "unspecified-address", "0.0.0.0 is no host's address, and a connection to it leads to this machine"),
    Row("the address of no host, and no local service listens",
        lacking(complete, {}, "::", listens=False),
        "connect-refused", "unspecified-address", "give the address of the host, or ::1 for this machine."),
    Row("no service listens on a port that the kernel connects from",
        lacking(few_ports, {}, "127.0.0.1", "--until", "connect", "--retry", "500ms", listens=False),
        "connect-refused", "all-refused", "nothing listens there"),
    Row("the same, over IPv6",
        lacking(few_ports, {}, "::1", "--until", "connect", "--retry", "500ms", listens=False),
        "connect-refused", "all-refused", "nothing listens there"),
    Row("a hosts file without ::1, and no name server",
        lacking(complete, {"127.0.0.1": "localhost"}, "localhost"),
        "ok", "", "IPv6: none in /etc/hosts; IPv4: 1 address"),
    Row("a hosts file without ::1, and IPv6 asked for alone",
        lacking(complete, {"127.0.0.1": "localhost"}, "localhost", "-6", listens=False),
        "resolve-not-found", "not-found", "/etc/hosts has no IPv6 address for localhost, and no other was requested"),
    Row("a hosts file without localhost, and no name server",
        lacking(complete, {}, "localhost", listens=False),
        "resolve-temporary", "dns-temporary", "There is no address for localhost: add it to /etc/hosts"),
]

DENIED = [
    Row("IPv6 that this process is not allowed to use",
        lacking(complete, BOTH, "localhost", preexec_fn=without_ipv6),
        "ok", "", "This process is not allowed to use IPv6: [::1]:"),
    Row("IPv6 that this process is not allowed to use, and asked for alone",
        lacking(complete, BOTH, "localhost", "-6", listens=False, preexec_fn=without_ipv6),
        "connect-unreachable", "ipv6-unavailable", "check its sandbox: seccomp, or RestrictAddressFamilies="),
]


def measure(row):
    """The report of the probe there, as JSON and as text."""
    return row.place.probe("--format", "json"), row.place.probe()


def without_ports(text):
    """Two runs have two ports."""
    return re.sub(r":\d+\b", "", text)


def warnings_of(result):
    """What is reported in any case."""
    return b"tcpgreet: --insecure: the certificate is not verified, the connection may be intercepted\n" * \
        ("--insecure" in result.args)


class Faults(Case):
    """Every row is measured beside others; then each is compared."""

    def check(self, rows):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            measured = [pool.submit(measure, row) for row in rows]
        for row, future in zip(rows, measured):
            with self.subTest(row.fault):
                try:
                    self.compare(row, *future.result())
                except AssertionError:  # beside so many others it may have missed a time limit
                    self.compare(row, *measure(row))

    def compare(self, row, machine, text):
        code = exit_code(row.word)
        found = json.loads(machine.out)
        SCHEMA.validate(found)
        # A loaded machine may retransmit on its loopback interface, too.
        words = [finding["word"] for finding in found["findings"]
                 if finding["word"] != "retransmits" or "retransmits" in row.findings]
        self.assertEqual((found["verdict"]["word"], found["verdict"]["exit_code"]), (row.word, code), repr(machine))
        self.assertEqual((text.code, text.err), (code, warnings_of(text)), repr(text))
        self.assertEqual((machine.code, machine.out.count(b"\n")), (code, 1), repr(machine))
        if code == 0:
            self.assertEqual(machine.err, warnings_of(machine))
        else:
            self.assertFails(machine, code, row.word)
        self.assertEqual(words, row.findings.split(), repr(machine))
        payload = " ".join(text.out.decode().split())
        if not NONSENSE:
            self.assertIn(row.message, payload)
        # --until tls waits a moment only for a close: one of the two probes may miss it.
        racing = "closed-at-once" if row.fault.endswith("probed through TLS") else None
        for remark in found["remarks"]:
            self.assertIn(without_ports(payload).count(without_ports(remark["text"])),
                          (0, 1) if remark["word"] == racing else (1,), payload)
        missing = [remark for remark in found["remarks"] if remark["word"].endswith("-unavailable")]
        self.assertEqual(len(missing), payload.count(" not count."), payload)
        self.assertEqual([address["counts"] for address in found["addresses"]].count(False) > 0,
                         len(missing) > 0, repr(machine))


class Peers(Faults):

    def test_a_peer_that_is_wrong(self):
        self.check(PLAIN)

    def test_any_service(self):
        self.check(SERVICES)

    @unittest.skipUnless(has_tls(), "this program was built without TLS")
    def test_any_service_over_tls(self):
        self.check(TLS_SERVICES)

    def test_nothing_is_sent_to_other_services(self):
        services = peers.silent, peers.is_ssh, peers.sends(peers.MYSQL), peers.sends(peers.VNC, 1), peers.sends(b"S")
        for until in ("auto", "connect"):
            for peer in services:
                received = []
                place = plain(peers.recording(peer, received), "--until", until, *ANSWER_SOON)
                self.assertIn(place.probe().code, (0, 7))
                self.assertEqual(received, [])

    @unittest.skipUnless(has_tls(), "this program was built without TLS")
    def test_tls_behind_starttls(self):
        self.check(STARTTLS)

    @unittest.skipUnless(has_tls(), "this program was built without TLS")
    def test_nothing_is_sent_to_other_services_over_tls(self):
        for until in ("auto", "tls"):
            for peer in (peers.silent, peers.is_ssh):
                received = []
                place = above_tls(peers.recording(peer, received), "--until", until)
                self.assertEqual(place.probe().code, 0)
                self.assertEqual(received, [])

    def test_every_format_agrees_on_how_far_it_verified(self):
        ssh = "SSH-2.0-OpenSSH_9.2p1 Debian-2"
        with self.subTest("json"):
            found = json.loads(plain(peers.is_ssh, *ANY).probe("--format", "json").out)
            for part in (found, found["addresses"][0]):
                self.assertEqual((part["verified"], part["service"]), ("connect", "ssh"))
                self.assertTrue(part["peer_said"].startswith(ssh), part)
        with self.subTest("plugin"):
            self.assertIn(f'OK through TCP; not a tcpgreet server (it sent "{ssh}',
                          plain(peers.is_ssh, *ANY).probe("--format", "nagios").out.decode())
        with self.subTest("prometheus"):
            self.assertRegex(plain(peers.is_ssh, *ANY).probe("--format", "prometheus").out.decode(),
                             r'reason_info\{.*verified="connect",service="ssh"\} 1')
        with self.subTest("picture"), tempfile.TemporaryDirectory() as folder:
            picture = pathlib.Path(folder) / "probe.svg"
            plain(peers.is_ssh, *ANY).probe("--plot", str(picture))
            self.assertIn("OK through TCP; not a tcpgreet server (it sent", picture.read_text())
        with self.subTest("our own"):
            found = json.loads(ours(options=ANY).probe("--format", "json").out)
            self.assertEqual((found["verified"], found["service"]), ("dialogue", "tcpgreet"))

    @unittest.skipUnless(has_tls(), "this program was built without TLS")
    def test_a_peer_that_is_wrong_over_tls(self):
        self.check(TLS)

    @unittest.skipUnless(has_tls(), "this program was built without TLS")
    def test_a_certificate_that_is_wrong(self):
        self.check(CERTIFICATES)


@unittest.skipIf(why_no_cable(), why_no_cable())
class Machines(Faults):

    def test_a_machine_that_lacks_something(self):
        self.check(MACHINE)

    def test_every_format_agrees_on_what_does_not_count(self):
        place = lacking(ipv6_off, BOTH, "localhost")
        remark = f"{OFF}: [::1]:"
        with self.subTest("plugin"):
            plugin = place.probe("--format", "nagios")
            self.assertEqual(plugin.code, 0, repr(plugin))
            self.assertRegex(plugin.out.decode(), "^TCPGREET OK - localhost:.*: 1/1 address OK, .*; "
                             + re.escape(remark))
        with self.subTest("prometheus"):
            metrics = place.probe("--format", "prometheus")
            self.assertEqual(metrics.code, 0, repr(metrics))
            self.assertRegex(metrics.out.decode(), r'remark_info\{.*remark="ipv6-unavailable"\} 1')
            self.assertNotRegex(metrics.out.decode(), r'finding_info|address_success\{.*"::1"')
        with self.subTest("picture"), tempfile.TemporaryDirectory() as folder:
            picture = pathlib.Path(folder) / "probe.svg"
            self.assertEqual(place.probe("--plot", str(picture)).code, 0)
            self.assertEqual(picture.read_text().count(remark), 1)
        with self.subTest("summary"):
            series = place.probe("--count", "2", "--interval", "10ms")
            self.assertEqual((series.code, series.out.decode().count(remark)), (0, 1), repr(series))
            self.assertIn(b"2 rounds, 2 all OK", series.out)
        with self.subTest("retry"):
            self.assertEqual(place.probe("--retry", "5s").code, 0)

    @unittest.skipUnless(SOCKET_CALL, "knows the number of socket(2) on other machines only")
    def test_a_process_that_is_not_allowed_something(self):
        self.check(DENIED)


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
