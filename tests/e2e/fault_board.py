"""The board that tests/faults/faults.c maps: what is to fail, and what failed."""

import mmap
import os
import re
import struct
import subprocess
import tempfile

import harness

FAULTY = os.environ.get("TCPGREET_FAULTY", "")
SOURCES = OWN_CALLS, OPENSSL_MEMORY = range(2)
_COUNT, _AT, _FAILED, _CALLER, _NAME, _BYTES = 0, 16, 32, 40, 48, 112


class Board:
    def __init__(self):
        self._file = tempfile.NamedTemporaryFile(prefix="tcpgreet-faults-")
        self._file.truncate(_BYTES)
        self._map = mmap.mmap(self._file.fileno(), _BYTES)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._map.close()
        self._file.close()

    def environment(self, source):
        """OpenSSL itself leaks where its own allocations fail: its tables of names, for one."""
        env = harness.environment(TCPGREET_FAULTS=self._file.name)
        if source == OPENSSL_MEMORY:
            env["ASAN_OPTIONS"] += ":detect_leaks=0"
        return env

    def _get(self, offset):
        return struct.unpack_from("Q", self._map, offset)[0]

    def count(self, source):
        """How many calls there were so far."""
        return self._get(_COUNT + 8 * source)

    def fail(self, source, number):
        """The number-th call from now on fails."""
        self.clear()
        struct.pack_into("Q", self._map, _AT + 8 * source, self.count(source) + number)

    def clear(self):
        self._map[_AT:_BYTES] = bytes(_BYTES - _AT)

    def failed(self):
        """The first call that failed: its name; "" where none did."""
        return self._map[_NAME:_BYTES].rstrip(b"\0").decode() if self._get(_FAILED) else ""

    def where(self):
        """Function and line of the caller, for a person."""
        if not self._get(_CALLER):  # the call was not the program's own
            return ""
        text = subprocess.run(["addr2line", "-fse", FAULTY, hex(self._get(_CALLER) - 1)], stdout=subprocess.PIPE)
        return re.sub(r" \(discriminator \d+\)", "", " ".join(text.stdout.decode().split()))
