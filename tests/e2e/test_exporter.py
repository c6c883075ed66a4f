#!/usr/bin/env python3
"""The exporter: what Prometheus asks, what a browser sees, and what neither may do."""

import http.client
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest
import urllib.parse
import urllib.request

import harness
from harness import Case, LIMIT_S, Server, await_that, free_port, listening, refusing_port, run

VERSION = run("--version").out.decode()
HAS_HTTP = "built without libmicrohttpd" not in VERSION
LOADS_LIBRARY = b"libmicrohttpd.so" in pathlib.Path(harness.BINARY).read_bytes()
HAS_TLS = "built without TLS" not in VERSION
if HAS_TLS:
    import tls_harness


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
        return True
    except OSError:
        return False


HAS_IPV6 = has_ipv6()


class Exporter(Server):
    """`tcpgreet --exporter …` as Server is --listen."""

    def __init__(self, *options, listen=("127.0.0.1", "0"), announcements=1, **popen):
        super().__init__(*options, announcements=announcements, **popen)
        self._args = ["--exporter", *listen, *options]

    def get(self, path, method="GET", connection=None, **fields):
        """The status, the header fields and the text of an answer."""
        mine = connection or http.client.HTTPConnection(self.host, self.port, timeout=3 * LIMIT_S)
        try:
            mine.request(method, path, headers={name.replace("_", "-"): value for name, value in fields.items()})
            answer = mine.getresponse()
            return answer.status, dict(answer.headers), answer.read().decode()
        finally:
            if not connection:
                mine.close()

    def probe(self, target, fields=None, **query):
        return self.get("/probe?" + urllib.parse.urlencode({"target": target, **query}), **(fields or {}))

    def begin(self, path):
        """Sends a request; its answer is read later."""
        peer = socket.create_connection((self.host, self.port), 3 * LIMIT_S)
        peer.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return peer

    def value(self, name):
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.get("/metrics")[2], re.M)
        return float(found[1]) if found else None


def read_all(peer):
    data = b""
    while chunk := peer.recv(65536):
        data += chunk
    peer.close()
    return data.decode()


def status_of(answer):
    return int(answer.split(" ", 2)[1])


