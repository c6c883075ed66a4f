"""Manual page, completion, installation, bill of materials and Debian packages, as the build makes them."""

import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from harness import BINARY, LIMIT_S, ROOT, Case, Stuck, environment, lacking, main, run, skip_file

BUILD = pathlib.Path(BINARY).parent
MAN = ROOT / "man" / "tcpgreet.1"
MODES = ("listen", "connect", "probe", "bench", "bench-merge", "exporter")
# Each fails at once: no address of this machine, no listener, no file.
OPERANDS = {"listen": ("192.0.2.1", "1"), "connect": ("::1", "1"), "probe": ("::1", "1"), "bench": ("::1", "1"),
            "bench-merge": ("absent",), "exporter": ("192.0.2.1", "1")}
EPOCH = "1700000000"
EXPECTED = ["bin/tcpgreet", "bin/tcpgreet-generate-certs", "share/bash-completion/completions/tcpgreet",
            "share/doc/tcpgreet/README.md", "share/doc/tcpgreet/docs/probe.md", "share/doc/tcpgreet/tcpgreet.spdx.json",
            "share/fish/vendor_completions.d/tcpgreet.fish", "share/man/man1/tcpgreet.1",
            "share/man/man1/tcpgreet-generate-certs.1", "share/zsh/vendor-completions/_tcpgreet"]


def needs(*programs):
    return unittest.skipIf(lacking(*programs), lacking(*programs))


def completion(shell, name):
    return BUILD / "completions" / shell / name


