"""What --probe writes for machines: JSON that keeps to its schema, text for Prometheus, the line for monitoring."""

import copy
import json
import math
import re

import tls_harness
from harness import (MUSL, OPENING, ROOT, Case, Names, Script, Server, demanding, main, needs_names, refusing_port,
                     run, skip_file)

try:
    from jsonschema import Draft202012Validator as Validator
except ImportError:
    skip_file("Python's jsonschema is not there, or too old (scripts/install-dependencies test)")

SCHEMAS = {"tcpgreet.probe.v1": "probe-v1.schema.json", "tcpgreet.probe-summary.v1": "probe-summary-v1.schema.json",
           "tcpgreet.probe-targets.v1": "probe-targets-v1.schema.json"}
WORDS = {"OK": 0, "WARNING": 1, "CRITICAL": 2, "UNKNOWN": 3}
DUAL = {"listen": [("0",)], "announcements": 2}
HOSTS = "127.0.0.1 localhost\n::1 both\n127.0.0.1 both\n"
METRIC = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'


def schema(word):
    return json.loads((ROOT / "docs" / SCHEMAS[word]).read_text())


def reasons():
    """Word: exit code, as the one table in the source has them."""
    table = (ROOT / "include/tcpgreet/base/err.h").read_text()
    return {word: int(code) for word, code in re.findall(r'X\(ERR_\w+, "([a-z-]+)", (\d+)\)', table)}


def probe(host, port, *options, **more):
    return run(*demanding(host, port, *options), **more)


def refuse_constant(word):
    raise ValueError(f"{word} is no JSON")


def unique(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"a key twice in {pairs}")
    return found


def metrics(text):
    """Strictly: {name: {labels as a frozenset: value}}. Each metric has HELP, TYPE and samples, together and once."""
    found = {}
    name = None
    lines = text.split("\n")
    if lines.pop() != "":
        raise ValueError("the last line does not end")
    for before, line in zip([""] + lines, lines):
        if line.startswith("# HELP "):
            name = re.fullmatch(rf"# HELP ({METRIC}) \S.*", line)[1]
            if name in found:
                raise ValueError(f"{name} comes twice")
            found[name] = {}
        elif line.startswith("#"):
            if line != f"# TYPE {name} gauge" or not before.startswith(f"# HELP {name} "):
                raise ValueError(f"{line!r} behind {before!r}")
        else:
            sample = re.fullmatch(rf"({METRIC})\{{({LABEL}(?:,{LABEL})*)\}} (\S+)", line)
            if not sample or sample[1] != name:
                raise ValueError(f"{line!r} is no sample of {name}")
            labels = frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', sample[2]))
            if labels in found[name]:
                raise ValueError(f"{line!r} comes twice")
            found[name][labels] = float(sample[3])
            if not math.isfinite(found[name][labels]):
                raise ValueError(f"{line!r} has no number")
    if not all(found.values()):
        raise ValueError("a metric without a sample")
    return found


