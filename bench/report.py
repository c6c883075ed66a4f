"""What bench/compare found, as a table and as a chart."""

import html
import statistics

WORKS = {
    "greet": ("greeting, kept connection", "µs"),
    "connect": ("connection: connect, one name, exit", "µs"),
    "greet-tls": ("greeting, TLS 1.3, kept connection", "µs"),
    "tls-full": ("connection, TLS 1.3, full handshake", "µs"),
    "tls-resumed": ("connection, TLS 1.3, resumed", "µs"),
    "idle": ("memory of an idle connection", "bytes"),
    "idle-tls": ("memory of an idle connection, TLS 1.3", "bytes"),
}


def median_of(samples, field):
    values = [sample[field] for sample in samples if field in sample]
    return statistics.median(values) if values else None


def summary(results):
    """results: work -> server -> samples, one a round. Returns the same with the medians and ratios in their place."""
    found = {}
    for work, servers in results.items():
        rows = {}
        for name, samples in servers.items():
            if samples:
                row = {field: median_of(samples, field) for field in samples[0]}
                costs = [sample["cost"] for sample in samples]
                row["spread"] = (max(costs) - min(costs)) / row["cost"] if len(costs) > 1 and row["cost"] else None
                rows[name] = row
        for row in rows.values():
            for field, other in (("to_bare", "bare"), ("tcpgreet_to_it", "tcpgreet")):
                if other in rows:
                    pair = (row["cost"], rows[other]["cost"])
                    above, below = pair if other == "bare" else reversed(pair)
                    row[field] = above / below if below else None
        found[work] = rows
    return found


def number(value, digits=1):
    return "-" if value is None else f"{value:,.{digits}f}"


def table(found):
    lines = []
    for work, rows in found.items():
        if not rows:
            continue
        title, unit = WORKS[work]
        timed = unit == "µs"
        kind = f"server CPU, {unit}" if timed else unit
        digits = 2 if timed else 0
        heads = [f"{title}", kind, "spread", "to bare", "tcpgreet to it"]
        heads += ["rate/s", "p50 µs", "p99 µs", "p99.9 µs"] if timed else []
        cells = [heads]
        for name, row in rows.items():
            spread = "-" if row["spread"] is None else f"{row['spread'] * 100:.0f} %"
            line = [name, number(row["cost"], digits), spread, number(row.get("to_bare"), 2)]
            line.append(number(row.get("tcpgreet_to_it"), 2))
            if timed:
                line += [number(row[field], 0) for field in ("rate", "p50_us", "p99_us", "p99.9_us")]
            cells.append(line)
        widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
        widths[0] = max(widths[0], max(len(head) for head, _ in WORKS.values()))
        for line in cells:
            padded = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
            lines.append("  ".join([line[0].ljust(widths[0]), *padded]))
        lines.append("")
    return "\n".join(lines)


STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.note { fill: #57606a; font-size: 12px }
.bar { fill: #8c959f }
.bare { fill: #54aeff }
.tcpgreet { fill: #1a7f37 }
.cut { fill: #ffffff }
.ground { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .note { fill: #9198a1 }
  .bar { fill: #6e7681 }
  .bare { fill: #388bfd }
  .tcpgreet { fill: #3fb950 }
  .cut, .ground { fill: #0d1117 }
}
"""

WIDTH, NAME_WIDTH, BAR_WIDTH, ROW, BAR, TOP = 760, 130, 440, 22, 14, 56
CUT = 5  # a bar above so many times the greater of the floor's and tcpgreet's is cut


def bars(rows, unit, y):
    """Returns the rows of one work as SVG, and where they end. The widest bar that is not cut fills the width."""
    costs = {name: max(row["cost"], 0) for name, row in rows.items()}
    measure = max(costs.get("bare", 0), costs.get("tcpgreet", 0)) or max(costs.values())
    scale = min(max(costs.values()), CUT * measure) or 1
    parts = []
    for name, row in rows.items():
        width = BAR_WIDTH * min(costs[name] / scale, 1)
        kind = name if name in ("bare", "tcpgreet") else "bar"
        ratio = f"  ({row['to_bare']:,.2f} ×)" if row.get("to_bare") is not None and name != "bare" else ""
        middle = y + BAR - 3
        parts.append(f'<text x="{NAME_WIDTH - 8}" y="{middle}" text-anchor="end">{html.escape(name)}</text>')
        parts.append(f'<rect class="{kind}" x="{NAME_WIDTH}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>')
        if costs[name] > scale:
            x = NAME_WIDTH + BAR_WIDTH - 24
            parts.append(f'<path class="cut" d="M{x} {y + BAR}l6 -{BAR}h5l-6 {BAR}z"/>')
        label = html.escape(f"{number(row['cost'], 2 if unit == 'µs' else 0)} {unit}{ratio}")
        parts.append(f'<text x="{NAME_WIDTH + width + 6:.1f}" y="{middle}">{label}</text>')
        y += ROW
    return parts, y


def chart(found, subtitle):
    parts, y = [], TOP
    for work, rows in found.items():
        if rows:
            title, unit = WORKS[work]
            what = "server CPU" if unit == "µs" else "resident"
            parts.append(f'<text class="title" x="16" y="{y + 14}">{html.escape(title)}, {what}</text>')
            more, y = bars(rows, unit, y + 24)
            parts += more
            y += 14
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">',
        "<title>What a greeting costs: tcpgreet, the bare loop, and others</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{y}"/>',
        '<text class="title" x="16" y="24">Less is better; in brackets: times the bare loop</text>',
        f'<text class="note" x="16" y="42">{html.escape(subtitle)}</text>',
    ]
    return "\n".join([*head, *parts, "</svg>", ""])
