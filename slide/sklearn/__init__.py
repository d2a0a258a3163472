"""SLIDE as an estimator of scikit-learn (`pip install slidenn[sklearn]`): SlideClassifier.

Nothing else in slide but the text vectorizer imports sklearn.
"""

from slide.sklearn.classifier import SlideClassifier

__all__ = ["SlideClassifier"]