class FormatCase(Case):
    def json(self, host, port, *options, code=0, rounds=1, **more):
        """Probes; returns the one result, or a list of them and the summary, all as their schemas want them."""
        done = probe(host, port, "--format", "json", *options, **more)
        self.assertEqual(done.code, code, repr(done))
        lines = done.out.decode().splitlines()
        self.assertEqual(len(lines), rounds if rounds == 1 else rounds + 1, done)
        found = [json.loads(line, parse_constant=refuse_constant, object_pairs_hook=unique) for line in lines]
        for result in found:
            self.assertValid(result)
        for result in found[:rounds]:
            self.assertAgrees(result)
        self.assertEqual(found[0]["verdict"]["exit_code"] if rounds == 1 else code, code)
        return found[0] if rounds == 1 else found

    def assertValid(self, result):
        validator = Validator(schema(result["schema"]))
        self.assertEqual([f"{'/'.join(map(str, error.path))}: {error.message}"
                          for error in validator.iter_errors(result)], [])

    def assertAgrees(self, result):
        """The parts of a result fit each other."""
        self.assertEqual(reasons()[result["verdict"]["word"]], result["verdict"]["exit_code"])
        for answer in result["answers"]:
            self.assertEqual(answer["addresses"],
                             sum(a["family"] == answer["family"] for a in result["addresses"]), result)
        for address in result["addresses"]:
            begins = [phase["begin_seconds"] for phase in address["phases"].values()]
            self.assertEqual(begins, sorted(begins))
            if not address["ok"]:
                self.assertEqual(list(address["phases"])[-1], address["failed_phase"])
            for phase in address["phases"].values():
                self.assertLessEqual(phase["begin_seconds"] + (phase["seconds"] or 0),
                                     result["duration_seconds"] + 1e-9)
        known = {address["address"] for address in result["addresses"]}
        self.assertLessEqual({attempt["address"] for attempt in result["race"]}, known)

    def prometheus(self, host, port, *options, code=0, **more):
        done = probe(host, port, "--format", "prometheus", *options, **more)
        self.assertEqual(done.code, code, repr(done))
        return metrics(done.out.decode())

    def sample(self, found, name, **labels):
        """The value of the one series that has these labels."""
        values = [value for series, value in found["tcpgreet_probe_" + name].items() if set(labels.items()) <= series]
        self.assertEqual(len(values), 1, (name, labels, found))
        return values[0]

    def nagios(self, host, port, *options, **more):
        """Returns: the word, the message, {label: (value, warn, crit)}."""
        done = probe(host, port, "--format", "nagios", *options, **more)
        form = re.fullmatch(r"TCPGREET (OK|WARNING|CRITICAL|UNKNOWN) - ([^|\n]+?)(?: \|((?: '[^']+'=\S+)+))?\n",
                            done.out.decode())
        self.assertTrue(form, repr(done))
        self.assertEqual(done.code, WORDS[form[1]], repr(done))
        data = {}
        for word in (form[3] or "").split():
            part = re.fullmatch(r"'([a-z]+)'=(-?[0-9.]+)(s?);([0-9.:@~]*);([0-9.:@~]*);(?:0?);", word)
            self.assertTrue(part, word)
            self.assertEqual(part[3], "" if part[1] == "days" else "s")
            data[part[1]] = float(part[2]), part[4], part[5]
        return form[1], form[2], data


class TheSchema(FormatCase):
    def test_every_reason_and_exit_code_is_in_it(self):
        defined = schema("tcpgreet.probe.v1")["$defs"]
        self.assertEqual(defined["reason"]["enum"], list(reasons()))
        self.assertEqual(defined["verdict"]["properties"]["exit_code"]["enum"], sorted(set(reasons().values())))

    def test_every_finding_is_in_it(self):
        rules = re.findall(r'^ {4}\{"([a-z0-9-]+)", ', (ROOT / "src/probe/diagnosis.c").read_text(), re.M)
        self.assertGreater(len(rules), 10)
        word = schema("tcpgreet.probe.v1")["$defs"]["finding"]["properties"]["word"]
        self.assertEqual(sorted(word["enum"]), sorted(set(rules)))

    def test_it_is_one(self):
        for word in SCHEMAS:
            Validator.check_schema(schema(word))

    def test_every_object_in_it_is_closed(self):
        def look(part, where):
            if isinstance(part, dict):
                if part.get("type") == "object" and "propertyNames" not in part:
                    self.assertIs(part.get("additionalProperties"), False, where)
                for key, value in part.items():
                    look(value, f"{where}/{key}")
        for word in SCHEMAS:
            look(schema(word), word)

    def test_what_is_wrong_is_refused(self):
        with Server() as server:
            good = self.json("::1", server.port)
        validator = Validator(schema("tcpgreet.probe.v1"))

        def spoil(change):
            bad = copy.deepcopy(good)
            change(bad)
            self.assertFalse(validator.is_valid(bad), bad)

        spoil(lambda r: r.update(more=1))
        spoil(lambda r: r.pop("race"))
        spoil(lambda r: r["verdict"].update(word="fine"))
        spoil(lambda r: r["verdict"].update(text="all checks passed"))
        spoil(lambda r: r["addresses"][0].update(ok=False))
        spoil(lambda r: r["addresses"][0]["phases"].update(quit={"begin_seconds": 0, "seconds": 1}))
        spoil(lambda r: r["addresses"][0]["phases"]["connect"].update(seconds=-1))
        spoil(lambda r: r["addresses"][0]["tcp"].pop("retransmits"))
        spoil(lambda r: r.update(time="2026-01-01 00:00:00"))


