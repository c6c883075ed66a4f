"""What a service manager does with the program: it passes sockets, takes notifications, restarts it, and checks the units."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from harness import (BINARY, LIMIT_S, OPENING, ROOT, TOO_MANY, Case, Lines, Peer, Server, Stuck, connect, environment,
                     free_port, hello, main, run, spawn)
from tls_harness import certificates, has_tls
from test_exporter import Exporter

FIRST_FD = 3


def tcp(host, dual=False, listening=True):
    """A listening socket as systemd opens them."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual)
    made.bind((host, 0))
    if listening:
        made.listen(4096)
    return made


def port_of(listening):
    return listening.getsockname()[1]


class Notifications:
    """A socket for NOTIFY_SOCKET, and what has been sent to it."""

    def __init__(self, abstract=False):
        self._folder = tempfile.mkdtemp(prefix="tcpgreet-e2e-")
        name = os.path.join(self._folder, "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + name if abstract else name)
        self.name = "@" + name if abstract else name
        self.seen = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def read(self, wait_s):
        self._socket.settimeout(wait_s)
        with contextlib.suppress(socket.timeout, BlockingIOError):
            self.seen.append(self._socket.recv(4096).decode())
            return True
        return False

    def expect(self, pattern, count=1, after=0):
        """Waits for messages in which the pattern is found; returns the index behind the last of them."""
        end = time.monotonic() + LIMIT_S
        while True:
            found = [i for i, text in enumerate(self.seen) if i >= after and re.search(pattern, text)]
            if len(found) >= count:
                return found[count - 1] + 1
            left = end - time.monotonic()
            if left <= 0:
                raise Stuck(f"waited for {pattern!r}, was notified of {self.seen}")
            self.read(left)


def passing(sockets, names=None, notify=None, pid="$$", count=None, **variables):
    """Popen's options and a wrap: the program finds these descriptors from 3 on, as sd_listen_fds(3) describes."""
    high = [fcntl.fcntl(at.fileno(), fcntl.F_DUPFD_CLOEXEC, 100) for at in sockets]

    def place():
        for number, fd in enumerate(high):
            os.dup2(fd, FIRST_FD + number, inheritable=True)
        os.closerange(FIRST_FD + len(high), 100)
    env = environment(**variables)
    if sockets or count is not None:
        env["LISTEN_FDS"] = str(len(sockets) if count is None else count)
    if names is not None:
        env["LISTEN_FDNAMES"] = names
    if notify:
        env["NOTIFY_SOCKET"] = notify.name
    return {"env": env, "preexec_fn": place, "close_fds": False,
            "wrap": ("sh", "-c", f'LISTEN_PID={pid} WATCHDOG_PID={pid} exec "$@"', "sh")}


class Sockets(Case):
    """The sockets that are passed are taken instead of opening any."""

    def test_sockets_of_both_families_are_served(self):
        for workers in "1", "3":
            with self.subTest(workers), tcp("::1") as first, tcp("127.0.0.1") as second, tcp("127.0.0.2") as third:
                with Server("--workers", workers, announcements=3, **passing((first, second, third), "a:b:c")) as server:
                    self.assertEqual([int(found[2]) for found in server.announcements],
                                     [port_of(at) for at in (first, second, third)])
                    for at in first, second, third:
                        self.assertDialogue(connect(at.getsockname()[0], port_of(at), "Michael"), hello(b"Michael"))

    def test_sockets_are_served_with_tls(self):
        if not has_tls():
            self.skipTest("this program was built without TLS")
        made = certificates()
        with tcp("::1") as first, Server("--tls", *made.serve(), **passing((first,))) as server:
            self.assertEqual(server.announcements[0][3], " with TLS")
            self.assertDialogue(connect("::1", port_of(first), "--tls", "--ca", made.ca, "Michael"), hello(b"Michael"))

    def test_the_name_of_a_socket_decides_about_tls(self):
        if not has_tls():
            self.skipTest("this program was built without TLS")
        made = certificates()
        for workers in "1", "2":
            with self.subTest(workers), tcp("::1") as first, tcp("127.0.0.1") as second, tcp("::1") as third:
                with Server("--tls", *made.serve(), "--workers", workers, announcements=3,
                            **passing((first, second, third), "plain:tls:web")) as server:
                    self.assertEqual([found[3] or "" for found in server.announcements], ["", " with TLS", " with TLS"])
                    self.assertDialogue(connect("::1", port_of(first), "Michael"), hello(b"Michael"))
                    for at in second, third:
                        self.assertDialogue(connect(at.getsockname()[0], port_of(at), "--tls", "--ca", made.ca, "Michael"),
                                            hello(b"Michael"))
                    self.assertEqual(connect("::1", port_of(first), "--tls", "--ca", made.ca, "Michael").code, 5)
                    server.expect_counters(r"^Counters: 4 connections, 0 open now, 2 TLS handshakes, .* 3 names greeted, ")

    def test_the_pin_of_a_certificate_made_for_this_run_is_that_of_a_socket_with_tls(self):
        if not has_tls():
            self.skipTest("this program was built without TLS")
        with tcp("::1") as first, tcp("::1") as second:
            with Server("--tls", announcements=2, **passing((first, second), "plain:x")) as server:
                server.log.expect(rf"--connect \[::1\]:{port_of(second)} ")

    def test_a_full_server_rejects_without_tls_in_words(self):
        """On the plain socket of a server with TLS, too."""
        if not has_tls():
            self.skipTest("this program was built without TLS")
        with tcp("::1") as first, tcp("::1") as second:
            with Server("--tls", *certificates().serve(), "--max-connections", "1", announcements=2,
                        **passing((first, second), "plain:tls")) as server:
                with Peer(server) as peer, Peer(server) as rejected:
                    peer.expect(OPENING)
                    rejected.expect(TOO_MANY)

    def test_a_name_that_demands_tls_is_refused_where_there_is_none(self):
        with tcp("::1") as first, tcp("::1") as second:
            self.refuse(r"descriptor 4 \(tls\) .*its name demands TLS.*FileDescriptorName=",
                        passing((first, second), "web:tls"))

    def test_one_socket_for_both_families_names_ipv4_as_such(self):
        with tcp("::", dual=True) as both, Server(**passing((both,))) as server:
            self.assertDialogue(connect("127.0.0.1", port_of(both), "Michael"), hello(b"Michael"))
            server.log.expect(r"^Accept new connection from 127\.0\.0\.1:\d+$")

    def test_variables_for_another_process_are_ignored(self):
        for pid in "1", "", "x", "-$$", "$$0":
            with self.subTest(pid), tcp("::1") as first, Server(**passing((first,), pid=pid)) as server:
                self.assertNotEqual(server.port, port_of(first))

    def test_descriptors_close_at_exec(self):
        with tcp("::1") as first, Notifications() as notify, Server(**passing((first,), notify=notify)) as server:
            for fd in os.listdir(f"/proc/{server.process.pid}/fd"):
                with open(f"/proc/{server.process.pid}/fdinfo/{fd}", encoding="ascii") as info:
                    flags = int(re.search(r"flags:\s*(\d+)", info.read())[1], 8)
                at = os.readlink(f"/proc/{server.process.pid}/fd/{fd}")
                self.assertTrue(flags & os.O_CLOEXEC or not at.startswith("socket:"), (fd, at))

    def refuse(self, sentence, options, *args):
        """Both servers refuse to start."""
        for mode in ("--listen", "::1", "0"), ("--exporter", "127.0.0.1", "0"):
            with self.subTest(sentence, mode=mode):
                result = run(*mode, *args, **options)
                self.assertEqual((result.code, result.out), (2, b""), result)
                self.assertRegex(result.err, rf"\Atcpgreet: .*{sentence}.* \(usage\)\n".encode())

    def test_what_is_no_listener_is_refused_in_words(self):
        with tempfile.TemporaryFile() as file:
            self.refuse(r"descriptor 3 \(web\) .*no socket", passing((file,), "web"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            self.refuse("descriptor 3 .*UDP", passing((udp,)))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as local:
            self.refuse("neither IPv4 nor IPv6", passing((local,)))
        with tcp("::1", listening=False) as silent, tcp("::1") as first:
            self.refuse(r"descriptor 4 .*not listening \(set Accept=no", passing((first, silent)))
        with tcp("::1") as first, socket.create_connection(first.getsockname()[:2]) as connected:
            self.refuse("not listening", passing((connected,)))

    def test_variables_that_make_no_sense_are_refused(self):
        for count in "x", "-1", "1000000", "1 ", "":
            self.refuse("LISTEN_FDS is not a number in range", passing((), count=count))
        result = run("--listen", "::1", "0", **passing((), count=1))
        self.assertEqual(result.code, 8, result)
        self.assertRegex(result.err, rb"descriptor 3, which the service manager should have passed")

    def test_a_family_that_is_not_wanted_is_refused(self):
        with tcp("::1") as first:
            result = run("--listen", "0", "-4", **passing((first,)))
        self.assertEqual(result.code, 2, result)
        self.assertRegex(result.err, rb"--ipv4 contradicts the socket unit, which listens on IPv6")

    def test_a_real_manager_starts_it_with_the_first_connection(self):
        activate = shutil.which("systemd-socket-activate")
        if not activate:
            self.skipTest("systemd-socket-activate is not there")
        port = free_port("::1")
        log, log_end = os.pipe()
        process = subprocess.Popen([activate, "-l", f"[::1]:{port}", BINARY, "--listen", "1"], stdout=log_end,
                                   stderr=log_end, stdin=subprocess.DEVNULL, env=environment())
        try:
            os.close(log_end)
            lines = Lines(log)
            lines.expect("Listening on")
            self.assertDialogue(connect("::1", port, "Michael"), hello(b"Michael"))
            lines.expect(rf"^Waiting for connection on \[::1\]:{port}$")
        finally:
            process.terminate()
            process.wait(LIMIT_S)


class Notified(Case):
    """READY, RELOADING, STOPPING, WATCHDOG and STATUS, as sd_notify(3) describes them."""

    def test_the_states_of_a_server(self):
        for abstract in False, True:
            with self.subTest(abstract), Notifications(abstract) as notify, Server(**passing((), notify=notify)) as server:
                at = notify.expect(r"^READY=1$")
                self.assertEqual(at, 1)
                notify.expect(r"^STATUS=0 connections open, 0 since the start, 0 names greeted$")
                before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                server.send_signal(signal.SIGHUP)
                at = notify.expect(r"^RELOADING=1\nMONOTONIC_USEC=\d+$", after=at)
                now = int(notify.seen[at - 1].rpartition("=")[2])
                self.assertTrue(before <= now <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
                at = notify.expect(r"^READY=1$", after=at)
                self.assertEqual(server.stop(), 0)
                notify.expect(r"^STOPPING=1$", after=at)
                notify.expect(r"^STATUS=Shutting down: ", after=at)

    def test_a_status_counts(self):
        with Notifications() as notify, Server(**passing((), notify=notify, WATCHDOG_USEC="400000")) as server:
            with Peer(server) as peer:
                peer.expect(OPENING).send(b"Michael\n").expect(hello(b"Michael"))
                notify.expect(r"^STATUS=1 connections open, 1 since the start, 1 names greeted$")
            notify.expect(r"^STATUS=0 connections open, 1 since the start, 1 names greeted$")

    def test_the_watchdog_is_notified_again_and_again(self):
        for kind in Server, Exporter:
            with self.subTest(kind), Notifications() as notify, \
                    kind(**passing((), notify=notify, WATCHDOG_USEC="200000")) as server:
                notify.expect("^WATCHDOG=1$", 5)
                self.assertTrue(server.is_alive())
        with Notifications() as notify, Server(**passing((), notify=notify, pid="1", WATCHDOG_USEC="2000")) as server:
            notify.expect("^READY=1$")
            server.send_signal(signal.SIGHUP)
            notify.expect("^READY=1$", 2)
            self.assertNotIn("WATCHDOG=1", notify.seen)

    def test_a_shutdown_that_drains_keeps_the_watchdog_content(self):
        with Notifications() as notify, Server("--drain-timeout", "1500ms", "--workers", "2",
                                               **passing((), notify=notify, WATCHDOG_USEC="300000")) as server:
            with Peer(server) as peer:
                peer.expect(OPENING).send(b"Mi")
                server.send_signal(signal.SIGTERM)
                at = notify.expect("^STOPPING=1$")
                notify.expect("^WATCHDOG=1$", 3, after=at)

    def test_the_states_of_an_exporter(self):
        with Notifications() as notify, tcp("127.0.0.1") as first:
            with Exporter(**passing((first,), notify=notify)) as exporter:
                self.assertEqual(exporter.port, port_of(first))
                notify.expect("^READY=1$")
                notify.expect("^STATUS=0 probes in flight")
                self.assertEqual(exporter.get("/healthz")[0], 200)
                exporter.send_signal(signal.SIGHUP)
                at = notify.expect("^RELOADING=1\nMONOTONIC_USEC=")
                at = notify.expect("^READY=1$", after=at)
                self.assertEqual(exporter.stop(), 0)
                notify.expect("^STOPPING=1$", after=at)

    def test_a_manager_that_is_not_there_is_logged_and_does_not_matter(self):
        for name, why in (("/nonexistent/notify", "No such file"), ("vsock:2:1234", "neither a path nor an abstract"),
                          ("@" + "x" * 200, "too long")):
            with self.subTest(name), Server(env=environment(NOTIFY_SOCKET=name)) as server:
                server.log.expect(rf"cannot notify the service manager at .*: .*{why}")
                self.assertDialogue(connect("::1", server.port, "Michael"), hello(b"Michael"))
        with Server(env=environment(NOTIFY_SOCKET="")) as server:
            server.stop()
            server.log.join()
            self.assertNotIn(b"service manager", server.log.bytes())


class Restarts(Case):
    """A restart behind an inherited socket loses no dialogue."""

    def start(self, listening, args):
        return Server("--drain-timeout", "5s", "--workers", "2", *args, **passing((listening,)))

    def test_a_bench_notices_no_restart(self):
        made = certificates() if has_tls() else None
        for server_args, bench_args in (((), ()),) + ((((("--tls", *made.serve())), ("--tls", "--ca", made.ca)),) if made else ()):
            with self.subTest(server_args), tcp("::1") as first:
                with self.start(first, server_args) as server:
                    bench = spawn(["--bench", "::1", str(port_of(first)), "--connections", "20", "--names", "5", "--duration",
                                   "1h", "--format", "json", *bench_args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                    server.log.expect("^Accept new connection", 20)
                for _ in range(3):
                    with self.start(first, server_args) as server:
                        server.log.expect("^Accept new connection", 20)
                with self.start(first, server_args) as server:
                    server.log.expect("^Accept new connection", 20)
                    bench.send_signal(signal.SIGINT)
                    out, err = bench.communicate(timeout=3 * LIMIT_S)
                result = json.loads(out)
                self.assertEqual((bench.returncode, err), (130, b"tcpgreet: interrupted (interrupted)\n"), result)
                self.assertEqual(result["failures"], {})
                self.assertGreater(result["names"], 0)


UNITS = ROOT / "packaging" / "systemd"


class Units(Case):
    """The units of packaging/systemd, as systemd-analyze judges them."""

    def setUp(self):
        super().setUp()
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not there")

    def test_systemd_understands_every_line(self):
        with tempfile.TemporaryDirectory(prefix="tcpgreet-e2e-") as folder:
            units = []
            for unit in sorted(UNITS.iterdir()):
                units.append(os.path.join(folder, unit.name))
                with open(units[-1], "w", encoding="utf-8") as file:
                    file.write(unit.read_text().replace("/usr/bin/tcpgreet", BINARY))
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertGreaterEqual(len(units), 5)

    def test_every_service_is_confined(self):
        for unit in sorted(UNITS.glob("*.service")):
            with self.subTest(unit.name):
                done = subprocess.run(["systemd-analyze", "security", "--offline=true", unit], capture_output=True, text=True)
                if "unrecognized option" in done.stderr:
                    self.skipTest("this systemd-analyze judges no files")
                found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", done.stdout)
                self.assertLessEqual(float(found[1]), 1.5, done.stdout)

    def test_the_command_lines_are_valid(self):
        """With the options that the comments give as an example: what is wrong is only what is not on this machine, the
        sockets that systemd passes and the files of an example."""
        for unit in sorted(UNITS.glob("*.service")):
            text = unit.read_text()
            words = re.search(r"(?m)^ExecStart=/usr/bin/tcpgreet (.*) \$TCPGREET_OPTIONS$", text)[1].split()
            example = re.search(r"(?m)^#     TCPGREET_OPTIONS=(.*)$", text)[1].split()
            for options in [], example:
                with self.subTest(unit.name, options=options):
                    result = run(*words, *options, **passing((), count="x"))
                    self.assertEqual(result.code, 2, result)
                    self.assertRegex(result.err, rb"LISTEN_FDS is not a number|/etc/tcpgreet/\S+ cannot be read: No such file")


if __name__ == "__main__":
    main()
