"""Networks that compute every neuron and then keep some: dropout, standout, winner-take-all, in plain NumPy.

A gate chooses what is kept of a hidden layer, from the neurons' inputs a (rows, width): `train(a, rng)` and `test(a)`
give the factors on ReLU(a), None where all are 1, which backpropagation takes as constants.
"""

import numpy as np


class AllKept:
    """The dense network."""

    def train(self, a, rng):
        return None

    def test(self, a):
        return None


class Dropout(AllKept):
    """Keeps a neuron with a fixed probability and scales it up; in a test all are kept (Srivastava et al. 2014)."""

    def __init__(self, share):
        self.share = share

    def train(self, a, rng):
        return (rng.random(a.shape, dtype=np.float32) < self.share) * a.dtype.type(1 / self.share)


class Standout:
    """Keeps a neuron with probability sigmoid(alpha a + beta), by which a test scales it (Ba & Frey, NeurIPS 2013).

    The weights of the probability are those of the layer, as the authors found to do ("tied"). alpha is 1; beta
    follows the training so that the mean probability is `share`: one step of Newton's method per batch.
    """

    STEPS = 10  # of the first batch

    def __init__(self, share, alpha=1.0):
        self.share, self.alpha = share, alpha
        self.beta, self.begun = float(np.log(share / (1 - share))), False

    def test(self, a):
        return 1 / (1 + np.exp(-np.clip(self.alpha * a + a.dtype.type(self.beta), -30, 30)))

    def train(self, a, rng):
        for _ in range(1 if self.begun else self.STEPS):
            p = self.test(a)
            slope = float((p * (1 - p)).mean())
            self.beta += float(np.clip((self.share - float(p.mean())) / max(slope, 1e-4), -1, 1))
        self.begun = True
        return (rng.random(a.shape, dtype=np.float32) < self.test(a)).astype(a.dtype)


class Winners:
    """Keeps the share of largest inputs of a sample, in a test too (Makhzani & Frey 2015, across neurons)."""

    def __init__(self, share):
        self.share = share

    def test(self, a):
        cut = a.shape[1] - max(1, round(self.share * a.shape[1]))
        return (a >= np.partition(a, cut, axis=1)[:, cut : cut + 1]).astype(a.dtype)

    def train(self, a, rng):
        return self.test(a)


class NoisyWinners(Winners):
    """Winners of inputs with noise, anew in every pass: `noise` standard deviations of a sample's inputs. `recall` has
    the share of the true winners that each pass kept."""

    def __init__(self, share, noise, seed=0):
        super().__init__(share)
        self.noise, self.rng, self.recall = noise, np.random.default_rng(seed), []

    def test(self, a):
        noise = self.rng.standard_normal(a.shape, dtype=np.float32) * a.std(axis=1, keepdims=True)
        kept, true = super().test(a + self.noise * noise), super().test(a)
        self.recall.append(float((kept * true).sum() / true.sum()))
        return kept


class MaskedNetwork:
    """Hidden ReLU layers behind gates and a softmax, trained by Adam with a rate that falls linearly to zero.

    widths: inputs, hidden layers, classes. gate(): makes one gate per hidden layer. Initial weights are normal, of the
    deviations that slide.layers.default_std has. Everything random is a function of the seed.
    """

    def __init__(self, widths, gate, *, lr, steps, seed=0, dtype=np.float32):
        from slide.layers import default_std

        self.rng = np.random.default_rng(seed)
        self.gates = [gate() for _ in widths[1:-1]]
        self.lr, self.steps, self.step, self.active = lr, steps, 0, []
        self.params = []
        last = len(widths) - 2
        for i, (n, m) in enumerate(zip(widths, widths[1:], strict=False)):
            weights = self.rng.standard_normal((n, m)) * default_std(n, m, i == 0, i == last)
            self.params += [weights.astype(dtype), np.zeros(m, dtype)]
        self.moments = [(np.zeros_like(p), np.zeros_like(p), np.empty_like(p)) for p in self.params]

    def gradients(self, x, y):
        """(mean cross entropy of x (n, inputs) and classes y (n,), the gradients of `params`)."""
        inputs, factors, self.active = [x], [], []
        for i, gate in enumerate(self.gates):
            a = inputs[-1] @ self.params[2 * i] + self.params[2 * i + 1]
            kept = gate.train(a, self.rng)
            on = a > 0
            factors.append(on if kept is None else kept * on)
            self.active.append(1.0 if kept is None else float((kept > 0).mean()))
            inputs.append(a * factors[-1])
        log_p = log_softmax(inputs[-1] @ self.params[-2] + self.params[-1])
        each = np.arange(len(y))
        delta = np.exp(log_p)
        delta[each, y] -= 1
        delta /= len(y)
        found = []
        for i in range(len(self.gates), -1, -1):
            found = [inputs[i].T @ delta, delta.sum(axis=0), *found]
            if i > 0:
                delta = (delta @ self.params[2 * i].T) * factors[i - 1]
        return -float(log_p[each, y].mean()), found

    def learn(self, x, y) -> float:
        """One step of Adam (Kingma & Ba 2015); returns the loss."""
        loss, gradients = self.gradients(x, y)
        self.step += 1
        root = np.sqrt(1 - 0.999**self.step)
        rate = self.lr * (1 - (self.step - 1) / self.steps) * root / (1 - 0.9**self.step)
        for p, g, (m, v, scratch) in zip(self.params, gradients, self.moments, strict=True):
            np.subtract(g, m, out=scratch)
            scratch *= 0.1
            m += scratch
            g *= g
            g -= v
            g *= 0.001
            v += g
            np.sqrt(v, out=scratch)
            scratch += 1e-8 * root
            np.divide(m, scratch, out=scratch)
            scratch *= rate
            p -= scratch
        return loss

    def fit(self, x, y, steps, batch_size, callback) -> None:
        """So many batches in an order that the seed decides; callback(network, loss) after each."""
        order = np.zeros(0, np.int64)
        for _ in range(steps):
            if len(order) == 0:
                order = self.rng.permutation(len(x))
            batch, order = order[:batch_size], order[batch_size:]
            callback(self, self.learn(x[batch], y[batch]))

    def predict(self, x, rows=2000) -> np.ndarray:
        """The likeliest class of each row, int64 (n,)."""
        found = []
        for low in range(0, len(x), rows):
            h = x[low : low + rows]
            for i, gate in enumerate(self.gates):
                a = h @ self.params[2 * i] + self.params[2 * i + 1]
                kept = gate.test(a)
                h = np.maximum(a, 0)
                if kept is not None:
                    h *= kept
            found.append((h @ self.params[-2] + self.params[-1]).argmax(axis=1))
        return np.concatenate(found) if found else np.zeros(0, np.int64)


def log_softmax(z):
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))
