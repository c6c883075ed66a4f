"""Completion in real shells: bash and zsh on a terminal, where a key inserts every word that fits, and fish."""

import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import tempfile
import unittest

from harness import BINARY, LIMIT_S, ROOT, Case, main

COMPLETIONS = pathlib.Path(BINARY).parent / "completions"
MODES = ("listen", "connect", "probe", "bench", "bench-merge", "exporter")
BEGIN = {"listen": "--listen 6000", "bench-merge": "--bench-merge a.json", "exporter": "--exporter 9000"}
END = "END OF LINE"
BASH = r"""
PS1='' PS2='' HISTFILE=/dev/null; set +o history; bind 'set bell-style none' 2>/dev/null; bind '"\C-t": insert-completions'
source {completions}/bash/tcpgreet
tcpgreet() {{ printf '<<%s>>' "$@"; printf '%s OF LINE\n' END; }}
"""
ZSH = r"""
PS1='' PS2='' RPS1=''; unsetopt beep prompt_sp prompt_cr; fpath=({completions}/zsh $fpath); autoload -Uz compinit; compinit -u -D
zle -C every complete-word _generic; bindkey '^T' every; zstyle ':completion:every::::' completer _all_matches _complete
zstyle ':completion:every:*' insert yes; zstyle ':completion:*' verbose no
tcpgreet() {{ printf '<<%s>>' "$@"; printf '%s OF LINE\n' END; }}
"""


def begin(mode):
    return BEGIN.get(mode, f"--{mode} example.org 80")


def options():
    """Of docs/interface.txt: name, its argument or words, the modes that accept it."""
    for line in (ROOT / "docs" / "interface.txt").read_text().splitlines():
        found = re.fullmatch(r"option (?:-\w/)?--([\w-]+)(?: ([^ ,]+(?: = [^ ,]+)?))?(?:,.*?)?, for (--.*)", line)
        if found:
            yield found[1], found[2] or "", re.findall(r"--([\w-]+)", found[3])


def words():
    """Each option with a closed set of words: its mode, its words."""
    listed = {}
    for name, argument, modes in options():
        found = argument.split(" = ")[-1]
        if "|" in found:
            listed[name] = modes[0], set(found.split("|"))
        elif name in ("misbehave", "proxy", "expect-alert", "warn", "crit"):
            listed[name] = modes[0], set()
    for name, word in re.findall(r"^value --([\w-]+) (\S+)$", (ROOT / "docs" / "interface.txt").read_text(), re.M):
        if name in listed:
            listed[name][1].add(f"{word}=" if name in ("warn", "crit") else word)
    return listed


class Terminal:
    """A shell that completes."""

    def __init__(self, command, setup, cwd):
        self._fd, inner = pty.openpty()
        self._child = subprocess.Popen(command, stdin=inner, stdout=inner, stderr=inner, cwd=cwd, close_fds=True,
                                       start_new_session=True, env={**os.environ, "TERM": "dumb", "LC_ALL": "C.UTF-8", "COLUMNS": "20000"})
        os.close(inner)
        self._seen = ""
        for line in setup.format(completions=COMPLETIONS).strip().splitlines():
            self.type(f"{line}\n")
        self.type("tcpgreet\n")
        self._until_end()

    def type(self, text):
        os.write(self._fd, text.encode())

    def _until_end(self):
        while END not in self._seen:
            if not select.select([self._fd], [], [], LIMIT_S)[0]:
                raise AssertionError(f"no end within {LIMIT_S} s: {self._seen!r}")
            self._seen += os.read(self._fd, 65536).decode(errors="replace")
        found, self._seen = self._seen.split(END, 1)
        return found

    def complete(self, line):
        """The arguments once every word that fits is in place, and what else was printed."""
        self.type(f"tcpgreet {line}\x14\n")
        found = self._until_end()
        return re.findall(r"<<(.*?)>>", found, re.S), found

    def close(self):
        os.close(self._fd)
        self._child.kill()
        self._child.wait(LIMIT_S)


