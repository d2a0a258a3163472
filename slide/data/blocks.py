"""Text in pieces of whole lines, with the number of the line that a reader is at."""

from os import fspath

from slide.data.compression import Damaged

BLOCK = 4 << 20  # bytes of text worked on at a time
LONGEST_START = 1 << 20  # bytes looked at to tell the format
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Blocks:
    """The text of an open file: `first`, its first line or the start of a long one; then, once, its lines in pieces.

    line: the number of the line that is read next; its readers keep it.
    """

    def __init__(self, path, file):
        self.path, self.file, self.line = fspath(path), file, 1
        text = self._more()
        while b"\n" not in text and len(text) < LONGEST_START and (more := self._more()):
            text += more
        self.rest = text.removeprefix(BYTE_ORDER_MARK)
        self.is_empty = not text
        self.first = self.rest.partition(b"\n")[0][:LONGEST_START].removesuffix(b"\r")

    def skip_first(self):
        self.rest = self.rest.partition(b"\n")[2]
        self.line += 1

    def error(self, found, expected, line=None) -> ValueError:
        return ValueError(f"{self.path}, line {line or self.line}: found {found}, expected {expected}")

    def __iter__(self):
        """Pieces of whole lines; a last line without a newline is given one."""
        carried = [self.rest]
        self.rest = b""
        while True:
            cut = carried[-1].rfind(b"\n") + 1
            if cut:
                yield b"".join([*carried[:-1], carried[-1][:cut]])
                carried = [carried[-1][cut:]]
            text = self._more()
            if not text:
                break
            carried.append(text)
        last = b"".join(carried)
        if last:
            yield last + b"\n"

    def _more(self):
        try:
            text = self.file.read(BLOCK)
        except Damaged as fault:
            found = f"compressed data that is cut short or corrupt ({fault}) on it or later"
            raise self.error(found, f"a complete {self.file.packing.suffix} file") from fault
        if b"\0" in text:
            raise self.error("a zero byte on it or later (a binary file?)", "text")
        return text


def quote(token: bytes) -> str:
    """A piece of the text for an error, the first 40 bytes."""
    return repr(token[:40])[1:] + ("..." if len(token) > 40 else "") if token else "nothing"
