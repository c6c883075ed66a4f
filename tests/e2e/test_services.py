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

from harness import IS_ROOT, ROOT, Case, Server, await_that, environment, free_port, hello, main, refusing_port, run
from tls_harness import certificates, has_tls

HOSTS = ["127.0.0.1", "::1"]
PLACES = ["/usr/sbin", "/usr/local/sbin", "/usr/lib/news/bin",
          *sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)]
PATH = os.pathsep.join([*PLACES, os.environ.get("PATH", os.defpath)])
START_S = 60  # databases are made first


def where(program):
    return shutil.which(program, path=PATH)


def version_of(program):
    return subprocess.run([where(program), "--version"], capture_output=True, text=True, timeout=START_S).stdout


def group_of(user):
    return user and pwd.getpwnam(user).pw_gid


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
                                        stderr=self.log, user=user, group=group_of(user), start_new_session=True,
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
        self.port = free_port("::")  # of both families
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
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=self.runs_as(), group=group_of(self.runs_as()),
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

    def assertStarttls(self, protocol, *options):
        """TLS begins, and is verified. Some send more behind it, sooner or later."""
        def check(code, found, address):
            self.assertEqual((code, address["reason"], address["verified"]), (0, "ok", "tls"), found)
            self.assertIn("starttls", address["phases"], found)

        self.each(("--starttls", protocol, "--ca", self.made.ca, *options), check)
        self.each(("--starttls", protocol, "--ca", self.made.ca, "--until", "tls", *options), check)
        self.assertFails("--starttls", protocol, *options, code=6, word="cert-untrusted|cert-no-trust-store")

    def assertNoStarttls(self, protocol, text, *options):
        def check(status, found, address):
            self.assertEqual((status, address["reason"], address["failed_phase"]), (5, "tls-starttls", "starttls"), found)
            self.assertRegex(address["text"], text)

        self.each(("--starttls", protocol, *options), check)

    def identity(self):
        """The server's certificate and key, in files that it may read."""
        self.needs_tls()
        copies = []
        for path in self.made.server:
            copies.append(self.folder / os.path.basename(path))
            shutil.copy(path, copies[-1])
            os.chmod(copies[-1], 0o600)
            if self.runs_as():
                shutil.chown(copies[-1], self.user)
        return copies

    def client(self):
        return "--cert", self.made.client[0], "--key", self.made.client[1]


class ProxyCase(ServiceCase):
    """A proxy in front of a server of ours, which has a name that only the proxy resolves."""

    def check(self, scheme, *options, user="", env=None):
        with Server(listen=[("0",)], announcements=2) as server:
            for host in HOSTS:
                at = f"[{host}]" if ":" in host else host
                url = f"{scheme}://{user}{at}:{self.port}"
                for target in ("localhost", *HOSTS):
                    result = run("--probe", target, str(server.port), "--proxy", url, "--timeout", "4s", "--format",
                                 "json", *options, env=env)
                    found = json.loads(result.out)
                    self.assertEqual((result.code, found["verified"]), (0, "dialogue"), found)
                    self.assertIn("proxy", found["addresses"][0]["phases"])
                result = run("--connect", "localhost", str(server.port), "Ada", "--proxy", url, env=env)
                self.assertDialogue(result, hello(b"Ada"))

    def refuse(self, url, port, *words, target="::1", env=None):
        result = run("--probe", target, str(port), "--proxy", url, "--timeout", "4s", "--format", "json", env=env)
        found = json.loads(result.out)
        self.assertEqual((result.code, found["verdict"]["word"]), (4, "connect-proxy"), found)
        self.assertIn(found["findings"][0]["word"], words, found)
        return found


