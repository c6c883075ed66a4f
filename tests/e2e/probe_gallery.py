"""Writes what a probe says of each fault into docs/probe.md: python3 -B tests/e2e/probe_gallery.py

Every output there is a real one: the rows are those of test_probe.py, the addresses and times as they were.
"""

import re
import shlex
import signal
import sys

from harness import ROOT
from net_harness import FAR4, FAR6
from probe_net import far, far_certificates, lay, made, why_no_path
from probe_peers import ends_well
from test_probe import CERTIFICATES, PATHS, PLAIN, TLS, TLS_PATHS
from tls_harness import has_tls

DOCUMENT = ROOT / "docs" / "probe.md"
MARK = "<!-- made by tests/e2e/probe_gallery.py -->\n"
CHAPTERS = (("Names and paths", PATHS + TLS_PATHS), ("Peers, plain", PLAIN), ("Peers, over TLS", TLS),
            ("Certificates", CERTIFICATES))


EXAMPLES = {
    "well": far("both"),
    "retry": far("both", "--retry", "10s", "--", "echo", "ready"),
    "count": far("both", "--count", "3", "--interval", "100ms"),
    "nagios": far("both", "--format", "nagios", "--warn", "connect=0.1,total=0.5", "--crit", "total=1"),
    "prometheus": far_certificates("both", ends_well, {FAR4: lambda: made().bad("expired")}, "--format", "prometheus",
                                   addresses=(FAR4, FAR6)),
}


def run(place):
    """The command, what it said, its exit code."""
    result = place.probe()
    if result.err:
        sys.exit(repr(result))
    return (f"```console\n$ tcpgreet {shlex.join(result.args)}\n"
            f"{result.out.decode().rstrip()}\n$ echo $?\n{result.code}\n```\n")


def show(row):
    return f"### {row.fault[0].upper()}{row.fault[1:]}\n\n{run(row.place)}"


def show_example(match):
    return match[1] + run(EXAMPLES[match[2]])


def main():
    why = why_no_path() or (None if has_tls() else "needs a program with TLS")
    if why:
        sys.exit(why)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    text = DOCUMENT.read_text()
    head, mark, _ = text.partition(MARK)
    if not mark:
        sys.exit(f"{DOCUMENT} has no line {MARK}")
    clear = lay()
    try:
        head = re.sub(r"(<!-- example (\w+) -->\n)```console\n.*?```\n", show_example, head, flags=re.S)
        chapters = [f"## {title}\n\n" + "\n".join(map(show, rows)) for title, rows in CHAPTERS]
    finally:
        clear()
    DOCUMENT.write_text(head + mark + "\n" + "\n".join(chapters))


if __name__ == "__main__":
    main()
