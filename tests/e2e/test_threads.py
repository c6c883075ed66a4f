#!/usr/bin/env python3
"""No thread can be started: nothing crashes, an address needs none, and a name is an error with its reason."""

import os
import re
import resource
import tempfile
import unittest

import harness
from harness import GOODBYE, OPENING, Case, Server, hello, main, run
from test_exporter import Exporter

OTHER_UID = 54321  # of no process: the limit does not count for root
REASON = b"no thread can be started: Resource temporarily unavailable (raise ulimit -u or -v, or pids.max of the control group)"


def environment():
    """LeakSanitizer starts a thread at the end."""
    env = harness.environment()
    env["ASAN_OPTIONS"] += ":detect_leaks=0"
    return env


def at_most(processes):
    """For preexec_fn: so many threads of the user, the program's first one included."""
    resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
    if harness.IS_ROOT:
        os.setgroups([])
        os.setresgid(OTHER_UID, OTHER_UID, OTHER_UID)
        os.setresuid(OTHER_UID, OTHER_UID, OTHER_UID)


def lacking(*args, **options):
    return run(*args, env=environment(), preexec_fn=lambda: at_most(1), **options)


class ThreadsTest(Case):
    @classmethod
    def setUpClass(cls):
        if harness.SANITIZED == "tsan":
            raise unittest.SkipTest("ThreadSanitizer needs a thread of its own")
        try:
            if lacking("--version").code != 0:
                raise unittest.SkipTest("the program does not start without threads")
        except PermissionError:
            raise unittest.SkipTest("another user cannot execute this build") from None

    def assertNoThread(self, result, what):
        self.assertEqual(result.err, b"tcpgreet: cannot " + what + b": " + REASON + b" (system-other)\n", result)
        self.assertEqual(result.code, 8, result)

    def test_a_name_is_an_error(self):
        for mode in ("--connect",), ("--probe",), ("--bench",):
            with self.subTest(mode=mode):
                self.assertNoThread(lacking(*mode, "localhost", "1"), b"resolve localhost")

    def test_each_target_has_its_result(self):
        with Server() as server, tempfile.NamedTemporaryFile("w") as targets:
            os.chmod(targets.name, 0o644)
            targets.write(f"localhost {server.port}\n::1 {server.port}\n")
            targets.flush()
            result = lacking("--probe", "--targets", targets.name)
        self.assertEqual(result.code, 8, result)
        self.assertRegex(result.out, rb"(?m)^system-other .* cannot resolve localhost: " + re.escape(REASON) + b"$")
        self.assertRegex(result.out, rb"(?m)^OK .*\[::1\]:\d+$")

    def test_an_address_needs_no_thread(self):
        with Server() as server:
            for options in (), ("--format", "json"):
                result = lacking("--probe", "::1", str(server.port), "--until", "dialogue", *options)
                self.assertEqual((result.code, result.err), (0, b""), result)
            result = lacking("--connect", "::1", str(server.port), "Ann")
            self.assertEqual((result.code, result.out), (0, OPENING + hello(b"Ann") + GOODBYE), result)

    def test_what_needs_threads_reports_that_none_starts(self):
        self.assertNoThread(lacking("--bench", "::1", "1"), b"start a worker")
        self.assertNoThread(lacking("--listen", "::1", "0"), b"start the log")

    def test_an_exporter_goes_on(self):
        if b"libmicrohttpd" not in run("--version").out or b"without libmicrohttpd" in run("--version").out:
            self.skipTest("built without libmicrohttpd")
        options = {"preexec_fn": lambda: at_most(2)} if harness.IS_ROOT else {}  # the log has a thread
        with Server() as server, Exporter(env=environment(), **options) as exporter:
            if not harness.IS_ROOT:
                resource.prlimit(exporter.process.pid, resource.RLIMIT_NPROC, (1, 1))
            for _ in range(2):
                failed = exporter.probe(f"localhost:{server.port}")[2]
                self.assertIn("\nprobe_success 0\n", failed)
                self.assertIn('reason="system-other"', failed)
                self.assertIn("\nprobe_success 1\n", exporter.probe(f"[::1]:{server.port}")[2])


if __name__ == "__main__":
    main()
