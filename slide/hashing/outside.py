"""Hash families that are not the package's: what they return is checked before anything relies on it."""

from typing import Any

import numpy as np

from slide.tables import ABSENT

PACKAGE = __name__.partition(".")[0]
SETTINGS = ("dim", "K", "L", "bits_per_hash")


def is_outside(cls: type) -> bool:
    return cls.__module__.partition(".")[0] != PACKAGE


def check_family(family: Any, base: type[Any], like=None) -> None:
    """ValueError where what was constructed is not a `base`, the contract's class, as `like` (None: any) is one."""
    name = type(family).__name__
    if not isinstance(family, base):
        raise ValueError(f"hash: found {family!r}, expected a HashFamily")
    for setting in SETTINGS:
        value = getattr(family, setting, None)
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(
                f"{name}: found {setting} = {value!r}, expected an integer of at least 1 "
                "(the constructor must call super().__init__(dim, K, L, seed))"
            )
        if like is not None and value != getattr(like, setting):
            raise ValueError(
                f"{name}: found {setting} = {value} with seed {family.seed}, "
                f"expected {getattr(like, setting)} as with every other"
            )


def check_codes(family, method: str, codes, n: int) -> np.ndarray:
    """The codes (n, L) of an outside family as uint32; the package's own are taken as they are.

    Raises ValueError, naming the class and `method`, where they are no integers (n, L), below 2**code_bits or ABSENT.
    """
    if not is_outside(type(family)):
        return codes
    expected, name = (n, family.L), f"{type(family).__name__}.{method}"
    kind = f"{codes.dtype} {codes.shape}" if isinstance(codes, np.ndarray) else type(codes).__name__
    if not isinstance(codes, np.ndarray) or codes.shape != expected or codes.dtype.kind not in "iu":
        raise ValueError(f"{name}: found {kind}, expected uint32 {expected}")
    wrong = (codes < 0) | (codes >= 2**family.code_bits) & (codes != ABSENT)
    if wrong.any():
        raise ValueError(
            f"{name}: found code {codes[wrong][0]}, expected codes from 0 to "
            f"2**(K * bits_per_hash) - 1 = {2**family.code_bits - 1}, or ABSENT"
        )
    return codes.astype(np.uint32, copy=False)


def check_state(family, state=None, like=None) -> dict[str, np.ndarray]:
    """`state`, or the family's own where it is None, as {name: array}, with the names, dtypes and shapes of `like`'s.

    Raises ValueError, naming the class, where it is not numbers, holds NaN, or is unlike that.
    """
    name = f"{type(family).__name__}.state"
    state = family.state() if state is None else state
    if not isinstance(state, dict):
        raise ValueError(f"{name}: found {type(state).__name__}, expected {{name: array}}")
    arrays = {key: _numbers(f"{name}[{key!r}]", key, value) for key, value in state.items()}
    if like is None:
        return arrays
    expected = check_state(like)
    if arrays.keys() != expected.keys():
        raise ValueError(f"{name}: found arrays {sorted(arrays)}, expected {sorted(expected)}")
    for key, own in expected.items():
        if (arrays[key].dtype, arrays[key].shape) != (own.dtype, own.shape):
            raise ValueError(
                f"{name}[{key!r}]: found {arrays[key].dtype} of shape {arrays[key].shape}, "
                f"expected {own.dtype} of {own.shape}"
            )
    return {key: np.array(array) for key, array in arrays.items()}


def _numbers(name, key, value):
    if not isinstance(key, str) or not key.isprintable() or set(key) & set("/\\:") or not key:
        raise ValueError(f"{name}: found this name, expected a word")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: found {type(value).__name__}, expected an array of numbers") from error
    if array.dtype.kind not in "biufc":
        raise ValueError(f"{name}: found {array.dtype}, expected an array of numbers")
    if np.isnan(array).any():
        raise ValueError(f"{name}: found NaN, expected numbers")
    return array