class Tinyproxy(ProxyCase):
    program = "tinyproxy"

    def serve(self, more=""):
        self.write("conf", f"Port {self.port}\nListen 127.0.0.1\nListen ::1\nTimeout 20\nMaxClients 20\n{more}\n")
        return self.start(where("tinyproxy"), "-d", "-c", self.folder / "conf")

    def test_a_probe_goes_through_it(self):
        with self.serve():
            self.check("http")

    def test_its_refusals_are_distinguished(self):
        with self.serve("ConnectPort 443\n"), refusing_port() as port:
            self.refuse(f"http://[::1]:{self.port}", port, "proxy-refused")
        with self.serve(), refusing_port() as port:
            self.refuse(f"http://[::1]:{self.port}", port, "proxy-target")

    def test_its_user_needs_the_password(self):
        with self.serve("BasicAuth bob hunter2\n"):
            self.check("http", user="bob@", env=environment(TCPGREET_PROXY_PASSWORD="hunter2"))
            self.refuse(f"http://bob@[::1]:{self.port}", 1, "proxy-authentication",
                        env=environment(TCPGREET_PROXY_PASSWORD="wrong"))
            self.refuse(f"http://[::1]:{self.port}", 1, "proxy-authentication")


class Microsocks(ProxyCase):
    program = "microsocks"

    def serve(self, *options):
        """It has one address, which on this socket is both families'."""
        return self.start(where("microsocks"), "-i", "::", "-p", str(self.port), *options)

    def test_a_probe_goes_through_it(self):
        with self.serve():
            self.check("socks5")

    def test_a_refusal_is_that_of_the_target(self):
        with self.serve(), refusing_port() as port:
            found = self.refuse(f"socks5://[::1]:{self.port}", port, "proxy-target")
            self.assertIn("Connection refused", found["verdict"]["text"])

    def test_its_user_needs_the_password(self):
        with self.serve("-u", "bob", "-P", "hunter2"):
            self.check("socks5", user="bob@", env=environment(TCPGREET_PROXY_PASSWORD="hunter2"))
            self.refuse(f"socks5://bob@[::1]:{self.port}", 1, "proxy-authentication",
                        env=environment(TCPGREET_PROXY_PASSWORD="wrong"))
            self.refuse(f"socks5://[::1]:{self.port}", 1, "proxy-authentication")


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
            self.assertFails("--tls", code=6, word="cert-untrusted|cert-no-trust-store")

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

    def serve(self, *options):
        if IS_ROOT and not self.runs_as():
            self.skipTest("PostgreSQL does not run as root, and there is no user postgres")
        data = self.folder / "data"
        self.prepare(pathlib.Path(where("postgres")).parent / "initdb", "-D", data, "-A", "trust", "--no-sync")
        settings = (f"listen_addresses={','.join(HOSTS)}", f"unix_socket_directories={self.folder}", *options)
        return self.start(where("postgres"), "-D", data, "-p", str(self.port), "-F",
                          *(word for setting in settings for word in ("-c", setting)))

    def test_a_server_without_tls(self):
        with self.serve():
            self.assertOK()
            if self.made:
                self.assertFails("--tls", word="tls-protocol|tls-silent-peer")
                self.assertNoStarttls("postgres", r'does not offer STARTTLS \(PostgreSQL\): it sent "N"')

    def test_a_server_with_tls(self):
        certificate, key = self.identity()
        with self.serve("ssl=on", f"ssl_cert_file={certificate}", f"ssl_key_file={key}"):
            self.assertStarttls("postgres")


class MariaDb(ServiceCase):
    program = "mariadbd"
    user = "mysql"

    def serve(self, *options):
        data = self.folder / "data"
        self.prepare("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db",
                     "--auth-root-authentication-method=normal")
        return self.start(where("mariadbd"), "--no-defaults", f"--datadir={data}", f"--port={self.port}",
                          f"--socket={self.folder}/socket", f"--bind-address={','.join(HOSTS)}", "--skip-name-resolve",
                          f"--pid-file={self.folder}/pid", "--innodb-buffer-pool-size=16M", *options)

    def test_it_is_identified(self):
        with self.serve("--skip-ssl"):
            self.assertOK(service="mariadb", sent="MariaDB")
            if self.made:
                self.assertFails("--tls", word="tls-plaintext-peer")
                self.assertNoStarttls("mysql", r'does not offer STARTTLS \(MySQL\): it sent ".*MariaDB')

    def test_a_server_with_tls(self):
        certificate, key = self.identity()
        with self.serve(f"--ssl-cert={certificate}", f"--ssl-key={key}"):
            self.assertStarttls("mysql")


