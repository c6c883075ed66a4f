#!/usr/bin/env python3
"""The sandbox: what an intruder inside the running program could do, and what works as before."""

import contextlib
import errno
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

import harness
from harness import Case, Peer, Server, await_that, listening, run
from test_exporter import Exporter, HAS_HTTP, HAS_TLS

if HAS_TLS:
    import tls_harness

INSIDE = os.environ.get("TCPGREET_INSIDE")
VERSION = run("--version").out.decode()
HAS_SECCOMP = "no libseccomp" not in VERSION and "not used" not in VERSION
HAS_LANDLOCK = "Landlock 0" not in VERSION and not harness.SANITIZED and "instrumented" not in VERSION
OTHER = "daemon"
needs_root = unittest.skipUnless(harness.IS_ROOT, "needs root")
needs_tls = unittest.skipUnless(HAS_TLS, "built without TLS")
needs_all = unittest.skipUnless(HAS_SECCOMP and HAS_LANDLOCK, "needs seccomp and Landlock in kernel and build")
needs_inside = unittest.skipUnless(INSIDE and not harness.SANITIZED, "cannot preload a library into this build")


def inside(**more):
    return harness.environment(LD_PRELOAD=INSIDE, **more)


def greet(server):
    """One dialogue."""
    with Peer(server) as peer:
        peer.expect(harness.OPENING).send(b"Bob\n").expect(harness.hello(b"Bob"))


def tried(server):
    """What was tried inside: name to "ok" or the error's name."""
    line = server.log.expect("^inside: (.*)")[0][1]
    return {what: errno.errorcode.get(int(number), "ok") for what, number in (word.split("=") for word in line.split())}


