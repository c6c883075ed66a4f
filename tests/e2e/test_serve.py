"""The server as a process: how it starts, announces itself, stops, logs, and what it shares with the world."""

import contextlib
import ctypes
import errno
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
import unittest

from harness import (ACCEPT4_CALL, BINARY, GOODBYE, IN_BACKGROUND, IS_ROOT, MUSL, OPENING, PATIENCE, Case, Lines,
                     Names, Peer, Server, await_that, can_refuse_ipv6, client_hello, connect, failing_accept, free_port, hello,
                     listening, main, needs_names, refusing_port, run, shell, system_text, without_ipv6)
from tls_harness import has_tls

O_CLOEXEC = 0o2000000
HOSTS = "127.0.0.1 localhost\n::1 localhost\n"


def greets(host, port):
    with Peer((host, port)) as peer:
        peer.expect(OPENING).send(b"Michael\nexit\n").expect(hello(b"Michael") + GOODBYE).expect_eof()


def refuses(host, port):
    """Whether no process listens; a reset is the end of one that was closed with us in its backlog."""
    try:
        Peer((host, port)).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass
    return False


class Announcements(Case):
    """One line an address on standard output, once it can be reached."""

    def lines(self, server):
        return server.out.bytes().decode()

    def test_one_address(self):
        with Server() as server:
            greets("::1", server.port)
            self.assertEqual(self.lines(server), f"Waiting for connection on [::1]:{server.port}\n")

    def test_one_ipv4_address(self):
        with Server(listen=[("127.0.0.1", "0")]) as server:
            greets("127.0.0.1", server.port)
            self.assertEqual(self.lines(server), f"Waiting for connection on 127.0.0.1:{server.port}\n")

    def test_the_port_asked_for_is_the_port(self):
        free = free_port("::1")
        with Server(listen=[("::1", str(free))]) as server:
            self.assertEqual(server.port, free)
            greets("::1", free)

    def test_host_and_port_in_one_word(self):
        with Server(listen=[("[::1]:0",)]) as server:
            greets("::1", server.port)
        with Server(listen=[("127.0.0.1:0",)]) as server:
            greets("127.0.0.1", server.port)

    def test_every_address_of_both_families_has_one_port(self):
        with Server(listen=[("0",)], announcements=2) as server:
            self.assertEqual(sorted(m[1] for m in server.announcements), ["0.0.0.0", "[::]"])
            self.assertEqual(len({m[2] for m in server.announcements}), 1)
            for host in ("::1", "127.0.0.1", "127.0.0.7"):
                greets(host, server.port)
            # An IPv6 socket that also took IPv4 would show mapped addresses.
            server.log.expect(r"^Accept new connection from 127\.0\.0\.1:\d+$")
            self.assertNotIn("::ffff:", "".join(server.log.lines()))

    @needs_names
    def test_all_addresses_of_a_name_have_one_port(self):
        with Names(HOSTS) as names, Server(listen=[("localhost", "0")], announcements=2, wrap=names.wrap) as server:
            self.assertEqual(sorted(m[1] for m in server.announcements), ["127.0.0.1", "[::1]"])
            self.assertEqual(len({m[2] for m in server.announcements}), 1)
            for host in ("::1", "127.0.0.1"):
                greets(host, server.port)

    @needs_names
    def test_one_family_alone(self):
        for option, address in (("-4", "127.0.0.1"), ("-6", "[::1]")):
            with Names(HOSTS) as names, Server(option, listen=[("localhost", "0")], wrap=names.wrap) as server:
                self.assertEqual([m[1] for m in server.announcements], [address])
                greets(server.host, server.port)
        with Server("-4", listen=[("0",)]) as server:
            self.assertTrue(refuses("::1", server.port))
            self.assertEqual(len(server.out.lines()), 1)
        with Server("-6", listen=[("0",)]) as server:
            self.assertTrue(refuses("127.0.0.1", server.port))

    def test_several_listens(self):
        with Server(listen=[("::1", "0"), ("127.0.0.1", "0"), ("127.0.0.2", "0")]) as server:
            for match in server.announcements:
                greets(match[1].strip("[]"), int(match[2]))

    def test_a_port_left_in_time_wait_can_be_had_again(self):
        with Server() as server:
            greets("::1", server.port)
            port = server.port
        with Server(listen=[("::1", str(port))]) as server:
            greets("::1", port)

    def test_a_long_backlog_is_asked_for(self):
        with Server("--backlog", "7") as server:
            shown = subprocess.run(["ss", "-Hltn", f"sport = :{server.port}"], capture_output=True, text=True) \
                if shutil.which("ss") else self.skipTest("needs ss")
            self.assertEqual(shown.stdout.split()[2], "7", shown.stdout)


    def test_the_most_connections_and_their_memory_are_logged(self):
        bound = r"at most (\d+) connections, about (\d+) MiB"
        most = []
        for limit in (100, 200):
            with Server("--workers", "1", limit_fds=limit) as server:
                most.append([int(number) for number in server.log.expect(bound)[0].groups()])
        self.assertEqual([count < limit for (count, _), limit in zip(most, (100, 200))], [True, True], most)
        self.assertLess(most[0], most[1])
        with Server("--max-connections", "1000") as server:
            self.assertEqual(server.log.expect(bound)[0][1], "1000")
        with Server("--max-connections", "10000000") as server:
            server.log.expect(r"--max-connections 10000000 may need \d+ MiB, more than half of the \d+ MiB of memory")


