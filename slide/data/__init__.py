"""Data sets: the XMC-repository text format, its public sets, and synthetic ones."""

from slide.data.registry import DATASETS, load_folder, load_public
from slide.data.synthetic import make_xmc
from slide.data.xmc import load_xmc, read_header, save_xmc

__all__ = ["DATASETS", "load_folder", "load_public", "load_xmc", "make_xmc", "read_header", "save_xmc"]
