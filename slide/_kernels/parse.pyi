from enum import IntEnum

from numpy import float32, int32, int64, uint8
from numpy.typing import NDArray

class Fault(IntEnum):
    NONE = 0
    LABEL = 1
    LABEL_RANGE = 2
    FEATURE = 3
    FEATURE_RANGE = 4
    VALUE = 5
    BLANK = 6

class Blank(IntEnum):
    EVERY = 0
    SPACED = 1
    NO = 2

def parse_rows(
    text: NDArray[uint8], n_features: int, n_labels: int, first_feature: int, first_label: int, blank: int,
    max_rows: int, label_ptr: NDArray[int64], labels: NDArray[int32], feature_ptr: NDArray[int64],
    features: NDArray[int32], values: NDArray[float32], doubts: NDArray[int64], report: NDArray[int64]
) -> Fault: ...
def sort_rows(ptr: NDArray[int64], ids: NDArray[int32], values: NDArray[float32]) -> int: ...
def format_rows(
    label_ptr: NDArray[int64], labels: NDArray[int32], feature_ptr: NDArray[int64], features: NDArray[int32],
    values: NDArray[float32], first: int, last: int, text: NDArray[uint8]
) -> int: ...
