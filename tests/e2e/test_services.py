"""Other people's services, started on free ports where they are installed: what a probe finds of each."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import unittest

from harness import PATIENCE, Case, await_that, main, run
from tls_harness import certificates, has_tls

HOSTS = {"::1": "ipv6", "127.0.0.1": "ipv4"}
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin"])
LIMIT_S = 4 * PATIENCE  # of one probe


def program(name, *elsewhere):
    """The path of an installed program; None."""
    return shutil.which(name, path=PATH) or next((str(path) for place in elsewhere
                                                  for path in sorted(pathlib.Path("/").glob(place))), None)


def free_port():
    """A port that is free in both families."""
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        return probe.getsockname()[1]


def accepts(host, port):
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def started(*command, port, **options):
    """A service in the foreground, once it accepts connections in both families."""
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, **options)
    try:
        for host in HOSTS:
            await_that(lambda host=host: accepts(host, port) or process.poll() is not None, f"{command[0]} on {host}")
        if process.poll() is not None:
            raise AssertionError(f"{command[0]} ended with {process.returncode}")
        yield port
    finally:
        process.terminate()
        process.wait()


def needs(name, *elsewhere):
    path = program(name, *elsewhere)
    return unittest.skipUnless(path, f"{name} is not installed")


class ServiceCase(Case):
    limit_s = 60

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.folder.chmod(0o755)

    def assertFound(self, port, word, *options, verified=None, service=None, message=None):
        """The same verdict over both families."""
        for host, family in HOSTS.items():
            with self.subTest(options=options, family=family):
                done = run("--probe", host, str(port), *options, "--format", "json", limit_s=LIMIT_S)
                found = json.loads(done.out)
                self.assertEqual(found["verdict"]["word"], word, repr(done))
                if verified:
                    self.assertEqual(found["verified"], verified, repr(done))
                self.assertEqual(found["service"], service, repr(done))
                if message:
                    self.assertIn(message, found["peer_said"])


@unittest.skipUnless(has_tls(), "this program was built without TLS")
class WithTls(ServiceCase):

    def setUp(self):
        super().setUp()
        self.made = certificates()
        self.trusting = "--ca", str(self.made.ca)

    @needs("nginx")
    def test_nginx(self):
        plain, over_tls, mutual = free_port(), free_port(), free_port()
        pair = f"ssl_certificate {self.made.server[0]}; ssl_certificate_key {self.made.server[1]};"
        listen = {port: "".join(f"listen {host}:{port}{tls};" for host in ("[::1]", "127.0.0.1"))
                  for port, tls in ((plain, ""), (over_tls, " ssl"), (mutual, " ssl"))}
        config = self.folder / "nginx.conf"
        config.write_text(f"daemon off; user root; pid {self.folder}/pid; error_log stderr; events {{}} http {{ access_log off;"
                          f" server {{ {listen[plain]} }} server {{ {listen[over_tls]} {pair} }}"
                          f" server {{ {listen[mutual]} {pair} ssl_client_certificate {self.made.ca};"
                          " ssl_verify_client on; } }")
        with started(program("nginx"), "-p", self.folder, "-c", config, "-e", "stderr", port=plain):
            self.assertFound(plain, "ok", verified="connect")
            self.assertFound(plain, "tls-plaintext-peer", "--tls", *self.trusting)
            self.assertFound(over_tls, "ok", verified="connect")
            for options in (["--tls"], ["--until", "tls"]):
                self.assertFound(over_tls, "ok", *options, *self.trusting, verified="tls")
                self.assertFound(mutual, "ok", *options, *self.trusting, verified="tls")  # it only requests one

    @needs("redis-server")
    def test_redis(self):
        for mutual in ("no", "yes"):
            plain, over_tls = free_port(), free_port()
            with started(program("redis-server"), "--port", plain, "--tls-port", over_tls, "--bind", "127.0.0.1", "::1",
                         "--save", "", "--tls-cert-file", self.made.server[0], "--tls-key-file", self.made.server[1],
                         "--tls-ca-cert-file", self.made.ca, "--tls-auth-clients", mutual, port=plain, cwd=self.folder):
                self.assertFound(plain, "ok", verified="connect")
                self.assertFound(over_tls, "ok", verified="connect")
                for options in (["--tls"], ["--until", "tls"]):
                    word = "ok" if mutual == "no" else "tls-client-certificate"
                    self.assertFound(over_tls, word, *options, *self.trusting)

    @needs("sshd")
    def test_openssh(self):
        port = free_port()
        key = self.folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        with started(program("sshd"), "-D", "-f", "/dev/null", "-h", key, "-p", port, "-o", "ListenAddress=::1",
                     "-o", "ListenAddress=127.0.0.1", "-o", f"PidFile={self.folder}/pid", port=port):
            self.assertFound(port, "ok", verified="connect", service="ssh", message="SSH-2.0-OpenSSH")
            self.assertFound(port, "tls-plaintext-peer", "--tls", *self.trusting)
            self.assertFound(port, "tls-plaintext-peer", "--until", "tls", *self.trusting)

    @needs("initdb", "usr/lib/postgresql/*/bin/initdb")
    @unittest.skipUnless(os.geteuid() == 0, "needs to become another user")
    def test_postgresql_without_tls(self):
        port = free_port()
        binaries = pathlib.Path(program("initdb", "usr/lib/postgresql/*/bin/initdb")).resolve().parent
        data = self.folder / "data"
        data.mkdir()
        shutil.chown(data, "postgres")
        become = {"user": "postgres", "group": "postgres", "extra_groups": [], "cwd": "/"}
        subprocess.run([binaries / "initdb", "-D", data, "-A", "trust", "-N"], check=True, stdout=subprocess.DEVNULL,
                       **become)
        with started(binaries / "postgres", "-D", data, "-p", port, "-k", data, "-h", "127.0.0.1,::1", port=port,
                     **become):
            self.assertFound(port, "ok", verified="connect")
            self.assertFound(port, "tls-protocol", "--tls", *self.trusting)
            self.assertFound(port, "tls-protocol", "--until", "tls", *self.trusting)

    @needs("mariadbd")
    def test_mariadb(self):
        port = free_port()
        data = self.folder / "data"
        subprocess.run([program("mariadb-install-db"), "--no-defaults", "--user=root", f"--datadir={data}",
                        "--skip-test-db", "--auth-root-authentication-method=normal"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with started(program("mariadbd"), "--no-defaults", "--user=root", f"--datadir={data}", f"--port={port}",
                     "--bind-address=*", f"--socket={data}/socket", f"--pid-file={data}/pid", port=port):
            self.assertFound(port, "ok", verified="connect", service="mariadb", message="MariaDB")
            self.assertFound(port, "tls-plaintext-peer", "--tls", *self.trusting)
            self.assertFound(port, "tls-plaintext-peer", "--until", "tls", *self.trusting)


class Plain(ServiceCase):

    @needs("dnsmasq")
    def test_dnsmasq_over_tcp(self):
        port = free_port()
        with started(program("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root",
                     "--no-resolv", "--no-hosts", f"--port={port}", "--listen-address=::1,127.0.0.1",
                     "--bind-interfaces", port=port):
            self.assertFound(port, "ok", verified="connect")


if __name__ == "__main__":
    main()
