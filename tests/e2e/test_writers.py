"""What the fuzz target of the writers writes of its corpus, as parsers that are not ours read it: json, expat, promtool."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree

from harness import ROOT, Case, environment, main, skip_file

PROGRAM = os.environ.get("TCPGREET_FUZZ_WRITERS")
CORPUS = ROOT / "tests" / "fuzz" / "corpus" / "writers"
SVG = "{http://www.w3.org/2000/svg}"
NUMBER = r"-?\d+(\.\d+)?"
RANGE = rf"@?(~:|{NUMBER}:)?({NUMBER})?"
# Monitoring Plugins Development Guidelines, "Performance data".
PERFORMANCE = rf"'[^'=|]+'={NUMBER}(s|ms|us|%|B|KB|MB|c)?(;{RANGE}(;{RANGE}(;({NUMBER})?(;({NUMBER})?)?)?)?)?"


class Written(Case):
    limit_s = 120

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="tcpgreet-e2e-")
        cls.addClassCleanup(cls.folder.cleanup)
        subprocess.run([PROGRAM, CORPUS], check=True, env=environment(TCPGREET_FUZZ_WRITTEN=cls.folder.name),
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def each(self, form):
        """The text of each file of a form."""
        paths = sorted(pathlib.Path(self.folder.name).glob(f"*.{form}"))
        self.assertEqual(len(paths), len(list(CORPUS.iterdir())))
        return [path.read_text(encoding="utf-8", errors="strict") for path in paths]

    def test_json_is_one_object_of_the_schema(self):
        try:
            import jsonschema
        except ImportError:
            self.skipTest("Python's jsonschema is not there (scripts/install-dependencies test)")
        schema = json.loads((ROOT / "docs" / "probe-v1.schema.json").read_text())
        for text in self.each("json"):
            jsonschema.validate(json.loads(text), schema)

    def test_plots_are_well_formed_pictures_without_scripts(self):
        for text in self.each("svg"):
            root = xml.etree.ElementTree.fromstring(text)
            self.assertEqual(root.tag, SVG + "svg")
            for element in root.iter():
                self.assertNotIn(element.tag, (SVG + "script", SVG + "foreignObject", SVG + "a"))
                self.assertEqual([name for name in element.keys() if name.startswith("on") or "href" in name], [])

    def test_prometheus_understands_the_metrics(self):
        if not shutil.which("promtool"):
            self.skipTest("promtool is not there (scripts/install-dependencies services)")
        for text in self.each("prom"):
            done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT)
            self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_a_plugin_prints_one_line_with_performance_data(self):
        for text in self.each("nagios"):
            line, end, rest = text.partition("\n")
            self.assertEqual((end, rest), ("\n", ""))
            self.assertRegex(line, r"^TCPGREET (OK|WARNING|CRITICAL|UNKNOWN) - [^|]+(\|[^|]*)?$")
            shown, bar, data = line.partition("|")
            if bar:
                self.assertRegex(data, rf"^( {PERFORMANCE})+$")


if __name__ == "__main__":
    if not PROGRAM:
        skip_file("TCPGREET_FUZZ_WRITERS does not name the program that writes")
    main()
