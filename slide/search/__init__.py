"""The top of a wide layer without all of its neurons: an index for prediction alone, and the recall it reaches."""

from slide.search.recall import Found
from slide.search.top_index import TopIndex

__all__ = ["Found", "TopIndex"]