class Postfix(ServiceCase):
    program = "postfix"

    def serve(self, more=""):
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
{more}""")
        smtpd = "inet n - n - - smtpd\n"
        self.write("conf/master.cf", f"127.0.0.1:{self.port} {smtpd}[::1]:{self.port} {smtpd}"
                                     "anvil unix - - n - 1 anvil\nrewrite unix - - n - - trivial-rewrite\n"
                                     "tlsmgr unix - - n 1000? 1 tlsmgr\n")
        return self.start(where("postfix"), "-c", self.folder / "conf", "start-fg")

    def test_it_is_identified(self):
        with self.serve():
            self.assertOK(service="smtp", sent=r"^220 mail\.example ESMTP Postfix")
            self.assertExchange("--expect", "^220 ", "--send", r"EHLO probe.example\r\n", "--reject", "^5", "--expect",
                                "^250 ", "--send", r"QUIT\r\n", "--expect", "^221 ", line="^221 ")
            if self.made:
                self.assertFails("--tls", word="tls-plaintext-peer")
                self.assertNoStarttls("smtp", r'does not offer STARTTLS \(SMTP\): it sent "250-mail\.example')

    def test_a_server_with_tls(self):
        certificate, key = self.identity()
        with self.serve(f"smtpd_tls_cert_file = {certificate}\nsmtpd_tls_key_file = {key}\n"
                        "smtpd_tls_security_level = may\n"):
            self.assertStarttls("smtp")


class Dovecot(ServiceCase):
    program = "dovecot"
    login = {"imap": "imap-login", "pop3": "pop3-login", "sieve": "managesieve-login", "lmtp": "lmtp"}

    def serve(self, protocol, tls):
        if not IS_ROOT:
            self.skipTest("Dovecot is started by root only")
        if not list(pathlib.Path("/usr/lib/dovecot").glob(self.login[protocol] + "*")):
            self.skipTest(f"Dovecot's {protocol} is not installed (scripts/test --services)")
        os.chmod(self.folder, 0o755)
        if not version_of("dovecot").startswith("2.3"):
            return self.serve_2_4(protocol, tls)
        listeners = f"inet_listener {protocol} {{\n port = {self.port}\n address = {' '.join(HOSTS)}\n }}\n"
        if protocol in ("imap", "pop3"):
            listeners += f"inet_listener {protocol}s {{\n port = 0\n }}\n"
        certificate, key = self.identity()
        self.write("conf", f"""protocols = {protocol}
base_dir = {self.folder}/run
state_dir = {self.folder}/state
log_path = /dev/stderr
ssl = {"yes" if tls else "no"}
ssl_cert = <{certificate}
ssl_key = <{key}
passdb {{
 driver = static
 args = nopassword=y
}}
userdb {{
 driver = static
 args = uid=65534 gid=65534 home=/nonexistent
}}
service {self.login[protocol]} {{
 {listeners}}}
""")
        return self.start(where("dovecot"), "-F", "-c", self.folder / "conf")

    def serve_2_4(self, protocol, tls):
        certificate, key = self.identity()
        plain = f"inet_listener {protocol} {{\n port = {self.port}\n listen = {' '.join(HOSTS)}\n }}\n"
        more = f"inet_listener {protocol}s {{\n port = 0\n }}\n" if protocol in ("imap", "pop3") else ""
        self.write("conf", f"""dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = {protocol}