class Fish:
    def __init__(self, cwd):
        self._cwd = cwd

    def complete(self, line):
        quoted = line.replace("'", "\\'")
        done = subprocess.run(["fish", "--no-config", "-c", f"source {COMPLETIONS}/fish/tcpgreet.fish; complete -C 'tcpgreet {quoted}'"],
                              cwd=self._cwd, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        return [word.split("\t")[0] for word in done.stdout.splitlines()], done.stderr

    def close(self):
        pass


class InShell:
    """Of each shell. Its start gives a shell in a folder."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if shutil.which(cls.NAME) is None:
            raise unittest.SkipTest(f"needs {cls.NAME}")
        if not COMPLETIONS.is_dir():
            raise unittest.SkipTest("needs the build's completions")
        cls.folder = tempfile.TemporaryDirectory()
        pathlib.Path(cls.folder.name, "a b.pem").touch()
        cls.shell = cls.start(cls.folder.name)

    @classmethod
    def tearDownClass(cls):
        cls.shell.close()
        cls.folder.cleanup()
        super().tearDownClass()

    def offered(self, line):
        """The words for what is begun at the end of the line."""
        found, printed = self.shell.complete(line)
        self.assertNotRegex(printed, r"(?m)^(?:ba|z|fi)?sh: |^_\w+: |^\(eval\):|fish: |not found")
        return set(found if self.NAME == "fish" else found[len(line.split()) - (not line.endswith(" ")):])

    def test_every_option_of_a_mode_is_offered_and_no_other(self):
        for mode in MODES:
            with self.subTest(mode=mode):
                offered = {word.split("=")[0] for word in self.offered(f"{begin(mode)} --")}
                for name, _, modes in options():
                    self.assertEqual(f"--{name}" in offered, mode in modes, name)

    def test_closed_sets_are_offered_whole(self):
        for name, (mode, expected) in words().items():
            with self.subTest(option=name):
                self.assertGreater(len(expected), 1)
                self.assertEqual({word.rstrip("=") for word in self.offered(f"{begin(mode)} --{name} ")},
                                 {word.rstrip("=") for word in expected})

    def test_files_are_offered_for_options_that_take_one(self):
        names = [(name, modes[0]) for name, argument, modes in options() if argument.startswith(("FILE", "PATH"))]
        self.assertGreater(len(names), 5)
        for name, mode in names:
            with self.subTest(option=name):
                self.assertEqual({word.replace("\\", "") for word in self.offered(f"{begin(mode)} --{name} ")}, {"a b.pem"})

    def test_what_is_begun_is_completed(self):
        for line, expected in {"--probe example.org 80 --until=t": "--until=tls", "--probe example.org 80 --until d": "dialogue",
                               "--probe example.org 80 --warn total=0.5,con": "total=0.5,connect=",
                               "--listen 6000 --misbehave half": "half-close"}.items():
            with self.subTest(line=line):
                self.assertEqual({word.rstrip("=") for word in self.offered(line)}, {expected.rstrip("=")})

    def test_operands_are_hosts_whatever_the_options_before_them_have(self):
        hosts = self.offered("--probe ")
        self.assertIn("localhost", hosts)
        self.assertFalse([word for word in hosts if word.startswith("-")])
        self.assertEqual(self.offered("--probe --warn total=0.5 "), hosts)


class Bash(InShell, Case):
    NAME = "bash"

    @staticmethod
    def start(folder):
        return Terminal(["bash", "--norc", "--noprofile", "-i"], BASH, folder)


class Zsh(InShell, Case):
    NAME = "zsh"

    @staticmethod
    def start(folder):
        return Terminal(["zsh", "-f", "-i"], ZSH, folder)


class InFish(InShell, Case):
    NAME = "fish"

    @staticmethod
    def start(folder):
        return Fish(folder)


if __name__ == "__main__":
    main()