class Json(FormatCase):
    def test_a_server_that_is_ok(self):
        with Server() as server:
            result = self.json("::1", server.port)
        self.assertEqual((result["target"], result["host"], result["port"]),
                         (f"[::1]:{server.port}", "::1", server.port))
        self.assertEqual((result["tls"], result["until"], result["require"]), (False, "dialogue", "all"))
        address, = result["addresses"]
        self.assertEqual((address["address"], address["family"], address["ok"]), ("::1", "ipv6", True))
        self.assertEqual([name for name in address["phases"] if name != "resolve"],
                         ["connect", "welcome", "name", "close"])
        self.assertEqual((address["local"]["address"], address["tls"], address["certificate"]), ("::1", None, None))
        self.assertEqual([attempt["won"] for attempt in result["race"]], [True])

    @needs_names
    def test_both_families(self):
        with Names(HOSTS) as names, Server(**DUAL) as server:
            result = self.json("both", server.port, wrap=names.wrap)
        self.assertEqual([address["address"] for address in result["addresses"]], ["::1", "127.0.0.1"])
        self.assertEqual([answer["asked"] for answer in result["answers"]], [True, True])

    @needs_names
    def test_one_unreachable_family(self):
        with Names(HOSTS) as names, Server(listen=[("127.0.0.1", "0")]) as server:
            result = self.json("both", server.port, code=9, wrap=names.wrap)
            self.json("both", server.port, "--require", "any", wrap=names.wrap)
        self.assertEqual(result["verdict"]["word"], "degraded")
        self.assertEqual(result["findings"][0]["word"], "ipv6-unreachable")
        self.assertEqual([(a["reason"], a["failed_phase"]) for a in result["addresses"]],
                         [("connect-refused", "connect"), ("ok", None)])

    def test_a_port_without_a_listener(self):
        with refusing_port() as port:
            result = self.json("::1", port, code=4)
        self.assertEqual(result["addresses"][0]["reason"], "connect-refused")

    @needs_names
    def test_a_name_that_does_not_exist(self):
        if MUSL:
            self.skipTest("musl has no nsswitch.conf and asks a name server in any case")
        with Names(HOSTS) as names:
            result = self.json("nowhere", 6000, code=3, wrap=names.wrap)
        self.assertEqual((result["port"], result["addresses"], result["race"]), (6000, [], []))
        self.assertEqual({answer["reason"] for answer in result["answers"]}, {"resolve-not-found"})

    def test_until(self):
        with Server() as server:
            for until in "resolve", "connect":
                result = self.json("::1", server.port, "--until", until)
                self.assertEqual(result["until"], until)
                self.assertEqual(list(result["addresses"][0]["phases"])[-1], until)

    def test_a_volume(self):
        with Server() as server:
            volume = self.json("::1", server.port, "--volume", "100k")["addresses"][0]["volume"]
        self.assertGreaterEqual(volume["sent_bytes"], 100 * 1024)
        self.assertGreater(volume["received_bytes"], volume["sent_bytes"])

    def test_bytes_of_a_peer_cannot_break_it(self):
        for payload in b'"}\\\x00\x1b[2J\xff\xc3\n|', b"HTTP/1.1 400 \"Bad\"\r\n\r\n":
            with Script(lambda peer, payload=payload: peer.send(payload).end().read_all()) as server:
                result = self.json("::1", server.port, code=7)
            self.assertEqual(result["verdict"]["word"], "dialogue-wrong-answer")
            self.assertNotRegex(result["verdict"]["text"], r"[\x00-\x1f\x7f]")

    def test_a_server_that_is_mute(self):
        with Script(lambda peer: peer.read_all()) as server:
            result = self.json("::1", server.port, "--answer-timeout", "100ms", code=7)
        self.assertEqual(result["addresses"][0]["failed_phase"], "welcome")

    def test_several_rounds_and_what_they_come_to(self):
        with Server() as server:
            *results, summary = self.json("::1", server.port, "--count", "3", "--interval", "10ms", rounds=3)
        self.assertEqual({result["schema"] for result in results}, {"tcpgreet.probe.v1"})
        self.assertEqual((summary["schema"], summary["rounds"]), ("tcpgreet.probe-summary.v1", 3))
        row, = summary["addresses"]
        self.assertEqual(summary["worst"], {"word": "ok", "exit_code": 0, "text": None})
        self.assertEqual((row["address"], row["rounds"], row["failed"], row["total_seconds"]["count"]), ("::1", 3, 0, 3))

    def test_a_broken_limit(self):
        with Server() as server:
            result = self.json("::1", server.port, "--warn", "connect=0", code=10)
        self.assertEqual(result["verdict"]["word"], "threshold")
        self.assertRegex(result["verdict"]["text"], r"^connect took \d+\.\d+ s at \[::1\]:\d+, outside --warn connect=0$")