class Starts(Case):
    """A failed start reports what, on what, why, and what to do; nothing is announced."""

    def assertNoStart(self, result, word):
        self.assertFails(result, 8, word)
        self.assertEqual(result.out, b"")

    def test_too_few_descriptors(self):
        for limit in range(4, 13):
            with self.subTest(limit):
                result = run("--listen", "::1", "0", "--workers", "2",
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
                self.assertNoStart(result, "system-descriptors")
                self.assertRegex(result.err, rb"(?i)(too many open files|no file descriptors available) \(raise ulimit -n\)")

    def test_an_address_in_use(self):
        with listening("::1") as other:
            port = other.getsockname()[1]
            result = run("--listen", "::1", str(port))
        self.assertNoStart(result, "system-address-in-use")
        self.assertRegex(result.err.decode(), rf"cannot listen on \[::1\]:{port}: .*in use")

    def test_two_servers_never_share_an_address(self):
        with Server() as server:
            result = run("--listen", "::1", str(server.port))
            self.assertNoStart(result, "system-address-in-use")
            greets("::1", server.port)

    def test_a_second_listen_in_use_stops_the_start(self):
        with listening("127.0.0.1") as other:
            self.assertNoStart(run("--listen", "::1", "0", "--listen", "127.0.0.1", str(other.getsockname()[1])),
                               "system-address-in-use")

    def test_two_listens_that_conflict_are_both_named(self):
        with refusing_port() as port:  # free on IPv4
            for first, second in (("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0")):
                result = run("--listen", first, str(port), "--listen", second, str(port))
                self.assertNoStart(result, "system-address-in-use")
                self.assertIn(f"cannot listen on {second}:{port}: it conflicts with the listener of this server on "
                              f"{first}:{port} (use one of the two, or another port)", result.err.decode())

    def test_an_address_that_is_not_ours(self):
        for address in ("192.0.2.1", "2001:db8::1"):
            result = run("--listen", address, "0")
            self.assertNoStart(result, "system-address-not-available")
            self.assertIn(address, result.err.decode())

    def test_a_name_that_is_not_there(self):
        self.assertFails(run("--listen", "nowhere.invalid", "0"), 3, "resolve-(not-found|temporary)")

    def test_a_port_that_needs_a_permission(self):
        drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as start:
            if int(start.read()) <= 1:
                self.skipTest("every port is free for all here")
        if not IS_ROOT:
            drop = []
        elif not shutil.which("setpriv"):
            self.skipTest("needs setpriv, for an unprivileged user")
        elif subprocess.run(drop + [BINARY, "--version"], capture_output=True).returncode != 0:
            self.skipTest("an unprivileged user cannot execute the program")
        result = run("--listen", "::1", "1", wrap=drop)
        self.assertNoStart(result, "system-permission")
        self.assertRegex(result.err.decode(), r"cannot listen on \[::1\]:1: .*CAP_NET_BIND_SERVICE")

    def test_an_announcement_that_cannot_be_written_is_an_error(self):
        self.assertFails(run("--listen", "::1", "0", wrap=shell(">&-")), 8, "system-output")
        with open("/dev/full", "wb") as full:
            self.assertFails(run("--listen", "::1", "0", stdout=full), 8, "system-output")
        reader, writer = os.pipe()
        os.close(reader)
        self.assertFails(run("--listen", "::1", "0", stdout=writer), 8, "system-output")
        os.close(writer)


@unittest.skipUnless(can_refuse_ipv6(), "needs a seccomp filter of the arguments of socket(2)")
class WithoutIPv6(Case):
    """A kernel that knows no IPv6: "everything" is IPv4, and what asks for IPv6 is refused in words."""

    def test_everything_is_ipv4(self):
        with Server(listen=[("0",)], preexec_fn=without_ipv6) as server:
            self.assertEqual(server.out.bytes().decode(), f"Waiting for connection on 0.0.0.0:{server.port}\n")
            greets("127.0.0.1", server.port)

    @needs_names
    def test_a_name_of_both_families_is_visited_over_ipv4(self):
        with Names(HOSTS) as names, Server(listen=[("127.0.0.1", "0")]) as server:
            result = connect("localhost", server.port, "Michael", wrap=names.wrap, preexec_fn=without_ipv6)
            self.assertDialogue(result, hello(b"Michael"))

    def test_an_ipv6_address_is_refused_in_words(self):
        result = run("--listen", "::1", "0", preexec_fn=without_ipv6)
        self.assertFails(result, 8, r"system-\S+")
        self.assertRegex(result.err.decode(), r"cannot listen on \[::1\]:0: .*IPv6")
        self.assertFails(connect("::1", 6000, preexec_fn=without_ipv6), 4, "connect-unreachable")


class Stops(Case):
    """TERM and INT: stop accepting, let dialogues finish, send the final message, end with 0; a second one ends at once."""

    def drain(self, server, number=signal.SIGTERM):
        server.send_signal(number)
        await_that(lambda: refuses("::1", server.port), "the listener is closed")

    def test_an_idle_server_ends_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Server("--drain-timeout", "60s") as server:
                self.assertEqual(server.stop(number), 0)

    def test_a_dialogue_goes_on_to_its_end(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Server("--drain-timeout", "60s") as server, Peer(server) as peer:
                peer.expect(OPENING).send(b"Tracy\nMich").expect(hello(b"Tracy"))
                self.drain(server, number)
                self.assertTrue(server.is_alive())
                peer.send(b"ael\nexit\n").expect(hello(b"Michael")).expect(GOODBYE).expect_eof()
                peer.close()
                self.assertEqual(server.wait(), 0)

    def test_the_last_peer_that_leaves_ends_it(self):
        with Server("--drain-timeout", "60s") as server, Peer(server) as first, Peer(server) as second:
            first.expect(OPENING).send(b"Ann\nBo").expect(hello(b"Ann"))
            second.expect(OPENING).send(b"Tracy\nMich").expect(hello(b"Tracy"))
            self.drain(server)
            first.close()
            second.send(b"ael\n").expect(hello(b"Michael")).end().expect_eof()
            second.close()
            self.assertEqual(server.wait(), 0)

    def test_an_open_connection_receives_the_final_message(self):
        with Server("--drain-timeout", "300ms") as server, Peer(server) as idle, Peer(server) as typing:
            idle.expect(OPENING)
            typing.expect(OPENING).send(b"Tracy\n").expect(hello(b"Tracy")).send(b"Mich")
            began = time.monotonic()
            server.send_signal(signal.SIGTERM)
            for peer in (idle, typing):
                peer.expect(GOODBYE).expect_eof()
                peer.close()
            self.assertEqual(server.wait(), 0)
            self.assertBetween(time.monotonic() - began, 0.29, 5)

    def test_a_silent_connection_does_not_wait_for_the_drain_timeout(self):
        with Server("--drain-timeout", "60m") as server, Peer(server) as silent, Peer(server) as begun:
            silent.expect(OPENING).send(b"Ann\n").expect(hello(b"Ann"))
            begun.expect(OPENING).send(b"Tracy\nMich").expect(hello(b"Tracy"))
            server.send_signal(signal.SIGTERM)
            silent.expect(GOODBYE).expect_eof()
            silent.close()
            begun.send(b"ael\n").expect(hello(b"Michael")).expect(GOODBYE).expect_eof()
            begun.close()
            self.assertEqual(server.wait(), 0)

    def test_a_silent_connection_in_its_handshake_does_not_wait_for_the_drain_timeout_either(self):
        tls = () if not has_tls() else (("--tls",), ("--tls", "--proxy-protocol"))
        for options in (("--proxy-protocol",), *tls):
            with self.subTest(options), Server("--drain-timeout", "60m", "--handshake-timeout", "60m", *options) as server, \
                    Peer(server) as silent, Peer(server) as begun:
                first = b"PROXY UNKNOWN\r\n" if "--proxy-protocol" in options else b""
                if "--tls" in options:
                    begun.send(first + client_hello()).receive()
                else:
                    begun.send(first).expect(OPENING)
                server.expect_counters(" 2 open now")
                server.send_signal(signal.SIGTERM)
                self.assertEqual(silent.read_all(), b"")
                begun.read_all()
                self.assertEqual(server.wait(), 0)
                self.assertNotRegex(server.log.bytes(), b"(tls-|connect-proxy)")

    def test_who_never_reads_does_not_hold_it(self):
        with Server("--drain-timeout", "300ms") as server, Peer(server, receive_buffer=4096) as deaf:
            deaf.flood(b"\n" * 65536, 256 << 20)
            self.assertEqual(server.stop(), 0)

    def test_who_never_closes_does_not_hold_it(self):
        with Server("--drain-timeout", "200ms") as server, Peer(server) as peer:
            peer.expect(OPENING)
            server.send_signal(signal.SIGTERM)
            peer.expect(GOODBYE).expect_eof()
            self.assertEqual(server.wait(), 0)

    def test_a_second_signal_ends_at_once(self):
        for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT),
                              (signal.SIGTERM, signal.SIGINT)):
            with Server("--drain-timeout", "60s") as server, Peer(server) as peer:
                peer.expect(OPENING).send(b"Ann\nMich").expect(hello(b"Ann"))
                self.drain(server, first)
                self.assertTrue(server.is_alive())
                self.assertEqual(server.stop(second), 0)

    def test_a_drain_of_0_sends_the_final_message_at_once(self):
        with Server("--drain-timeout", "0s") as server, Peer(server) as peer:
            peer.expect(OPENING)
            server.send_signal(signal.SIGTERM)
            peer.expect(GOODBYE).expect_eof()
            peer.close()
            self.assertEqual(server.wait(), 0)

    def test_other_signals_do_not_end_it(self):
        with Server("--drain-timeout", "60s") as server, Peer(server) as peer:
            peer.expect(OPENING)
            for _ in range(50):
                for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1):
                    server.send_signal(number)
            peer.send(b"Michael\nex").expect(hello(b"Michael"))
            self.drain(server)
            for number in (signal.SIGHUP, signal.SIGUSR1):
                server.send_signal(number)
            peer.send(b"it\n").expect(GOODBYE).expect_eof()
            peer.close()
            self.assertEqual(server.wait(), 0)

    def test_an_interrupt_that_is_ignored_does_not_stop_it(self):
        with Server("--drain-timeout", "60s", wrap=IN_BACKGROUND) as server, Peer(server) as peer:
            peer.expect(OPENING)
            server.send_signal(signal.SIGINT)
            server.expect_counters(" 1 open now")
            with Peer(server) as other:
                other.expect(OPENING)

    def test_a_hangup_that_is_ignored_is_still_a_reload(self):
        with Server(wrap=["nohup"]) as server:
            server.send_signal(signal.SIGHUP)
            server.log.expect("^Nothing to reload: ")

    def test_a_signal_right_after_the_announcement_counts(self):
        for _ in range(20):
            with Server() as server:
                self.assertEqual(server.stop(), 0)

    def test_the_end_of_a_drained_connection_is_logged(self):
        with Server("--drain-timeout", "100ms") as server, Peer(server) as peer:
            peer.expect(OPENING).send(b"Michael\n").expect(hello(b"Michael"))
            address = re.escape(peer.address)
            server.send_signal(signal.SIGTERM)
            peer.expect(GOODBYE).expect_eof()
            server.log.expect(rf"^Connection from {address} is closed: \S.*, 1 names?, ")


