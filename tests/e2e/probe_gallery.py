"""Writes the sample outputs of docs/probe.md, README.md and docs/degraded.svg: python3 -B tests/e2e/probe_gallery.py

Every output is a real one: the rows are those of test_probe.py, with the addresses and times of the run.
"""

import re
import shlex
import signal
import subprocess
import sys

from harness import ROOT
from net_harness import FAR4, FAR6
from probe_net import far, far_certificates, lay, made, why_no_path
from probe_peers import ends_cleanly
from test_probe import (CERTIFICATES, DENIED, MACHINE, PATHS, PLAIN, SERVICES, SOON, STARTTLS, TLS, TLS_PATHS, TLS_SERVICES,
                        exit_code)
from tls_harness import has_tls

DOCUMENT = ROOT / "docs" / "probe.md"
README = ROOT / "README.md"
PLOT = ROOT / "docs" / "degraded.svg"
EXAMPLE = re.compile(r"(<!-- example (\w+) -->\n)```console\n.*?```\n", re.S)
MARK = "<!-- made by tests/e2e/probe_gallery.py -->\n"


EXAMPLES = {  # name: place, and what the output is piped through
    "ok": (far("both"), ()),
    "degraded": (far("dropped6", *SOON, "--plot", str(PLOT)), ()),
    "certificate": (far_certificates("both", ends_cleanly, {FAR4: lambda: made().bad("expired")}, "--until", "tls",
                                     addresses=(FAR4, FAR6)), ()),
    "retry": (far("both", "--retry", "10s", "--", "echo", "ready"), ()),
    "count": (far("cluster-drop", *SOON, "--count", "3", "--interval", "100ms"), ()),
    "nagios": (far("both", "--format", "nagios", "--warn", "connect=0.1,total=0.5", "--crit", "total=1"), ()),
    "prometheus": (far_certificates("both", ends_cleanly, {FAR4: lambda: made().bad("expired")}, "--format", "prometheus",
                                    addresses=(FAR4, FAR6)), ("grep", "-e", "_success", "-e", "not_after")),
}


def run(place, pipe=()):
    """The command, what a terminal would show of it, its exit code."""
    result = place.probe()
    command, shown = f"tcpgreet {shlex.join(result.args)}".replace(f"{PLOT.parent}/", ""), result.out
    if pipe:
        shown = subprocess.run(pipe, input=shown, stdout=subprocess.PIPE, check=True).stdout
        command += f" 2>/dev/null | {shlex.join(pipe)}"
    else:
        shown += result.err
    code = "" if pipe else f"$ echo $?\n{result.code}\n"
    return f"```console\n$ {command}\n{shown.decode().rstrip()}\n{code}```\n"


def title(row):
    return row.fault[0].upper() + row.fault[1:]


def anchor(row):
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", title(row).lower()).replace(" ", "-")


def is_shown(row):
    """Left out: what looks as another row does."""
    return not row.fault.startswith("--misbehave") and not row.fault.endswith("in the server's flight, TLSv1_2")


def overview(chapters):
    lines = ["| fault | verdict | exit code | findings |", "|---|---|---|---|"]
    for name, rows in chapters:
        lines.append(f"| **{name}** | | | |")
        lines += [f"| [{title(row)}](#{anchor(row)}) | `{row.word}` | {exit_code(row.word)} | "
                  f"{' '.join(f'`{finding}`' for finding in row.findings.split())} |" for row in rows]
    return "\n".join(lines) + "\n"


def show(row):
    return f"### {title(row)}\n\n{run(row.place)}"


def show_example(match):
    return match[1] + run(*EXAMPLES[match[2]])


def main():
    why = why_no_path() or (None if has_tls() else "needs a program with TLS")
    if why:
        sys.exit(why)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    text = DOCUMENT.read_text()
    head, mark, _ = text.partition(MARK)
    if not mark:
        sys.exit(f"{DOCUMENT} has no line {MARK}")
    chapters = [(name, [row for row in rows if is_shown(row)]) for name, rows in (
        ("Names and paths", PATHS + TLS_PATHS), ("This machine", MACHINE + DENIED),
        ("Any service", SERVICES + TLS_SERVICES), ("Peers, plain", PLAIN), ("Peers, over TLS", TLS), ("STARTTLS", STARTTLS),
        ("Certificates", CERTIFICATES))]
    clear = lay()
    try:
        head = EXAMPLE.sub(show_example, head)
        readme = EXAMPLE.sub(show_example, README.read_text())
        outputs = [f"## {name}\n\n" + "\n".join(map(show, rows)) for name, rows in chapters]
    finally:
        clear()
    README.write_text(readme)
    DOCUMENT.write_text("\n".join([head + mark, overview(chapters), *outputs]))


if __name__ == "__main__":
    main()
