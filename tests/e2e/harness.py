"""What the end-to-end tests share: the program under test, servers, clients, peers and terminals.

Everything that is started here is ended here, whatever happens: when a test ends, when it fails, when it is
stopped. Every wait has an end. A test that takes longer than its limit fails.
"""

import atexit
import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import pathlib
import pty
import random
import re
import resource
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = str((ROOT / os.environ.get("TCPGREET", "build/release/tcpgreet")).resolve())
SKIPPED = 77
IS_ROOT = os.geteuid() == 0

WELCOME = b"Server: Welcome!\n"
QUESTION = b"Server: What's your name?"
GOODBYE = b"Server: Good bye!\n"
TOO_LONG = b"Server: Sorry, a name has at most 1024 bytes.\n"
TOO_MANY = b"Server: Sorry, too many guests.\n"
OPENING = WELCOME + QUESTION


def hello(name):
    """The server's whole answer to a name."""
    return b"Server: Hello " + name + b"!\n" + QUESTION


def sanitizer():
    """"asan", "tsan" or None."""
    with contextlib.suppress(FileNotFoundError), open(BINARY, "rb") as file:
        found = re.search(rb"__(asan|tsan)_init", file.read())
        return found and found[1].decode()
    return None


def has_musl():
    """Whether the program is linked with musl, not with this machine's C library."""
    with contextlib.suppress(FileNotFoundError), open(BINARY, "rb") as file:
        return b"/lib/ld-musl-" in file.read(4096)
    return False


SANITIZED = sanitizer()
MUSL = has_musl()
# How much longer than on bare metal something may take before it counts as stuck.
PATIENCE = float(os.environ.get("TCPGREET_PATIENCE", 5 if SANITIZED else 1))
LIMIT_S = 10 * PATIENCE
SOON_S = 5 * PATIENCE  # what ends within it was not ended by the default of a time limit: each is longer


class Stuck(AssertionError):
    """A wait came to its end."""


def unhurried(attempt, seconds):
    """Returns attempt(seconds); where it fails, the same with four times and with sixteen times as many seconds.

    For what has to happen before a time limit at whose end the test waits: on a busy machine it may happen too late, and a
    limit that suits every machine would make each run long. What is wrong fails each time."""
    for times in 1, 4:
        try:
            return attempt(seconds * times)
        except (AssertionError, OSError) as why:
            print(f"tried again with more time: {why}", file=sys.stderr)
    return attempt(seconds * 16)


def ms(seconds):
    """A time as the program takes it."""
    return f"{round(seconds * 1000)}ms"


def await_that(condition, what, limit_s=LIMIT_S, every_s=0.01):
    """For what announces itself nowhere (descriptors, a port that closes): looks until it is so."""
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Stuck(f"waited {limit_s:g} s for: {what}")
        time.sleep(every_s)


# --- processes -------------------------------------------------------------------------------------------------

def threads_that_run(pid):
    """How many threads of a process run, or want to."""
    count = 0
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            count += task.read_text().rpartition(") ")[2][:1] not in "SZX"
    return count


_children = []


def _kill_children():
    for child in _children:
        if child.poll() is None:
            child.kill()
            child.wait()


atexit.register(_kill_children)


def environment(**more):
    """The caller's environment without what would change the program's words; sanitizers fail loudly."""
    env = {k: v for k, v in os.environ.items() if k not in ("LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET", "JOURNAL_STREAM")}
    env.update(LC_ALL="C.UTF-8", TERM="dumb", NO_COLOR="1")
    extra = "quarantine_size_mb=4:thread_local_quarantine_size_kb=64"
    env["ASAN_OPTIONS"] = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), extra]))
    env.update(more)
    return env


def spawn(args, **options):
    """Starts the program (or what stands in front of it, if `wrap` is given)."""
    wrap = list(options.pop("wrap", ()))
    options.setdefault("env", environment())
    child = subprocess.Popen(wrap + [BINARY] + [os.fspath(a) for a in args], **options)
    _children.append(child)
    return child


