"""What the end-to-end tests of TLS share: certificates, Python's TLS as a peer, other programs as peers."""

import atexit
import contextlib
import functools
import hashlib
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

from harness import (BINARY, GOODBYE, LIMIT_S, OPENING, ROOT, Lines, Peer, Script, Stuck, _children, await_that,
                     environment, hello, run, skip_file)

GENERATE = str(ROOT / "scripts" / "generate-certs")
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
DUAL = {"listen": [("0",)], "announcements": 2}  # for Server: both families, one port
HOSTS = ("::1", "127.0.0.1")

_folders = []
atexit.register(lambda: [shutil.rmtree(folder, ignore_errors=True) for folder in _folders])


# --- certificates ----------------------------------------------------------------------------------------------

def folder():
    """A new folder, gone when the tests are."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="tcpgreet-e2e-tls-"))
    _folders.append(path)
    return path


class Certificates:
    """What one run of scripts/generate-certs makes: ca, server, client; bad(name)."""

    def __init__(self, *options):
        self.folder = folder()
        made = subprocess.run([GENERATE, "--out", self.folder, *options], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if made.returncode != 0:
            raise AssertionError(f"generate-certs {options}: {made.stdout.decode()}")
        self.ca = str(self.folder / "ca.crt")
        self.server = self.pair("server")
        self.client = self.pair("client")

    def pair(self, name):
        return str(self.folder / f"{name}.crt"), str(self.folder / f"{name}.key")

    def bad(self, name):
        return self.pair(f"bad/{name}")

    def serve(self):
        """The server's options for its certificate."""
        return identity(self.server)


@functools.lru_cache(maxsize=None)
def certificates(*options):
    """Made once a file: no test changes them."""
    return Certificates(*options)


def put_volume(place, pair):
    """Puts a pair into a folder as the kubelet does, at first and again: tls.crt and tls.key lead through the link ..data to
    a new folder, a rename exchanges that link, and what it led to is removed. Returns: their paths."""
    made = pathlib.Path(tempfile.mkdtemp(prefix="..2026_", dir=place))
    names = ("tls.crt", "tls.key")
    for path, name in zip(pair, names):
        shutil.copy(path, made / name)
    before = os.path.realpath(place / "..data") if (place / "..data").is_symlink() else None
    (place / "..data_tmp").symlink_to(made.name)
    os.replace(place / "..data_tmp", place / "..data")
    for name in names:
        with contextlib.suppress(FileExistsError):
            (place / name).symlink_to(f"..data/{name}")
    if before:
        shutil.rmtree(before)
    return tuple(place / name for name in names)


def identity(pair):
    return "--cert", pair[0], "--key", pair[1]


def openssl(*args, text=None, cwd=None):
    """Runs the openssl command; returns its output."""
    done = subprocess.run(["openssl", *args], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd,
                          env=environment())
    if done.returncode != 0:
        raise AssertionError(f"openssl {args}: {done.stderr.decode()}")
    return done.stdout


def issue(authority, name, purpose, start, end):
    """A certificate by the authority's CA that is valid from start to end, in seconds from now."""
    def stamp(offset):
        return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + offset))

    place = folder()
    (place / "cnf").write_text("[ca]\ndefault_ca=x\n[x]\ndatabase=index\nnew_certs_dir=.\ndefault_md=sha256\n"
                               "rand_serial=yes\npolicy=p\n[p]\ncommonName=optional\n"
                               f"[e]\nextendedKeyUsage={purpose}\n")
    (place / "index").touch()
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", "key", "-out",
            "csr", "-subj", f"/CN={name}", cwd=place)
    openssl("ca", "-batch", "-notext", "-config", "cnf", "-in", "csr", "-out", "crt", "-cert", authority.ca, "-keyfile",
            str(authority.folder / "ca.key"), "-extensions", "e", "-startdate", stamp(start), "-enddate", stamp(end),
            cwd=place)
    os.chmod(place / "key", 0o600)
    return str(place / "crt"), str(place / "key")


