"""The servers that bench/compare measures: how each is started, and what it has used of CPU and memory."""

import dataclasses
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

RIVALS = pathlib.Path(__file__).resolve().parent / "rivals"
START_LIMIT_S = STOP_LIMIT_S = 10
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Failure(Exception):
    """What went wrong, in words."""


@dataclasses.dataclass
class Place:
    """What all servers are started with."""

    scratch: pathlib.Path
    tcpgreet: str
    bare: str
    certificate: str
    key: str
    pem: str  # both in one file
    core: int
    limit_s: int  # no server outlives it
    connections: int  # at most, at a time


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_certificate(scratch):
    """For localhost. Returns: the files of the certificate, of its key, and of both."""
    certificate, key, pem = (scratch / name for name in ("certificate.pem", "key.pem", "both.pem"))
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, timeout=60, stderr=subprocess.DEVNULL)
    pem.touch(mode=0o600)
    pem.write_text(certificate.read_text() + key.read_text())
    return str(certificate), str(key), str(pem)


def write(place, name, text):
    path = place.scratch / name
    path.write_text(text)
    return str(path)


# Each returns the commands of a server on the port: the front, and what stands behind it.


def tcpgreet(place, port, tls):
    tls_options = ["--tls", "--cert", place.certificate, "--key", place.key] if tls else []
    return [[place.tcpgreet, "--listen", "127.0.0.1", str(port), "--workers", "1", "-q", *tls_options]]


def unconfined(place, port, tls):
    """What the sandbox costs."""
    return [[*command, "--no-sandbox"] for command in tcpgreet(place, port, tls)]


def bare(place, port, tls):
    return [[place.bare, str(port), *([place.certificate, place.key] if tls else [])]]


def haproxy(place, port, tls):
    config = f"""global
    nbthread 1
    maxconn {place.connections}
    lua-load {RIVALS}/greet.lua
defaults
    mode tcp
    timeout connect 10s
    timeout client 300s
    timeout server 300s
frontend greet
    bind 127.0.0.1:{port} {"ssl crt " + place.pem if tls else ""}
    tcp-request content use-service lua.greet
"""
    return [["haproxy", "-db", "-q", "-f", write(place, "haproxy.cfg", config)]]


def node(place, port, tls):
    return [["node", f"{RIVALS}/greet.js", str(port), *([place.certificate, place.key] if tls else [])]]


def tutorial(_place, port, _tls):
    return [[sys.executable, f"{RIVALS}/tutorial.py", str(port)]]


def socat(_place, port, _tls):
    listen = f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,nodelay,fork,backlog=4096"
    return [["socat", listen, f"EXEC:{RIVALS}/greet.sh"]]


def nginx(place, port, _tls):
    behind = free_port()
    module = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    config = f"""{f"load_module {module};" if module.exists() else ""}
daemon off;
worker_processes 1;
worker_rlimit_nofile {3 * place.connections};
pid {place.scratch}/nginx.pid;
error_log stderr crit;
events {{
    worker_connections {3 * place.connections};
}}
stream {{
    server {{
        listen 127.0.0.1:{port} ssl backlog=4096;
        ssl_certificate {place.certificate};
        ssl_certificate_key {place.key};
        ssl_protocols TLSv1.2 TLSv1.3;
        proxy_pass 127.0.0.1:{behind};
    }}
}}
"""
    front = ["nginx", "-p", str(place.scratch), "-e", "stderr", "-c", write(place, "nginx.conf", config)]
    return [front, *bare(place, behind, False)]


def stunnel(place, port, _tls):
    behind = free_port()
    config = f"""foreground = yes
syslog = no
debug = err
pid =
[greet]
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{behind}
cert = {place.certificate}
key = {place.key}
"""
    return [["stunnel4", write(place, "stunnel.conf", config)], *bare(place, behind, False)]


def hitch(place, port, _tls):
    behind = free_port()
    config = f"""frontend = {{
    host = "127.0.0.1"
    port = "{port}"
}}
backend = "[127.0.0.1]:{behind}"
pem-file = "{place.pem}"
workers = 1
backlog = 4096
daemon = off
syslog = off
log-level = 0
{'user = "nobody"' if os.geteuid() == 0 else ""}
"""
    return [["hitch", f"--config={write(place, 'hitch.conf', config)}"], *bare(place, behind, False)]


@dataclasses.dataclass
class Server:
    name: str
    commands: object
    plain: bool = True
    tls: bool = True
    bare_names: bool = False  # it takes the newline for a part of the name
    holds_idle: bool = True  # not where each connection is a process
    packages: tuple = ()

    def program(self, place):
        return self.commands(place, 0, self.tls)[0][0]

    def is_there(self, place):
        return shutil.which(self.program(place)) is not None


SERVERS = [
    Server("bare", bare),
    Server("tcpgreet", tcpgreet),
    Server("no-sandbox", unconfined),
    Server("haproxy", haproxy, packages=("haproxy",)),
    Server("node", node, packages=("nodejs",)),
    Server("tutorial", tutorial, tls=False, bare_names=True),
    Server("socat", socat, tls=False, holds_idle=False, packages=("socat",)),
    Server("nginx+bare", nginx, plain=False, packages=("nginx", "libnginx-mod-stream")),
    Server("stunnel+bare", stunnel, plain=False, packages=("stunnel4",)),
    Server("hitch+bare", hitch, plain=False, packages=("hitch",)),
]


class Running:
    """A server that serves; each of its commands leads a session of its own, by which its processes are known."""

    def __init__(self, server, place, tls):
        self.processes = []
        self.log = place.scratch / "server.log"
        self.port = free_port()
        try:
            commands = server.commands(place, self.port, tls)
            with open(self.log, "wb") as log:
                for command in reversed(commands):
                    bounded = ["timeout", "--signal=KILL", str(place.limit_s)]
                    bounded += ["taskset", "-c", str(place.core), *command]
                    streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
                    self.processes.append(subprocess.Popen(bounded, **streams, start_new_session=True))
            self.await_listening()
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def await_listening(self):
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            if any(process.poll() is not None for process in self.processes):
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                time.sleep(0.1)
                return
            except OSError:
                time.sleep(0.02)
        raise Failure(f"does not start: {self.log.read_text(errors='replace').strip()[-300:]}")

    def stats(self):
        """Yields the process id and the fields of /proc/PID/stat after the name, of every process of the server."""
        sessions = {process.pid for process in self.processes}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[3]) in sessions:
                    yield int(entry.name), fields

    def cpu_s(self):
        """User and system time: of the living by their clocks, which are finer than the ticks of /proc/PID/stat; of
        terminated and reaped children by those ticks."""
        total = 0
        for pid, fields in self.stats():
            try:
                total += time.clock_gettime((~pid << 3) | 2)  # what clock_getcpuclockid(3) returns
            except OSError:
                total += (int(fields[11]) + int(fields[12])) / TICKS_PER_S
            total += (int(fields[13]) + int(fields[14])) / TICKS_PER_S
        return total

    def resident_bytes(self):
        return sum(int(fields[21]) * PAGE_BYTES for _, fields in self.stats())

    def stop(self):
        """Again until none is left: a parent may replace a child before it is killed itself."""
        deadline = time.monotonic() + STOP_LIMIT_S
        while living := [pid for pid, fields in self.stats() if fields[0] not in "ZX"]:
            for pid in living:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if time.monotonic() > deadline:
                raise Failure(f"does not end: {living}")
            time.sleep(0.01)
        for process in self.processes:
            process.wait()