def run(*args, stdin=None, limit_s=LIMIT_S, **options):
    """Runs the program to its end. stdin: bytes to pipe in, a file, None for nothing at all."""
    if isinstance(stdin, bytes):
        options["stdin"] = subprocess.PIPE
    else:
        options["stdin"], stdin = stdin or subprocess.DEVNULL, None
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    began = time.monotonic()
    child = spawn(args, **options)
    try:
        out, err = child.communicate(stdin, timeout=limit_s)
    except subprocess.TimeoutExpired:
        child.kill()
        out, err = child.communicate()
        raise Stuck(f"{args} did not end in {limit_s:g} s; its output: {out!r} and {err!r}") from None
    return Result(child.returncode, out, err, time.monotonic() - began)


class Result:
    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    def __repr__(self):
        return f"exit {self.code} after {self.seconds:.3f} s, stdout {self.out!r}, stderr {self.err!r}"


def connect(host, port, *args, **options):
    """Runs `tcpgreet --connect`."""
    return run("--connect", host, str(port), *args, **options)


def demanding(host, port, *options):
    """The arguments of a probe that demands the dialogue, unless its options have --until."""
    ends = any(str(option).partition("=")[0] in ("--until", "--expect-alert") for option in options)
    return ("--probe", str(host), str(port), *(() if ends else ("--until", "dialogue")), *map(str, options))


def shell(redirections):
    """A wrap that applies redirections a person would type, such as `>&-`."""
    return ["sh", "-c", f'exec "$@" {redirections}', "sh"]


# A wrap that ignores SIGINT, as a shell does for a command in the background.
IN_BACKGROUND = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]

# The tests may run in the background themselves: what they start is to begin as in a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)


