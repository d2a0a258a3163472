"""What the talk and the paper claim, in the talk's order, and verdicts on it: conditions that measurements meet or not.

An experiment names in `CLAIMS` those that it measures, and its `verdicts` judges each by its records. What no
experiment names is not measured, and `CLAIMS` here says why.
"""

from dataclasses import dataclass

HOLDS, IN_PART, FAILS, UNMEASURED = "holds", "holds in part", "does not hold", "not yet measured"


@dataclass(frozen=True)
class Verdict:
    """word: HOLDS, IN_PART, FAILS or UNMEASURED; why: one sentence, with the numbers, without its first capital."""

    word: str
    why: str

    def __str__(self) -> str:
        return f"{self.word.capitalize()}: {self.why}."


def judged(conditions, why: str) -> Verdict:
    """All conditions are met: the claim holds; some: in part; none: it does not hold."""
    met = [bool(condition) for condition in conditions]
    if not met:
        raise ValueError("conditions: found none, expected at least one")
    return Verdict(HOLDS if all(met) else IN_PART if any(met) else FAILS, why)


def unmeasured(why: str) -> Verdict:
    """Nothing on record can decide."""
    return Verdict(UNMEASURED, why)


@dataclass(frozen=True)
class Claim:
    """words: what is claimed; source: where; why_not: why no experiment measures it, where none does."""

    words: str
    source: str
    why_not: str = ""


CLAIMS = {
    "gpu": Claim("SLIDE on a CPU reaches an accuracy 3.5 times faster than TensorFlow on a V100 GPU", "talk, figure 5"),
    "cpu": Claim("It reaches it 10 times (in the talk 16 times) faster than TensorFlow on the same CPU",
                 "talk, figure 5"),
    "few_neurons": Claim("A few neurons, chosen by their activations, are enough", "talk"),
    "wider": Claim("The cost of a sample follows the active neurons, not the width: larger networks save more", "talk"),
    "collisions": Claim("Similar rows share a hash as often as each family's formula says", "talk, section 3.1"),
    "dwta": Claim("Densified winner-take-all tells sparse rows apart that winner-take-all does not", "talk, UAI 2018"),
    "probability": Claim("Tables sample with a known probability, so that weighted sums are unbiased",
                         "talk, NeurIPS 2019"),
    "gradients": Claim("Gradients drawn by hash tables lower the loss faster than uniform ones, by epochs and by time",
                       "talk, NeurIPS 2019"),
    "sparse": Claim("With 5 % of the nodes active, training and prediction are within 1 % of the dense network's "
                    "accuracy", "talk, KDD 2017"),
    "inference": Claim("Prediction by the tables costs 95 % less and is as accurate", "talk"),
    "conflicts": Claim("Threads that update without locks meet seldom and lose no accuracy", "talk, KDD 2017"),
    "asynchronous": Claim("Such training is nearly linearly faster with more threads", "talk, KDD 2017"),
    "computation": Claim("A step computes 100 times less than the full softmax", "talk"),
    "energy": Claim("A step takes 100 times less energy", "talk", "no experiment reads a power meter"),
    "families": Claim("SimHash, WTA, DWTA and MinHash all find the neurons that matter", "talk, section 3.1"),
    "strategies": Claim("Vanilla sampling is cheapest, a threshold costs little more, top-k is slower by magnitudes",
                        "talk, figures 4 and 12"),
    "strategies_accuracy": Claim("With each of the three ways to sample accuracy is the same", "figure 12"),
    "insertion": Claim("A reservoir is filled faster than FIFO buckets, and hashing is 96 % of a rebuild", "table 3"),
    "optimisations": Claim("SIMD, huge pages and cache alignment make it 1.3 times faster", "talk, figure 10"),
    "per_iteration": Claim("Iteration by iteration SLIDE is as accurate as the full softmax", "talk, figure 5"),
    "sampled_softmax": Claim("A sampled softmax needs 20 % of the classes for decent accuracy, and ends lower",
                             "talk, figure 7"),
    "batch_size": Claim("SLIDE is ahead at every batch size, by more at larger ones", "talk, figure 8"),
    "scalability": Claim("Its time falls up to 44 cores, TensorFlow's does not, and few cores are enough to pass it",
                         "talk, figures 9 and 13"),
    "cores": Claim("It keeps more than 80 % of 8 to 32 cores busy, TensorFlow 32 to 45 %", "talk, table 2"),
    "memory_bound": Claim("Memory is the largest limit of both, less so for SLIDE with more cores", "talk, figure 6"),
    "huge_pages": Claim("Huge pages save TLB misses, page walks and page faults", "talk, table 4"),
    "architectures": Claim("The sampled layer carries over to CNN and RNN", "talk, future work"),
}  # fmt: skip
