"""Writes what a probe says of each fault into docs/probe.md: python3 -B tests/e2e/probe_gallery.py

Every output there is a real one: the rows are those of test_probe.py, the addresses and times as they were.
"""

import shlex
import signal
import sys

from harness import ROOT
from probe_net import lay, why_no_path
from test_probe import CERTIFICATES, PATHS, PLAIN, TLS, TLS_PATHS
from tls_harness import has_tls

DOCUMENT = ROOT / "docs" / "probe.md"
MARK = "<!-- made by tests/e2e/probe_gallery.py -->\n"
CHAPTERS = (("Names and paths", PATHS + TLS_PATHS), ("Peers, plain", PLAIN), ("Peers, over TLS", TLS),
            ("Certificates", CERTIFICATES))


def show(row):
    """One fault: the command, what it said, its exit code."""
    result = row.place.probe()
    if result.err:
        sys.exit(f"{row.fault}: {result!r}")
    return (f"### {row.fault[0].upper()}{row.fault[1:]}\n\n```console\n$ tcpgreet {shlex.join(result.args)}\n"
            f"{result.out.decode().rstrip()}\n$ echo $?\n{result.code}\n```\n")


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
        chapters = [f"## {title}\n\n" + "\n".join(map(show, rows)) for title, rows in CHAPTERS]
    finally:
        clear()
    DOCUMENT.write_text(head + mark + "\n" + "\n".join(chapters))


if __name__ == "__main__":
    main()
