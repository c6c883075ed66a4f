"""The probe at real services, each started here on a free port of both families: a service that is not installed is
skipped (scripts/test --services installs them). Each verdict stands within 4 s: the probe's own --timeout holds it."""

import contextlib
import glob
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile

from harness import IS_ROOT, ROOT, Case, await_that, environment, main, run
from tls_harness import certificates, has_tls

FAMILIES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
HOSTS = [host for _, host in FAMILIES]
PLACES = ["/usr/sbin", "/usr/local/sbin", *sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)]
PATH = os.pathsep.join([*PLACES, os.environ.get("PATH", os.defpath)])
START_S = 60  # databases are made first


def where(program):
    return shutil.which(program, path=PATH)


def free_port():
    """One that is free on both loopback addresses."""
    while True:
        with contextlib.ExitStack() as stack:
            first, second = (stack.enter_context(socket.socket(family)) for family, _ in FAMILIES)
            first.bind((HOSTS[0], 0))
            with contextlib.suppress(OSError):
                second.bind((HOSTS[1], first.getsockname()[1]))
                return first.getsockname()[1]


def listens(host, port):
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


class Service:
    """A program that runs in a folder of its own until the end of the with block."""

    def __init__(self, *args, cwd, port, user=None):
        self.port = port
        self.log = open(pathlib.Path(cwd) / "log", "wb")
        self.process = subprocess.Popen([os.fspath(a) for a in args], cwd=cwd, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, user=user, start_new_session=True,
                                        env=environment(PATH=PATH, HOME=os.fspath(cwd)))

    def is_up(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.process.args[0]} ended: " + pathlib.Path(self.log.name).read_text(errors="replace"))
        return all(listens(host, self.port) for host in HOSTS)

    def __enter__(self):
        try:
            await_that(self.is_up, f"{self.process.args[0]} to listen on port {self.port}", limit_s=START_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(START_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.log.close()


class ServiceCase(Case):
    program = None
    user = None  # it refuses to run as root
    limit_s = 2 * START_S

    def setUp(self):
        super().setUp()
        if not where(self.program):
            self.skipTest(f"{self.program} is not installed (scripts/test --services)")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tcpgreet-service-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.port = free_port()
        self.made = certificates() if has_tls() else None
        if self.runs_as():
            os.chmod(self.folder, 0o755)
            shutil.chown(self.folder, self.user)

    def runs_as(self):
        return self.user if IS_ROOT and self.user in [entry.pw_name for entry in pwd.getpwall()] else None

    def needs_tls(self):
        if not self.made:
            self.skipTest("this program was built without TLS")

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def prepare(self, *args):
        subprocess.run([os.fspath(a) for a in args], cwd=self.folder, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=self.runs_as(),
                       env=environment(PATH=PATH, HOME=os.fspath(self.folder)))

    def start(self, *args):
        return Service(*args, cwd=self.folder, port=self.port, user=self.runs_as())

    def each(self, options, check):
        """check(exit status, JSON result, its only address) for each family."""
        for host in HOSTS:
            with self.subTest(host=host, options=options):
                result = run("--probe", host, str(self.port), "--timeout", "4s", "--format", "json", *options)
                found = json.loads(result.out)
                address, = found["addresses"]
                check(result.code, found, address)

    def assertOK(self, *options, verified="connect", service=None, sent=None):
        def check(code, found, address):
            self.assertEqual((code, found["verdict"]["word"]), (0, "ok"), found)
            self.assertEqual((address["verified"], address["service"]), (verified, service), found)
            if sent is None:
                self.assertIsNone(address["peer_said"], found)
            else:
                self.assertRegex(address["peer_said"], sent)

        self.each(options, check)

    def assertExchange(self, *options, line):
        if b"PCRE2" not in run("--version").out:
            self.skipTest("this program was built without PCRE2")

        def check(code, found, address):
            self.assertEqual((code, found["verdict"]["word"], found["verified"]), (0, "ok", "exchange"), found)
            self.assertRegex(address["peer_said"], line)

        self.each(options, check)

    def assertFails(self, *options, code=5, word):
        def check(status, found, address):
            self.assertEqual(status, code, found)
            self.assertRegex(address["reason"], f"^({word})$", found)

        self.each(options, check)

    def ca(self):
        self.needs_tls()
        return "--tls", "--ca", self.made.ca

    def client(self):
        return "--cert", self.made.client[0], "--key", self.made.client[1]


class Nginx(ServiceCase):
    program = "nginx"

    def serve(self, tls=False, more=""):
        identity = f"ssl_certificate {self.made.server[0]}; ssl_certificate_key {self.made.server[1]};" if tls else ""
        listen = "".join(f"listen {at}:{self.port}{' ssl' if tls else ''}; " for at in ("127.0.0.1", "[::1]"))
        self.write("conf", f"""
            daemon off; pid {self.folder}/pid; error_log stderr; worker_processes 1;
            {"user root;" if IS_ROOT else ""}
            events {{ worker_connections 64; }}
            http {{ access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u;
                    scgi_temp_path s; server {{ {listen} {identity} {more} return 204; }} }}""")
        return self.start(where("nginx"), "-p", self.folder, "-c", self.folder / "conf")

    def test_a_plain_server_waits_for_its_client(self):
        with self.serve():
            self.assertOK()
            self.assertOK("--until", "connect")

    GET = "--send", r"GET / HTTP/1.0\r\n\r\n", "--expect", r"^HTTP/1\.[01] 204 "

    def test_a_request_is_answered(self):
        with self.serve():
            self.assertExchange(*self.GET, line=r"^HTTP/1\.1 204 No Content$")

    def test_a_request_is_answered_over_tls(self):
        options = self.ca()
        with self.serve(tls=True):
            self.assertExchange(*options, *self.GET, line=r"^HTTP/1\.1 204 No Content$")

    def test_a_plain_server_is_not_a_tls_server(self):
        self.needs_tls()
        with self.serve():
            self.assertFails("--tls", word="tls-plaintext-peer")
            self.assertFails("--until", "tls", word="tls-plaintext-peer")

    def test_a_tls_server(self):
        options = self.ca()
        with self.serve(tls=True):
            self.assertOK(*options, verified="tls")
            self.assertOK(*options, "--until", "tls", verified="tls")
            self.assertOK()  # it sends nothing before a ClientHello
            self.assertFails("--tls", code=6, word="cert-untrusted")

    def test_a_client_certificate_that_nginx_demands_above_tls_is_only_requested_by_tls(self):
        options = self.ca()
        with self.serve(tls=True, more=f"ssl_client_certificate {self.made.ca}; ssl_verify_client on;"):
            self.assertOK(*options, verified="tls")
            self.assertOK(*options, *self.client(), verified="tls")
            self.assertOK(*options, "--until", "tls", verified="tls")


class Redis(ServiceCase):
    program = "redis-server"

    def serve(self, *options, tls=False):
        ports = ("--port", "0", "--tls-port", str(self.port)) if tls else ("--port", str(self.port))
        return self.start(where("redis-server"), *ports, "--bind", *HOSTS, "--save", "", "--dir", self.folder, *options)

    def over_tls(self, clients):
        certificate, key = self.made.server
        return self.serve("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", self.made.ca,
                          "--tls-auth-clients", clients, tls=True)

    def test_a_plain_server_waits_for_its_client(self):
        with self.serve():
            self.assertOK()
            self.assertExchange("--send", r"PING\r\n", "--expect", r"^\+PONG$", line=r"^\+PONG$")
            if self.made:
                self.assertFails("--tls", word="tls-(plaintext|silent)-peer|tls-protocol")

    def test_a_tls_server(self):
        options = self.ca()
        with self.over_tls("no"):
            self.assertOK(*options, verified="tls")
            self.assertOK(*options, "--until", "tls", verified="tls")

    def test_a_server_that_requires_client_certificates(self):
        options = self.ca()
        with self.over_tls("yes"):
            self.assertFails(*options, word="tls-client-certificate")
            self.assertFails(*options, "--until", "tls", word="tls-client-certificate")
            self.assertOK(*options, *self.client(), verified="tls")
            self.assertOK(*options, *self.client(), "--until", "tls", verified="tls")


class OpenSsh(ServiceCase):
    program = "sshd"

    def test_it_is_identified(self):
        self.prepare("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / "key")
        if IS_ROOT:
            os.makedirs("/run/sshd", exist_ok=True)  # the service's unit makes it
        self.write("conf", f"HostKey {self.folder}/key\nPidFile none\nUsePAM no\nPort {self.port}\n"
                           "ListenAddress 127.0.0.1\nListenAddress ::1\nStrictModes no\n")
        with self.start(where("sshd"), "-D", "-e", "-f", self.folder / "conf"):
            self.assertOK(service="ssh", sent=r"^SSH-2\.0-OpenSSH")
            if self.made:
                self.assertFails("--tls", word="tls-plaintext-peer")
                self.assertFails("--until", "tls", word="tls-plaintext-peer")


class PostgreSql(ServiceCase):
    program = "postgres"
    user = "postgres"

    def test_a_server_without_tls(self):
        if IS_ROOT and not self.runs_as():
            self.skipTest("PostgreSQL does not run as root, and there is no user postgres")
        data = self.folder / "data"
        self.prepare(pathlib.Path(where("postgres")).parent / "initdb", "-D", data, "-A", "trust", "--no-sync")
        with self.start(where("postgres"), "-D", data, "-p", str(self.port), "-c", f"listen_addresses={','.join(HOSTS)}",
                        "-c", f"unix_socket_directories={self.folder}", "-F"):
            self.assertOK()
            if self.made:
                self.assertFails("--tls", word="tls-protocol|tls-silent-peer")


class MariaDb(ServiceCase):
    program = "mariadbd"
    user = "mysql"

    def test_it_is_identified(self):
        data = self.folder / "data"
        self.prepare("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db",
                     "--auth-root-authentication-method=normal")
        with self.start(where("mariadbd"), "--no-defaults", f"--datadir={data}", f"--port={self.port}",
                        f"--socket={self.folder}/socket", f"--bind-address={','.join(HOSTS)}", "--skip-name-resolve",
                        f"--pid-file={self.folder}/pid", "--innodb-buffer-pool-size=16M"):
            self.assertOK(service="mariadb", sent="MariaDB")
            if self.made:
                self.assertFails("--tls", word="tls-plaintext-peer")


class Postfix(ServiceCase):
    program = "postfix"

    def test_it_is_identified(self):
        if not IS_ROOT:
            self.skipTest("Postfix is started by root only")
        os.chmod(self.folder, 0o755)
        for name in "queue", "data", "conf":
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix")
        self.write("conf/main.cf", f"""compatibility_level = 2
queue_directory = {self.folder}/queue
data_directory = {self.folder}/data
inet_protocols = all
inet_interfaces = all
myhostname = mail.example
mydestination =
local_recipient_maps =
alias_maps =
smtpd_peername_lookup = no
""")
        smtpd = "inet n - n - - smtpd\n"
        self.write("conf/master.cf", f"127.0.0.1:{self.port} {smtpd}[::1]:{self.port} {smtpd}"
                                     "anvil unix - - n - 1 anvil\nrewrite unix - - n - - trivial-rewrite\n")
        with self.start(where("postfix"), "-c", self.folder / "conf", "start-fg"):
            self.assertOK(service="smtp", sent=r"^220 mail\.example ESMTP Postfix")
            self.assertExchange("--expect", "^220 ", "--send", r"EHLO probe.example\r\n", "--reject", "^5", "--expect",
                                "^250 ", "--send", r"QUIT\r\n", "--expect", "^221 ", line="^221 ")
            if self.made:
                self.assertFails("--tls", word="tls-plaintext-peer")


class Dnsmasq(ServiceCase):
    program = "dnsmasq"

    def test_a_name_server_over_tcp_waits_for_its_client(self):
        with self.start(where("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", f"--port={self.port}",
                        "--no-resolv", "--no-hosts", *(f"--listen-address={host}" for host in HOSTS),
                        "--bind-interfaces", "--pid-file=", "--user=root" if IS_ROOT else "--log-facility=-"):
            self.assertOK()
            if self.made:
                self.assertFails("--tls", word="tls-(silent|plaintext)-peer|tls-protocol|tls-timeout")


if __name__ == "__main__":
    main()
