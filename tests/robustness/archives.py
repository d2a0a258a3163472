"""Mutations of bytes, and of archives of arrays (.npz): all a function of a random generator."""

import io
import json
import warnings
import zipfile

import numpy as np

EXTREMES = (0, 1, -1, 2**31 - 1, 2**31, 2**62)


def entries(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members, compression=zipfile.ZIP_STORED) -> bytes:
    """An archive of (name, bytes), names repeated or not."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def array_of(data: bytes) -> np.ndarray:
    return np.load(io.BytesIO(data))


class ByteMutator:
    """Changes of any file: methods whose names begin with `change_`, drawn one after the other."""

    def __init__(self, files, seed):
        self.files, self.rng = files, np.random.default_rng(seed)
        self.changes = [getattr(self, name) for name in dir(self) if name.startswith("change_")]

    def draw(self) -> tuple[str, bytes]:
        """(what was changed, the file)"""
        return self.changed(self.one(self.files))

    def changed(self, content) -> tuple[str, bytes]:
        change = self.one(self.changes)
        return change.__name__, change(content)

    def one(self, items):
        return list(items)[self.rng.integers(len(items))]

    def place(self, content) -> int:
        return self.rng.integers(max(len(content), 1))

    def change_bytes(self, content):
        changed = bytearray(content)
        for _ in range(self.rng.integers(1, 9) if changed else 0):
            changed[self.place(changed)] = self.rng.integers(256)
        return bytes(changed)

    def change_length(self, content):
        if self.rng.random() < 0.5:
            return content[: self.place(content)]
        return content + self.rng.bytes(self.rng.integers(1, 3000))

    def change_slices(self, content):
        a, b, c = sorted(self.rng.integers(0, len(content) + 1, 3))
        return content[:a] + content[b:c] + content[a:b] + content[c:]


class ArchiveMutator(ByteMutator):
    """Changes of archives, too: of their members, and of the arrays in them."""

    plain = ()  # members whose numbers stay

    def change_end(self, content):
        """Bytes of the directory, which says where everything is."""
        changed = bytearray(content)
        for _ in range(self.rng.integers(1, 5)):
            changed[len(changed) - 1 - self.rng.integers(min(3000, len(changed)))] = self.rng.integers(256)
        return bytes(changed)

    def change_members(self, content):
        """Arrays left out, there twice, under each other's or new names, or compressed."""
        members = list(entries(content).items())
        i, j = self.rng.integers(len(members), size=2)
        kind = self.rng.integers(6)
        if kind == 0:
            members.pop(i)
        elif kind == 1:
            members.append(members[i])
        elif kind == 2:
            members[i], members[j] = (members[i][0], members[j][1]), (members[j][0], members[i][1])
        elif kind == 3:
            new = self.one(("extra.npy", "layers.9.w.npy", "../x.npy", "header", "a/b.npy", ".npy"))
            members.append((new, members[i][1]))
        elif kind == 4:
            members[i] = members[i][0][:-4], members[i][1]
        return packed(members, zipfile.ZIP_DEFLATED if kind == 5 else zipfile.ZIP_STORED)

    def change_values(self, content):
        """Numbers of an array of the same dtype and shape."""
        members = entries(content)
        name = self.one(members)
        array = array_of(members[name]).copy()
        if name not in self.plain and array.size and array.dtype.kind in "iuf":
            flat, n = array.reshape(-1), self.rng.integers(1, 4)
            limits = np.iinfo(array.dtype) if array.dtype.kind in "iu" else np.finfo(array.dtype)
            extremes = [limits.max, limits.min, *(x for x in EXTREMES if limits.min <= x <= limits.max)]
            if array.dtype.kind == "f":
                extremes += [np.nan, np.inf, -np.inf, 1e-40]
            flat[self.rng.integers(array.size, size=n)] = np.array([self.one(extremes) for _ in range(n)], array.dtype)
        members[name] = npy(array)
        return packed(members.items())

    def change_shape(self, content):
        """An array of another dtype, shape or order."""
        members = entries(content)
        name = self.one(members)
        array = array_of(members[name])
        kinds = ("<f4", "<f8", ">f4", "<i4", "<i8", "u1", "?", "<c8", "U3", "S2")
        ways = (
            lambda a: a[..., : max(1, a.shape[-1] // 2)] if a.ndim else a[None],
            lambda a: a.astype(self.one(kinds)) if a.dtype.kind in "iufb" else a[None],
            lambda a: a.reshape(-1), lambda a: a[None], np.asfortranarray, np.transpose,
            lambda a: np.concatenate([a.reshape(-1)] * 2), lambda a: a[..., :0] if a.ndim else a,
        )  # fmt: skip
        with np.errstate(all="ignore"):
            members[name] = npy(self.one(ways)(array))
        return packed(members.items())

    def change_npy_header(self, content):
        """The text that says what an array is, beside the same numbers."""
        members = entries(content)
        name = self.one(members)
        data = members[name]
        length = int.from_bytes(data[8:10], "little")
        text = data[10 : 10 + length].decode("latin1")
        number = self.one((0, -1, 2**31, 2**40, 2**62, 2**70, 10**30))
        edits = [
            text.replace("(", f"({number}, ", 1), text.replace("<", ">", 1), text.replace("False", "True"),
            text.replace("<f4", "|O"), text.replace("f", "V", 1), text.replace("shape", "shapes"),
            "(" * 5000, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}", "[" + "0," * 4000, "",
        ]  # fmt: skip
        text = self.one(edits).encode("latin1")[:60_000]
        version = self.one((b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x09"))
        size = len(text).to_bytes(2 if version == b"\x01\x00" else 4, "little")
        members[name] = b"\x93NUMPY" + version + size + text + data[10 + length :]
        return packed(members.items())


class JsonMutator(ArchiveMutator):
    """Changes of the JSON text in a member `header.npy`, too."""

    plain = ("header.npy",)

    def change_json(self, content):
        """A value, a key or the whole of the settings."""
        members = entries(content)
        header = json.loads(bytes(array_of(members["header.npy"])))
        if self.rng.random() < 0.1:
            text = self.one((
                "[" * 100_000, '{"a":' * 50_000, "1" * 10_000, "{}", "[]", "null", '"a"', "NaN", "\ud800", "", "tru",
                json.dumps(header) * 2, json.dumps(header)[:-1], '{"format": 2, ' + json.dumps(header)[1:],
            ))  # fmt: skip
        else:
            self._edit(header)
            text = json.dumps(header)
        members["header.npy"] = npy(np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8))
        return packed(members.items())

    def _edit(self, value):
        """A change at some depth."""
        places = list(value) if isinstance(value, dict) else range(len(value))
        key = self.one(places) if len(places) else None
        inner = value[key] if key is not None else None
        if isinstance(inner, dict | list) and inner and self.rng.random() < 0.8:
            return self._edit(inner)
        kind = self.rng.integers(4) if key is not None else 3
        if kind == 0 and isinstance(value, dict):
            del value[key]
        elif kind == 3 and isinstance(value, dict):
            value[self.one(("extra", "", "n_features", "config", "class"))] = self._value()
        elif kind == 1 and isinstance(value, list):
            value.append(inner)
        elif key is not None:
            value[key] = self._value()
        return None

    def _value(self):
        return self.one((
            0, 1, -1, 2, 3, 7, 2**20, 2**24, 2**31 - 1, 2**31, 2**40, 2**63, 2**64, 10**30, 0.5, -0.5, 1e308, 1e-320,
            float("inf"), float("nan"), True, False, None, "", "a", "full", "simhash", "uniform", "builtins:eval",
            "os:system", "slide.network:Network", "x" * 1000, [], {}, [[]], {"class": "minhash"}, [1, 2],
            {"class": "topk", "config": {"active": 2**40}},
            {"class": "minhash", "config": {"dim": 2**30, "K": 1, "L": 2**24, "seed": 0, "top_k": 5, "bits": 3}},
            {"class": "cross-polytope", "config": {"dim": 8, "K": 1, "L": 4, "seed": 0, "width": 2**15}},
        ))  # fmt: skip