class Prometheus(FormatCase):
    def test_a_server_that_is_ok(self):
        with Server() as server:
            found = self.prometheus("::1", server.port)
        target = f"[::1]:{server.port}"
        self.assertEqual(self.sample(found, "success", target=target), 1)
        self.assertEqual(self.sample(found, "address_success", target=target, address="::1", family="ipv6"), 1)
        self.assertEqual(self.sample(found, "reason_info", reason="ok"), 1)
        self.assertGreater(self.sample(found, "phase_seconds", phase="connect"), 0)
        self.assertNotIn("tcpgreet_probe_tls_info", found)

    def test_a_port_without_a_listener(self):
        with refusing_port() as port:
            found = self.prometheus("::1", port, code=4)
        self.assertEqual(self.sample(found, "success"), 0)
        self.assertEqual(self.sample(found, "exit_code"), 4)
        self.assertEqual(self.sample(found, "reason_info", reason="connect-refused", failed_phase="connect"), 1)

    @needs_names
    def test_both_families(self):
        with Names(HOSTS) as names, Server(**DUAL) as server:
            found = self.prometheus("both", server.port, wrap=names.wrap)
        for address, family in ("::1", "ipv6"), ("127.0.0.1", "ipv4"):
            self.assertEqual(self.sample(found, "address_success", address=address, family=family), 1)
            self.assertEqual(self.sample(found, "dns_addresses", family=family), 1)
        self.assertEqual(sum(found["tcpgreet_probe_race_won"].values()), 1)


class Monitoring(FormatCase):
    def test_a_server_that_is_ok(self):
        with Server() as server:
            word, payload, data = self.nagios("::1", server.port)
        self.assertEqual(word, "OK")
        self.assertRegex(payload, r"^\[::1\]:\d+: 1/1 address OK, slowest total \d+\.\d{6} s$")
        self.assertLessEqual({"total", "connect", "welcome", "name", "close"}, set(data))

    def test_a_port_without_a_listener(self):
        with refusing_port() as port:
            self.assertEqual(self.nagios("::1", port)[0], "CRITICAL")

    @needs_names
    def test_one_unreachable_family(self):
        with Names(HOSTS) as names, Server(listen=[("127.0.0.1", "0")]) as server:
            self.assertEqual(self.nagios("both", server.port, wrap=names.wrap)[0], "WARNING")
            self.assertEqual(self.nagios("both", server.port, "--require", "any", wrap=names.wrap)[0], "OK")

    def test_limits(self):
        with Server() as server:
            word, payload, data = self.nagios("::1", server.port, "--warn", "connect=0,total=10s")
            self.assertEqual(word, "WARNING")
            self.assertIn(", outside --warn connect=0", payload)
            self.assertEqual((data["connect"][1:], data["total"][1:]), (("0", ""), ("10", "")))
            word, payload, data = self.nagios("::1", server.port, "--warn", "connect=0", "--crit", "name=@0:10")
            self.assertEqual(word, "CRITICAL")
            self.assertIn(", inside --crit name=@10", payload)
            self.assertEqual(self.nagios("::1", server.port, "--crit", "10", "--warn", "~:5")[0], "OK")

    def test_a_command_line_that_is_wrong_is_unknown(self):
        for options in ("--warn", "x"), ("--count", "2"), ("--nonsense",):
            word, _, data = self.nagios("::1", 6000, *options)
            self.assertEqual((word, data), ("UNKNOWN", {}))

    def test_bytes_of_a_peer_cannot_break_the_line(self):
        with Script(lambda peer: peer.send(b"OK | 'total'=0s;;;0;\n\x1b[2J").end().read_all()) as server:
            self.assertEqual(self.nagios("::1", server.port)[0], "CRITICAL")