def unread_pipe():
    """A pipe that is full and that no process reads: its reader and its writer."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    return reader, writer


class Lines:
    """What comes out of a descriptor, line by line, as it comes. stamp: what is left out in front of each line."""

    def __init__(self, fd, stamp=None):
        self._stamp = stamp
        self._fd = fd
        self._data = bytearray()
        self._open = True
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while True:
            chunk = os.read(self._fd, 65536)
            with self._changed:
                self._data += chunk
                self._open = bool(chunk)
                self._changed.notify_all()
            if not chunk:
                os.close(self._fd)
                return

    def raw(self):
        with self._changed:
            return bytes(self._data)

    def bytes(self):
        return self._stamp.sub(b"", self.raw()) if self._stamp else self.raw()

    def lines(self):
        return self.bytes().decode("utf-8", "backslashreplace").splitlines()

    def expect(self, pattern, count=1, limit_s=LIMIT_S):
        """Waits for `count` whole lines in which the pattern is found; returns their matches."""
        end = time.monotonic() + limit_s
        with self._changed:
            while True:
                whole = bytes(self._data[: self._data.rfind(b"\n") + 1])
                whole = self._stamp.sub(b"", whole) if self._stamp else whole
                text = whole.decode("utf-8", "backslashreplace")
                found = [m for m in (re.search(pattern, line) for line in text.splitlines()) if m]
                if len(found) >= count:
                    return found
                left = end - time.monotonic()
                if left <= 0 or not self._open:
                    why = "waited" if self._open else "it ended while waiting"
                    raise Stuck(f"{why} for {count} x {pattern!r}, found {len(found)} in {text[-3000:]!r}")
                self._changed.wait(left)

    def join(self):
        self._thread.join(LIMIT_S)


# --- servers ---------------------------------------------------------------------------------------------------

# What stands in front of a line of the log, outside of journald, and what each server logs about itself at its start;
# tests of these look at raw().
STAMP = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (?:(?:error|warning|debug): )?"
                   rb"(?:(?:This (?:server|exporter) runs as root|Sandbox): .*\n)?", re.M)


class Server:
    """`tcpgreet --listen …`, reachable inside the `with`, asked to stop and checked behind it.

    listen: the words after each --listen. announcements: how many lines to wait for. limit_fds: both
    RLIMIT_NOFILE limits. wrap: a command in front, which must exec. stderr: a descriptor to use instead of a
    pipe that is read. ends_with: its exit code.
    """

    def __init__(self, *options, listen=(("::1", "0"),), announcements=None, limit_fds=None, wrap=(), stderr=None,
                 ends_with=0, **popen):
        self._args = [word for words in listen for word in ("--listen", *words)] + list(options)
        if not any(o.startswith("--drain-timeout") for o in options):
            self._args += ["--drain-timeout", "1s"]
        self._count = announcements or len(listen)
        self._limit_fds = limit_fds
        self._wrap = wrap
        self._stderr = stderr
        self._ends_with = ends_with
        self._popen = popen
        self.process = self.log = self.out = None

    def __enter__(self):
        if self._limit_fds:
            self._popen["preexec_fn"] = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (self._limit_fds,) * 2)
        out, out_end = os.pipe()
        log, log_end = os.pipe()
        try:
            self._popen.setdefault("stdin", subprocess.DEVNULL)
            self._popen.setdefault("start_new_session", True)  # without the terminal of who runs the tests
            self.process = spawn(self._args, wrap=self._wrap, stdout=out_end,
                                 stderr=log_end if self._stderr is None else self._stderr, **self._popen)
        finally:
            os.close(out_end)
            os.close(log_end)
        self.out, self.log = Lines(out), Lines(log, STAMP)
        try:
            self.announcements = self.out.expect(r"^Waiting for connection on (.+):(\d+)( with TLS)?$", self._count)
        except Stuck as stuck:
            self.process.kill()
            raise Stuck(f"no announcement: {stuck}; stderr {self.log.bytes()!r}") from None
        self.host = self.announcements[0][1].strip("[]")
        self.port = int(self.announcements[0][2])
        if SANITIZED == "tsan":
            await_that(self._is_asleep, "the main thread waits for events")
        return self

    def _is_asleep(self):
        """ThreadSanitizer can lose a signal that finds the thread on its way into epoll_wait(2)."""
        return "epoll" in pathlib.Path(f"/proc/{self.process.pid}/wchan").read_text()

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            if kind is None:
                raise Stuck(f"the server did not stop; its log: {self.log.bytes()[-3000:]!r}") from None
        self.out.join()
        self.log.join()
        if kind is None:
            self._check()
        elif self.log.bytes():
            print(f"the server's log: {self.log.bytes()[-3000:]!r}", file=sys.stderr)

    def _check(self):
        log = self.log.bytes()
        if self.process.returncode != self._ends_with:
            raise AssertionError(f"the server ended with {self.process.returncode}; its log: {log[-6000:]!r}")
        if re.search(rb"Sanitizer|runtime error", log):
            raise AssertionError(f"a sanitizer reported: {log.decode('utf-8', 'replace')}")
        raw = re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]|\\udc", log.decode("utf-8", "surrogateescape")
                        .encode("utf-8", "backslashreplace").decode())
        if raw:
            raise AssertionError(f"unescaped bytes in the log: {log[max(0, raw.start() - 100):][:300]!r}")

    def send_signal(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM, limit_s=LIMIT_S):
        """Asks it to stop; returns its exit code."""
        self.send_signal(number)
        return self.wait(limit_s)

    def reload(self, answer="Certificates reloaded"):
        """Sends SIGHUP, and waits for the line with which it answers."""
        before = sum(bool(re.search(answer, line)) for line in self.log.lines())
        self.send_signal(signal.SIGHUP)
        self.log.expect(answer, before + 1)

    def wait(self, limit_s=LIMIT_S):
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise Stuck(f"the server did not end in {limit_s:g} s") from None

    def expect_counters(self, pattern):
        """Asks for the counters until they match: a peer may have its answer before it is counted."""
        def reported():
            before = self.log.bytes().count(b"\nCounters: ") + self.log.bytes().startswith(b"Counters: ")
            self.send_signal(signal.SIGUSR1)
            return re.search(pattern, self.log.expect("^Counters: .*", before + 1)[-1][0])
        return await_that(reported, f"counters in which {pattern!r} is found")

    def is_alive(self):
        return self.process.poll() is None

    def rss(self):
        """Resident memory in bytes."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) * 1024

    def fds(self):
        """The descriptors it has open: number to what stands behind it."""
        folder = f"/proc/{self.process.pid}/fd"
        found = {}
        for number in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                found[int(number)] = os.readlink(f"{folder}/{number}")
        return found

    def cpu_s(self):
        """Processor time spent so far."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Script:
    """A server that runs a Python function for each connection, in a thread each.

    The function gets a Peer. What it raises fails the test behind the `with`.
    """

    def __init__(self, function, host="::1", port=0):
        self._function = function
        self._socket = listening(host, port=port)
        self._socket.settimeout(0.05)
        self._stopped = threading.Event()
        self._threads = []
        self._failures = []
        self.host = host
        self.port = self._socket.getsockname()[1]
        self.peers = []

    def __enter__(self):
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def _accept(self):
        while not self._stopped.is_set():
            with contextlib.suppress(socket.timeout):
                connection, address = self._socket.accept()
                self.peers.append(address)
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection):
        with Peer(connection) as peer:
            try:
                self._function(peer)
            except BaseException as failure:
                self._failures.append(failure)

    def __exit__(self, kind, value, trace):
        self._stopped.set()
        self._accepting.join()
        self._socket.close()
        for thread in self._threads:
            thread.join(LIMIT_S)
        if kind is None and self._failures:
            raise self._failures[0]


_MACHINE = os.uname().machine if struct.calcsize("P") == 8 else None  # a 64-bit kernel may run 32-bit programs
SOCKET_CALL = {"x86_64": 41, "aarch64": 198, "riscv64": 198, "loongarch64": 198, "ppc64le": 326}.get(_MACHINE)
ACCEPT4_CALL = {"x86_64": 288, "aarch64": 242, "riscv64": 242, "loongarch64": 242, "ppc64le": 344}.get(_MACHINE)
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ERRNO, _ALLOW = 0x00050000, 0x7FFF0000


def without_ipv6():
    """For preexec_fn: from here on socket(AF_INET6, …) fails, as under RestrictAddressFamilies= of systemd."""
    _filter_calls([(_LOAD, 0, 0, 0), (_EQUAL, 0, 3, SOCKET_CALL), (_LOAD, 0, 0, 16), (_EQUAL, 0, 1, socket.AF_INET6),
                   (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT), (_RETURN, 0, 0, _ALLOW)])


def failing_accept(number):
    """A preexec_fn: from here on accept4 fails with this errno."""
    return lambda: _filter_calls([(_LOAD, 0, 0, 0), (_EQUAL, 0, 1, ACCEPT4_CALL),
                                  (_RETURN, 0, 0, _ERRNO | number), (_RETURN, 0, 0, _ALLOW)])


def _filter_calls(steps):
    """Installs a seccomp filter, for this process and what it executes."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(38, 1, 0, 0, 0) or prctl(22, 2, program, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def can_refuse_ipv6():
    """Whether without_ipv6 works. Where socket is one of the calls of socketcall(2), as on i386, a filter cannot look
    at its arguments."""
    if not SOCKET_CALL:
        return False
    code = "import errno, socket\ntry: socket.socket(socket.AF_INET6)\n" \
           "except OSError as why: exit(why.errno != errno.EAFNOSUPPORT)\nexit(1)"
    with contextlib.suppress(subprocess.SubprocessError):
        return subprocess.run([sys.executable, "-c", code], preexec_fn=without_ipv6).returncode == 0
    return False


