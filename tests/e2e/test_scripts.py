"""scripts/install-dependencies, scripts/try-on, scripts/try-musl and scripts/test: what they refuse, and what they print.

Package managers, id and build tools are stand-ins: nothing is installed or built, and any user may run this.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from harness import ROOT, Case, await_that, environment, main

INSTALL = {
    "apt-get": "apt-get update; apt-get -y --no-install-recommends install ",
    "dnf": "dnf -y install ",
    "apk": "apk add ",
    "pacman": "pacman -Sy --noconfirm --needed ",
}
# What the scripts themselves run.
TOOLS = ["awk", "bash", "cat", "dirname", "env", "paste", "sort", "uname"]


class Scripts(Case):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tcpgreet scripts "))
        self.addCleanup(shutil.rmtree, self.folder)
        self.calls = self.folder / "calls"

    def stand_in(self, name, *lines):
        """A command that is found before any other of this name. Without lines, it records how it was called."""
        path = self.folder / name
        path.write_text("\n".join(["#!/bin/sh", *(lines or [f'echo "{name} $*" >>"{self.calls}"']), ""]))
        path.chmod(0o755)

    def be(self, uid):
        self.stand_in("id", f"echo {uid}")

    def script(self, name, *args, alone=False, tree=ROOT):
        path = str(self.folder) if alone else f"{self.folder}:{os.environ['PATH']}"
        return subprocess.run([tree / "scripts" / name, *args], env=environment(PATH=path), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=20)

    def recorded(self):
        return self.calls.read_text() if self.calls.exists() else ""


class InstallDependencies(Scripts):
    """On a machine that has nothing but a package manager and sudo."""

    def setUp(self):
        super().setUp()
        for tool in TOOLS:
            (self.folder / tool).symlink_to(shutil.which(tool))
        self.stand_in("sudo")

    def install(self, *needs):
        return self.script("install-dependencies", *needs, alone=True)

    def test_an_ordinary_user_gets_the_command_to_run_as_root_and_nothing_is_run(self):
        self.be(1000)
        for manager, command in INSTALL.items():
            with self.subTest(manager):
                self.stand_in(manager)
                done = self.install("test")
                self.assertEqual(done.returncode, 1, done)
                lines = [line.strip() for line in done.stderr.splitlines() if line.startswith("    ")]
                self.assertEqual(len(lines), 1, done.stderr)
                self.assertTrue(lines[0].startswith(command), lines[0])
                packages = lines[0][len(command):].split(" ")
                self.assertLessEqual({"gcc", "cmake", "openssl", "git", "valgrind", "clang"}, set(packages))
                self.assertEqual(packages, sorted(set(packages)))
                self.assertIn("as root", done.stderr)
                self.assertEqual(self.recorded(), "")
            os.remove(self.folder / manager)

    def test_the_command_has_the_sanitizers_of_a_clang_that_is_not_there_yet(self):
        self.be(1000)
        self.stand_in("apt-get")
        self.assertIn(" libclang-rt-dev ", self.install("test").stderr)
        self.stand_in("apt-cache", "exit 0")
        self.assertIn(" libclang-rt-dev ", self.install("test").stderr)
        self.stand_in("apt-cache", '[ "$2" = clang ]')  # a release where clang itself depends on them
        self.assertNotIn("libclang-rt-dev", self.install("test").stderr)

    def test_root_installs_with_the_command_that_others_are_shown(self):
        for manager, command in INSTALL.items():
            with self.subTest(manager):
                self.stand_in(manager)
                self.be(1000)
                shown = next(line for line in self.install("demo").stderr.splitlines() if line.startswith("    "))
                self.be(0)
                done = self.install("demo")
                self.assertEqual(self.recorded(), shown.strip().replace("; ", "\n") + "\n")
                self.assertEqual(done.returncode, 1, "it installed nothing, but this was not noticed")
                self.assertIn("Still missing", done.stderr)
            os.remove(self.folder / manager)
            self.calls.unlink()

    def test_homebrew_is_run_by_an_ordinary_user(self):
        self.be(1000)
        self.stand_in("brew")
        self.install()
        self.assertRegex(self.recorded(), "^brew install .*openssl@3")

    def test_on_freebsd_what_its_base_system_has_is_not_installed(self):
        self.be(0)
        self.stand_in("pkg")
        self.install("demo")
        self.assertEqual(self.recorded(), "pkg install -y cmake jansson libidn2 libmicrohttpd libuv pcre2 pkgconf\n")
        self.calls.unlink()
        self.install("scan")  # which needs nothing more that it has
        self.assertEqual(self.recorded(), "pkg install -y cmake jansson libidn2 libmicrohttpd libuv pcre2 pkgconf\n")

    def test_without_a_package_manager_the_needs_are_named(self):
        self.be(0)
        done = self.install()
        self.assertEqual(done.returncode, 1)
        self.assertIn("libuv", done.stderr)


class TryOn(Scripts):
    def setUp(self):
        super().setUp()
        self.be(1000)
        self.stand_in("unshare")
        self.stand_in("debootstrap")

    def test_a_wrong_command_line_is_refused(self):
        for args, why in [
            ([], "RELEASE is missing"),
            (["jessie"], "unknown release: jessie; known: bookworm, trixie, sid"),
            (["trixie", "arm64"], "unknown architecture: arm64; known: amd64, i386"),
            (["--root", "trixie"], "unknown option: --root"),
            (["--mirror", "file:///x", "trixie"], "--mirror needs a URL"),
            (["--mirror"], "--mirror needs a URL"),
        ]:
            with self.subTest(args):
                done = self.script("try-on", *args)
                self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
                self.assertIn(why, done.stderr)

    def test_where_it_cannot_run_it_prints_one_line_and_ends_with_77(self):
        done = self.script("try-on", "trixie", "i386", "true")  # a 32-bit kernel runs no other
        self.assertEqual(done.returncode, 77)
        self.assertRegex(done.stderr, r"^try-on: not run: .*root.*\n$")
        self.stand_in("uname", "echo Linux s390x")
        done = self.script("try-on", "trixie", "i386", "true")
        self.assertEqual(done.returncode, 77)
        self.assertEqual(done.stderr, "try-on: not run: this machine does not run trixie i386: Linux s390x\n")
        self.assertEqual(self.recorded(), "")

    def test_help_is_printed_on_standard_output(self):
        done = self.script("try-on", "--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("usage: scripts/try-on", done.stdout)


class TryMusl(Scripts):
    def test_where_there_is_no_debian_it_prints_one_line_and_ends_with_77(self):
        self.stand_in("uname", "echo Darwin")
        done = self.script("try-musl")
        self.assertEqual((done.returncode, done.stdout), (77, ""))
        self.assertEqual(done.stderr, "try-musl: not run: this machine is no Debian\n")

    def test_help_is_printed_on_standard_output(self):
        done = self.script("try-musl", "--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("usage: scripts/try-musl", done.stdout)


class Tree(Scripts):
    """A script in a folder of its own that stands for the project."""

    def setUp(self):
        super().setUp()
        self.tree = self.folder / "tree"
        (self.tree / "scripts").mkdir(parents=True)
        for name in "analyze", "check-warnings", "fuzz", "seconds", "soak":
            shutil.copy(ROOT / "scripts" / name, self.tree / "scripts")

    def assertRefused(self, done, why):
        self.assertEqual((done.returncode, done.stdout), (2, ""), done)
        self.assertRegex(done.stderr, rf"{why}.*\n(.*\n)?\Z")
        self.assertIn("usage: scripts/", done.stderr)
        self.assertEqual(self.recorded(), "")


class Durations(Tree):
    GIVEN = {"90": 90, "90s": 90, "08m": 480, "009": 9, "10m": 600, "2h": 7200}
    WRONG = ("0", "00m", "1d", "1.5m", "-1s", "m", "1 s", "9999999s")

    def test_soak_and_fuzz_understand_the_same(self):
        self.stand_in("python3", f'echo "soak $TCPGREET_SOAK_S" >>"{self.calls}"')
        self.stand_in("cmake", "exit 0")
        program = self.tree / "build" / "asan" / "tests" / "fuzzer_line"
        program.parent.mkdir(parents=True)
        (self.tree / "tests" / "fuzz" / "corpus" / "line").mkdir(parents=True)
        (self.tree / "tests" / "fuzz" / "corpus" / "line" / "one").touch()
        (self.tree / "tests" / "fuzz" / "fuzz_line.c").touch()
        self.stand_in(program.relative_to(self.folder), f'echo "fuzz $1" >>"{self.calls}"')
        for given, seconds in self.GIVEN.items():
            with self.subTest(given):
                for name, args in ("soak", ()), ("fuzz", ("line",)):
                    done = self.script(name, given, *args, tree=self.tree)
                    self.assertEqual(done.returncode, 0, done)
                self.assertEqual(self.recorded(), f"soak {seconds}\nfuzz -max_total_time={seconds}\n")
                self.calls.unlink()

    def test_what_is_none_is_refused_before_anything_is_built(self):
        self.stand_in("python3")
        self.stand_in("cmake")
        for given in self.WRONG:
            with self.subTest(given):
                self.assertRefused(self.script("soak", given, tree=self.tree), "")
                self.assertRefused(self.script("fuzz", given, tree=self.tree), "" if given[0].isdigit() else "unknown target: ")
        self.assertRefused(self.script("soak", "1m", "2m", tree=self.tree), "")

    def test_an_unknown_fuzz_target_is_refused_before_anything_is_built(self):
        self.stand_in("cmake")
        self.assertRefused(self.script("fuzz", "10m", "nothing", tree=self.tree), "unknown target: nothing")
        self.assertRefused(self.script("fuzz", "--help", tree=self.tree), "unknown target: --help")


class CheckWarnings(Tree):
    def check(self, *compilers):
        """With a stand-in for CMake, of which two sources are compiled, and a header alone that is not to be."""
        entries = [{"directory": "$4", "file": file, "command": f"$CC {file}"}
                   for file in ("/src/one.c", "/src/two.c", "$4/tests/alone.c")]
        self.stand_in("cmake", 'cat >"$4/compile_commands.json" <<END', json.dumps(entries), "END")
        return self.script("check-warnings", *compilers, tree=self.tree)

    def test_every_source_is_read_without_making_code(self):
        self.stand_in("clang-99")
        done = self.check("clang-99")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.assertEqual(sorted(self.recorded().splitlines()),
                         ["clang-99 /src/one.c -fsyntax-only", "clang-99 /src/two.c -fsyntax-only"])

    def test_clang_is_what_reads_them_unless_another_is_named(self):
        self.stand_in("clang")
        self.assertEqual(self.check().returncode, 0)
        self.assertIn("clang /src/one.c ", self.recorded())

    def test_a_warning_in_one_of_them_fails(self):
        self.stand_in("clang", 'case $1 in /src/two.c) echo "two.c: warning" >&2; exit 1 ;; esac')
        done = self.check()
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stderr, "two.c: warning\n")

    def test_without_a_list_of_the_sources_it_fails(self):
        self.stand_in("cmake", "exit 0")
        self.assertNotEqual(self.script("check-warnings", tree=self.tree).returncode, 0)

    def test_a_wrong_command_line_is_refused(self):
        self.stand_in("cmake")
        for given in ("--help",), ("clang", "gcc"):
            with self.subTest(given):
                self.assertRefused(self.script("check-warnings", *given, tree=self.tree), "")


class Analyze(Tree):
    def analyze(self, *parts, **more):
        self.stand_in("cmake", "exit 0")
        return self.script("analyze", *parts, tree=self.tree, **more)

    def test_a_tool_that_fails_without_a_finding_is_shown(self):
        self.stand_in("cppcheck", "echo 'cppcheck: cannot read the folder'", "exit 3")
        done = self.analyze("cppcheck")
        self.assertEqual(done.returncode, 1, done)
        self.assertRegex(done.stdout, r"\Acppcheck: cannot read the folder\nanalyze: cppcheck: failed: \S+, \d+ s\n\Z")

    def test_findings_are_shown_once_each(self):
        self.stand_in("cppcheck", "echo 'a.c:1: warning: x'", "echo 'a.c:1: warning: x'", "exit 1")
        done = self.analyze("cppcheck")
        self.assertEqual(done.returncode, 1, done)
        self.assertRegex(done.stdout, r"\Aa\.c:1: warning: x\nanalyze: cppcheck: 2 findings: \S+, \d+ s\n\Z")

    def test_no_finding_is_a_success(self):
        self.stand_in("cppcheck", "exit 0")
        done = self.analyze("cppcheck")
        self.assertRegex(done.stdout, r"\Aanalyze: cppcheck: no finding, \d+ s\n\Z")
        self.assertEqual(done.returncode, 0, done)

    def test_a_tool_that_is_missing_is_named(self):
        for tool in [*TOOLS, "getconf"]:
            (self.folder / tool).symlink_to(shutil.which(tool))
        for part, tool in ("gcc", "gcc"), ("tidy", "clang-tidy"), ("cppcheck", "cppcheck"):
            done = self.analyze(part, alone=True)
            self.assertEqual((done.returncode, done.stderr), (1, f"analyze: {tool} is not installed\n"), done)

    def test_an_unknown_part_is_refused(self):
        self.assertRefused(self.analyze("clang"), "unknown part: clang")


class Elsewhere(Scripts):
    """scripts/test --quick --everywhere, with one case of each outcome on this machine, and a stand-in for try-on."""

    HERE = "".join(f"\t<testcase name=\"x\" status=\"{status}\">\n" for status in ("run", "run", "notrun"))

    def run_test(self, code, *lines):
        done = self.run_beside(*(f"echo '{line}'" for line in lines), f"exit {code}")
        return done.returncode, done.stdout.splitlines()[-1], done.stdout

    def run_beside(self, *elsewhere, cmake=()):
        asked = self.folder / "asked"
        tree = self.folder / "tree"
        (tree / "scripts").mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "scripts" / "test", tree / "scripts")
        self.stand_in("cmake", *cmake)
        self.stand_in("ctest", f"printf '{self.HERE}' >\"$4\"")
        self.stand_in("tree/scripts/install-dependencies", "exit 0")
        self.stand_in("tree/scripts/try-on", f'echo "$*" >"{asked}"', *elsewhere)
        done = self.script("test", "--quick", "--everywhere", tree=tree)
        self.assertRegex(asked.read_text(), r"\Atrixie \S+bash -ec scripts/test --quick --services\n")
        return done

    def test_it_ends_with_a_run_here_that_fails(self):
        begun = self.folder / "begun"
        done = self.run_beside(f"trap 'echo ended >\"{begun}\"; exit 1' TERM", f'echo $$ >"{begun}"',
                               "while :; do sleep 0.1; done",
                               cmake=(f'while [ ! -s "{begun}" ]; do sleep 0.1; done', "exit 1"))
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1]), (1, "0 passed, 1 failed, 0 skipped"))
        await_that(lambda: begun.read_text() == "ended\n", "the other run has ended")

    def test_its_cases_are_added_to_the_closing_line(self):
        code, last, output = self.run_test(0, "noise", "90 passed, 0 failed, 3 skipped",
                                       "try-on: trixie amd64: gcc 14, exit status 0 after 9 s")
        self.assertEqual((code, last), (0, "92 passed, 0 failed, 4 skipped"))
        self.assertIn("trixie amd64: gcc 14", output)
        self.assertNotIn("noise", output)

    def test_its_failure_fails_this_run_and_shows_its_log(self):
        code, last, output = self.run_test(1, "why it failed", "90 passed, 2 failed, 3 skipped")
        self.assertEqual((code, last), (1, "92 passed, 2 failed, 4 skipped"))
        self.assertIn("why it failed", output)

    def test_a_run_that_cannot_begin_fails_nothing_and_is_named_in_one_line(self):
        code, last, output = self.run_test(77, "try-on: not run: no archive")
        self.assertEqual((code, last), (0, "2 passed, 0 failed, 1 skipped"))
        self.assertIn("not run: no archive", output)

    def test_a_run_that_ends_early_counts_as_a_failure(self):
        for code in (0, 1):
            self.assertEqual(self.run_test(code, "noise")[:2], (1, "2 passed, 1 failed, 1 skipped"))


if __name__ == "__main__":
    main()
