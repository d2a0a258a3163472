"""Text to tags in fifteen lines: the standard library's own documentation, whose tags are modules and kinds."""

import inspect
import pkgutil
import sys
import warnings

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from slide.sklearn import SlideClassifier

PACKAGES = "asyncio collections concurrent ctypes email html http json logging multiprocessing unittest urllib xml"


def documented(packages=PACKAGES):
    """(texts, tags): the docstring of each class and function of these packages; its package, module and kind."""
    texts, tags = [], []
    for package in packages.split():
        for name in [package, *(found.name for found in walk(package))]:
            module = sys.modules.get(name) or load(name)
            for member in vars(module).values() if module else ():
                text = inspect.getdoc(member) if getattr(member, "__module__", None) == name else None
                if text and len(text.split()) > 3:
                    texts.append(text)
                    tags.append(sorted({package, name, "class" if inspect.isclass(member) else "function"}))
    return texts, tags


def walk(package):
    path = getattr(load(package), "__path__", [])
    return [found for found in pkgutil.iter_modules(path, f"{package}.") if not found.name.endswith("__main__")]


def load(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return __import__(name, fromlist=["_"])
        except ImportError:  # of another system
            return None


if __name__ == "__main__":
    texts, tags = documented()
    train_texts, test_texts, train_tags, test_tags = train_test_split(texts, tags, test_size=0.2, random_state=0)
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), SlideClassifier(label_lists=True, random_state=0))
    model.fit(train_texts, train_tags)
    found = model.predict(test_texts)
    right = sum(len(set(a) & set(b)) for a, b in zip(found, test_tags, strict=True))
    print(f"{len(texts)} texts, {len(model[-1].classes_)} tags")
    print(f"precision {right / sum(map(len, found)):.3f}, recall {right / sum(map(len, test_tags)):.3f}")
    for text, tag in zip(test_texts[:3], found[:3], strict=True):
        print(f"{text.splitlines()[0][:60]!r}: {', '.join(tag)}")