base_dir = {self.folder}/run
state_dir = {self.folder}/state
log_path = /dev/stderr
ssl = {"yes" if tls else "no"}
ssl_server_cert_file = {certificate}
ssl_server_key_file = {key}
passdb static {{
 fields {{
  nopassword = yes
 }}
}}
userdb static {{
 fields {{
  uid = 65534
  gid = 65534
  home = /nonexistent
 }}
}}
service {self.login[protocol]} {{
 {plain}{more}}}
""")
        return self.start(where("dovecot"), "-F", "-c", self.folder / "conf")

    def test_each_of_its_protocols(self):
        for protocol in self.login:
            with self.subTest(protocol=protocol), self.serve(protocol, tls=True):
                self.assertStarttls(protocol)

    def test_each_of_its_protocols_without_tls(self):
        for protocol in self.login:
            with self.subTest(protocol=protocol), self.serve(protocol, tls=False):
                self.assertNoStarttls(protocol, "(does not offer|refused) STARTTLS")


class Vsftpd(ServiceCase):
    program = "vsftpd"

    def serve(self, more=""):
        (self.folder / "empty").mkdir()
        user = "" if IS_ROOT else "run_as_launching_user=YES\n"
        self.write("conf", f"listen_ipv6=YES\nlisten_port={self.port}\nbackground=NO\nanonymous_enable=YES\n{user}"
                           f"secure_chroot_dir={self.folder}/empty\nseccomp_sandbox=NO\n{more}")
        return self.start(where("vsftpd"), self.folder / "conf")

    def test_a_server_with_tls(self):
        certificate, key = self.identity()
        with self.serve(f"ssl_enable=YES\nrsa_cert_file={certificate}\nrsa_private_key_file={key}\nssl_ciphers=HIGH\n"):
            self.assertStarttls("ftp")

    def test_a_server_without_tls(self):
        self.needs_tls()
        with self.serve():
            self.assertNoStarttls("ftp", r'STARTTLS \(FTP\): it sent "5\d\d ')


class OpenLdap(ServiceCase):
    program = "slapd"

    def serve(self, more=""):
        schema = "/etc/ldap/schema/core.schema", "/etc/openldap/schema/core.schema"
        place = next((path for path in schema if os.path.exists(path)), None)
        if place is None:
            self.skipTest("OpenLDAP's core schema is not there")
        self.write("conf", f"include {place}\npidfile {self.folder}/pid\n{more}")
        uris = " ".join(f"ldap://{host}:{self.port}" for host in ("127.0.0.1", "[::1]"))
        return self.start(where("slapd"), "-d", "0", "-f", self.folder / "conf", "-h", uris)

    def test_a_server_with_tls(self):
        certificate, key = self.identity()
        with self.serve(f"TLSCertificateFile {certificate}\nTLSCertificateKeyFile {key}\n"):
            self.assertStarttls("ldap")

    def test_a_server_without_tls(self):
        self.needs_tls()
        with self.serve():
            self.assertNoStarttls("ldap", r'STARTTLS \(LDAP\): it sent "(protocolError \(2\)|unavailable \(52\))')


class Prosody(ServiceCase):
    program = "prosody"

    def serve(self, ports, tls=True):
        (self.folder / "data").mkdir(exist_ok=True)
        certificate, key = self.identity()
        self.write("conf.lua", f"""run_as_root = true
daemonize = false
pidfile = "{self.folder}/pid"
data_path = "{self.folder}/data"
log = "*console"
interfaces = {{ "127.0.0.1", "::1" }}
c2s_ports = {{ {self.port if ports == "c2s" else ""} }}
s2s_ports = {{ {self.port if ports == "s2s" else ""} }}
modules_enabled = {{ {'"tls", ' if tls else ""}"saslauth", "s2s" }}
modules_disabled = {{ "http" {"" if tls else ', "tls"'} }}
c2s_require_encryption = false
s2s_require_encryption = false
authentication = "internal_hashed"
VirtualHost "localhost"
  ssl = {{ key = "{key}", certificate = "{certificate}" }}
