"""packaging/haproxy: the configuration as it is shipped, in front of four servers, while they are restarted, reloaded and
killed. Everything runs in a network of its own that has the addresses of the configuration."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from harness import (IS_ROOT, LIMIT_S, ROOT, Case, Server, await_that, environment, isolate, lacking, main, run, skip_file,
                     spawn)
from tls_harness import has_tls

CONFIGURATION = ROOT / "packaging" / "haproxy" / "haproxy.cfg"
FRONTENDS = ["192.0.2.1", "2001:db8::1"]
BACKENDS = ["192.0.2.11", "192.0.2.12", "2001:db8::13", "2001:db8::14"]
PATH = os.pathsep.join(["/usr/sbin", "/usr/local/sbin", "/sbin", os.environ.get("PATH", os.defpath)])


def add_addresses():
    for address in FRONTENDS + BACKENDS:
        length = 128 if ":" in address else 32
        subprocess.run(["ip", "address", "add", f"{address}/{length}", "dev", "lo", *(["nodad"] if length == 128 else [])],
                       check=True)


class Balanced(Case):
    limit_s = 120

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tcpgreet-haproxy-"))
        self.addCleanup(shutil.rmtree, self.folder)
        subprocess.run([ROOT / "scripts" / "generate-certs", "--out", self.folder / "certs", "--host", "greet.example.org"],
                       check=True, stdout=subprocess.DEVNULL, env=environment())
        self.ca = self.folder / "certs" / "ca.crt"
        (self.folder / "tickets").write_bytes(os.urandom(80))
        os.chmod(self.folder / "tickets", 0o600)
        os.makedirs("/etc/haproxy", exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/etc/haproxy"], check=True)
        self.addCleanup(subprocess.run, ["umount", "/etc/haproxy"], check=True)
        shutil.copy(self.ca, "/etc/haproxy/tcpgreet-ca.crt")
        self.servers = {}
        self.addCleanup(self.stop_all)
        for address in BACKENDS:
            self.start(address)
        self.start_balancer()

    def start(self, address):
        certs = self.folder / "certs"
        self.servers[address] = Server("--tls", "--cert", str(certs / "server.crt"), "--key", str(certs / "server.key"),
                                       "--ticket-keys", str(self.folder / "tickets"), "--proxy-protocol",
                                       "--proxy-from", "192.0.2.0/24", "--proxy-from", "2001:db8::/32", "--drain-timeout",
                                       "7s", "--workers", "1", "--quiet", listen=((address, "6000"),)).__enter__()

    def stop_all(self):
        for server in self.servers.values():
            server.__exit__(None, None, None)

    def start_balancer(self):
        self.log = open(self.folder / "log", "w+b")
        self.balancer = subprocess.Popen(["haproxy", "-db", "-f", CONFIGURATION], stdin=subprocess.DEVNULL, stdout=self.log,
                                         stderr=self.log, env=environment(PATH=PATH))
        self.addCleanup(self.log.close)
        self.addCleanup(self.balancer.wait)
        self.addCleanup(self.balancer.kill)
        for address in FRONTENDS:
            probed = run("--probe", address, "6000", "--tls", "--ca", self.ca, "--servername", "greet.example.org",
                         "--until", "dialogue", "--retry", "10s", limit_s=20)
            self.assertEqual(probed.code, 0, self.logged())

    def logged(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")

    def benches(self, *options):
        return [spawn(["--bench", address, "6000", "--tls", "--ca", self.ca, "--servername", "greet.example.org",
                       "--connections", "20", "--duration", "1h", "--format", "json", *options],
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE) for address in FRONTENDS]

    def results(self, benches):
        for bench in benches:
            bench.send_signal(signal.SIGINT)
        for bench in benches:
            with bench:
                out, err = bench.communicate(timeout=90)
            yield bench.returncode, json.loads(out), err

    def test_no_dialogue_is_lost_while_servers_are_restarted_and_certificates_reloaded(self):
        benches = self.benches("--names", "5", "--resume")
        for address in BACKENDS:
            for other in self.servers.values():
                other.process.send_signal(signal.SIGHUP)
            self.servers[address].__exit__(None, None, None)  # TERM, drain, exit status 0
            self.start(address)
            await_that(lambda: len(self.established(address)) > 2, "dialogues with the new server", 3 * LIMIT_S)
        self.assertTrue(all(bench.poll() is None for bench in benches), "the benches ended before the restarts")
        for code, result, err in self.results(benches):
            self.assertEqual((code, result["failures"]), (130, {}), (err, self.logged()[-2000:]))
            self.assertLessEqual(result["connections"] - result["resumed"], result["connections_asked"])  # each one's first
            self.assertGreater(result["connections"], 100)

    def test_a_server_that_is_killed_takes_only_its_own_dialogues_along_and_is_noticed(self):
        connections = 20
        benches = self.benches("--names", "0")
        await_that(lambda: sum(len(self.established(address)) for address in BACKENDS) >= len(FRONTENDS) * connections,
                   "every dialogue is open")
        own = len(self.established(BACKENDS[0]))
        victim = self.servers.pop(BACKENDS[0])
        victim.process.kill()
        await_that(lambda: "greet/greet1 is DOWN" in self.logged(), "the balancer to notice")
        failed = 0
        for code, result, err in self.results(benches):
            failed += sum(result["failures"].values())
            ends = {"dialogue-reset", "dialogue-early-end", "dialogue-truncated", "tls-protocol"}  # the last: in a handshake
            self.assertLessEqual(set(result["failures"]), ends, err)
        self.assertGreater(failed, 0)
        self.assertLessEqual(failed, own)

    def established(self, address):
        host = f"[{address}]" if ":" in address else address
        text = subprocess.run(["ss", "-Htn", "state", "established", "src", host, "sport", "=", ":6000"], check=True,
                              capture_output=True, text=True).stdout
        return text.splitlines()


def why_not():
    if missing := lacking("haproxy", "unshare", "ip", "ss", "openssl", path=PATH):
        return missing
    if not IS_ROOT:
        return "needs root, for a network of its own"
    if not has_tls():
        return "this program was built without TLS"
    return None


if __name__ == "__main__":
    if why_not():
        skip_file(why_not())
    isolate()
    add_addresses()
    main()
