"""States within states: the arrays whose names begin alike, by the rest of their names."""

from collections.abc import Iterator, Mapping


class Part(Mapping):
    """Of a {name: array} those whose name begins with `prefix`, without it; an array is not asked for before it is."""

    def __init__(self, whole: Mapping, prefix: str):
        self._whole, self._prefix = whole, prefix

    def __getitem__(self, name: str):
        return self._whole[self._prefix + name]

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self._prefix) for name in self._whole if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def prefixed(prefix: str, part: Mapping) -> dict:
    """The same under longer names: what `Part` takes apart."""
    return {prefix + name: value for name, value in part.items()}