def cached(variable):
    """A variable of the build's CMake cache."""
    found = re.search(rf"^{variable}:\w+=(.*)$", (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE)
    return found and found[1]


def libraries():
    """The libraries of the bill of materials."""
    return {package["name"] for package in json.loads((BUILD / "tcpgreet.spdx.json").read_text())["packages"]}


def in_help():
    """The long options, and the letters of some, of --help."""
    text = run("--help").out.decode()
    rows = re.findall(r"^  (?:(-\w),)? +--([\w-]+)", text, re.MULTILINE)
    return {name: letter for letter, name in rows}


def command(*args, cwd=BUILD, **more):
    done = subprocess.run([os.fspath(a) for a in args], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env=environment(**more))
    if done.returncode != 0:
        raise AssertionError(f"{args} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


class Folder(Case):
    limit_s = 120

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tcpgreet-packages-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def assertStarts(self, program, root):
        """Every service below a folder starts this program."""
        units = [unit.read_text() for unit in root.rglob("*.service")]
        started = {word for text in units for word in re.findall(r"^ExecStart=(\S+)", text, re.MULTILINE)}
        self.assertEqual(started, {program})


class ManualPage(Case):
    def test_it_has_each_option_that_help_has_and_no_other(self):
        text = MAN.read_text()
        options = {name for line in re.findall(r"^\.It Fl .*$", text, re.MULTILINE)
                   for name in re.findall(r"(?:Fl|,) -([a-z][\w-]+)", line)}
        self.assertEqual(options, set(in_help()))
        for name, letter in in_help().items():
            if letter:
                self.assertRegex(text, rf"\n\.It Fl {letter[1]} , Fl -{name}\n")

    def test_it_has_the_sections_that_readers_look_for(self):
        sections = re.findall(r"^\.Sh (.*)$", MAN.read_text(), re.MULTILINE)
        for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES", "DIAGNOSTICS"):
            self.assertIn(section, sections)

    def test_each_variable_that_the_program_reads_is_there(self):
        names = {"TCPGREET_PROXY_PASSWORD", "SSL_CERT_FILE", "SSL_CERT_DIR"}  # read through a name, or by OpenSSL
        for source in (ROOT / "src").rglob("*.c"):
            names |= set(re.findall(r'getenv\("(\w+)"\)', source.read_text()))
        for name in names - {"LC_ALL", "LANG"}:
            self.assertTrue(name in MAN.read_text(), name)

    @needs("mandoc")
    def test_mandoc_finds_nothing_to_improve(self):
        for page in sorted((ROOT / "man").glob("*.1")):
            done = subprocess.run(["mandoc", "-Tlint", page], capture_output=True, text=True)
            complaints = [line for line in done.stdout.splitlines() if "referenced manual not found" not in line]
            self.assertEqual(complaints, [])

    @needs("man", "groff")
    def test_man_formats_it_without_a_warning(self):
        for page in sorted((ROOT / "man").glob("*.1")):
            done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", page], capture_output=True, text=True,
                                  env=environment(MANWIDTH="80"))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("EXIT STATUS", done.stdout)


class Completion(Case):
    """Each shell's own completion, asked as a person asks it."""

    limit_s = 120

    def test_all_options_of_help_are_in_the_completion_of_each_shell(self):
        options = set(in_help())
        for shell, name, written in (("bash", "tcpgreet", r"^_tcpgreet_modes\[--([\w-]+)\]"),
                                     ("zsh", "_tcpgreet", r"[|*)]--([\w-]+)=?\["), ("fish", "tcpgreet.fish", r" -l ([\w-]+)")):
            found = set(re.findall(written, completion(shell, name).read_text(), re.MULTILINE))
            self.assertEqual(found, options, shell)

    def bash(self, *words):
        script = ('source "$1"; shift; compopt() { :; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; '
                  'COMP_LINE=${COMP_LINE// = /=}; COMP_POINT=${#COMP_LINE}; _tcpgreet; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        return command("bash", "-c", script, "bash", completion("bash", "tcpgreet"), "tcpgreet", *words).split()

    def test_bash_offers_what_the_mode_accepts(self):
        self.assertEqual(self.bash(""), [f"--{mode}" for mode in MODES])
        for mode in MODES:
            offered = self.bash(f"--{mode}", *OPERANDS[mode], "--")
            for option, value in (("backlog", "1"), ("until", "tls"), ("framing", "bare"), ("warn", "1"), ("rate", "1")):
                refusal = run(f"--{mode}", *OPERANDS[mode], f"--{option}", value).err.decode()
                self.assertEqual(f"--{option}" in offered, f"not for --{mode} (usage)" not in refusal, (mode, option))
        self.assertEqual(self.bash("--probe", "::1", "6000", "--until", ""), ["auto", "resolve", "connect", "tls", "dialogue"])
        self.assertEqual(self.bash("--probe", "::1", "6000", "--until", "=", "d"), ["dialogue"])
        self.assertNotIn("--until", self.bash("--probe", "::1", "6000", "--until", "tls", "--"))
        self.assertNotIn("--ipv4", self.bash("--probe", "::1", "6000", "-4", "--"))
        self.assertIn("--pin", self.bash("--probe", "::1", "6000", "--pin", "sha256:00", "--pi"))
        self.assertIn("bash", self.bash("--probe", "::1", "6000", "--", "bas"))

    @needs("fish")
    def test_fish_offers_what_the_mode_accepts(self):
        def fish(line):
            text = command("fish", "--no-config", "-c", f"source {completion('fish', 'tcpgreet.fish')}; complete -C '{line}'")
            return [row.split("\t")[0] for row in text.splitlines()]

        self.assertEqual(sorted(fish("tcpgreet --probe ::1 6000 --until ")), ["auto", "connect", "dialogue", "resolve", "tls"])
        self.assertIn("--backlog", fish("tcpgreet --listen 6000 --b"))
        self.assertNotIn("--backlog", fish("tcpgreet --connect ::1 6000 --b"))
        self.assertIn("--bench-merge", fish("tcpgreet --b"))

    def typed(self, shell, setup, typed, wanted):
        """The shell in a terminal: what it shows after the tab is typed."""
        pid, master = pty.fork()
        if pid == 0:
            os.chdir(BUILD)
            os.environ.update(environment(TERM="vt100", PS1="> "))
            os.execvp(shell[0], shell)
        shown = b""
        try:
            os.write(master, setup + b"\n")
            for text, awaited in ((b"", b"ready-now"), (typed, wanted)):
                os.write(master, text)
                end = time.monotonic() + LIMIT_S
                while awaited not in shown:
                    if not select.select([master], [], [], max(0, end - time.monotonic()))[0]:
                        raise Stuck(f"waited for {awaited!r}, saw {shown!r}")
                    shown += os.read(master, 65536)
                shown = b""
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(master)

    def test_bash_completes_in_a_terminal(self):
        self.typed(["bash", "--norc", "--noprofile", "-i"], b"source completions/bash/tcpgreet; echo ready''-now",
                   b"tcpgreet --probe ::1 6000 --until=di\t", b"dialogue")

    @needs("zsh")
    def test_zsh_completes_in_a_terminal(self):
        setup = b"fpath=($PWD/completions/zsh $fpath); autoload -U compinit; compinit -u -D; echo ready''-now"
        for typed, wanted in ((b"tcpgreet --probe ::1 6000 --unt\tdi\t", b"dialogue"), (b"tcpgreet --bench-m\t", b"erge"),
                              (b"tcpgreet --listen 6000 --backl\t", b"og"),
                              (b"tcpgreet --probe ::1 22 -- read\telf --debug-dump=rawl\t", b"ine")):
            with self.subTest(typed):
                self.typed(["zsh", "-f", "-i"], setup, typed, wanted)


class CrossBuild(Folder):
    """As by a toolchain file: programs of the build cannot be executed."""

    limit_s = 120

    def configure(self, *options):
        command("cmake", "-S", ROOT, "-B", self.folder / "cross", "-DCMAKE_SYSTEM_NAME=Linux", "-DBUILD_TESTING=OFF", *options)
        return command("cmake", "--build", self.folder / "cross", "--target", "help").split()

    def test_without_an_emulator_it_goes_without_completion(self):
        self.assertNotIn("completions", self.configure())
        self.assertIn("completions", self.configure("-DCMAKE_CROSSCOMPILING_EMULATOR=/usr/bin/env"))


class Installation(Folder):
    def test_everything_is_installed_and_uninstalled_below_destdir(self):
        manifest = BUILD / "install_manifest.txt"  # of an installation that is to stay
        before = manifest.read_text() if manifest.exists() else None
        self.addCleanup(lambda: before is None or manifest.write_text(before))
        prefix = self.folder / "stage" / "opt"
        command("cmake", "--install", BUILD, "--prefix", "/opt", DESTDIR=self.folder / "stage")
        for name in EXPECTED:
            self.assertTrue((prefix / name).is_file(), name)
        self.assertStarts("/opt/bin/tcpgreet", prefix)
        self.assertEqual(run("--version").out, subprocess.run([prefix / "bin" / "tcpgreet", "--version"],
                                                              capture_output=True, check=True).stdout)
        command("cmake", "-P", BUILD / "uninstall.cmake", DESTDIR=self.folder / "stage")
        self.assertEqual([path for path in prefix.rglob("*") if path.is_file()], [])
        self.assertEqual(list(prefix.rglob("tcpgreet")), [])
        self.assertFalse(manifest.exists())

    @needs("openssl")
    def test_the_installed_generate_certs_writes_into_the_current_folder(self):
        (self.folder / "bin").mkdir()
        shutil.copy(ROOT / "scripts" / "generate-certs", self.folder / "bin" / "tcpgreet-generate-certs")
        there = self.folder / "there"
        there.mkdir()
        command(self.folder / "bin" / "tcpgreet-generate-certs", cwd=there)
        self.assertTrue((there / "certs" / "server.crt").is_file())
        self.assertEqual(os.listdir(self.folder / "bin"), ["tcpgreet-generate-certs"])

    @needs("openssl")
    def test_the_installed_generate_certs_goes_by_the_name_that_it_has(self):
        (self.folder / "bin").mkdir()
        installed = self.folder / "bin" / "tcpgreet-generate-certs"
        shutil.copy(ROOT / "scripts" / "generate-certs", installed)
        self.assertRegex(command(installed, "--help"), r"\AUsage: tcpgreet-generate-certs \[--out DIR\]")
        done = subprocess.run([installed, "--no"], capture_output=True, text=True)
        self.assertRegex(done.stderr, r"\Atcpgreet-generate-certs: unknown option: --no")
        elsewhere = {**os.environ, "PATH": "/usr/bin:/bin"}  # without a tcpgreet in either
        for beside, program in ((False, "tcpgreet"), (True, str(installed.parent / "tcpgreet"))):
            if beside:
                shutil.copy(BINARY, program)
            done = subprocess.run([installed, "--force"], cwd=self.folder, env=elsewhere, capture_output=True, text=True)
            if shutil.which("tcpgreet", path=elsewhere["PATH"]):
                program = "tcpgreet"
            self.assertEqual(re.findall(r"(?m)^(\S+) --(?:listen|connect) ", done.stdout), [program] * 2, done)


class BillOfMaterials(Case):
    def test_it_has_the_libraries_that_the_program_was_built_with(self):
        document = json.loads((BUILD / "tcpgreet.spdx.json").read_text())
        packages = {package["name"]: package.get("versionInfo") for package in document["packages"]}
        version = run("--version").out.decode()
        self.assertEqual(packages.pop("tcpgreet"), re.search(r"^tcpgreet (\S+)", version)[1])
        for name, shown in (("libuv", "libuv"), ("openssl", "OpenSSL"), ("pcre2", "PCRE2"), ("libmicrohttpd", "libmicrohttpd")):
            built = re.search(rf"^{shown} .*built with (?:OpenSSL )?([\d.]+)", version, re.MULTILINE)
            self.assertEqual(packages.get(name), built and built[1].rstrip("."), name)

    @needs("readelf")
    def test_each_library_that_the_program_is_linked_with_is_there(self):
        needed = re.findall(r"NEEDED.*\[lib([\w-]+)\.so", command("readelf", "-d", BINARY))
        names = libraries()
        known = {"c": "glibc", "m": "glibc", "uv": "libuv", "ssl": "openssl", "crypto": "openssl", "idn2": "libidn2",
                 "pcre2-8": "pcre2", "pcre2": "pcre2", "jansson": "jansson", "microhttpd": "libmicrohttpd", "seccomp": "libseccomp"}
        for library in needed:
            self.assertIn(known[library], names)

    def test_it_is_a_document_of_spdx_2_3(self):
        document = json.loads((BUILD / "tcpgreet.spdx.json").read_text())
        self.assertEqual((document["spdxVersion"], document["dataLicense"], document["SPDXID"]),
                         ("SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT"))
        self.assertRegex(document["creationInfo"]["created"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertRegex(document["documentNamespace"], r"^https://[^#]+$")
        ids = {package["SPDXID"] for package in document["packages"]} | {"SPDXRef-DOCUMENT"}
        self.assertEqual(len(ids), len(document["packages"]) + 1)
        for package in document["packages"]:
            self.assertRegex(package["SPDXID"], r"^SPDXRef-[\w.-]+$")
            self.assertTrue(package["downloadLocation"])
        related = {relation[end] for relation in document["relationships"] for end in ("spdxElementId", "relatedSpdxElement")}
        self.assertEqual(related, ids)

    @needs("readelf")
    def test_what_is_linked_and_what_is_loaded_are_different_relations(self):
        relations = {(relation["spdxElementId"], relation["relationshipType"], relation["relatedSpdxElement"])
                     for relation in json.loads((BUILD / "tcpgreet.spdx.json").read_text())["relationships"]}
        linked = re.findall(r"NEEDED.*\[lib([\w-]+)\.so", command("readelf", "-d", BINARY))
        for name in ("idn2", "microhttpd", "seccomp"):
            if f"SPDXRef-lib{name}" in {end for relation in relations for end in relation}:
                wanted = ("SPDXRef-tcpgreet", "DYNAMIC_LINK", f"SPDXRef-lib{name}") if name in linked else \
                    (f"SPDXRef-lib{name}", "OPTIONAL_DEPENDENCY_OF", "SPDXRef-tcpgreet")
                self.assertEqual({relation for relation in relations if f"SPDXRef-lib{name}" in relation}, {wanted})
        self.assertIn(("SPDXRef-tcpgreet", "DYNAMIC_LINK", "SPDXRef-libuv"), relations)


@needs("cpack", "dpkg-deb", "dpkg-shlibdeps", "file")
class DebianPackages(Folder):
    def make(self, name):
        out = self.folder / name
        command("cpack", "-B", out, SOURCE_DATE_EPOCH=EPOCH)
        return sorted(out.glob("*.deb"))

    def test_they_are_the_same_when_they_are_made_again_and_lintian_accepts_them(self):
        first, second = self.make("first"), self.make("second")
        self.assertEqual([package.name for package in first], [package.name for package in second])
        for one, other in zip(first, second):
            self.assertEqual(one.read_bytes(), other.read_bytes(), one.name)
        self.inspect(first)
        if shutil.which("lintian"):
            for package in first:
                self.assertEqual(command("lintian", "--fail-on", "error,warning", package), "", package.name)

    @needs("dpkg-query")
    def test_the_program_depends_on_what_it_is_linked_with_and_on_what_it_loads(self):
        packages = [path for path in self.make("depends") if path.name.startswith("tcpgreet_")]
        depends = command("dpkg-deb", "--field", packages[0], "Depends")
        self.assertRegex(depends, r"\blibc6 ")
        loaded = set(re.findall(rb"\blib(?:idn2|microhttpd|seccomp)\.so\.\d+(?=\0)", pathlib.Path(BINARY).read_bytes()))
        self.assertEqual(len(loaded), sum(name in libraries() for name in ("libidn2", "libmicrohttpd", "libseccomp")))
        for library in loaded:
            owner = command("dpkg-query", "-S", f"*/{library.decode()}").split(":")[0]
            self.assertRegex(depends, rf"(^|, ){re.escape(owner)}(,| |$)")

    def inspect(self, packages):
        listed = {}
        for package in packages:
            name = command("dpkg-deb", "--field", package, "Package").strip()
            listed[name] = command("dpkg-deb", "--contents", package)
            for line in listed[name].splitlines():
                self.assertRegex(line, r"^[d-]rw[x-]r-[x-]r-[x-] root/root ", line)
                self.assertNotIn("./etc", line)
        program = listed.pop("tcpgreet")
        for name in EXPECTED:
            name += ".gz" if "/man1/" in name else ""
            self.assertIn(f" ./usr/{name}\n", program + "\n")
        self.assertNotIn("systemd", program)
        self.assertEqual(sorted(os.listdir(self.control(packages, "tcpgreet"))), ["control", "md5sums"])
        units = sorted(path.name for path in (ROOT / "packaging").glob("systemd/*.*") if path.suffix != ".md")
        found = sorted(unit for text in listed.values() for unit in re.findall(r"/systemd/system/(\S+)", text))
        self.assertEqual(found, units)
        for package in packages:
            command("dpkg-deb", "--extract", package, self.folder / "extracted")
        self.assertStarts("/usr/bin/tcpgreet", self.folder / "extracted")
        for name in listed:
            control = self.control(packages, name)
            text = "".join(path.read_text() for path in control.iterdir())
            self.assertNotRegex(text, r"adduser|useradd|sysusers|systemctl.* (enable|start|restart)|"
                                      r"deb-systemd-(helper|invoke).* (enable|start|restart)\b")

    def control(self, packages, name):
        folder = self.folder / f"control-{name}"
        package, = (path for path in packages if path.name.startswith(f"{name}_"))
        command("dpkg-deb", "--control", package, folder)
        return folder


if __name__ == "__main__":
    if not (BUILD / "CMakeCache.txt").exists() or cached("CMAKE_BUILD_TYPE") != "Release":
        skip_file("packages are made of a release build")
    main()
