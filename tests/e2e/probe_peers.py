"""Peers that a probe meets, each with one fault: functions for a Script (plain) or a TlsScript (above TLS).

None of them fails when its client closes: a probe closes as early as it can.
"""

import contextlib
import functools
import socket
import threading

from harness import GOODBYE, OPENING, hello
from tls_harness import VERSIONS, ByHand, server_context

NAME_MAX = 2048


def tolerant(function):
    """A client that closes is no failure of the peer."""
    @functools.wraps(function)
    def serve(peer, *more):
        with contextlib.suppress(OSError):
            function(peer, *more)
    return serve


def linger(peer):
    """Reads until the client ends."""
    while peer.receive():
        pass


def names(peer):
    """The lines of the client, without the newline, until it ends."""
    received = b""
    while len(received) < NAME_MAX:
        line, newline, rest = received.partition(b"\n")
        if newline:
            received = rest
            yield line
            continue
        data = peer.receive()
        if not data:
            return
        received += data


def greet(peer, opening=OPENING, answer=hello, final=GOODBYE):
    """The dialogue, up to the final message; the end is the caller's."""
    peer.send(opening)
    for name in names(peer):
        if name == b"exit":
            peer.send(final)
            return
        peer.send(answer(name))


# --- plain, or above TLS ---------------------------------------------------------------------------------------

@tolerant
def silent(peer):
    linger(peer)


@tolerant
def resets_at_once(peer):
    peer.reset()


@tolerant
def ends_at_once(peer):
    peer.end()
    linger(peer)


@tolerant
def ends_without_a_byte(peer):
    """An orderly end, under TLS too."""
    peer.end()


@tolerant
def closes_on_a_line(peer):
    """Sends nothing until it receives something, and then closes."""
    peer.receive()
    peer.end()


@tolerant
def closes_unless_tls(peer):
    """The same, but answers a ClientHello as a TLS server does, with an alert."""
    if peer.receive()[:1] == b"\x16":
        peer.send(b"\x15\x03\x03\x00\x02\x02\x28")
    peer.end()


@tolerant
def resets_after_the_welcome(peer):
    peer.send(OPENING)
    peer.receive()
    peer.reset()


@tolerant
def cuts_the_welcome(peer):
    peer.send(OPENING[:11]).end()
    linger(peer)


@tolerant
def cuts_the_greeting(peer):
    peer.send(OPENING)
    name = next(names(peer))
    peer.send(hello(name)[:13]).end()
    linger(peer)


@tolerant
def greets_another_name(peer):
    greet(peer, answer=lambda name: hello(b"Another"))
    linger(peer)


@tolerant
def answers_nothing(peer):
    peer.send(OPENING)
    linger(peer)


@tolerant
def never_ends(peer):
    greet(peer)
    linger(peer)


@tolerant
def resets_instead_of_ending(peer):
    greet(peer, final=b"")
    peer.reset()


@tolerant
def is_ssh(peer):
    peer.send(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
    linger(peer)


@tolerant
def is_smtp(peer):
    peer.send(b"220 mail.example ESMTP Postfix\r\n")
    linger(peer)


@tolerant
def is_http(peer):
    """Waits for a request, and makes nothing of what comes."""
    if peer.receive():
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").end()
        linger(peer)


MYSQL = b"\x4a\0\0\0\x0a8.0.36\0" + bytes(range(1, 67))
VNC = b"RFB 003.008\n"
IMAP = b"* OK [CAPABILITY IMAP4rev1] ready\r\n"


def sends(greeting, step=None):
    """Another protocol's server, which sends first: in pieces of step bytes."""
    @tolerant
    def serve(peer):
        for at in range(0, len(greeting), step or len(greeting)):
            peer.send(greeting[at:at + (step or len(greeting))])
        linger(peer)
    return serve


def recording(function, received):
    """The same peer, which appends every byte that it receives to received."""
    def serve(peer):
        receive = peer.receive

        def record(*args):
            data = receive(*args)
            if data:
                received.append(data)
            return data
        peer.receive = record
        function(peer)
    return serve


@tolerant
def ends_without_close_notify(peer):
    greet(peer)
    peer.end()
    linger(peer)


@tolerant
def ends_cleanly(peer):
    """Above TLS: close_notify, then the end."""
    greet(peer)
    with peer.socket.unwrap() as plain:
        plain.shutdown(socket.SHUT_WR)
        while plain.recv(4096):
            pass


# --- below TLS: the handshake is cut at a flight ---------------------------------------------------------------

def _by_hand(peer, pair, version):
    return ByHand(peer, server_context(pair(), version), server_side=True)


def _cut(peer, way):
    if way == "reset":
        peer.reset()
        return
    if way == "end":
        peer.end()
    linger(peer)


def cut_at_hello(way):
    """The ClientHello is received and not answered."""
    @tolerant
    def serve(peer):
        peer.receive()
        _cut(peer, way)
    return serve


def cut_in_flight(pair, version, way, count=200):
    """The server's own flight breaks off after so many bytes."""
    @tolerant
    def serve(peer):
        peer.send(_by_hand(peer, pair, version).flight()[:count])
        _cut(peer, way)
    return serve


def cut_after_flight(pair, version, way):
    """The server's flight is whole; the client's answer to it is received and not answered."""
    @tolerant
    def serve(peer):
        tls = _by_hand(peer, pair, version)
        peer.send(tls.flight())
        peer.receive()
        _cut(peer, way)
    return serve


def cut_after_handshake(pair, version, way):
    @tolerant
    def serve(peer):
        tls = _by_hand(peer, pair, version)
        tls.do(tls.tls.do_handshake)
        _cut(peer, way)
    return serve


@tolerant
def alerts(peer):
    """handshake_failure, as sent by a server without a common cipher."""
    peer.receive()
    peer.send(b"\x15\x03\x03\x00\x02\x02\x28")
    linger(peer)


@tolerant
def garbles(peer):
    """A handshake record with nothing sensible in it."""
    peer.receive()
    peer.send(b"\x16\x03\x03\x00\x0aabcdefghij")
    linger(peer)


# --- in between ------------------------------------------------------------------------------------------------

def truncating(where, count):
    """A middlebox: forwards what a server sends, and ends after that many bytes. where: the server's address."""
    @tolerant
    def serve(peer):
        with socket.create_connection(where) as server:
            onwards = threading.Thread(target=_forward, args=(peer, server), daemon=True)
            onwards.start()
            left = count
            while left:
                data = server.recv(min(left, 65536))
                if not data:
                    break
                peer.send(data)
                left -= len(data)
            peer.end()
            onwards.join()
    return serve


@tolerant
def _forward(peer, server):
    while True:
        data = peer.receive()
        if not data:
            break
        server.sendall(data)