def listening(host="::1", backlog=128, port=0):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(backlog)
    return listener


@contextlib.contextmanager
def refusing_port(host="::1"):
    """A port without a listener, which no other process can use meanwhile."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as held:
        held.bind((host, 0))
        yield held.getsockname()[1]


def free_port(host):
    """A port that no socket has now and that the kernel gives to none which asks for any, for a program to listen on."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as ephemeral:
        low, high = map(int, ephemeral.read().split())
    ports = [port for port in range(10000, 60000) if not low <= port <= high] or range(low, high)
    for port in random.sample(ports, 100):
        with contextlib.suppress(OSError), listening(host, port=port):
            return port
    raise AssertionError(f"100 ports of {host} are in use")


# --- peers -----------------------------------------------------------------------------------------------------

def client_hello():
    """What a TLS client sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


class Peer:
    """The other end of a dialogue, byte by byte. Takes a Server, an address pair or a connected socket."""

    def __init__(self, where, limit_s=LIMIT_S, receive_buffer=None, source=None):
        self._limit_s = limit_s
        if isinstance(where, socket.socket):
            self.socket = where
        else:
            host, port = where if isinstance(where, tuple) else (where.host, where.port)
            self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
            if receive_buffer:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.socket.settimeout(limit_s)
            try:
                if source:
                    self.socket.bind((source, 0))
                self.socket.connect((host, port))
            except BaseException:
                self.socket.close()
                raise
        self.socket.settimeout(limit_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""
        host, port = self.socket.getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"  # as the server's log names it

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def end(self):
        """Half-close: ends our side, still reads."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        """Goes away with an RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def receive(self, limit_s=None):
        """What one recv brings; b"" at the end of the stream."""
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        self.socket.settimeout(self._limit_s if limit_s is None else limit_s)
        return self.socket.recv(65536)

    def expect(self, wanted):
        """Reads exactly these bytes."""
        end = time.monotonic() + self._limit_s
        got = bytearray()
        while len(got) < len(wanted):
            try:
                data = self.receive(max(0.001, end - time.monotonic()))
            except socket.timeout:
                raise Stuck(f"waited for {wanted[len(got):][:300]!r} after {bytes(got[-300:])!r}") from None
            except ConnectionError as error:
                raise AssertionError(f"{error} instead of {wanted[len(got):][:300]!r}"
                                     f" after {bytes(got[-300:])!r}") from None
            if not data:
                raise AssertionError(f"the stream ended before {wanted[len(got):][:300]!r}"
                                     f" after {bytes(got[-300:])!r}")
            got += data
            if got[:len(wanted)] != wanted[:len(got)]:
                raise AssertionError(f"expected {bytes(wanted[:600])!r}, got {bytes(got[:600])!r}")
        self._unread = bytes(got[len(wanted):])
        return self

    def expect_eof(self):
        """Reads a clean end, and nothing before it."""
        try:
            data = self.receive()
        except socket.timeout:
            raise Stuck("waited for the end of the stream") from None
        except ConnectionError as error:
            raise AssertionError(f"{error} instead of a clean end") from None
        if data:
            raise AssertionError(f"{data[:600]!r} instead of the end of the stream")
        return self

    def read_all(self):
        """Everything up to a clean end."""
        data = bytearray()
        while True:
            chunk = self.receive()
            if not chunk:
                return bytes(data)
            data += chunk

    def stays_silent(self, seconds):
        """Nothing is received for this time: the wait is what is tested."""
        if self._unread or select.select([self.socket], [], [], seconds)[0]:
            raise AssertionError(f"{self.receive()!r} where silence was due")
        return self

    def segments(self):
        """How many segments with data have come in so far."""
        return struct.unpack_from("I", self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 152)[0]

    def flood(self, chunk, limit_bytes, patience_s=0.5):
        """Sends without reading until the other side takes no more; returns how many bytes it took."""
        self.socket.setblocking(False)
        sent = 0
        while sent < limit_bytes:
            try:
                sent += self.socket.send(chunk)
            except BlockingIOError:
                if not select.select([], [self.socket], [], patience_s)[1]:
                    break
        self.socket.setblocking(True)
        return sent


