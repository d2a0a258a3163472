"""Data sets: files in the formats that people have, the public sets, and synthetic ones."""

from slide.data.formats import keeps_vocabulary, load, read, save
from slide.data.reading import Data
from slide.data.registry import DATASETS, load_folder, load_public
from slide.data.synthetic import make_xmc
from slide.data.vocabulary import Vocabulary
from slide.data.xmc import load_xmc, read_header, save_xmc

__all__ = [
    "DATASETS",
    "Data",
    "Vocabulary",
    "keeps_vocabulary",
    "load",
    "load_folder",
    "load_public",
    "load_xmc",
    "make_xmc",
    "read",
    "read_header",
    "save",
    "save_xmc",
]
