"""scripts/install-dependencies and scripts/try-on: what they refuse, and what they print.

Package managers and id are stand-ins: nothing is installed, and any user may run this.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

from harness import ROOT, Case, environment, main

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
        done = self.script("try-on", "trixie", "true")
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


if __name__ == "__main__":
    main()