# --- terminals -------------------------------------------------------------------------------------------------

class Terminal:
    """The program in a terminal of its own, as a person sees it. stdout: a descriptor to use instead."""

    def __init__(self, *args, stdout=None, wrap=()):
        self._master, self._slave = pty.openpty()
        self.before = termios.tcgetattr(self._slave)
        self._seen = b""
        self._all = bytearray()
        self.process = spawn(args, stdin=self._slave, stdout=self._slave if stdout is None else stdout,
                             stderr=self._slave, preexec_fn=self._take_terminal, wrap=wrap)

    @staticmethod
    def _take_terminal():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.close()

    def close(self):
        """The window closes: the kernel hangs up."""
        for fd in self._slave, self._master:
            if fd >= 0:
                os.close(fd)
        self._slave = self._master = -1

    def attributes(self):
        return termios.tcgetattr(self._slave)

    def send(self, data):
        os.write(self._master, data)
        return self

    def expect(self, wanted, limit_s=LIMIT_S):
        """Waits until these bytes have been shown, after what was waited for before."""
        end = time.monotonic() + limit_s
        while wanted not in self._seen:
            if not self._read(end):
                raise Stuck(f"waited for {wanted!r}, saw {bytes(self._all)!r}")
        self._seen = self._seen.partition(wanted)[2]
        return self

    def _read(self, end):
        if not select.select([self._master], [], [], max(0, end - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False
        self._seen += data
        self._all += data
        return True

    def wait(self, limit_s=LIMIT_S):
        """Waits for the program's end; returns its exit code."""
        end = time.monotonic() + limit_s
        while self.process.poll() is None:
            self._read(min(end, time.monotonic() + 0.02))
            if time.monotonic() > end:
                raise Stuck(f"the program did not end; the terminal shows {bytes(self._all)!r}")
        while self._read(0):
            pass
        return self.process.returncode

    def shown(self):
        return bytes(self._all)


# --- names -----------------------------------------------------------------------------------------------------

class Names:
    """A wrap for root: the program sees this hosts file and nsswitch line, no other process does.

    With `dns`, names that the file does not hold are asked of a port that does not answer.
    """

    def __init__(self, hosts, dns=False):
        self._folder = tempfile.mkdtemp(prefix="tcpgreet-e2e-")
        self.name_server = f"127.{random.randrange(100, 200)}.{random.randrange(256)}.{random.randrange(1, 255)}"  # its own
        self._write("hosts", hosts)
        self._write("nsswitch.conf", f"hosts: files{' dns' if dns else ''}\nservices: files\n")
        self._write("resolv.conf", f"nameserver {self.name_server}\noptions timeout:1 attempts:1\n")

    def _write(self, name, text):
        (pathlib.Path(self._folder) / name).write_text(text)

    def change(self, hosts):
        """What programs that run already see from now on."""
        self._write("hosts", hosts)

    @property
    def wrap(self):
        binds = " && ".join(f"mount --bind {self._folder}/{name} /etc/{name}"
                            for name in ("hosts", "nsswitch.conf", "resolv.conf") if os.path.exists(f"/etc/{name}"))
        return ["unshare", "-m", "sh", "-c", f'{binds} && exec "$@"', "sh"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self._folder, ignore_errors=True)


@functools.lru_cache(maxsize=None)
def why_no_names():
    """What is missing for Names; None where nothing is."""
    if not IS_ROOT:
        return "needs root, to have a hosts file of its own"
    if not shutil.which("unshare") or not os.path.exists("/etc/hosts"):
        return "needs unshare (util-linux) and /etc/hosts, to have a hosts file of its own"
    with Names("") as names:
        tried = subprocess.run([*names.wrap, "true"], capture_output=True, text=True)
    # In a chroot, unshare needs a root that is a mount point.
    return f"needs a mount namespace, for a hosts file of its own: {tried.stderr.strip()}" if tried.returncode else None


def system_text(number):
    """A pattern for the text that the program's C library has for an error number."""
    return "[A-Z][A-Za-z/ -]+" if MUSL else re.escape(os.strerror(number))


def needs_names(test):
    """A decorator for a test that uses Names: skipped where that cannot be."""
    return unittest.skipIf(why_no_names(), why_no_names())(test)


# --- test cases ------------------------------------------------------------------------------------------------

class Case(unittest.TestCase):
    """A test case with a limit in time and the checks that many tests need."""

    longMessage = True
    maxDiff = 4000
    limit_s = 100

    def setUp(self):
        limit = int(self.limit_s * max(1, PATIENCE / 2))

        def over(*_):
            raise Stuck(f"the test took longer than {limit} s")

        signal.signal(signal.SIGALRM, over)
        signal.alarm(limit)
        self.addCleanup(_children.clear)
        self.addCleanup(_kill_children)
        self.addCleanup(signal.alarm, 0)

    def assertDialogue(self, result, *answers):
        """The client exited with 0, and its stdout is the opening, the answers and the good bye."""
        self.assertEqual((result.code, result.out), (0, OPENING + b"".join(answers) + GOODBYE), repr(result))

    def assertFails(self, result, code, word):
        """The client ended with this code, and its last line has the reason."""
        self.assertEqual(result.code, code, repr(result))
        payload = [line for line in result.err.decode().splitlines() if line.startswith("tcpgreet: ")] or [""]
        self.assertRegex(payload[-1], rf"^tcpgreet: \S.* \({word}\)$", repr(result))

    def assertBetween(self, seconds, low, high, what=""):
        self.assertGreaterEqual(seconds, low, what)
        self.assertLess(seconds, high * PATIENCE, what)


def raise_descriptor_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def skip_file(why):
    """Ends the test program as skipped, with the reason."""
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def lacking(*programs, path=None):
    """Why a test that runs these programs is skipped; None where all of them are there."""
    missing = [program for program in programs if not shutil.which(program, path=path)]
    return f"needs {', '.join(missing)} (scripts/install-dependencies packaging)" if missing else None


def isolate():
    """Runs this file again with mounts and with a network of its own, and returns there. Needs root."""
    if "TCPGREET_ISOLATED" not in os.environ:
        os.environ["TCPGREET_ISOLATED"] = "1"
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, "-B", *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def main():
    if not os.path.exists(BINARY):
        sys.exit(f"{BINARY} is not there: build it, or set TCPGREET to its path")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    unittest.main(verbosity=2)
