"""scripts/generate-certs: what it makes, what it keeps, and what it prints."""

import contextlib
import os
import pathlib
import re
import shlex
import shutil
import ssl
import stat
import subprocess
import tempfile
import time

from harness import ROOT, Case, environment, main, skip_file

SCRIPT = ROOT / "scripts" / "generate-certs"
GOOD = ["ca.crt", "ca.key", "client.crt", "client.key", "server.crt", "server.key"]
FAULTS = ["expired", "expired-intermediate", "expiring-intermediate", "ip-as-dns", "ip-in-cn", "missing-intermediate", "name-constraints", "name-in-cn", "not-yet-valid",
          "nul-in-san", "partial-wildcard", "revoked", "self-signed", "sha1", "unknown-ca", "unknown-critical", "weak-rsa",
          "wrong-key-usage", "wrong-name", "wrong-purpose"]
# X509_V_ERR_… of OpenSSL, whose texts change
NOT_YET_VALID, EXPIRED, SELF_SIGNED, NO_ISSUER, WRONG_PURPOSE = 9, 10, 18, 20, 26
NOT_PERMITTED, REVOKED = 47, 23
UNKNOWN_CRITICAL, HOSTNAME_MISMATCH, IP_MISMATCH, WEAK_KEY, WEAK_DIGEST = 34, 62, 64, 66, 68
BAD = sorted([f"{fault}.{kind}" for fault in FAULTS for kind in ("crt", "key")] + ["intermediate.crt", "revoked.crl"])


def shown(text):
    """As bash's printf %q has it."""
    return subprocess.run(["bash", "-c", 'printf %q "$1"', "bash", text], capture_output=True, text=True).stdout


