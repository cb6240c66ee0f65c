"""Server-sent events, read as they come: however the bytes were split, with any of the three line ends (WHATWG HTML, 9.2.6)."""

from __future__ import annotations

from collections.abc import Iterator


class Reader:
    """Feed it bytes, get the `data` of whole events. Comments, ids and retry hints are passed over: nothing is resumed."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._first = True
        self._after_cr = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        for line in self._lines(chunk):
            if line:
                self._field(line)
            elif self._data:
                yield b"\n".join(self._data)
                self._data = []

    def _lines(self, chunk: bytes) -> Iterator[bytes]:
        """A CR at the end of a chunk ends its line at once; an LF that follows in the next chunk belongs to it."""
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r") if chunk else self._after_cr
        whole = (self._rest + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._rest = whole.split(b"\n")
        for line in lines:
            if self._first:
                line, self._first = line.removeprefix(b"\xef\xbb\xbf"), False
            yield line

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
