"""Data sets: the XMC-repository text format, its public sets, and synthetic ones."""

from slide.data.synthetic import make_xmc
from slide.data.xmc import load_xmc, read_header, save_xmc

__all__ = ["load_xmc", "make_xmc", "read_header", "save_xmc"]