class OverTls(FormatCase):
    def setUp(self):
        super().setUp()
        if not tls_harness.has_tls():
            self.skipTest("this program was built without TLS")
        self.made = tls_harness.certificates()
        self.options = "--tls", "--ca", self.made.ca

    def same_days(self, days_left, data):
        """The plugin's days are those of an earlier JSON result, or one fewer where a day ended between the two probes."""
        self.assertIn(days_left - data["days"][0], (0, 1))

    def test_a_server_that_is_ok(self):
        with Server("--tls", *self.made.serve()) as server:
            address, = self.json("::1", server.port, *self.options)["addresses"]
            found = self.prometheus("::1", server.port, *self.options)
            word, _, data = self.nagios("::1", server.port, *self.options)
        self.assertEqual((address["tls"]["version"], address["tls"]["resumption"]), ("TLSv1.3", "accepted"))
        self.assertTrue(address["certificate"]["trusted"])
        self.assertEqual(address["certificate"]["pin"], "sha256:" + tls_harness.pin_of(self.made.server[0])[-64:])
        self.assertEqual(self.sample(found, "tls_info", version="TLSv1.3", resumption="accepted"), 1)
        self.assertEqual(word, "OK")
        self.same_days(address["certificate"]["days_left"], data)

    def test_the_days_a_certificate_must_have_left(self):
        with Server("--tls", *self.made.serve()) as server:
            options = *self.options, "--expect-days", "36500"
            self.assertEqual(self.json("::1", server.port, *options, code=10)["verdict"]["word"], "threshold")
            word, payload, data = self.nagios("::1", server.port, *options)
        self.assertEqual((word, data["days"][1]), ("WARNING", "36500:"))
        self.assertIn("--expect-days asks for 36500", payload)

    def test_an_expired_certificate_is_reported_in_every_format(self):
        made = tls_harness.certificates("--bad")
        with Server("--tls", *tls_harness.identity(made.bad("expired"))) as server:
            options = "--tls", "--ca", made.ca
            result = self.json("::1", server.port, *options, code=6)
            found = self.prometheus("::1", server.port, *options, code=6)
            word, _, data = self.nagios("::1", server.port, *options)
        address, = result["addresses"]
        self.assertEqual((address["reason"], address["tls"]), ("cert-expired", None))
        certificate = address["certificate"]
        self.assertLess(certificate["days_left"], 0)
        self.assertFalse(certificate["trusted"])
        self.assertRegex(certificate["distrust"], "expired")
        self.assertLess(self.sample(found, "certificate_not_after_timestamp_seconds"),
                        self.sample(found, "timestamp_seconds"))
        self.assertEqual(self.sample(found, "certificate_trusted"), 0)
        self.assertEqual(self.sample(found, "reason_info", reason="cert-expired", failed_phase="tls"), 1)
        self.assertEqual(self.sample(found, "finding_info", finding="cert-expired"), 1)
        self.assertEqual(result["findings"][0]["word"], "cert-expired")
        self.assertEqual(word, "CRITICAL")
        self.same_days(certificate["days_left"], data)

    def test_a_peer_without_tls(self):
        with Script(lambda peer: peer.send(OPENING).read_all()) as server:
            result = self.json("::1", server.port, *self.options, code=5)
        self.assertEqual(result["verdict"]["word"], "tls-plaintext-peer")
        self.assertEqual((result["addresses"][0]["tls"], result["addresses"][0]["certificate"]), (None, None))


if __name__ == "__main__":
    main()