def openssl(*args, code=0):
    done = subprocess.run(["openssl", *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if code is not None and done.returncode != code:
        raise AssertionError(f"openssl {args} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def text_of(certificate):
    return openssl("x509", "-in", certificate, "-noout", "-text")


def verify(certificate, ca, *options):
    """What `openssl verify` finds: "OK", or the number of its first complaint."""
    output = openssl("verify", "-CAfile", ca, "-no-CAfile", "-no-CApath", "-auth_level", "2", *options, certificate,
                   code=None)
    fault = re.search(r"error (\d+) at \d+ depth lookup:", output)
    return int(fault[1]) if fault else "OK" if output.endswith(": OK\n") else output


class Certificates(Case):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tcpgreet certs "))
        self.addCleanup(shutil.rmtree, self.folder)
        self.out = self.folder / "out"

    def script(self, *args, cwd=None, **more):
        done = subprocess.run([SCRIPT, *map(str, args)], cwd=cwd or self.folder, env=environment(**more),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertEqual([p.name for p in self.folder.rglob(".new*")], [], "left behind")
        return done

    def make(self, *args, out=None, **options):
        done = self.script("--out", out or self.out, *args, **options)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        return done

    def refuse(self, *args, code, message, **options):
        done = self.script(*args, **options)
        self.assertEqual((done.returncode, done.stdout), (code, ""), done)
        self.assertRegex(done.stderr, rf"\Agenerate-certs: {message}.*\n\Z")

    def mode(self, name):
        return stat.S_IMODE((self.out / name).stat().st_mode)

    def names(self, certificate="server.crt"):
        text = openssl("x509", "-in", self.out / certificate, "-noout", "-ext", "subjectAltName")
        return sorted(re.findall(r"DNS:[^,\s]+|IP Address:[^,\s]+", text))


class Good(Certificates):
    def test_a_ca_a_server_and_a_client_are_made(self):
        self.make()
        self.assertEqual(sorted(os.listdir(self.out)), GOOD)
        for name in GOOD:
            self.assertEqual(self.mode(name), 0o600 if name.endswith(".key") else 0o644, name)
        self.assertEqual(self.mode("."), 0o755)

    def test_the_callers_umask_changes_no_mode(self):
        for mask, out in ((0o000, "open"), (0o777, "shut")):
            self.out = self.folder / out
            subprocess.run(["sh", "-c", f'umask {mask:o}; exec "$@"', "sh", SCRIPT, "--out", self.out], check=True,
                           capture_output=True, stdin=subprocess.DEVNULL)
            self.assertEqual((self.mode("."), self.mode("ca.key"), self.mode("ca.crt")), (0o755, 0o600, 0o644))

    def test_they_serve_their_purpose_and_no_other(self):
        self.make()
        ca = self.out / "ca.crt"
        self.assertEqual(verify(ca, ca, "-x509_strict"), "OK")
        for name, purpose, other in (("server", "sslserver", "sslclient"), ("client", "sslclient", "sslserver")):
            certificate = self.out / f"{name}.crt"
            self.assertEqual(verify(certificate, ca, "-x509_strict", "-purpose", purpose), "OK")
            self.assertNotEqual(verify(certificate, ca, "-purpose", other), "OK")
            public = openssl("x509", "-in", certificate, "-noout", "-pubkey")
            self.assertEqual(openssl("pkey", "-in", self.out / f"{name}.key", "-pubout"), public)

    def test_extensions_are_as_rfc_5280_wants_them(self):
        self.make()
        ca, server = text_of(self.out / "ca.crt"), text_of(self.out / "server.crt")
        self.assertRegex(ca, r"Basic Constraints: critical\s+CA:TRUE, pathlen:1\n")
        self.assertRegex(ca, r"Key Usage: critical\s+Certificate Sign, CRL Sign\n")
        self.assertRegex(server, r"Basic Constraints: critical\s+CA:FALSE\n")
        self.assertRegex(server, r"Key Usage: critical\s+Digital Signature\n")
        self.assertRegex(server, r"Extended Key Usage: \s+TLS Web Server Authentication\n")
        identifier = r"Subject Key Identifier: \s+([0-9A-F:]{59})\n"
        self.assertRegex(server, identifier)
        self.assertRegex(server, r"Authority Key Identifier: \s+(keyid:)?" + re.search(identifier, ca)[1])

    def test_serial_numbers_and_keys_are_never_the_same(self):
        serials, keys = set(), set()
        for out in ("1", "2"):
            self.make(out=self.folder / out)
            for name in ("ca", "server", "client"):
                serial = openssl("x509", "-in", self.folder / out / f"{name}.crt", "-noout", "-serial")
                self.assertGreaterEqual(len(serial), len("serial=") + 30, serial)
                serials.add(serial)
                keys.add((self.folder / out / f"{name}.key").read_bytes())
        self.assertEqual((len(serials), len(keys)), (6, 6))

    def test_this_machine_is_named_unless_hosts_are_given(self):
        self.make()
        self.assertEqual(self.names(), ["DNS:localhost", "IP Address:0:0:0:0:0:0:0:1", "IP Address:127.0.0.1"])

    def test_names_and_addresses_each_become_their_kind(self):
        hosts = ["greet.example", "*.greet.example", "xn--bcher-kva.example.", "192.0.2.7", "2001:db8::7",
                 "::ffff:192.0.2.8", "1:2:3:4:5:6:7:8", "greet.example", "1.example"]
        self.make(*(f"--host={host}" for host in hosts))
        self.assertEqual(self.names(), [
            "DNS:*.greet.example", "DNS:1.example", "DNS:greet.example", "DNS:xn--bcher-kva.example",
            "IP Address:0:0:0:0:0:FFFF:C000:208", "IP Address:192.0.2.7", "IP Address:1:2:3:4:5:6:7:8",
            "IP Address:2001:DB8:0:0:0:0:0:7"])

    def test_a_name_too_long_for_a_common_name_is_named_all_the_same(self):
        host = ".".join(["n" * 60] * 4)
        self.make("--host", host)
        self.assertEqual(self.names(), [f"DNS:{host}"])

    def test_days_count_from_now_and_a_late_clock_is_forgiven(self):
        self.make("--days", "3")
        for name in ("ca", "server", "client"):
            dates = openssl("x509", "-in", self.out / f"{name}.crt", "-noout", "-dates")
            begin, end = (ssl.cert_time_to_seconds(date) for date in re.findall(r"=(.*)\n", dates))
            self.assertAlmostEqual(begin, time.time() - 3600, delta=120)
            self.assertAlmostEqual(end, time.time() + 3 * 86400, delta=120)

    def test_the_longest_validity_crosses_2050(self):
        self.make("--days", "3650")
        self.assertEqual(verify(self.out / "server.crt", self.out / "ca.crt", "-x509_strict"), "OK")

    def test_keys_are_p_256_and_with_rsa_2048_bits(self):
        self.make("--rsa", out=self.folder / "rsa")
        self.make()
        for name in ("ca", "server", "client"):
            self.assertIn("NIST CURVE: P-256", text_of(self.out / f"{name}.crt"))
            self.assertRegex(text_of(self.folder / "rsa" / f"{name}.crt"), r"Public-Key: \(2048 bit\)")

    def test_a_handshake_with_client_certificates_succeeds(self):
        for kind in ((), ("--rsa",)):
            self.make("--force", *kind)
            server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.out / "ca.crt")
            server.verify_mode = ssl.CERT_REQUIRED
            server.load_cert_chain(self.out / "server.crt", self.out / "server.key")
            client = ssl.create_default_context(cafile=self.out / "ca.crt")
            client.load_cert_chain(self.out / "client.crt", self.out / "client.key")
            for host in ("localhost", "127.0.0.1", "::1"):
                self.shake(server, client, host)

    def shake(self, server, client, host):
        """Both sides over memory, until neither has more to send."""
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        sides = {server.wrap_bio(to_server, to_client, server_side=True),
                 client.wrap_bio(to_client, to_server, server_hostname=host)}
        for _ in range(8):
            for side in list(sides):
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
                    sides.discard(side)
        self.assertFalse(sides, f"no handshake for {host}")


class Commands(Certificates):
    def commands(self, output):
        return [shlex.split(line) for line in output.splitlines() if " --tls " in line]

    def test_the_commands_name_the_files_as_the_caller_does(self):
        done = self.make(out="some where")
        server, client = self.commands(done.stdout)
        self.assertEqual(server[1:], ["--listen", "6000", "--tls", "--cert", "some where/server.crt", "--key",
                                      "some where/server.key"])
        self.assertEqual(client[1:], ["--connect", "localhost", "6000", "--tls", "--ca", "some where/ca.crt"])
        self.assertTrue((self.folder / "some where" / "server.crt").exists())

    def test_the_client_is_sent_to_the_first_host(self):
        self.assertEqual(self.commands(self.make("--host", "*.example", "--host", "::1").stdout)[1][2], "::1")
        done = self.make("--host", "*.example", "--force")
        self.assertEqual(self.commands(done.stdout)[1][2], "any.example")

    def test_any_path_will_do(self):
        for out in ("-dash", "a/b/c", "quote'\"$x`y`", "umläut/", "#hash;100%"):
            self.out = self.folder / out
            self.make(out=out)
            self.assertEqual(sorted(os.listdir(self.out)), GOOD, out)

    def test_without_out_they_go_into_the_source_trees_certs(self):
        tree = self.folder / "tree"
        (tree / "scripts").mkdir(parents=True)
        copy = shutil.copy(SCRIPT, tree / "scripts")
        done = subprocess.run([copy], cwd=self.folder, capture_output=True, text=True, check=True,
                              stdin=subprocess.DEVNULL, env=environment())
        self.assertEqual(sorted(os.listdir(tree / "certs")), GOOD)
        self.assertIn(str(tree / "certs" / "server.crt"), shlex.split(done.stdout))
        done = subprocess.run(["scripts/generate-certs", "--force"], cwd=tree, capture_output=True, text=True,
                              check=True, stdin=subprocess.DEVNULL, env=environment())
        self.assertIn(" --cert certs/server.crt --key certs/server.key\n", done.stdout)

    def test_help_is_on_standard_output(self):
        done = self.script("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for option in ("--out", "--host", "--days", "--rsa", "--bad", "--force"):
            self.assertIn(option, done.stdout)

    def test_the_environments_openssl_configuration_is_not_used(self):
        (self.folder / "broken.cnf").write_text("openssl_conf = nothing\n[req]\ndefault_md = nothing\n")
        self.make(OPENSSL_CONF=str(self.folder / "broken.cnf"))


class Overwriting(Certificates):
    def contents(self):
        return {str(p.relative_to(self.out)): p.read_bytes() for p in self.out.rglob("*") if p.is_file()}

    def test_one_file_in_the_way_stops_all(self):
        for name in GOOD:
            with self.subTest(name):
                self.out = self.folder / f"with {name}"
                self.out.mkdir()
                (self.out / name).write_text("mine")
                self.refuse("--out", self.out, code=1, message=f"nothing was made: .* already has .*{name}.*--force overwrites")
                self.assertEqual(self.contents(), {name: b"mine"})

    def test_a_link_to_nowhere_is_in_the_way_too(self):
        self.out.mkdir()
        (self.out / "ca.key").symlink_to(self.folder / "elsewhere")
        self.refuse("--out", self.out, code=1, message=".*already has .*ca.key")
        self.make("--force")
        self.assertFalse((self.out / "ca.key").is_symlink())
        self.assertFalse((self.folder / "elsewhere").exists())

    def test_a_bad_one_in_the_way_stops_all(self):
        (self.out / "bad").mkdir(parents=True)
        (self.out / "bad" / "sha1.key").write_text("mine")
        self.refuse("--out", self.out, "--bad", code=1, message=".*already has .*bad/sha1.key")
        self.assertEqual(self.contents(), {"bad/sha1.key": b"mine"})

    def test_force_makes_all_anew_and_leaves_other_files_alone(self):
        self.make()
        (self.out / "README.md").write_text("mine")
        (self.out / "server.key").chmod(0o644)
        before = self.contents()
        self.make("--force")
        after = self.contents()
        self.assertEqual({name for name in before if before[name] == after[name]}, {"README.md"})
        self.assertEqual(self.mode("server.key"), 0o600)

    def test_force_reports_that_the_bad_set_is_of_another_ca(self):
        self.make("--bad")
        done = self.script("--out", self.out, "--force")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"\Agenerate-certs: .*bad was made with another CA \(--bad --force replaces it\)\n\Z")

    def test_a_folder_in_the_place_of_a_file_is_never_moved_into(self):
        (self.out / "ca.crt").mkdir(parents=True)
        self.refuse("--out", self.out, "--force", code=1, message=".*ca.crt is a folder")
        self.assertEqual(os.listdir(self.out), ["ca.crt"])

    def test_a_failure_on_the_way_leaves_nothing_behind(self):
        tools = self.folder / "tools"
        tools.mkdir()
        (tools / "openssl").write_text(f"""#!/bin/sh
case $1,$* in
ca,*client*) echo 'the disk is on fire' >&2; exit 1 ;;
esac
exec {shutil.which("openssl")} "$@"
""")
        (tools / "openssl").chmod(0o755)
        done = self.script("--out", self.out, PATH=f"{tools}:{os.environ['PATH']}")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, r"\Athe disk is on fire\ngenerate-certs: command failed: openssl ca .*\n\Z")
        self.assertFalse(self.out.exists())


class Refusals(Certificates):
    def test_each_bad_argument_is_named(self):
        for args, message in (
                (["--host"], "--host needs a value"),
                (["--out", ""], "--out needs a value"),
                (["--host="], "--host needs a value"),
                (["--verbose"], "unknown option: --verbose"),
                (["certs"], "'certs' is not an option"),
                (["--rsa=4096"], "'4096' is not an option"),
                (["--days", "0"], "--days 0 is not a number from 1 to 3650"),
                (["--days", "3651"], "--days 3651 is not"),
                (["--days", "1e3"], "--days 1e3 is not"),
                (["--days", "-1"], "--days -1 is not"),
                (["--days", "010"], "--days 010 is not"),
                (["--host", "fe80::1%eth0"], "--host fe80::1%eth0: a certificate cannot name a zone"),
                (["--host", "bücher.example"], "--host bücher.example: an international name is written as"),
                *((["--host", host], f"--host {re.escape(shown(host))} is neither a domain name nor an IPv4 or IPv6 address")
                  for host in ("1.2.3", "1.2.3.256", "1.2.3.04", ":::", "1::2::3", "1:2:3:4:5:6:7", ":1:2:3:4:5:6:7",
                               "1:2:3:4:5:6:7:8:9", "1:2:3:4::5:6:7:8:9", "12345::", "a b", "a,DNS:b", "a..b", "-a",
                               "a-", "*", "a.*.b", "http://a", "[::1]", "a:6000", "n" * 64, ".".join(["n" * 50] * 6),
                               "a\nb"))):
            with self.subTest(args):
                self.refuse("--out", self.out, *args, code=2, message=message)
                self.assertFalse(self.out.exists())

    def test_a_place_that_cannot_be_written_is_named(self):
        (self.folder / "file").write_text("")
        for out in (self.folder / "file", self.folder / "file" / "below"):
            done = self.script("--out", out)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertRegex(done.stderr.splitlines()[-1], rf"^generate-certs: cannot make the folder {out}$")

    def test_another_openssl_is_named(self):
        for output, message in (("LibreSSL 3.3.6", ".*must be OpenSSL 3.0 or later, and this is LibreSSL 3.3.6"),
                           ("OpenSSL 1.1.1w  11 Sep 2023", ".*and this is OpenSSL 1.1.1w")):
            tools = self.folder / "tools"
            tools.mkdir(exist_ok=True)
            (tools / "openssl").write_text(f"#!/bin/sh\necho '{output}'\n")
            (tools / "openssl").chmod(0o755)
            self.refuse("--out", self.out, code=1, message=message, PATH=f"{tools}:{os.environ['PATH']}")
            self.assertFalse(self.out.exists())


class Bad(Certificates):
    """Each has its fault, and no other: OpenSSL's own verification is the judge."""

    @classmethod
    def setUpClass(cls):
        cls.shared = pathlib.Path(tempfile.mkdtemp(prefix="tcpgreet-bad-"))
        cls.addClassCleanup(shutil.rmtree, cls.shared)
        subprocess.run([SCRIPT, "--out", cls.shared, "--bad"], check=True, capture_output=True,
                       stdin=subprocess.DEVNULL, env=environment())

    def setUp(self):
        super().setUp()
        self.out = self.shared
        self.ca = self.shared / "ca.crt"

    def bad(self, name, *options, ca=None):
        return verify(self.out / "bad" / f"{name}.crt", ca or self.ca, "-purpose", "sslserver", *options)

    def test_all_are_there_with_their_keys(self):
        self.assertEqual(sorted(os.listdir(self.out / "bad")), BAD)
        for name in BAD:
            self.assertEqual(self.mode(f"bad/{name}"), 0o600 if name.endswith(".key") else 0o644, name)
        for fault in FAULTS:
            public = openssl("x509", "-in", self.out / "bad" / f"{fault}.crt", "-noout", "-pubkey")
            self.assertEqual(openssl("pkey", "-in", self.out / "bad" / f"{fault}.key", "-pubout"), public, fault)

    def test_each_chain_has_the_fault_of_its_name(self):
        chain = ("-untrusted", self.out / "bad" / "expired-intermediate.crt")
        for name, fault, options in (
                ("expired", EXPIRED, ()),
                ("not-yet-valid", NOT_YET_VALID, ()),
                ("self-signed", SELF_SIGNED, ()),
                ("unknown-ca", NO_ISSUER, ()),
                ("wrong-purpose", WRONG_PURPOSE, ()),
                ("weak-rsa", WEAK_KEY, ()),
                ("sha1", WEAK_DIGEST, ()),
                ("missing-intermediate", NO_ISSUER, ()),
                ("expired-intermediate", EXPIRED, chain),
                ("name-constraints", NOT_PERMITTED, ("-untrusted", self.out / "bad" / "name-constraints.crt")),
                ("unknown-critical", UNKNOWN_CRITICAL, ())):
            with self.subTest(name):
                self.assertEqual(self.bad(name, *options), fault)

    def test_without_its_fault_each_is_good(self):
        bad = self.out / "bad"
        for name, options, ca in (
                ("expired", ("-no_check_time",), None),
                ("not-yet-valid", ("-no_check_time",), None),
                ("self-signed", ("-partial_chain",), bad / "self-signed.crt"),
                ("unknown-ca", ("-partial_chain",), bad / "unknown-ca.crt"),
                ("wrong-purpose", ("-purpose", "sslclient"), None),
                ("weak-rsa", ("-auth_level", "1"), None),
                ("sha1", ("-auth_level", "0"), None),
                ("missing-intermediate", ("-untrusted", bad / "intermediate.crt"), None),
                ("expired-intermediate", ("-no_check_time", "-untrusted", bad / "expired-intermediate.crt"), None),
                ("unknown-critical", ("-ignore_critical",), None)):
            with self.subTest(name):
                self.assertEqual(self.bad(name, *options, ca=ca), "OK")
                self.assertEqual(self.bad(name, "-verify_hostname", "localhost", *options, ca=ca), "OK")

    def test_the_list_revokes_the_certificate_of_its_name_and_no_other(self):
        for name, found in (("revoked", REVOKED), ("wrong-name", "OK")):
            self.assertEqual(self.bad(name, "-crl_check", "-CRLfile", self.out / "bad" / "revoked.crl"), found)

    def test_the_intermediate_that_expires_soon_has_five_days_left(self):
        chain = self.out / "bad" / "expiring-intermediate.crt"
        for at, ends in ((4 * 86400, "OK"), (6 * 86400, EXPIRED)):
            self.assertEqual(self.bad("expiring-intermediate", "-attime", str(int(time.time()) + at), "-untrusted",
                                      chain), ends)

    def test_the_names_are_the_only_fault_of_the_others(self):
        for name, host, accepts in (("wrong-name", "localhost", "wrong.example"),
                                    ("partial-wildcard", "localhost", "foo.greet.example"),
                                    ("name-in-cn", "other.example", "localhost")):  # OpenSSL takes a CN
            with self.subTest(name):
                self.assertEqual(self.bad(name), "OK")
                self.assertEqual(self.bad(name, "-verify_hostname", host), HOSTNAME_MISMATCH)
                self.assertEqual(self.bad(name, "-verify_hostname", accepts), "OK")
        self.assertIn("DNS:127.0.0.1", text_of(self.out / "bad" / "ip-as-dns.crt"))
        self.assertRegex(text_of(self.out / "bad" / "wrong-key-usage.crt"), r"Key Usage: critical\s+Key Agreement\n")
        for name in ("ip-as-dns", "ip-in-cn", "nul-in-san"):
            self.assertEqual(self.bad(name), "OK")
            self.assertEqual(self.bad(name, "-verify_ip", "127.0.0.1"), IP_MISMATCH)

    def test_names_stand_where_they_must_not(self):
        self.assertRegex(text_of(self.out / "bad" / "ip-in-cn.crt"), r"Subject: CN ?= ?127\.0\.0\.1\n")
        self.assertRegex(text_of(self.out / "bad" / "name-in-cn.crt"), r"Subject: CN ?= ?localhost\n")
        for name in ("ip-in-cn", "name-in-cn"):
            self.assertNotIn("Alternative", text_of(self.out / "bad" / f"{name}.crt"))
        der = ssl.PEM_cert_to_DER_cert((self.out / "bad" / "nul-in-san.crt").read_text())
        self.assertIn(b"\x82\x17localhost\0.evil.example", der)
        self.assertIn("DNS:f*.greet.example", text_of(self.out / "bad" / "partial-wildcard.crt"))

    def test_they_are_made_for_the_hosts_that_are_given_and_with_rsa_too(self):
        self.out = self.folder / "rsa"
        self.make("--bad", "--rsa", "--host", "192.0.2.1", "--host", "greet.example")
        self.assertEqual(sorted(os.listdir(self.out / "bad")), BAD)
        self.assertEqual(self.names("bad/expired.crt"), ["DNS:greet.example", "IP Address:192.0.2.1"])
        self.assertIn("sha1WithRSAEncryption", text_of(self.out / "bad" / "sha1.crt"))
        self.assertRegex(text_of(self.out / "bad" / "weak-rsa.crt"), r"\(1024 bit\)")
        der = ssl.PEM_cert_to_DER_cert((self.out / "bad" / "nul-in-san.crt").read_text())
        self.assertIn(b"greet.example\0.evil.example", der)


if __name__ == "__main__":
    if shutil.which("openssl") is None:
        skip_file("there is no openssl command")
    main()