def pin_of(certificate):
    """SHA-256 of the public key, as --pin takes it."""
    public = openssl("x509", "-in", certificate, "-noout", "-pubkey")
    return "sha256:" + hashlib.sha256(openssl("pkey", "-pubin", "-outform", "DER", text=public)).hexdigest()


def der(text):
    """The first certificate in PEM form in a text, as DER."""
    return ssl.PEM_cert_to_DER_cert(re.search("-----BEGIN CERT.*?END CERTIFICATE-----\n", text, re.S)[0])


def fingerprint(certificate):
    """The certificate in a PEM file as DER, to compare with getpeercert(True)."""
    with open(certificate) as file:
        return der(file.read())


# --- Python as a peer ------------------------------------------------------------------------------------------

def _limit(context, version, weak):
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # Python 3.11.2 sets it
    if weak:
        context.set_ciphers("ALL:@SECLEVEL=0")
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def client_context(made=None, version=None, weak=False, pair=None):
    """made: whose CA is trusted; None: nothing is checked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = made is not None
    context.verify_mode = ssl.CERT_REQUIRED if made else ssl.CERT_NONE
    if made:
        context.load_verify_locations(made.ca)
    if pair:
        context.load_cert_chain(*pair)
    return _limit(context, version, weak)


def server_context(pair, version=None, weak=False, client_ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _limit(context, version, weak)
    context.load_cert_chain(*pair)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context


def tls_peer(server, context, name=None, session=None, limit_s=LIMIT_S, host=None):
    """A TLS connection to the server, as a Peer. name: for SNI and the certificate; else the address is checked."""
    host = host or (server.host if server.host != "::" else "::1")
    plain = socket.create_connection((host, server.port), limit_s)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        return Peer(context.wrap_socket(plain, server_hostname=name or host, session=session,
                                        suppress_ragged_eofs=False), limit_s)
    except BaseException:
        plain.close()
        raise


def exchange(peer, *names):
    """A whole dialogue in the client's role, to the clean end of TLS and of TCP. Returns the session to resume."""
    peer.expect(OPENING)
    for name in names:
        peer.send(name + b"\n").expect(hello(name))
    peer.send(b"exit\n").expect(GOODBYE).expect_eof()
    session = peer.socket.session
    with contextlib.closing(peer.socket.unwrap()) as plain:
        plain.settimeout(LIMIT_S)
        if plain.recv(1) != b"":
            raise AssertionError("bytes after close_notify")
    return session


def dialogue(server, context, *names, **options):
    """One dialogue; returns the session to resume and whether this one was resumed."""
    with tls_peer(server, context, **options) as peer:
        reused = peer.socket.session_reused
        return exchange(peer, *names), reused


def greet(peer):
    """The greeting dialogue in the server's role, with a clean end. Leaves peer.socket plain."""
    peer.send(OPENING)
    received = b""
    while True:
        while b"\n" not in received:
            data = peer.receive()
            if not data:
                return
            received += data
        name, _, received = received.partition(b"\n")
        if name == b"exit":
            break
        peer.send(hello(name))
    peer.send(GOODBYE)
    peer.socket = peer.socket.unwrap()  # close_notify, from both sides
    peer.end()


class TlsScript(Script):
    """A Script behind Python's TLS. refusals: what handshakes failed with; names: the SNI of each client."""

    def __init__(self, function, context, host="::1", port=0):
        super().__init__(function, host, port)
        self._context = context
        self.refusals = []
        self.names = []
        self.facts = []
        context.sni_callback = lambda tls, name, _: self.names.append(name)

    def _serve(self, connection):
        connection.settimeout(LIMIT_S)
        try:
            tls = self._context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False)
        except OSError as why:
            self.refusals.append(why)
            connection.close()
            return
        self.facts.append((tls.version(), tls.cipher()[0], tls.selected_alpn_protocol(), tls.getpeercert()))
        super()._serve(tls)