@unittest.skipUnless(ACCEPT4_CALL, "knows the number of accept4(2) on other machines only")
class AcceptFails(Case):
    """accept4 fails: the server pauses and does not spin, or ends where accepting can never work again."""

    PASSING = {errno.EMFILE: "raise ulimit -n", errno.ENFILE: "limit of the whole system",
               errno.ENOBUFS: "free memory", errno.ENOMEM: "free memory", errno.EPERM: "allow accept4",
               errno.EACCES: "allow accept4", errno.EPROTO: "network", errno.ECONNABORTED: "network",
               errno.EOPNOTSUPP: "network", errno.ENETDOWN: "network", errno.EIO: ""}
    FINAL = {errno.ENOSYS: "allow it", errno.EINVAL: "allow it", errno.EBADF: "defect", errno.ENOTSOCK: "defect",
             errno.EFAULT: "defect"}

    def test_a_server_that_cannot_accept_waits_and_obeys_term(self):
        with contextlib.ExitStack() as stack:
            servers = []
            for number, remedy in self.PASSING.items():
                server = stack.enter_context(Server("--workers", "1", preexec_fn=failing_accept(number)))
                peer = stack.enter_context(Peer(server))
                server.log.expect(rf"^Accepting is paused: cannot accept connections on \[::1\]:{server.port}: "
                                  rf"{system_text(number)}.*{remedy}")
                servers.append((server, server.cpu_s()))
            peer.stays_silent(1)
            for server, cpu in servers:
                self.assertLess(server.cpu_s() - cpu, 0.1 * PATIENCE, server.log.bytes())
                self.assertEqual(server.stop(), 0, server.log.bytes())
                server.log.join()
                self.assertEqual(server.log.bytes().count(b"Accepting"), 1, server.log.bytes())

    def test_a_server_that_can_never_accept_ends_and_logs_why(self):
        for number, remedy in self.FINAL.items():
            if MUSL and number in (errno.ENOSYS, errno.EINVAL):
                continue  # it calls accept then
            with self.subTest(errno.errorcode[number]), \
                    Server("--workers", "3", preexec_fn=failing_accept(number), ends_with=8) as server, \
                    socket.socket(socket.AF_INET6) as caller:
                with contextlib.suppress(ConnectionError):  # the end of the server resets what it has not accepted
                    caller.connect(("::1", server.port))
                self.assertEqual(server.wait(), 8)
                server.log.join()
                why = rf"cannot accept connections on \[::1\]:{server.port}: {system_text(number)} .*{remedy}"
                log = [line for line in server.log.lines() if not line.startswith("Serving at most ")]
                self.assertRegex(log[0], rf"^Shutting down: {why}.*; draining for up to 1 s$")
                self.assertRegex(log[1], rf"^tcpgreet: {why}.* \(system-other\)$")
                self.assertEqual(len(log), 2, log)

    def shut_one_listener(self, server):
        """Shuts down one listening socket of the server, as any process with its rights can."""
        pidfd_getfd = 438
        pidfd = os.pidfd_open(server.process.pid)
        self.addCleanup(os.close, pidfd)
        for number, target in server.fds().items():
            if not target.startswith("socket:"):
                continue
            fd = ctypes.CDLL(None, use_errno=True).syscall(pidfd_getfd, pidfd, number, 0)
            if fd < 0:
                self.skipTest(f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
            with socket.socket(fileno=fd) as copy:
                if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    copy.shutdown(socket.SHUT_RD)
                    return
        self.fail(f"no listener in {server.fds()}")

    def test_one_lost_listener_of_many_ends_the_server_after_a_drain(self):
        with Server("--workers", "3", "--drain-timeout", "60s", listen=[("::1", "0"), ("127.0.0.1", "0")],
                    ends_with=8) as server, Peer(server) as peer:
            peer.expect(OPENING).send(b"Ann\nMich").expect(hello(b"Ann"))
            self.shut_one_listener(server)
            server.log.expect("^Shutting down: .*no longer listens.*; draining for up to 60 s$")
            for match in server.announcements:
                host, port = match[1].strip("[]"), int(match[2])
                await_that(lambda: refuses(host, port), "the listener is closed")
            self.assertTrue(server.is_alive())
            peer.send(b"ael\nexit\n").expect(hello(b"Michael")).expect(GOODBYE).expect_eof()
            peer.close()
            self.assertEqual(server.wait(), 8)
            server.log.expect(r"^tcpgreet: cannot accept .*no longer listens.* \(system-other\)$")

    def test_a_signal_ends_that_drain(self):
        with Server("--drain-timeout", "60s", ends_with=8) as server, Peer(server) as peer:
            peer.expect(OPENING)
            self.shut_one_listener(server)
            server.log.expect("^Shutting down: ")
            self.assertEqual(server.stop(), 8)

    @unittest.skipUnless(IS_ROOT and shutil.which("ss"), "needs ss and root, to destroy a socket")
    def test_a_destroyed_listener_ends_the_server(self):
        with Server("--workers", "2", ends_with=8) as server:
            killed = subprocess.run(["ss", "-HKltn", f"sport = :{server.port}"], capture_output=True, text=True)
            if str(server.port) not in killed.stdout:
                server.send_signal(signal.SIGKILL)
                self.skipTest(f"this kernel destroys no sockets: {killed.stderr}")
            self.assertEqual(server.wait(), 8)


class Logs(Case):
    """A log line never blocks the server."""

    def talk(self, server, times):
        for _ in range(times):
            with Peer(server) as peer:
                peer.send(b"Michael\nexit\n").expect(OPENING + hello(b"Michael") + GOODBYE).expect_eof()

    def test_a_stopped_reader_delays_no_connection(self):
        reader, writer = os.pipe()
        with Server("-v", stderr=writer) as server:
            os.close(writer)
            self.talk(server, 4000)
            before = server.rss()
            self.talk(server, 1000)
            self.assertLess(server.rss() - before, 1 << 20)
            log = Lines(reader)
            log.expect(r"(?i)\d.*\b(dropped|lost)|(dropped|lost).*\d")
            self.talk(server, 1)
            self.assertEqual(server.stop(), 0)

    def test_a_reader_that_stopped_does_not_hold_the_end(self):
        reader, writer = os.pipe()
        with Server("-v", stderr=writer) as server:
            os.close(writer)
            self.talk(server, 3000)
            self.assertEqual(server.stop(), 0)
        os.close(reader)

    def test_a_closed_log_pipe_does_not_end_the_server(self):
        reader, writer = os.pipe()
        with Server(stderr=writer) as server:
            os.close(writer)
            os.close(reader)
            self.talk(server, 20)
            self.assertEqual(server.stop(), 0)

    def test_a_full_disk_behind_the_log_does_not_end_the_server(self):
        with open("/dev/full", "wb") as full, Server(stderr=full) as server:
            self.talk(server, 20)
            self.assertEqual(server.stop(), 0)

    def test_json_lines_are_json(self):
        with Server("--log-format", "json") as server, Peer(server) as peer:
            peer.expect(OPENING).send(b"Michael\n").expect(hello(b"Michael"))
            peer.send(b"exit\n").expect(GOODBYE).expect_eof()
            server.log.expect("closed")
            server.send_signal(signal.SIGUSR1)
            self.assertEqual(server.stop(), 0)
            server.log.join()
            for line in server.log.lines():
                self.assertIsInstance(json.loads(line), dict, line)
            self.assertGreaterEqual(len(server.log.lines()), 2)

    def test_quiet_logs_what_was_asked_for_as_information_and_nothing_else(self):
        with Server("-q", "--explain", "--log-format", "json") as server:
            self.talk(server, 1)
            server.send_signal(signal.SIGUSR1)
            server.log.expect("Counters: ")
            server.send_signal(signal.SIGHUP)
            server.log.expect("Nothing to reload: ")
            self.assertEqual(server.stop(), 0)
            server.log.join()
            lines = [json.loads(line) for line in server.log.lines()]
        self.assertEqual({line["level"] for line in lines if line["event"] != "root"}, {"info"})
        messages = "\n".join(line["message"] for line in lines)
        self.assertIn("recv", messages)
        self.assertNotRegex(messages, "(?m)^(Accept new|Connection from|Shutting down)")

    def test_a_terminal_that_is_shared_is_left_blocking(self):
        reader, writer = os.pipe()
        with Server(stderr=writer) as server:
            self.talk(server, 1)
            self.assertTrue(os.get_blocking(writer))
        os.close(writer)
        os.close(reader)


class Descriptors(Case):
    """Nothing leaks in or out."""

    def check(self, redirections):
        with Server(wrap=shell(redirections)) as server, Peer(server) as peer:
            peer.expect(OPENING)
            fds = server.fds()
            self.assertFalse([fd for fd in (0, 1, 2) if fds.get(fd, "").startswith("socket:")], fds)
            peer.send(b"Michael\n").expect(hello(b"Michael"))
            server.send_signal(signal.SIGUSR1)
            greets("::1", server.port)
            peer.send(b"exit\n").expect(GOODBYE).expect_eof()

    def test_a_closed_standard_input_takes_no_socket(self):
        self.check("<&-")

    def test_a_closed_standard_error_takes_no_socket(self):
        self.check("2>&-")

    def test_both_closed_take_no_socket(self):
        self.check("<&- 2>&-")

    def test_all_three_closed_end_the_start_and_nothing_hangs(self):
        self.assertEqual(run("--listen", "::1", "0", wrap=shell("<&- >&- 2>&-")).code, 8)

    def test_every_descriptor_of_its_own_is_closed_on_exec(self):
        with Server(listen=[("0",)], announcements=2) as server, Peer(("::1", server.port)) as peer:
            peer.expect(OPENING)
            for fd, target in server.fds().items():
                if fd > 2:
                    with open(f"/proc/{server.process.pid}/fdinfo/{fd}") as info:
                        flags = int(re.search(r"flags:\s*([0-7]+)", info.read())[1], 8)
                    self.assertTrue(flags & O_CLOEXEC, f"{fd} -> {target}")

    def test_an_idle_server_spends_nothing(self):
        with Server() as server, Peer(server) as peer:
            peer.expect(OPENING)
            before = server.cpu_s()
            peer.stays_silent(1)
            self.assertLessEqual(server.cpu_s() - before, 0.03 * PATIENCE)


class Explanations(Case):
    """--explain prints each step, beside an unchanged dialogue."""

    def assertSteps(self, text, words):
        missing = [word for word in words if not re.search(rf"\b{word}\b", text)]
        self.assertFalse(missing, f"no word of {missing} in:\n{text}")

    def test_the_server_logs_its_steps(self):
        with Server("--explain") as server, Peer(server) as peer:
            peer.expect(OPENING).send(b"Michael\nexit\n").expect(hello(b"Michael") + GOODBYE).expect_eof()
            peer.close()
            self.assertEqual(server.stop(), 0)
            server.out.join()
            server.log.join()
            text = (server.out.bytes() + server.log.bytes()).decode()
        self.assertSteps(text, ("socket", "bind", "listen", "accept4?", "recv", "send", "shutdown", "close"))
        self.assertIn("Michael", text)

    def test_the_client_prints_its_steps_and_its_output_is_unchanged(self):
        with Server() as server:
            result = connect("::1", server.port, "--explain", "Michael")
        self.assertDialogue(result, hello(b"Michael"))
        self.assertSteps(result.err.decode(), ("socket", "connect", "recv", "send", "close"))

    def test_it_shows_peers_bytes_escaped(self):
        with Server("--explain") as server, Peer(server) as peer:
            peer.expect(OPENING).send(b"\x1b[31mred\n").expect(hello(b"\x1b[31mred"))
            peer.send(b"exit\n").expect(GOODBYE).expect_eof()
            self.assertEqual(server.stop(), 0)
            server.out.join()
            self.assertNotIn(b"\x1b", server.out.bytes())


if __name__ == "__main__":
    main()
