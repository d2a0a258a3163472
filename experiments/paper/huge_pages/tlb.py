"""A model of a processor's translation lookaside buffers (TLBs) for data, and streams whose misses are known.

The processor is a core of Intel's Cascade Lake (as Skylake server before it): a first level of 64 entries for pages of
4 KB, 4-way, and of 32 for pages of 2 MB, 4-way; a second level of 1,536 entries for both, 12-way (Intel 64 and IA-32
Architectures Optimization Reference Manual, chapter on Skylake, table of the TLB parameters). A set keeps what was used
last. What misses the second level is walked. Left out: the buffers of the page walker, prefetched translations, other
programs, and instructions.
"""

import numpy as np

PAGES = {"4 KB": 12, "2 MB": 21}  # bits of an address within a page
FIRST = {"4 KB": (64, 4), "2 MB": (32, 4)}  # entries, ways
SECOND = (1536, 12)
LINE = 64  # bytes of a load


class Buffer:
    """Entries in sets of `ways`, each of which forgets the page that was not used for longest."""

    def __init__(self, entries, ways):
        self.ways, self.sets = ways, [[] for _ in range(entries // ways)]

    def misses(self, pages) -> np.ndarray:
        """Of each page of a stream, in its order, whether it was not there."""
        sets, ways, missed = self.sets, self.ways, np.zeros(len(pages), bool)
        for at, page in enumerate(pages.tolist()):
            held = sets[page % len(sets)]
            if page in held:
                held.remove(page)
            else:
                missed[at] = True
                if len(held) == ways:
                    del held[0]
            held.append(page)
        return missed


class Tlb:
    """Both levels for pages of one size."""

    def __init__(self, size):
        self.bits, self.first, self.second = PAGES[size], Buffer(*FIRST[size]), Buffer(*SECOND)

    def replay(self, addresses) -> tuple[int, int]:
        """(misses of the first level, of both) of a stream of addresses; those of one page in a row miss once."""
        pages = addresses >> self.bits
        pages = pages[np.append(True, pages[1:] != pages[:-1])] if len(pages) else pages
        missed = pages[self.first.misses(pages)]
        return len(missed), int(self.second.misses(missed).sum())


def known(seed) -> list[dict]:
    """Streams of pages of 4 KB with known rates of misses: [{"stream", "level", "expected", "found"}].

    In order: each page is new. In a loop over as many as there are entries: none after the first round. At random over
    N pages: 1 - entries / N, since each set holds its ways of its N / sets pages.
    """
    rng, out = np.random.default_rng(seed), []
    for level, (entries, ways) in (("first", FIRST["4 KB"]), ("second", SECOND)):
        streams = {"in order": (np.arange(20 * entries), 1.0), "in a loop": (np.tile(np.arange(entries), 20), 0.0)}
        for times in (2, 8):
            stream = rng.integers(0, times * entries, 20 * entries + 20_000)
            streams[f"at random over {times} times the entries"] = stream, 1 - 1 / times
        for name, (pages, expected) in streams.items():
            # What is there at the beginning is not what the rate is of.
            found = Buffer(entries, ways).misses(pages)[len(pages) // 2 :].mean()
            out.append({"stream": name, "level": level, "expected": expected, "found": float(found)})
    return out
