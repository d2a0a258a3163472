"""Rows of weights in 4 bits a number, as `slide/_kernels/screen.pyx` multiplies them with inputs of 8."""

import numpy as np

from slide._kernels import screen as _screen

GROUP = 8  # columns of which a row has 4 bytes
MIDDLE = 7.5  # of the codes 0 to 15


def padded(width: int) -> int:
    """Columns, whole groups."""
    return -(-width // GROUP) * GROUP


def encode_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 (n, width / 2), float32 (n,)): codes, and the scale of each row: row = scale * (code - 7.5), nearly.

    rows float32 (n, width), whole groups. Of a group, byte i has the codes of column i and, higher, of column i + 4.
    """
    scale = np.abs(rows).max(axis=1, initial=0) / MIDDLE
    inverse = np.divide(1, scale, where=scale > 0, out=np.zeros_like(scale))
    codes = np.clip(rows * inverse[:, None] + (MIDDLE + 0.5), 0, 15).astype(np.uint8)
    low, high = codes.reshape(len(rows), -1, 2, GROUP // 2).swapaxes(0, 2).swapaxes(1, 2)
    return (low | high << 4).reshape(len(rows), -1), scale


def decode_rows(codes: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """float32 (n, width): what codes and scales of `encode_rows` stand for."""
    groups = codes.reshape(len(codes), -1, GROUP // 2)
    both = np.concatenate([groups & 15, groups >> 4], axis=2).reshape(len(codes), -1)
    return (both - np.float32(MIDDLE)) * scale[:, None]


def side_by_side(codes: np.ndarray) -> np.ndarray:
    """uint8 (blocks, groups, 4 * ROWS): codes (blocks * ROWS, width / 2) in blocks of rows."""
    blocks = codes.reshape(-1, _screen.ROWS, codes.shape[1] // 4, 4)
    return np.ascontiguousarray(blocks.swapaxes(1, 2)).reshape(len(blocks), -1, 4 * _screen.ROWS)