def statuses(pid):
    """Of each thread, the fields of /proc/PID/status."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        text = (task / "status").read_text()
        found.append(dict(re.findall(r"^(\w+):\s*(.*?)\s*$", text, re.M)))
    return found


def helper_of(server):
    """The process id of the one that opens files for a server."""
    children = pathlib.Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return int(children[0]) if children else None


REFUSED = {"EPERM", "EACCES"}


class Documented(Case):
    def test_every_call_of_the_filter_is_explained(self):
        source = (harness.ROOT / "src/os/seccomp.c").read_text()
        calls = set(re.findall(r'\{"(\w+)", [A-Z]', source)) | set(re.findall(r'allow_\w+\(filter, "(\w+)"', source))
        calls |= set(re.findall(r'answer\(filter, [^"]*"(\w+)"', source))
        calls |= set(re.findall(r'"(\w+)"', re.search(r"unknown_calls\[\] = \{(.*?)\}", source, re.S)[1]))
        text = (harness.ROOT / "docs/hardening.md").read_text()
        table = text[text.index("| calls | for"):text.index("So a server cannot")]
        listed = {word for row in table.splitlines() if row for word in re.findall(r"`([a-z_][a-z0-9_]*)`", row.split("|")[1])}
        self.assertEqual(calls, listed)


@needs_inside
class Inside(Case):
    @needs_all
    def test_an_intruder_in_a_server_can_do_nothing(self):
        with Server(env=inside(INSIDE_FILE=__file__)) as server:
            greet(server)
            results = tried(server)
            greet(server)
        self.assertEqual(set(results), {"execve", "passwd", "foreign", "create", "listen", "connect", "kill", "ptrace",
                                        "code"})
        for what, result in results.items():
            self.assertIn(result, REFUSED, what)

    def test_without_a_sandbox_all_of_it_succeeds(self):
        with Server("--no-sandbox", env=inside(INSIDE_FILE=__file__)) as server:
            greet(server)
            results = tried(server)
        self.assertRegex(server.log.raw().decode(), r"Sandbox: off \(--no-sandbox\)\n")
        self.assertEqual({what for what, result in results.items() if result != "ok"} - {"ptrace"}, set(), results)

    @needs_all
    @needs_tls
    def test_an_intruder_in_a_tls_server_can_read_the_folder_of_its_files_only(self):
        certificates = tls_harness.Certificates()
        with Server("--tls", *certificates.serve(), env=inside(INSIDE_FILE=certificates.ca)) as server:
            with socket.create_connection((server.host, server.port)):
                results = tried(server)
        own = results.pop("foreign")
        self.assertEqual(own, "EACCES" if harness.IS_ROOT else "ok")  # root's server has its files opened by another
        for what, result in results.items():
            self.assertIn(result, REFUSED, what)

    @needs_all
    @unittest.skipUnless(HAS_HTTP, "built without libmicrohttpd")
    def test_an_intruder_in_an_exporter_can_connect_and_look_up_names(self):
        with listening("127.0.0.1") as target, Exporter(env=inside(INSIDE_FILE=__file__)) as exporter:
            status, _, text = exporter.probe(f"localhost:{target.getsockname()[1]}", until="connect", ipv4="1")
            self.assertEqual(status, 200)
            self.assertIn("\nprobe_success 1", text)
            results = tried(exporter)
        allowed = {"passwd", "connect", "code"}
        for what in allowed:
            self.assertEqual(results.pop(what), "ok", what)
        for what, result in results.items():
            self.assertIn(result, REFUSED, what)

    @unittest.skipUnless(HAS_HTTP, "built without libmicrohttpd")
    def test_without_a_sandbox_an_intruder_in_an_exporter_can_do_all(self):
        with Exporter("--no-sandbox", env=inside(INSIDE_FILE=__file__)) as exporter:
            exporter.get("/healthz")
            results = tried(exporter)
        self.assertEqual({what for what, result in results.items() if result != "ok"} - {"ptrace"}, set(), results)


class Threads(Case):
    @needs_all
    def test_every_thread_is_confined(self):
        servers = [Server("--workers", "3")]
        if HAS_HTTP:
            servers.append(Exporter())
        for server in servers:
            with self.subTest(server.__class__.__name__), server:
                await_that(lambda: re.search(rb"Sandbox: .*seccomp\n", server.log.raw()), "the line of the sandbox")
                found = statuses(server.process.pid)
                self.assertGreaterEqual(len(found), 2)
                for status in found:
                    self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
                    self.assertEqual(int(status["CapEff"], 16) | int(status["CapPrm"], 16) | int(status["CapInh"], 16), 0)
                    if harness.IS_ROOT:
                        self.assertEqual(int(status["CapBnd"], 16), 0)

    @needs_root
    def test_the_memory_of_a_server_is_of_no_other_process(self):
        user = pwd.getpwnam(OTHER)
        wrap = ["setpriv", "--reuid", OTHER, "--regid", str(user.pw_gid), "--clear-groups"]
        if not shutil.which("setpriv") or run("--version", wrap=wrap).code != 0:
            self.skipTest("another user cannot execute this build, or there is no setpriv")
        for options, owner in ((), 0), (("--no-sandbox",), user.pw_uid):
            with self.subTest(options=options), Server(*options, wrap=wrap) as server:
                self.assertEqual(os.stat(f"/proc/{server.process.pid}/environ").st_uid, owner)

    def test_the_command_of_a_probe_inherits_nothing(self):
        with Server() as server, tempfile.TemporaryDirectory(prefix="tcpgreet-e2e-") as folder:
            look = f"cat /proc/self/status; echo written > {folder}/file"
            done = run("--probe", server.host, str(server.port), "--", "sh", "-c", look)
            self.assertEqual(done.code, 0, done)
            self.assertEqual(pathlib.Path(folder, "file").read_text(), "written\n")
        status = dict(re.findall(r"^(\w+):\s*(.*?)\s*$", done.out.decode(), re.M))
        mine = dict(re.findall(r"^(\w+):\s*(.*?)\s*$", pathlib.Path("/proc/self/status").read_text(), re.M))
        for field in ("NoNewPrivs", "Seccomp", "CapEff", "CapBnd"):
            self.assertEqual(status[field], mine[field], field)


@needs_tls
@needs_root
@unittest.skipIf(harness.SANITIZED, "a sanitizer keeps what was freed")
class Memory(Case):
    """What a server that has read its keys still has in memory."""

    def content(self, memory, place, last):
        """All but guard pages, which newer kernels and C libraries keep within a mapping."""
        found = bytearray()
        while place < last:
            memory.seek(place)
            try:
                part = memory.read(last - place)
            except OSError as why:
                self.assertEqual(why.errno, errno.EIO)
                part = b""
            found += part
            place += len(part) or os.sysconf("SC_PAGESIZE")
        return bytes(found)

    def count(self, server, secrets):
        found = {}
        pid = server.process.pid
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                place, rights = line.split()[:2]
                if not rights.startswith("rw"):
                    continue
                data = self.content(memory, *(int(end, 16) for end in place.split("-")))
                for name, secret in secrets.items():
                    found[name] = found.get(name, 0) + data.count(secret)
        return found

    def test_no_text_of_a_key_and_no_pass_phrase_stays_in_memory(self):
        certificates = tls_harness.Certificates()
        folder = tls_harness.folder()
        cert, key = certificates.server
        phrase, sealed, tickets = folder / "phrase", folder / "sealed.key", folder / "tickets"
        for path, content in ((phrase, b"correct horse battery staple\n"), (tickets, os.urandom(80))):
            path.write_bytes(content)
            path.chmod(0o600)
        subprocess.run(["openssl", "pkcs8", "-topk8", "-in", key, "-out", sealed, "-passout", f"file:{phrase}"], check=True)
        sealed.chmod(0o600)
        secrets = {"key": pathlib.Path(key).read_bytes().splitlines()[1], "phrase": b"correct horse battery",
                   "sealed": sealed.read_bytes().splitlines()[2], "tickets": tickets.read_bytes()}
        for options in (("--key", key), ("--key", str(sealed), "--key-passphrase-file", str(phrase))):
            with self.subTest(options=options), Server("--tls", "--cert", cert, *options, "--workers", "1",
                                                       "--ticket-keys", str(tickets)) as server:
                for _ in range(2):
                    server.reload()
                with tls_harness.tls_peer(server, tls_harness.client_context()) as peer:
                    peer.expect(harness.OPENING)
                # Of the ticket keys there is the one that is in use: it shows that the memory is looked through.
                self.assertEqual(self.count(server, secrets), {"key": 0, "phrase": 0, "sealed": 0, "tickets": 1})


class User(Case):
    @needs_root
    def test_a_server_becomes_the_user_with_its_groups(self):
        user = pwd.getpwnam(OTHER)
        with Server("--user", OTHER, "--workers", "2") as server:
            greet(server)
            for status in statuses(server.process.pid):
                self.assertEqual(status["Uid"].split(), [str(user.pw_uid)] * 4)
                self.assertEqual(status["Gid"].split(), [str(user.pw_gid)] * 4)
                self.assertEqual(sorted(map(int, status["Groups"].split())), sorted(os.getgrouplist(OTHER, user.pw_gid)))
        self.assertNotIn("runs as root", server.log.raw().decode())

    @needs_root
    def test_a_server_of_root_is_warned(self):
        with Server() as server:
            pass
        self.assertRegex(server.log.raw().decode(), "warning: This server runs as root: use --user NAME")

    @needs_root
    def test_a_server_that_only_changes_its_user_reports_that(self):
        with Server("--user", OTHER, "--no-sandbox") as server:
            pass
        self.assertIn(f"Sandbox: user {OTHER}; not active: everything else (--no-sandbox)\n", server.log.raw().decode())

    @needs_root
    def test_what_is_not_active_is_reported_of_each_process(self):
        if not shutil.which("setpriv"):
            self.skipTest("needs setpriv")
        wrap = ["setpriv", "--bounding-set", "-setpcap"]
        with Server(wrap=wrap) as server:
            pass
        self.assertRegex(server.log.raw().decode(), r"Sandbox: .*not active: .*an empty bounding set\n")
        if not HAS_TLS:
            return
        with Server("--tls", *tls_harness.Certificates().serve(), wrap=wrap) as server:
            pass
        self.assertRegex(server.log.raw().decode(),
                         r"Sandbox: .*not active: .*an empty bounding set; not active in tcpgreet-files: an empty bounding set")

    @needs_root
    @unittest.skipUnless(HAS_HTTP, "built without libmicrohttpd")
    def test_an_exporter_becomes_the_user(self):
        with Exporter("--user", OTHER) as exporter:
            self.assertEqual(exporter.get("/healthz")[0], 200)
            for status in statuses(exporter.process.pid):
                self.assertEqual(status["Uid"].split(), [str(pwd.getpwnam(OTHER).pw_uid)] * 4)

    @unittest.skipUnless(HAS_HTTP, "built without libmicrohttpd")
    def test_an_exporter_reports_about_itself(self):
        for options in ((), ("--no-sandbox",)) + ((("--user", OTHER),) if harness.IS_ROOT else ()):
            with self.subTest(options=options), Exporter(*options) as exporter:
                text = exporter.get("/metrics")[2]
                for name in ("process_open_fds", "process_resident_memory_bytes", "process_cpu_seconds_total"):
                    self.assertRegex(text, rf"(?m)^{name} [0-9.]*[1-9]")

    def test_a_user_that_is_unknown_or_root_is_a_usage_error(self):
        for name, why in (("no-such-user", "there is no user of this name (give a name, not a number or a group; "
                                          "getent passwd lists them)"),
                          ("0", "there is no user of this name"), ("daemon:daemon", "there is no user of this name"),
                          ("root", "this user is root, and would keep its rights (name another user)")):
            done = run("--listen", "::1", "0", "--user", name)
            self.assertEqual(done.code, 2, done)
            self.assertIn(f"--user {name}: {why}", done.err.decode())

    def test_a_user_needs_root(self):
        if harness.IS_ROOT:
            if not shutil.which("setpriv"):
                self.skipTest("needs setpriv")
            wrap = ["setpriv", "--reuid", OTHER, "--clear-groups"]
        else:
            wrap = []
        done = run("--listen", "::1", "0", "--user", OTHER, wrap=wrap)
        if b"Permission denied" in done.err and b"--user" not in done.err:
            self.skipTest("another user cannot execute this build")
        self.assertEqual(done.code, 8, done)
        self.assertRegex(done.err.decode(), "only root can become another user, and this process runs as user .*leave --user out")


@needs_tls
class Reload(Case):
    def shown(self, server):
        with tls_harness.tls_peer(server, tls_harness.client_context()) as peer:
            return peer.socket.getpeercert(True)

    def reload_by(self, place, *options):
        """place(certificates) puts files where the paths that it returns lead to, again and again."""
        first, second = tls_harness.Certificates(), tls_harness.Certificates()
        cert, key = place(first)
        with Server("--tls", "--cert", str(cert), "--key", str(key), *options) as server:
            self.assertEqual(self.shown(server), tls_harness.fingerprint(first.server[0]))
            place(second)
            server.reload()
            await_that(lambda: self.shown(server) == tls_harness.fingerprint(second.server[0]), "the new certificate")
            server.reload()

    def test_files_that_are_replaced_by_rename(self):
        folder = tls_harness.folder()

        def place(certificates):
            for path, name in zip(certificates.server, ("tls.crt", "tls.key")):
                shutil.copy(path, folder / "new")
                os.rename(folder / "new", folder / name)
            return folder / "tls.crt", folder / "tls.key"
        self.reload_by(place)

    def test_a_folder_that_is_exchanged_as_kubernetes_does(self):
        folder = tls_harness.folder()
        self.reload_by(lambda certificates: tls_harness.put_volume(folder, certificates.server))

    def test_a_path_through_the_link_that_is_exchanged(self):
        folder = tls_harness.folder()

        def through(certificates):
            tls_harness.put_volume(folder, certificates.server)
            return folder / "..data" / "tls.crt", folder / "..data" / "tls.key"
        self.reload_by(through)

    def test_links_that_lead_to_another_folder_as_of_certbot(self):
        folder = tls_harness.folder()
        (folder / "live").mkdir()
        (folder / "archive").mkdir()
        number = []

        def place(certificates):
            number.append(1)
            for path, name in zip(certificates.server, ("tls.crt", "tls.key")):
                shutil.copy(path, folder / "archive" / f"{name}{len(number)}")
                os.symlink(f"../archive/{name}{len(number)}", folder / "live" / "new")
                os.rename(folder / "live" / "new", folder / "live" / name)
            return folder / "live" / "tls.crt", folder / "live" / "tls.key"
        self.reload_by(place)

    @needs_root
    def test_keys_of_root_are_loaded_again_by_another_user(self):
        folder = tls_harness.folder()
        folder.chmod(0o700)

        def place(certificates):
            for path, name in zip(certificates.server, ("tls.crt", "tls.key")):
                shutil.copy(path, folder / "new")
                os.chmod(folder / "new", 0o600)
                os.chown(folder / "new", 0, 0)
                os.rename(folder / "new", folder / name)
            return folder / "tls.crt", folder / "tls.key"
        self.reload_by(place, "--user", OTHER)
        self.reload_by(place, "--user", OTHER, "--no-sandbox")

    @needs_root
    def test_every_file_of_root_is_loaded_again_by_another_user(self):
        certificates = tls_harness.Certificates()
        certificates.folder.chmod(0o700)
        tickets = certificates.folder / "tickets"
        tickets.write_bytes(os.urandom(80))
        tickets.chmod(0o600)
        with Server("--tls", *certificates.serve(), "--client-ca", certificates.ca, "--client-auth", "request",
                    "--ticket-keys", str(tickets), "--user", OTHER) as server:
            server.reload()
            server.reload()

    @needs_root
    def test_a_folder_that_cannot_be_watched_by_the_other_user_is_named(self):
        made = [tls_harness.Certificates() for _ in range(3)]
        base = tls_harness.folder()

        def put(certificates, name):
            for path, file in zip(certificates.server, ("tls.crt", "tls.key")):
                shutil.copy(path, base / "new")
                os.rename(base / "new", base / name / file)

        def is_shown(certificates):
            return lambda: self.shown(server) == tls_harness.fingerprint(certificates.server[0])

        for mode in (0o755, 0o700):
            base.chmod(mode)
            for name in ("v1", "v2"):
                (base / name).mkdir(mode=0o700, exist_ok=True)
            put(made[0], "v1")
            put(made[1], "v2")
            os.symlink("v1", base / "link")
            os.rename(base / "link", base / "cur")
            with Server("--tls", "--cert", str(base / "cur/tls.crt"), "--key", str(base / "cur/tls.key"), "--watch",
                        "--user", OTHER) as server:
                put(made[2], "v1")
                await_that(is_shown(made[2]), "the new certificate")
                self.assertNotIn(b"cannot be noticed", server.log.bytes())
                os.symlink("v2", base / "link")
                os.rename(base / "link", base / "cur")
                server.log.expect(rf"Changes in {base}/(v2|cur) cannot be noticed \(permission denied\): send SIGHUP")
                await_that(is_shown(made[1]), "the certificate where the link leads")
                put(made[0], "v2")
                server.reload()
                await_that(is_shown(made[0]), "the certificate after SIGHUP")

    @needs_root
    def test_a_directory_of_cas_must_be_readable_by_the_other_user(self):
        certificates, place = tls_harness.Certificates(), tls_harness.folder()
        name = tls_harness.openssl("x509", "-in", certificates.ca, "-noout", "-hash").decode().strip()
        shutil.copy(certificates.ca, place / f"{name}.0")
        for mode in (0o755, 0o700):
            place.chmod(mode)
            with Server("--tls", *certificates.serve(), "--client-ca", str(place), "--client-auth", "request",
                        "--user", OTHER) as server:
                server.send_signal(signal.SIGHUP)
                server.log.expect("Certificates reloaded" if mode == 0o755 else
                                  f"Cannot reload .*: --client-ca {place} cannot be read: Permission denied "
                                  r"\(the server's user, that of --user, must be allowed to read it\)")

    @needs_root
    def test_files_that_are_readable_by_root_only_through_a_capability(self):
        folder = tls_harness.folder()
        os.chown(folder, pwd.getpwnam(OTHER).pw_uid, -1)
        folder.chmod(0o700)

        def place(certificates):
            for path, name in zip(certificates.server, ("tls.crt", "tls.key")):
                shutil.copy(path, folder / name)
                os.chmod(folder / name, 0o600)
                os.chown(folder / name, pwd.getpwnam(OTHER).pw_uid, -1)
            return folder / "tls.crt", folder / "tls.key"
        self.reload_by(place)

    @needs_root
    def test_the_helper_process_has_one_right_and_ends_with_its_server(self):
        certificates = tls_harness.Certificates()
        read_search = 1 << 2
        with Server("--tls", *certificates.serve(), "--user", OTHER, ends_with=-signal.SIGKILL) as server:
            helper = helper_of(server)
            self.assertIsNotNone(helper)
            status, = statuses(helper)
            self.assertEqual(int(status["CapEff"], 16) & ~read_search, 0)
            self.assertEqual(int(status["CapBnd"], 16), 0)
            if HAS_SECCOMP:
                self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
            links = {os.readlink(f"/proc/{helper}/fd/{fd}") for fd in os.listdir(f"/proc/{helper}/fd")}
            self.assertEqual({link for link in links if not link.startswith("socket:")}, {"/dev/null"})
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
                os.kill(helper, number)
            server.reload()
            server.process.kill()
            server.wait()
            await_that(lambda: not os.path.exists(f"/proc/{helper}") or
                       statuses(helper)[0]["State"].startswith("Z"), "the helper process ends")

    @needs_root
    def test_a_reload_without_its_helper_process_fails_and_changes_nothing(self):
        certificates = tls_harness.Certificates()
        with Server("--tls", *certificates.serve(), "--user", OTHER) as server:
            os.kill(helper_of(server), signal.SIGKILL)
            server.log.expect("The process that opens files has ended: files cannot be loaded again until a restart")
            await_that(lambda: helper_of(server) is None, "the helper process is not a zombie")
            server.send_signal(signal.SIGHUP)
            server.log.expect("Cannot reload the certificates, keeping the current ones: .*: the process that opens files has "
                              "ended: restart the server")
            self.shown(server)
        self.assertEqual(server.log.bytes().count(b"The process that opens files has ended"), 1)

    @contextlib.contextmanager
    def reloading(self, **more):
        """A server that waits for its helper process, which is stopped, to open a file."""
        certificates = tls_harness.Certificates()
        with Server("--tls", *certificates.serve(), "--user", OTHER, **more) as server:
            helper = helper_of(server)
            os.kill(helper, signal.SIGSTOP)
            try:
                server.send_signal(signal.SIGHUP)
                yield server
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(helper, signal.SIGCONT)

    @needs_root
    def test_signals_have_their_effect_while_files_are_read(self):
        with self.reloading() as server:
            server.send_signal(signal.SIGUSR1)
            server.log.expect("Cannot reload")
            self.assertLess(server.log.bytes().index(b"Counters"), server.log.bytes().index(b"Cannot reload"))

    @needs_root
    def test_a_server_ends_while_files_are_read(self):
        with self.reloading() as server:
            server.send_signal(signal.SIGTERM)
            server.wait()
        self.assertNotIn(b"Cannot reload", server.log.bytes())

    @needs_root
    def test_signals_do_not_prolong_the_wait_for_a_stopped_helper_process(self):
        certificates = tls_harness.Certificates()
        failed = "Cannot reload the certificates, keeping the current ones: .*timed out"
        with Server("--tls", *certificates.serve(), "--user", OTHER) as server:
            helper = helper_of(server)
            os.kill(helper, signal.SIGSTOP)
            over = threading.Event()

            def signals():
                while not over.wait(0.2):
                    server.send_signal(signal.SIGHUP)
            thread = threading.Thread(target=signals)
            thread.start()
            try:
                server.log.expect(failed)
            finally:
                over.set()
                thread.join()
                os.kill(helper, signal.SIGCONT)

            def reloaded():
                server.send_signal(signal.SIGHUP)
                return b"Certificates reloaded" in server.log.bytes()
            await_that(reloaded, "the helper process serves again")
            self.shown(server)


if __name__ == "__main__":
    harness.main()