""")
        return self.start(where("prosody"), "-F", "--config", self.folder / "conf.lua")

    def test_clients_and_servers(self):
        for protocol, ports in ("xmpp", "c2s"), ("xmpp-server", "s2s"):
            with self.subTest(protocol=protocol), self.serve(ports):
                self.assertStarttls(protocol, "--servername", "localhost")
                self.assertNoStarttls(protocol, "<host-unknown ", "--servername", "other.example")

    def test_a_server_without_tls(self):
        with self.serve("c2s", tls=False):
            self.assertNoStarttls("xmpp", r"does not offer STARTTLS \(XMPP\)", "--servername", "localhost")


class InspIrcd(ServiceCase):
    program = "inspircd"

    def serve(self):
        for name in "data", "logs":
            (self.folder / name).mkdir()
        certificate, key = self.identity()
        profile = f'certfile="{certificate}" keyfile="{key}" hash="sha256"'
        before_4 = f"<gnutls {profile}>" if "InspIRCd-3" in version_of("inspircd") else ""
        modules = f"""<module name="ssl_gnutls"><module name="starttls">{before_4}
<sslprofile name="Clients" provider="gnutls" {profile}><starttls provider="Clients">"""
        binds = "".join(f'<bind address="{host}" port="{self.port}" type="clients">' for host in HOSTS)
        self.write("conf", f"""<server name="irc.example" description="test" network="test">{binds}
{modules}<connect allow="*"><pid file="{self.folder}/pid">
<path datadir="{self.folder}/data" logdir="{self.folder}/logs">
""")
        root = ["--runasroot"] if IS_ROOT else []
        return self.start(where("inspircd"), "--nofork", "--nolog", *root, f"--config={self.folder}/conf")

    def test_a_server_with_tls(self):
        with self.serve():
            self.assertStarttls("irc")


class Inn(ServiceCase):
    program = "nnrpd"
    user = "news"

    def setUp(self):
        super().setUp()
        if not self.runs_as():
            self.skipTest("only root can start nnrpd: no other user than news can execute its innbind")

    def serve(self, more=""):
        """The server for readers alone, which finds an empty overview database."""
        for name in "etc", "overview":
            (self.folder / name).mkdir()
            shutil.chown(self.folder / name, self.user)
        self.write("etc/readers.conf", 'auth a { hosts: "*" default: <r> }\naccess a { users: <r> newsgroups: "*" }\n')
        self.write("etc/storage.conf", "method trash { newsgroups: * class: 0 }\n")
        self.write("active", "")
        conf = self.write("inn.conf", f"""mta: "/bin/false %s"
organization: test
domain: example.org
pathhost: news.example.org
pathnews: {os.path.dirname(os.path.dirname(where("nnrpd")))}
{"".join(f"path{name}: {self.folder}" + chr(10) for name in ("db", "run", "log", "tmp", "spool"))}
pathetc: {self.folder}/etc
pathoverview: {self.folder}/overview
hismethod: hisv6
enableoverview: true
ovmethod: tradindexed
nnrpdloadlimit: 0
runasuser: {self.user}
runasgroup: {self.user}
{more}""")
        self.prepare("env", f"INNCONF={conf}", where("overchan"))
        return self.start("env", f"INNCONF={conf}", where("nnrpd"), "-D", "-f", "-p", str(self.port), "-4", HOSTS[0],
                          "-6", HOSTS[1])

    def test_a_server_with_tls(self):
        certificate, key = self.identity()
        with self.serve(f"tlscertfile: {certificate}\ntlskeyfile: {key}\n"):
            self.assertStarttls("nntp")
            self.assertOK(service="nntp", sent=r"^20[01] .*InterNetNews")
            self.assertFails("--tls", word="tls-plaintext-peer")

    def test_a_server_without_tls(self):
        self.needs_tls()
        with self.serve():
            self.assertNoStarttls("nntp", r'STARTTLS \(NNTP\): it sent "(500|502|580) ')


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
