"""Where a probe is led: peers on this host, or a path to a far host of many addresses, some of them unreachable or lossy,
with dnsmasq for its names and an upstream of dnsmasq that answers late, wrongly or not at all.

A place is a function that gives a context: inside it the peers are there, and it yields what follows --probe.
"""

import contextlib
import functools
import itertools
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import threading

from harness import Lines, Script, Server, demanding, environment, refusing_port, run
from net_harness import (UNREACHABLE4, UNREACHABLE6, FAR, FAR4, FAR6, NEAR, NEAR4, NO_HOST, NameServer, clear_cable, inside, ip,
                         lay_cable, make_host, remove_host, setting, switch_ipv6_off, why_no_cable, within)
from probe_peers import linger, tolerant
from tls_harness import TlsScript, certificates, folder, identity, issue, server_context

DOMAIN = "greet.example"
HOSTS = ("::1", "127.0.0.1", "localhost", f"*.{DOMAIN}")  # whom the certificates are for
MORE4 = [f"10.77.0.{n}" for n in range(201, 204)]
BIG4 = "10.77.0.210"  # what is larger than SMALL_MTU is dropped without an ICMP message
LATE4 = "10.77.0.211"  # the first SYN to it is lost
NO_ROUTE6, NO_ROUTE4 = "2001:db8::1", "198.51.100.1"
SMALL_MTU = 1300
UPSTREAM_PORT = 5300
DNSMASQ = shutil.which("dnsmasq", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")

# What dnsmasq knows by itself: name to addresses. Every other name of the domain is NXDOMAIN.
NAMES = {
    "both": [FAR6, FAR4],
    "four": [FAR4],
    "six": [FAR6],
    "cluster": [FAR4, *MORE4],
    "cluster-drop": [FAR4, *MORE4[:2], UNREACHABLE4[0]],
    "dropped6": [UNREACHABLE6[0], FAR4],
    "dropped4": [FAR6, UNREACHABLE4[0]],
    "dropped": [UNREACHABLE6[0], UNREACHABLE4[0]],
    "no-route6": [NO_ROUTE6, FAR4],
    "no-route": [NO_ROUTE6, NO_ROUTE4],
    "big": [BIG4],
    "late": [LATE4],
}
# What it asks its upstream for, see NameServer.
ASKED = {
    "aaaa-late": (0, 3),
    "a-late": (3, 0),
    "aaaa-never": (0, None),
    "never": (None, None),
    "servfail": ("fail", "fail"),
    "aaaa-servfail": (0, "fail"),
}


_making = threading.Lock()


def made():
    with _making:  # one set, made by the first caller
        return certificates("--bad", *(word for host in HOSTS for word in ("--host", host)))


def older():
    """Another certificate of the same CA for the domain, with few days left."""
    return issue(made(), "older", f"serverAuth\nsubjectAltName=DNS:*.{DOMAIN}", -40 * 86400, 3 * 86400)


# --- on this host ----------------------------------------------------------------------------------------------

class Place:
    """opened() is the context; wrap is what the program runs in, and more what else it is started with."""

    def __init__(self, opened, wrap, **more):
        self.opened, self.wrap, self.more = opened, wrap, more

    def probe(self, *options, **more):
        """Runs `tcpgreet --probe` there; returns its result, whose args are what it was asked."""
        with self.opened() as words:
            args = [*demanding(*words), *options]
            result = run(*args, wrap=self.wrap, cwd=made().folder if {"--tls", "--ca"} & set(args) else None, **self.more, **more)
            result.args = args
            return result


def _places(wrap=()):
    """Makes a generator function one that gives a Place."""
    def decorate(function):
        opened = contextlib.contextmanager(function)

        @functools.wraps(function)
        def make(*args, **options):
            return Place(functools.partial(opened, *args, **options), wrap)
        return make
    return decorate


here, from_near = _places(), _places(within(NEAR))


def trusting():
    return "--tls", "--ca", "ca.crt"  # the program runs in the folder of the certificates


@here
def refusing():
    with refusing_port() as port:
        yield "::1", port


@here
def plain(function, *options):
    with Script(function) as server:
        yield "::1", server.port, *options


@here
def below_tls(function, *options):
    """The peer is a Script without TLS, the probe uses TLS."""
    with Script(function) as server:
        yield "::1", server.port, *trusting(), *options


@here
def behind_starttls(talk, *options, protocol="smtp", after=linger):
    """The server has its part of the talk: of each step what it receives, and what it then sends."""
    @tolerant
    def serve(peer):
        for expected, answer in talk:
            if expected:  # and nothing of the ClientHello that may follow it
                peer.socket.recv(len(expected), socket.MSG_WAITALL)
            peer.send(answer)
        after(peer)

    with Script(serve) as server:
        yield "::1", server.port, "--starttls", protocol, "--ca", "ca.crt", *options


def begins_tls(peer):
    """The server's TLS, until the client ends."""
    with contextlib.suppress(ssl.SSLError):
        peer.socket = server_context(made().server).wrap_socket(peer.socket, server_side=True)
        linger(peer)


@here
def above_tls(function, *options, version=None, client_ca=False):
    context = server_context(made().server, version, client_ca=made().ca if client_ca else None)
    with TlsScript(function, context) as server:
        yield "::1", server.port, *trusting(), *options


@here
def requesting(function, *options):
    """A client certificate that is requested, and not required."""
    context = server_context(made().server, client_ca=made().ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    with TlsScript(function, context) as server:
        yield "::1", server.port, *trusting(), *options


@here
def presenting(function, bad, *options):
    """A certificate with one fault."""
    with TlsScript(function, server_context(made().bad(bad), weak=True)) as server:
        yield "::1", server.port, *trusting(), *options


def without_trust_store(function):
    """A certificate that only the CA of a file could prove, on a machine without a trust store."""
    @contextlib.contextmanager
    def opened():
        with TlsScript(function, server_context(made().server)) as server:
            yield "::1", server.port, "--tls"
    return Place(opened, (), env=environment(SSL_CERT_FILE="/nonexistent", SSL_CERT_DIR="/nonexistent"))


@here
def ours(*served, options=(), tls=False, tls_probe=None):
    """Our own server; served: its options; tls: whether it uses TLS, and the probe unless its options differ."""
    served += ("--tls", *identity(made().server)) if tls else ()
    with Server(*served) as server:
        yield "::1", server.port, *(trusting() if (tls if tls_probe is None else tls_probe) else ()), *options


@here
def behind_a_middlebox(truncating, count, *options, tls=False):
    with Server(*(("--tls", *identity(made().server)) if tls else ())) as server:
        with Script(truncating(("::1", server.port), count)) as middlebox:
            yield "::1", middlebox.port, *(trusting() if tls else ()), *options


# --- on a host that lacks something ---------------------------------------------------------------------------

_hosts = itertools.count()


def lacking(lack, names, *args, listens=True, **more):
    """A host of its own, with a name server that is not there. lack(host): takes something away from it, or adds it.

    names: its hosts file, addresses to names. args: the name to probe and options. more: as for Popen.
    """
    host = f"tcpgreet-lacking-{os.getpid()}-{next(_hosts)}"
    hosts = "".join(f"{address} {name}\n" for address, name in names.items())

    @contextlib.contextmanager
    def opened():
        with contextlib.ExitStack() as stack:
            stack.callback(remove_host, host)
            make_host(host, hosts, "files dns", "127.99.99.99")
            lack(host)
            port = 6000
            if listens:
                server = stack.enter_context(Server(listen=[("0",)], wrap=within(host)))
                port = server.port
            yield args[0], port, *args[1:]
    return Place(opened, within(host), **more)


def complete(host):
    ip("-n", host, "link", "set", "lo", "up")


def few_ports(host):
    """The port that is probed is one of the two that the kernel connects from."""
    complete(host)
    setting(host, "net/ipv4/ip_local_port_range", "6000 6001")


def ipv6_off(host):
    switch_ipv6_off(host)
    complete(host)


def ipv4_gone(host):
    complete(host)
    ip("-n", host, "addr", "del", "127.0.0.1/8", "dev", "lo")


def in_a_network(host):
    """It has addresses of its own, and no route to others."""
    complete(host)
    ip("-n", host, "addr", "add", "fd77::1/64", "dev", "lo", "nodad")
    ip("-n", host, "addr", "add", "10.77.0.1/32", "dev", "lo")


def with_route(kind):
    def lack(host):
        in_a_network(host)
        ip("-n", host, "-6", "route", "add", kind, NO_ROUTE6)
        ip("-n", host, "route", "add", kind, NO_ROUTE4)
    return lack


def _cable_without_peer(host):
    complete(host)
    ip("-n", host, "link", "add", "cable", "type", "veth", "peer", "name", "end")
    ip("-n", host, "link", "set", "end", "up")
    ip("-n", host, "link", "set", "cable", "addrgenmode", "none")
    ip("-n", host, "link", "set", "cable", "up")


def no_loopback6(host):
    _cable_without_peer(host)
    ip("-n", host, "addr", "add", "fd77::1/64", "dev", "cable", "nodad")
    setting(host, "net/ipv6/conf/lo/disable_ipv6", "1")


def only_link_local(host):
    """A router has announced itself, and no prefix."""
    _cable_without_peer(host)
    ip("-n", host, "addr", "add", "fe80::1/64", "dev", "cable", "nodad")
    ip("-n", host, "neigh", "add", "fe80::2", "lladdr", NO_HOST, "dev", "cable", "nud", "permanent")
    ip("-n", host, "route", "add", "default", "via", "fe80::2", "dev", "cable")


# --- on the far host -------------------------------------------------------------------------------------------

_ports = itertools.count(6000)


@from_near
def far(name, *options, listen=(FAR4, FAR6, *MORE4, BIG4, LATE4)):
    """Our server on these addresses of the far host."""
    port = next(_ports)
    with contextlib.ExitStack() as stack:
        if listen:
            stack.enter_context(Server(listen=[(address, str(port)) for address in listen], wrap=within(FAR)))
        yield f"{name}.{DOMAIN}", port, *options


@from_near
def far_among(name, odd, *options, good=(FAR4, *MORE4)):
    """odd: address to a function; the other addresses greet correctly."""
    port = next(_ports)
    with contextlib.ExitStack() as stack:
        stack.enter_context(Server(listen=[(address, str(port)) for address in good if address not in odd],
                                   wrap=within(FAR)))
        for address, function in odd.items():
            with inside(FAR):
                script = Script(function, address, port)
            stack.enter_context(script)
        yield f"{name}.{DOMAIN}", port, *options


@from_near
def far_certificates(name, function, odd, *options, addresses=(FAR4, *MORE4)):
    """odd: address to a function that gives a certificate and its key; the others have the right one."""
    port = next(_ports)
    with contextlib.ExitStack() as stack:
        for address in addresses:
            context = server_context(odd[address]() if address in odd else made().server, weak=True)
            with inside(FAR):
                script = TlsScript(function, context, address, port)
            stack.enter_context(script)
        yield f"{name}.{DOMAIN}", port, *trusting(), *options


@from_near
def far_after_a_lost_syn(*options):
    port = next(_ports)
    with Server(listen=[(LATE4, str(port))], wrap=within(FAR)), FirstSyn():
        yield f"late.{DOMAIN}", port, *options


class FirstSyn:
    """Loses the first SYN to LATE4: its frame is addressed to no host. After it was seen, the path works."""

    def __enter__(self):
        ip("-n", NEAR, "neigh", "replace", LATE4, "lladdr", NO_HOST, "dev", "cable", "nud", "permanent")
        with inside(FAR):
            self._frames = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self._frames.bind(("cable", 0x0800))
        self._frames.settimeout(0.05)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self):
        while not self._over.is_set():
            with contextlib.suppress(socket.timeout):
                packet = self._frames.recv(2048)
                tcp = (packet[0] & 15) * 4
                if packet[9] == socket.IPPROTO_TCP and packet[16:20] == socket.inet_aton(LATE4) and \
                        packet[tcp + 13] & 0x12 == 0x02:
                    ip("-n", NEAR, "neigh", "del", LATE4, "dev", "cable")
                    return

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self._frames.close()


def lay():
    """The whole path, names and all. Returns how to take it away again."""
    with contextlib.ExitStack() as stack:
        stack.callback(clear_cable)
        lay_cable("", "dns", far4=(FAR4, *MORE4, BIG4, LATE4))
        _narrow()
        stack.enter_context(NameServer({f"{name}.{DOMAIN}": plan for name, plan in ASKED.items()}, FAR4, UPSTREAM_PORT))
        stack.enter_context(Dnsmasq(folder()))
        return stack.pop_all().close


def _narrow():
    """BIG4 announces large segments, and its cable does not."""
    ip("-n", NEAR, "link", "set", "cable", "gso_max_segs", "1")
    ip("-n", FAR, "link", "set", "cable", "mtu", str(SMALL_MTU))
    ip("-n", FAR, "route", "add", NEAR4, "dev", "cable", "src", BIG4, "advmss", "1460", "table", "77")
    ip("-n", FAR, "rule", "add", "from", BIG4, "table", "77")


class Dnsmasq:
    """On the far host: NAMES, and what its upstream answers for ASKED."""

    def __init__(self, place):
        hosts = pathlib.Path(place) / "names"
        hosts.write_text("".join(f"{address} {name}.{DOMAIN}\n"
                                 for name, addresses in NAMES.items() for address in addresses))
        os.chmod(place, 0o755)
        self._args = [DNSMASQ, "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root",
                      "--log-facility=-", "--no-resolv", "--no-hosts", f"--addn-hosts={hosts}", f"--local=/{DOMAIN}/",
                      "--cache-size=0", f"--listen-address={FAR4}", "--bind-interfaces",
                      *(f"--server=/{name}.{DOMAIN}/{FAR4}#{UPSTREAM_PORT}" for name in ASKED)]

    def __enter__(self):
        out, out_end = os.pipe()
        self._process = subprocess.Popen([*within(FAR), *self._args], stdin=subprocess.DEVNULL, stdout=out_end,
                                         stderr=subprocess.STDOUT)
        os.close(out_end)
        self.log = Lines(out)
        self.log.expect(r"read .*names - \d+ ")
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()
        self.log.join()


def why_no_path():
    """What is missing to lay one; None where nothing is."""
    return why_no_cable() or (None if DNSMASQ else "needs dnsmasq (scripts/install-dependencies test)")