class ByHand:
    """TLS in memory above a Peer: its records can be sent in pieces, in part, or not at all."""

    def __init__(self, peer, context, server_side=False, name=None):
        self.peer = peer
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_side=server_side,
                                    server_hostname=None if server_side else name or "::1")

    def records(self):
        """What TLS wants to send now."""
        return self._out.read()

    def receive_records(self):
        """One recv for TLS; False at the end of the stream."""
        data = self.peer.receive()
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()
        return bool(data)

    def step(self, call, *args):
        """Tries a call of TLS; returns its result, None where it wants to read."""
        with contextlib.suppress(ssl.SSLWantReadError):
            result = call(*args)
            return True if result is None else result

    def do(self, call, *args, send=None):
        """Calls until it is done; send: what to do with the records."""
        send = send or self.peer.send
        while True:
            result = self.step(call, *args)
            data = self.records()
            if data:
                send(data)
            if result is not None:
                return result
            self.receive_records()

    def hello(self):
        """The client's first flight."""
        self.step(self.tls.do_handshake)
        return self.records()

    def flight(self):
        """The server's first flight, once a client's hello is here."""
        while True:
            self.receive_records()
            self.step(self.tls.do_handshake)
            data = self.records()
            if data:
                return data


# --- other programs as peers -----------------------------------------------------------------------------------

def needs(program):
    """A decorator: the test is skipped where the program is not there."""
    return unittest.skipUnless(shutil.which(program), f"{program} is not there")


class Program:
    """Another program: its output line by line, its input byte by byte."""

    def __init__(self, *args, env=None):
        out, out_end = os.pipe()
        try:
            self.process = subprocess.Popen([os.fspath(a) for a in args], stdin=subprocess.PIPE, stdout=out_end,
                                            stderr=subprocess.STDOUT, env=env or environment())
        finally:
            os.close(out_end)
        _children.append(self.process)
        self.out = Lines(out)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.out.join()

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()
        return self

    def expect(self, wanted, count=1, limit_s=LIMIT_S):
        """Waits until its output has these bytes that many times."""
        try:
            await_that(lambda: self.out.bytes().count(wanted) >= count, f"{wanted!r}", limit_s)
        except Stuck as stuck:
            raise Stuck(f"{stuck}; its output: {self.out.bytes()[-3000:]!r}") from None
        return self

    def wait(self, limit_s=LIMIT_S):
        """Waits for its end; returns its exit code."""
        try:
            code = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise Stuck(f"{self.process.args} did not end; its output: {self.out.bytes()[-3000:]!r}") from None
        self.out.join()
        return code

    def ports(self):
        """The ports it listens on, by family; for programs that do not print which one the kernel chose."""
        def look():
            with contextlib.suppress(OSError):
                base = f"/proc/{self.process.pid}"
                links = [os.readlink(f"{base}/fd/{fd}") for fd in os.listdir(f"{base}/fd")]
                inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
                found = {}
                for table, host in (("tcp", "127.0.0.1"), ("tcp6", "::1")):
                    with open(f"{base}/net/{table}") as rows:
                        for row in (line.split() for line in rows):
                            if row[3] == "0A" and row[9] in inodes:
                                found[host] = int(row[1].rpartition(":")[2], 16)
                return found
        return await_that(look, f"{self.process.args[0]} to listen")


def has_tls():
    """Whether the program was built with TLS."""
    return os.path.exists(BINARY) and b"built without TLS" not in run("--version").out


def skip_without_tls():
    """For the end of a file: ends it where the program was built without TLS, or certificates cannot be made."""
    if os.path.exists(BINARY) and not has_tls():
        skip_file("this program was built without TLS")
    if not shutil.which("openssl"):
        skip_file("the openssl command is not there")
