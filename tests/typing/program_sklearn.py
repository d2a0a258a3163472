"""The same with scikit-learn."""

import numpy as np

from slide.sklearn import SlideClassifier


def main() -> float:
    X = np.random.default_rng(0).standard_normal((64, 10))
    y = np.where(X[:, 0] > 0, "yes", "no")
    classifier = SlideClassifier(hidden=[8], epochs=3, random_state=0).fit(X, y)
    labels, probabilities = classifier.predict_topk(X, k=1)
    return float(probabilities.mean()) + float((labels[:, 0] == classifier.predict(X)).mean())


if __name__ == "__main__":
    print(main())
