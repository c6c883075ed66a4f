"""packaging/prometheus and packaging/grafana: promtool accepts the rules, and a Prometheus answers every query of the
dashboard with data of a server."""

import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request

from harness import LIMIT_S, Case, await_that, free_port, main, run, skip_file
from test_metrics import Measured
from tls_harness import certificates

TOP = pathlib.Path(__file__).resolve().parents[2]
RULES = TOP / "packaging/prometheus/tcpgreet-alerts.yml"
DASHBOARD = TOP / "packaging/grafana/tcpgreet.json"
VARIABLES = {"$__rate_interval": "10s", "$job": ".*", "$instance": ".*"}
CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ['{rules}']
scrape_configs:
  - job_name: tcpgreet
    static_configs: [{{targets: ['{target}']}}]
"""


def queries():
    """Each query of the dashboard, and what it is for."""
    found = []
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel["targets"]:
            query = target["expr"]
            for name, value in VARIABLES.items():
                query = query.replace(name, value)
            assert "$" not in query, query
            found.append((f"{panel['title']} {target['legendFormat']}", query))
    return found


class Prometheus:
    """One that scrapes a target."""

    def __init__(self, target):
        self._target = target

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory()
        config = pathlib.Path(self._folder.name) / "prometheus.yml"
        config.write_text(CONFIG.format(rules=RULES, target=self._target), encoding="ascii")
        self._port = free_port("127.0.0.1")
        self._process = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self._folder.name}/data",
             f"--web.listen-address=127.0.0.1:{self._port}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()

    def ask(self, path, **fields):
        """The data of an answer; None: it does not answer yet."""
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?" + urllib.parse.urlencode(fields)
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
                return json.load(answer)["data"]
        return None

    def values(self, query):
        """What is a number among the results."""
        data = self.ask("query", query=query)
        return [one for one in (data or {"result": []})["result"] if one["value"][1] != "NaN"]


class Packaging(Case):
    limit_s = 120

    def test_the_rules_are_valid_and_fire_when_they_are_meant_to(self):
        with tempfile.TemporaryDirectory() as folder:
            for file in (RULES, TOP / "tests/e2e/tcpgreet-alerts.test.yml"):
                shutil.copy(file, folder)
            for words in (("check", "rules", RULES.name), ("test", "rules", "tcpgreet-alerts.test.yml")):
                result = subprocess.run(["promtool", *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        check=False)
                self.assertEqual(result.returncode, 0, result.stdout.decode())

    def test_every_metric_of_rules_and_dashboard_is_one_of_the_server(self):
        made = certificates()
        with Measured("--tls", *made.serve()) as server:
            names = {re.sub(r"_(bucket|sum|count)$", "", name.partition("{")[0])
                     for name in re.findall(r"^# TYPE (\S+)", server.get("/metrics")[1], re.M)}
        used = set(re.findall(r"\b(?:tcpgreet|process)_\w+", RULES.read_text(encoding="utf-8") +
                              "".join(query for _, query in queries())))
        self.assertEqual({re.sub(r"_(bucket|sum|count)$", "", name) for name in used} - names, set())

    def test_every_query_of_the_dashboard_has_data(self):
        made = certificates()
        with Measured("--tls", *made.serve()) as server, Prometheus(server.at.removeprefix("http://")) as prometheus:
            missing = dict((query, title) for title, query in queries())

            def all_answered():
                bench = run("--bench", "::1", str(server.port), "--tls", "--ca", made.ca, "--servername", "localhost",
                            "--names", "2", "--connections", "2", "--duration", "200ms")
                self.assertEqual(bench.code, 0, bench)
                for query in list(missing):
                    if prometheus.values(query):
                        del missing[query]
                return not missing
            try:
                await_that(all_answered, "the dashboard's queries", limit_s=9 * LIMIT_S, every_s=0.5)
            except AssertionError:
                self.fail(f"without data: {missing}")
            alerts = prometheus.ask("rules")["groups"][0]["rules"]
            self.assertEqual({rule["health"] for rule in alerts}, {"ok"}, alerts)
            firing = prometheus.ask("query", query='ALERTS{alertname!~"TcpgreetCertificate.*"}')
            self.assertEqual(firing["result"], [])


if __name__ == "__main__":
    if "built without" in run("--version").out.decode():
        skip_file("needs TLS and libmicrohttpd")
    if not shutil.which("prometheus") or not shutil.which("promtool"):
        skip_file("needs prometheus and promtool")
    main()