class ProbeTest(Case):
    def test_a_service_that_works(self):
        with Server(listen=(("127.0.0.1", "0"),)) as server, Exporter() as exporter:
            status, fields, text = exporter.probe(f"127.0.0.1:{server.port}", until="dialogue")
        self.assertEqual(status, 200)
        self.assertEqual(fields["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        self.assertRegex(text, r"(?m)^probe_success 1$")
        self.assertRegex(text, r"(?m)^probe_duration_seconds \d+\.\d+$")
        self.assertRegex(text, r'(?m)^tcpgreet_probe_verdict_info\{.*verified="dialogue".*reason="ok"\} 1$')

    def test_a_failed_probe_is_an_answer_with_its_reason(self):
        with refusing_port("127.0.0.1") as port, Exporter() as exporter:
            status, _, text = exporter.probe(f"127.0.0.1:{port}")
            counted = exporter.value('tcpgreet_exporter_probes_total{reason="connect-refused"}')
        self.assertEqual(status, 200)
        self.assertRegex(text, r"(?m)^probe_success 0$")
        self.assertRegex(text, r'(?m)^tcpgreet_probe_verdict_info\{.*reason="connect-refused"\} 1$')
        self.assertEqual(counted, 1)

    def test_an_ipv6_address_and_a_name(self):
        if not HAS_IPV6:
            self.skipTest("this machine has no ::1")
        with Server() as server, Exporter() as exporter:
            for target in f"[::1]:{server.port}", f"localhost:{server.port}":
                status, _, text = exporter.probe(target, until="connect", ipv6=1, require="any")
                self.assertEqual(status, 200, target)
                if target[0] == "[":
                    self.assertRegex(text, r"(?m)^probe_success 1$")

    @unittest.skipUnless(HAS_TLS, "this build has no TLS")
    def test_the_ca_is_of_the_command_line_and_the_name_of_the_query(self):
        made = tls_harness.certificates()
        with Server("--tls", *made.serve(), listen=(("127.0.0.1", "0"),)) as server, \
                Exporter("--ca", made.ca) as exporter:
            target = f"127.0.0.1:{server.port}"
            text = exporter.probe(target, tls=1, servername="localhost", until="tls", tls_min="1.3")[2]
            self.assertRegex(text, r"(?m)^probe_success 1$", text)
            self.assertRegex(text, r'(?m)^tcpgreet_probe_tls_info\{.*version="TLSv1.3"')
            text = exporter.probe(target, tls=1, servername="wrong.example", until="tls")[2]
            self.assertRegex(text, r'reason="cert-name"')
            text = exporter.probe(target, tls=1, servername="localhost", expect_days="36000")[2]
            self.assertRegex(text, r'reason="threshold"')
            exporter.send_signal(signal.SIGHUP)
            exporter.log.expect("The files of the TLS options are loaded again")
            text = exporter.probe(target, tls=1, servername="localhost", until="tls")[2]
            self.assertRegex(text, r"(?m)^probe_success 1$", text)

    def test_a_peers_text_cannot_leave_its_label(self):
        with harness.Script(lambda peer: peer.send(b'SSH-2.0-a"}\n} 7\\\n'), host="127.0.0.1") as script, \
                Exporter() as exporter:
            text = exporter.probe(f"127.0.0.1:{script.port}")[2]
            page = exporter.get("/")[2]
        for line in text.splitlines():
            self.assertRegex(line, r'^(# (HELP|TYPE) .*|[a-z_]+(\{([a-z_]+="([^"\\]|\\["\\n])*",?)*\})? [-+.0-9e]+)$')
        self.assertIn("127.0.0.1", page)


    @unittest.skipUnless("PCRE2" in VERSION, "this build has no PCRE2")
    def test_an_exchange_of_the_command_line_is_held_with_every_target_unless_the_query_ends_before(self):
        def serve(peer):
            peer.send(b"220 ready\r\n")
            peer.expect(b"QUIT\r\n")

        with harness.Script(serve, host="127.0.0.1") as script, \
                Exporter("--expect", "^220 ", "--send", r"QUIT\r\n") as exporter:
            text = exporter.probe(f"127.0.0.1:{script.port}")[2]
            self.assertRegex(text, r'(?m)^tcpgreet_probe_verdict_info\{.*verified="exchange"', text)
        with Server(listen=(("127.0.0.1", "0"),)) as server, Exporter("--expect", "^220 ") as exporter:
            text = exporter.probe(f"127.0.0.1:{server.port}", until="connect")[2]
            self.assertRegex(text, r"(?m)^probe_success 1$")
            text = exporter.probe(f"127.0.0.1:{server.port}", answer_timeout="200ms")[2]
            self.assertRegex(text, r'reason="dialogue-timeout"')


class QueryTest(Case):
    REFUSED = (
        ("", "target is missing"),
        ("tls=1", "target is missing"),
        ("target=", "HOST:PORT"),
        ("target=host", "HOST:PORT"),
        ("target=host:0", "from 1 to 65535"),
        ("target=:80", "HOST:PORT"),
        ("target=80", "HOST:PORT"),
        ("target=http://host:80", "target"),
        ("target=host:99999", "target"),
        ("target=..%2F..%2Fetc:1", "target"),
        ("target=a%00b:80", "NUL"),
        ("target=a%0Ab:80", "target"),
        ("target=%", "percent"),
        ("target=a:1&target=b:1", "twice"),
        ("target=a:1&tls=yes", "tls takes 1 or 0"),
        ("target=a:1&tls=", "tls takes 1 or 0"),
        ("target=a:1&ipv4=1&ipv6=1", "exclude"),
        ("target=127.0.0.1:1&ipv6=1", "family"),
        ("target=a:1&timeout=5", "time"),
        ("target=a:1&timeout=-5s", "time"),
        ("target=a:1&until=soon", "until"),
        ("target=a:1&expect_days=14", "tls=1"),
        ("target=a:1&servername=a", "servername needs tls=1"),
        ("target=a:1&tls_min=1.2", "tls_min needs tls=1"),
        ("target=[::1%25lo]:80", "the target address ::1%lo is not link-local and has no zone"),
        ("target=[fe80::1]:80", "the target address fe80::1 is link-local: append its interface"),
        ("target=a:1&module=http_2xx", "unknown parameter"),
        ("target=a:1&ca=/etc/passwd", "unknown parameter"),
        ("target=a:1&cert=/etc/passwd", "unknown parameter"),
        ("target=a:1&key=x", "unknown parameter"),
        ("target=a:1&crl=x", "unknown parameter"),
        ("target=a:1&insecure=1", "unknown parameter"),
        ("target=a:1&proxy=http://b:1", "unknown parameter"),
        ("target=a:1&send=x", "unknown parameter"),
        ("target=a:1&expect=x", "unknown parameter"),
        ("target=a:1&plot=x.svg", "unknown parameter"),
        ("target=a:1&connect-timeout=5s", "unknown parameter"),
        ("target=a:1&Target=b:1", "unknown parameter"),
        ("%00=1", "NUL"),
        ("target=" + "a" * 2000 + ":1", "too long"),
        ("a" * 100 + "=1", "too long"),
    )

    def test_what_is_refused_and_why(self):
        with Exporter() as exporter:
            for query, why in self.REFUSED:
                status, fields, text = exporter.get("/probe?" + query)
                self.assertEqual(status, 400, query)
                self.assertIn(why, text, query)
                self.assertEqual(text.count("\n"), 1, query)
                self.assertEqual(fields["Content-Type"], "text/plain; charset=utf-8")
            self.assertEqual(exporter.value('tcpgreet_exporter_requests_refused_total{cause="bad-request"}'),
                             len(self.REFUSED))
            self.assertEqual(exporter.value('tcpgreet_exporter_probes_total{reason="ok"}'), 0)

    @unittest.skipUnless(HAS_TLS, "needs TLS")
    def test_what_implies_tls_excludes_a_probe_without(self):
        with Exporter() as exporter:
            for implied in ({"until": "tls"}, {"starttls": "smtp"}):
                status, _, text = exporter.probe("127.0.0.1:1", tls="0", **implied)
                self.assertEqual(status, 400, text)
                self.assertIn("tls=0 excludes", text)

    def test_a_proxy_leaves_nothing_to_resolve(self):
        with Exporter("--proxy", "http://127.0.0.1:1") as exporter:
            status, _, text = exporter.probe("localhost:80", until="resolve")
            self.assertEqual(exporter.probe("[fe80::1]:80")[0], 200)  # which the proxy may reach
        self.assertEqual(status, 400, text)
        self.assertIn("the proxy resolves the name", text)

    def test_a_path_has_one_spelling(self):
        with Exporter() as exporter:
            for path in "/Probe", "/probe/", "/%70robe", "//probe", "/./probe", "/metrics/..", "/favicon.ico":
                self.assertEqual(exporter.get(path + "?target=a:1")[0], 404, path)

    def test_head_and_other_methods(self):
        with Exporter() as exporter:
            status, fields, text = exporter.get("/metrics", method="HEAD")
            self.assertEqual((status, text), (200, ""))
            self.assertGreater(int(fields["Content-Length"]), 1000)
            self.assertEqual(exporter.get("/probe?target=a:1", method="POST")[0], 405)


class BrowserTest(Case):
    def test_web_pages_cannot_start_probes(self):
        with refusing_port("127.0.0.1") as port, Exporter() as exporter:
            path = f"/probe?target=127.0.0.1:{port}"
            for fields in {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}, \
                    {"Sec_Fetch_Site": "same-site"}, {"Host": "evil.example"}, {"Host": f"evil.example:{exporter.port}"}:
                self.assertEqual(exporter.get(path, **fields)[0], 403, fields)
            for fields in {}, {"Sec_Fetch_Site": "none"}, {"Sec_Fetch_Site": "same-origin"}, \
                    {"Host": "localhost:1"}, {"Host": "[::1]:9115"}, {"Host": "LOCALHOST"}:
                self.assertEqual(exporter.get(path, **fields)[0], 200, fields)
            self.assertEqual(exporter.get("/", Host="evil.example")[0], 403)
            self.assertEqual(exporter.get("/", Sec_Fetch_Site="cross-site")[0], 200)

    def test_the_page_shows_what_was_found_without_script_or_foreign_content(self):
        with Server(listen=(("127.0.0.1", "0"),)) as server, refusing_port("127.0.0.1") as port, \
                Exporter() as exporter:
            self.assertIn("No target has been probed yet", exporter.get("/")[2])
            for _ in range(25):
                exporter.probe(f"127.0.0.1:{server.port}", until="connect")
            exporter.probe(f"127.0.0.1:{port}")
            status, fields, page = exporter.get("/")
            style = exporter.get("/style.css")
        self.assertEqual(status, 200)
        self.assertEqual(fields["Content-Security-Policy"],
                         "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
                         "style-src 'self'")
        self.assertNotRegex(page, r"<script|<style|style=|\son[a-z]+=|https?://")
        self.assertEqual(page.count("<section"), 2)
        self.assertEqual(page.count("<svg"), 2)
        self.assertIn("last 20:", page)
        self.assertIn("connect-refused", page)
        self.assertLess(page.index(f":{port}<"), page.index(f":{server.port}<"))
        self.assertEqual(style[1]["Content-Type"], "text/css; charset=utf-8")
        self.assertIn("prefers-color-scheme:dark", style[2])

    def test_the_page_keeps_the_last_hundred_targets(self):
        with Exporter() as exporter:
            connection = http.client.HTTPConnection(exporter.host, exporter.port, timeout=LIMIT_S)
            for i in range(110):
                exporter.get(f"/probe?target=127.0.0.1:{i + 1}&until=resolve", connection=connection)
            page = exporter.get("/", connection=connection)[2]
            connection.close()
        self.assertEqual(page.count("<section"), 100)
        self.assertIn("127.0.0.1:110<", page)
        self.assertNotIn("127.0.0.1:10<", page)


class LimitsTest(Case):
    def test_slow_targets_delay_no_other_and_their_number_has_a_limit(self):
        with listening("127.0.0.1") as silent, Server(listen=(("127.0.0.1", "0"),)) as server, \
                Exporter() as exporter:
            limit = int(exporter.value("tcpgreet_exporter_probes_in_flight_limit"))
            slow = f"/probe?target=127.0.0.1:{silent.getsockname()[1]}&until=dialogue&connect_timeout=1h&answer_timeout=1h"
            first = min(200, limit - 1)
            pending = [exporter.begin(slow) for _ in range(first)]
            await_that(lambda: exporter.value("tcpgreet_exporter_probes_in_flight") == first, "all are in flight")
            text = exporter.probe(f"127.0.0.1:{server.port}", until="connect")[2]
            self.assertRegex(text, r"(?m)^probe_success 1$")
            pending += [exporter.begin(slow) for _ in range(limit - first)]
            await_that(lambda: exporter.value("tcpgreet_exporter_probes_in_flight") == limit, "the limit is reached")
            status, fields, text = exporter.probe(f"127.0.0.1:{server.port}")
            self.assertEqual((status, fields["Retry-After"]), (503, "1"), text)
            self.assertEqual(exporter.value('tcpgreet_exporter_requests_refused_total{cause="busy"}'), 1)
            self.assertEqual(exporter.get("/healthz")[0], 200)
            self.assertEqual(select.select(pending, [], [], 0)[0], [])
            self.assertEqual(exporter.stop(), 0)
            for peer in pending:
                self.assertEqual(status_of(read_all(peer)), 503)

    def test_the_scrape_timeout_of_prometheus_ends_a_probe_in_time(self):
        with listening("127.0.0.1") as silent, Exporter() as exporter:
            target = f"127.0.0.1:{silent.getsockname()[1]}"
            field = "X_Prometheus_Scrape_Timeout_Seconds"
            status, _, text = exporter.probe(target, {field: "0.5"}, until="dialogue")
            self.assertEqual(status, 200)
            self.assertRegex(text, r"(?m)^probe_success 0$")
            self.assertRegex(text, r'reason="dialogue-timeout"|reason="connect-timeout"')
            for wrong in "x", "-1", "0", "1e3", "", "1.2.3", "inf", "nan":
                status, _, text = exporter.probe(target, {field: wrong}, until="dialogue")
                self.assertEqual(status, 400, wrong)
                self.assertIn("X-Prometheus-Scrape-Timeout-Seconds", text)

    def test_a_query_with_too_many_parameters_is_refused_at_once_and_leaks_nothing(self):
        with Exporter() as exporter:
            for count in [65, 300, 900] * 7:
                self.assertTrue(read_all(exporter.begin("/probe?" + "a=b&" * count)).startswith("HTTP/1.1 414 "))
            self.assertEqual(exporter.get("/healthz")[0], 200)
            self.assertEqual(exporter.stop(), 0)  # under LeakSanitizer, else it shows little

    def test_a_connection_is_kept_and_a_peer_that_leaves_costs_nothing(self):
        with listening("127.0.0.1") as silent, Exporter() as exporter:
            connection = http.client.HTTPConnection(exporter.host, exporter.port, timeout=LIMIT_S)
            for _ in range(3):
                self.assertEqual(exporter.get("/healthz", connection=connection)[2], "OK\n")
            connection.close()
            slow = f"/probe?target=127.0.0.1:{silent.getsockname()[1]}&until=dialogue&timeout=300ms"
            for peer in [exporter.begin(slow) for _ in range(20)]:
                peer.close()
            await_that(lambda: exporter.value('tcpgreet_exporter_probe_duration_seconds_count') == 20,
                       "the probes ended")
            self.assertEqual(exporter.value("tcpgreet_exporter_probes_in_flight"), 0)
            self.assertEqual(exporter.get("/healthz")[0], 200)


class StartTest(Case):
    def test_loopback_of_both_families_unless_a_host_is_given(self):
        count = 1 if not HAS_IPV6 else 2
        with Exporter(listen=("0",), announcements=count) as exporter:
            hosts = {found[1] for found in exporter.announcements}
            ports = {found[2] for found in exporter.announcements}
        self.assertEqual(hosts, {"127.0.0.1"} if count == 1 else {"[::1]", "127.0.0.1"})
        self.assertEqual(len(ports), 1)

    def test_a_wide_listener_is_warned_about(self):
        with Exporter(listen=("0.0.0.0", "0")) as exporter:
            exporter.log.expect("restrict who can")
            exporter.host = "127.0.0.1"
            self.assertEqual(exporter.get("/healthz", Host="any.example")[0], 200)

    def test_what_the_command_line_may_not_have(self):
        for options in (["--format", "json"], ["--plot", "x.svg"], ["--count", "2"],
                        ["--pin", "sha256:" + 64 * "0"], ["--servername", "a"]):
            result = run("--exporter", "0", *options)
            self.assertEqual(result.code, 2, options)
        result = run("--exporter", "0", "--ca", "/nonexistent/ca")
        self.assertEqual(result.code, 2, result)

    @unittest.skipUnless(HAS_TLS, "built without TLS")
    def test_directories_of_the_trust_store_that_have_no_room_are_an_error(self):
        for directories in (":".join(f"/d{i}" for i in range(65)), "/" + "d" * 4095):
            environment = {**os.environ, "SSL_CERT_DIR": directories}
            done = run("--exporter", "127.0.0.1", "0", env=environment)
            self.assertEqual(done.code, 2)
            self.assertIn(b"SSL_CERT_DIR: an exporter's sandbox takes 64 directories at most", done.err)
        environment = {**os.environ, "SSL_CERT_DIR": ":".join(f"/d{i}" for i in range(64))}
        with Exporter(env=environment) as exporter:
            self.assertEqual(exporter.get("/healthz")[0], 200)

    def test_int_ends_it_as_term_does(self):
        with Exporter() as exporter:
            self.assertEqual(exporter.stop(signal.SIGINT), 0)


@unittest.skipUnless(shutil.which("promtool"), "promtool is not installed (scripts/install-dependencies services)")
class PromtoolTest(Case):
    def check(self, text):
        checked = subprocess.run(["promtool", "check", "metrics"], input=text.encode(), stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT)
        self.assertEqual((checked.returncode, checked.stdout), (0, b""), text)

    def test_every_metric_is_clean(self):
        with Server(listen=(("127.0.0.1", "0"),)) as server, refusing_port("127.0.0.1") as port, \
                Exporter() as exporter:
            self.check(exporter.probe(f"127.0.0.1:{server.port}")[2])
            self.check(exporter.probe(f"127.0.0.1:{port}")[2])
            self.check(exporter.get("/metrics")[2])


@unittest.skipUnless(shutil.which("prometheus"), "Prometheus is not installed (scripts/install-dependencies services)")
class PrometheusTest(Case):
    CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: probe
    metrics_path: /probe
    params: {{until: [dialogue]}}
    static_configs: [{{targets: ['127.0.0.1:{good}', '127.0.0.1:{bad}']}}]
    relabel_configs:
      - {{source_labels: [__address__], target_label: __param_target}}
      - {{source_labels: [__param_target], target_label: instance}}
      - {{target_label: __address__, replacement: '127.0.0.1:{exporter}'}}
"""

    def test_its_query_answers_with_what_the_exporter_found(self):
        with Server(listen=(("127.0.0.1", "0"),)) as server, refusing_port("127.0.0.1") as bad, \
                Exporter() as exporter, tempfile.TemporaryDirectory() as folder:
            config = pathlib.Path(folder) / "prometheus.yml"
            config.write_text(self.CONFIG.format(good=server.port, bad=bad, exporter=exporter.port))
            log = open(pathlib.Path(folder) / "log", "wb")
            with log:
                port = free_port("127.0.0.1")
                prometheus = subprocess.Popen(
                    ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
                     f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
                try:
                    self.expect(port, "probe_success == 1", {f"127.0.0.1:{server.port}"})
                    self.expect(port, "probe_success == 0", {f"127.0.0.1:{bad}"})
                    self.expect(port, 'tcpgreet_probe_verdict_info{reason="connect-refused"}', {f"127.0.0.1:{bad}"})
                finally:
                    prometheus.terminate()
                    prometheus.wait()

    def expect(self, port, query, instances):
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})

        def answered():
            try:
                with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
                    found = json.load(answer)["data"]["result"]
            except OSError:
                return False
            return {one["metric"]["instance"] for one in found} == instances

        await_that(answered, query, limit_s=6 * LIMIT_S, every_s=0.2)


class LibraryTest(Case):
    """With GnuTLS behind it, it would be a third of the time in which the other modes start."""

    def maps(self, server):
        return pathlib.Path(f"/proc/{server.process.pid}/maps").read_text()

    @unittest.skipUnless(LOADS_LIBRARY, "this build is static")
    def test_libmicrohttpd_is_loaded_by_the_exporter_alone(self):
        with Exporter() as exporter:
            self.assertIn("libmicrohttpd", self.maps(exporter))
        with Server() as server:
            self.assertNotIn("libmicrohttpd", self.maps(server))


@unittest.skipIf(HAS_HTTP, "this build has libmicrohttpd")
class AbsentTest(Case):
    def test_the_mode_is_not_available(self):
        result = run("--exporter", "0")
        self.assertFails(result, 2, "usage")
        self.assertIn(b"--exporter is not available in this build", result.err)


if __name__ == "__main__":
    if not HAS_HTTP:
        for name in "ProbeTest", "QueryTest", "BrowserTest", "LimitsTest", "StartTest", "PromtoolTest", "PrometheusTest", "LibraryTest":
            del globals()[name]
    harness.main()
