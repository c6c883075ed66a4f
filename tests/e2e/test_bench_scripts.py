"""The scripts in bench/ run to their end, on as little as they can: what they measure then means nothing."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile

from harness import BINARY, LIMIT_S, ROOT, Case, environment, main, skip_file
from tls_harness import skip_without_tls


class Scripts(Case):
    def measure(self, name, *options):
        """Runs a script of bench/; returns what it prints."""
        done = subprocess.run([sys.executable, "-B", ROOT / "bench" / name, "--tcpgreet", BINARY, "--rounds", "1", *options],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=5 * LIMIT_S, env=environment())
        self.assertEqual(done.returncode, 0, (done.stdout, done.stderr))
        return done.stdout.decode()

    def test_compare_measures_one_server(self):
        with tempfile.TemporaryDirectory() as folder:
            works = "tcpgreet,greet,greet-tls,connect,tls-full"
            table = self.measure("compare", "--seconds", "0.2", "--connections", "2", "--no-install", "--only", works,
                                 "--build", folder, "--json", os.path.join(folder, "result"),
                                 "--plot", os.path.join(folder, "plot"))
            self.assertEqual(table.count("\ntcpgreet "), 4, table)
            for name in ("result", "plot"):
                self.assertGreater(os.path.getsize(os.path.join(folder, name)), 0)

    def test_a_flood_that_cannot_be_is_an_error_without_figures(self):
        done = subprocess.run([sys.executable, "-B", ROOT / "bench" / "flood", "--tcpgreet", BINARY, "--seconds", "1", "--only",
                               "none,loris"], stdin=subprocess.DEVNULL, capture_output=True, timeout=5 * LIMIT_S, text=True,
                              env=environment(), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)))
        self.assertEqual(done.returncode, 1, (done.stdout, done.stderr))
        self.assertIn("none ", done.stdout)
        self.assertNotIn("loris", done.stdout)  # its processes, or the server, have too few descriptors

    def test_itself_measures_every_line(self):
        lines = self.measure("itself", "--seconds", "0.2", "--runs", "1", "--idle", "20", "--idle-seconds", "0.1")
        for start in ("--bench, CPU a greeting", "one-shot client", "a probe of localhost"):
            self.assertIn(start, lines)

    def test_transfer_moves_bytes_both_ways(self):
        lines = self.measure("transfer", "--bytes", "1000000", "--only", "tcpgreet").splitlines()
        self.assertEqual([line.split()[:3] for line in lines], [[kind, layer, "tcpgreet"] for layer in ("plain", "TLS")
                                                                for kind in ("send", "receive")])


if __name__ == "__main__":
    if not shutil.which(os.environ.get("CC", "cc")) or not shutil.which("taskset"):
        skip_file("needs a C compiler and taskset")
    skip_without_tls()
    main()
