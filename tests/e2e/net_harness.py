"""What tests of broken paths share: two hosts of their own, "near" (the client's) and "far" (the server's), joined
by a cable, and a name server that is as slow or as broken as a test wants it.

Needs root, and ip (iproute2). Nothing outside of the two network namespaces is touched.
"""

import contextlib
import ctypes
import os
import pathlib
import select
import shutil
import socket
import subprocess
import threading

from harness import IS_ROOT, skip_file

NEAR, FAR = f"tcpgreet-near-{os.getpid()}", f"tcpgreet-far-{os.getpid()}"
NEAR4, FAR4, UNREACHABLE4 = "10.77.0.1", "10.77.0.200", [f"10.77.0.{n}" for n in range(2, 10)]
NEAR6, FAR6, UNREACHABLE6 = "fd77::1", "fd77::c8", [f"fd77::{n}" for n in range(2, 10)]
NO_HOST = "02:00:00:00:00:99"
CLONE_NEWNET = 0x40000000


def ip(*words, check=True):
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True)


def within(host):
    """A wrap: the program runs on that host, and sees its hosts, nsswitch.conf and resolv.conf."""
    return ["ip", "netns", "exec", host]


@contextlib.contextmanager
def inside(host):
    """Sockets that this thread opens in the meantime are that host's, for as long as they live."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(fd):
        if libc.setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    with open(f"/proc/self/task/{threading.get_native_id()}/ns/net") as home, open(f"/run/netns/{host}") as there:
        enter(there.fileno())
        try:
            yield
        finally:
            enter(home.fileno())


def make_host(name, hosts, sources, name_server):
    """A network namespace, with names from these sources: the hosts file, or "dns"."""
    ip("netns", "add", name)
    folder = pathlib.Path("/etc/netns") / name
    folder.mkdir(parents=True)
    (folder / "hosts").write_text(hosts)
    (folder / "nsswitch.conf").write_text(f"hosts: {sources}\nservices: files\n")
    (folder / "resolv.conf").write_text(f"nameserver {name_server}\n")


def remove_host(name):
    ip("netns", "del", name, check=False)
    shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir("/etc/netns")


def switch_ipv6_off(name):
    for scope in ("all", "default"):
        setting(name, f"net/ipv6/conf/{scope}/disable_ipv6", "1")


def setting(name, path, value):
    subprocess.run([*within(name), "sh", "-c", f"echo {value} > /proc/sys/{path}"], check=True)


def lay_cable(hosts, sources, far4=(FAR4,), far6=(FAR6,), name_server=FAR4):
    """Names come from these sources: the hosts file, or "dns".

    IPv6 addresses are there at once (nodad); unreachable ones are neighbours without a host.
    """
    for name in (NEAR, FAR):
        make_host(name, hosts, sources, name_server)
        ip("-n", name, "link", "set", "lo", "up")
    ip("link", "add", "cable", "netns", NEAR, "type", "veth", "peer", "name", "cable", "netns", FAR)
    for name, v4, v6 in ((NEAR, (NEAR4,), (NEAR6, "fe80::1")), (FAR, far4, (*far6, "fe80::c8"))):
        ip("-n", name, "link", "set", "cable", "addrgenmode", "none")
        ip("-n", name, "link", "set", "cable", "up")
        for address in v4:
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "cable")
        for address in v6:
            ip("-n", name, "addr", "add", f"{address}/64", "dev", "cable", "nodad")
    for address in UNREACHABLE4 + UNREACHABLE6:
        ip("-n", NEAR, "neigh", "add", address, "lladdr", NO_HOST, "dev", "cable", "nud", "permanent")


def clear_cable():
    for name in (NEAR, FAR):
        remove_host(name)


def why_no_cable():
    """What is missing to lay one; None where nothing is."""
    if not IS_ROOT:
        return "needs root, to make network namespaces"
    if not shutil.which("ip"):
        return "needs ip (iproute2), to make network namespaces"
    steps = (["netns", "add", NEAR], ["-n", NEAR, "link", "add", "cable", "type", "veth", "peer", "name", "other"],
             ["netns", "exec", NEAR, "true"])
    tried = next((done for done in (ip(*step, check=False) for step in steps) if done.returncode != 0), None)
    ip("netns", "del", NEAR, check=False)
    # In a chroot, ip needs a root that is a mount point.
    return f"needs network namespaces: {tried.stderr.strip()}" if tried else None


def skip_without_cable():
    """For the end of a file: ends it where no cable can be laid."""
    why = why_no_cable()
    if why:
        skip_file(why)


class NameServer:
    """Answers on the far host from a table: name to what it does with (A, AAAA).

    A number: seconds to wait before the address is given; None: never answered; "fail": SERVFAIL; "none": no such
    record. A name that is not in the table has no record.
    """

    def __init__(self, answers, address=FAR4, port=53):
        self._answers = answers
        with inside(FAR):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self._stop, self._stopped = os.pipe()
        self._late = []

    def __enter__(self):
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        os.close(self._stopped)
        self._thread.join()
        os.close(self._stop)
        for timer in self._late:
            timer.cancel()
        self._socket.close()

    def _serve(self):
        while True:
            ready = select.select([self._socket, self._stop], [], [])[0]
            if self._stop in ready:
                return
            self._answer(*self._socket.recvfrom(512))

    def _answer(self, query, client):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        question, kind = query[12:at + 5], query[at + 2]
        family = socket.AF_INET6 if kind == 28 else socket.AF_INET
        plan = self._answers.get(".".join(labels), ("none", "none"))[kind == 28]
        if plan is None:
            return
        data = b"" if isinstance(plan, str) else socket.inet_pton(family, FAR6 if kind == 28 else FAR4)
        answer = b"\xc0\x0c\0" + bytes([kind]) + b"\0\1\0\0\0\0\0" + bytes([len(data)]) + data if data else b""
        head = query[:2] + (b"\x81\x82" if plan == "fail" else b"\x81\x80") + b"\0\1\0" + bytes([bool(data)])
        timer = threading.Timer(0 if isinstance(plan, str) else plan, self._send,
                                (head + b"\0\0\0\0" + question + answer, client))
        timer.daemon = True
        self._late.append(timer)
        timer.start()

    def _send(self, data, client):
        with contextlib.suppress(OSError):  # it is no longer awaited
            self._socket.sendto(data, client)
