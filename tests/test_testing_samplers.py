"""check_sampler: sound samplers pass, and every way to break one is named."""

import numpy as np
import pytest

from slide.rows import ActiveSet
from slide.sampling import SAMPLERS, Sampler, Threshold, Vanilla, group_rng
from slide.testing import check_sampler


class FirstTables(Sampler):
    """The buckets of the first table, as far as there is room."""

    def sample(self, tables, codes, n_rows, group_size, n_neurons, seed, step, threads=None):
        buckets = tables.query(codes)
        n_groups = -(-n_rows // group_size)
        return ActiveSet.of([self.group(buckets, tables.L, g, group_size, n_rows, seed, step) for g in range(n_groups)])

    def group(self, buckets, L, g, group_size, n_rows, seed, step):
        rows = range(g * group_size, min(n_rows, (g + 1) * group_size))
        return np.unique(np.concatenate([buckets[row * L] for row in rows]))[: self.active]


@pytest.mark.parametrize("sampler", [*SAMPLERS.values(), FirstTables], ids=lambda s: s.__name__)
def test_sound_samplers_pass(sampler):
    check_sampler(sampler)


@pytest.mark.parametrize("settings", [dict(m=1), dict(active=None, m=3), dict(active=10**6)])
def test_sound_samplers_pass_with_other_settings(settings):
    check_sampler(Threshold, **settings)


class Lists(FirstTables):
    def sample(self, *arguments, **keywords):
        found = super().sample(*arguments, **keywords)
        return [found[g].tolist() for g in range(len(found))]


class Int64(FirstTables):
    def sample(self, *arguments, **keywords):
        found = super().sample(*arguments, **keywords)
        return ActiveSet(found.indptr, found.ids.astype(np.int64))


class GroupsLost(FirstTables):
    def sample(self, tables, codes, n_rows, group_size, *rest):
        return super().sample(tables, codes, n_rows - n_rows % group_size, group_size, *rest)


class BadOffsets(FirstTables):
    def sample(self, *arguments, **keywords):
        found = super().sample(*arguments, **keywords)
        return ActiveSet(found.indptr + 1, found.ids)


class OutOfRange(FirstTables):
    def group(self, *arguments):
        return np.append(super().group(*arguments)[1:], 300)


class Repeats(FirstTables):
    def group(self, *arguments):
        ids = super().group(*arguments)
        return np.append(ids[: self.active - 1], ids[:1])


class TooMany(FirstTables):
    def group(self, buckets, L, g, group_size, n_rows, seed, step):
        rows = range(g * group_size, min(n_rows, (g + 1) * group_size))
        return np.unique(np.concatenate([buckets[row * L] for row in rows]))


class TrulyRandom(FirstTables):
    def group(self, *arguments):
        return np.random.default_rng().permutation(super().group(*arguments))


class Remembers(FirstTables):
    """A new sampler draws its own seed."""

    def group(self, *arguments):
        return np.random.default_rng(id(self) % 2**32).permutation(super().group(*arguments))


class ByThreads(FirstTables):
    def sample(self, tables, codes, n_rows, group_size, n_neurons, seed, step, threads=None):
        found = super().sample(tables, codes, n_rows, group_size, n_neurons, seed, step)
        return found if threads == 1 else ActiveSet.of([found[g][::-1] for g in range(len(found))])


class ByPlace(FirstTables):
    def group(self, buckets, L, g, group_size, n_rows, seed, step):
        ids = super().group(buckets, L, g, group_size, n_rows, seed, step)
        return np.random.default_rng((seed, step, g)).permutation(ids)


class ByGroup(FirstTables):
    """As ByPlace, but sound."""

    def group(self, buckets, L, g, group_size, n_rows, seed, step):
        ids = super().group(buckets, L, g, group_size, n_rows, seed, step)
        return group_rng(seed, step, g).permutation(ids)


class WritesCodes(FirstTables):
    def sample(self, tables, codes, *rest):
        codes[:] = 0
        return super().sample(tables, codes, *rest)


class WritesTables(FirstTables):
    def sample(self, tables, *rest):
        tables.items[0, 0] = 5
        return super().sample(tables, *rest)


class FailsOnNothing(FirstTables):
    def sample(self, tables, codes, *rest):
        codes.max()
        return super().sample(tables, codes, *rest)


class MoreAttributes(FirstTables):
    def __init__(self, active=None):
        super().__init__(active)
        self.cache = {}


class OtherSettings(FirstTables):
    def __init__(self, active=None):
        super().__init__(active and active + 1)


BROKEN = [
    (Lists, "sample: found list, expected a slide.rows.ActiveSet"),
    (Int64, "sample: found ids of int64, expected int32"),
    (GroupsLost, "sample: found 5 groups for 23 rows in groups of 4, expected 6"),
    (BadOffsets, "(?s)sample: found indptr .*, expected it to rise from 0"),
    (OutOfRange, "sample: found ids .* to 300, expected 0 to 299"),
    (Repeats, "sample: group 0 of 23 rows in groups of 1 repeats 1 ids"),
    (TooMany, "sample: a group of 23 rows in groups of 1 has .* ids, expected at most active = 7"),
    (TrulyRandom, "sample: two calls with equal arguments differ"),
    (Remembers, "sample: a new sampler of equal settings differs"),
    (ByThreads, "sample: the result depends on threads"),
    (ByPlace, "sample: at step 0, prediction, the set of row .* depends on the rows beside it"),
    (WritesCodes, "sample: fails on 23 rows in groups of 1: ValueError.*read-only"),
    (WritesTables, "tables are read-only"),
    (FailsOnNothing, "sample: fails on 0 rows"),
    (MoreAttributes, r"MoreAttributes: cls\(\*\*config\(\)\) fails"),
    (OtherSettings, r"OtherSettings: cls\(\*\*config\(\)\) has settings"),
]


@pytest.mark.parametrize("sampler, message", BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_broken_samplers_are_told_why(sampler, message):
    with pytest.raises(AssertionError, match=message):
        check_sampler(sampler)


def test_random_order_by_group_is_sound():
    check_sampler(ByGroup)


@pytest.mark.parametrize("thing", [Vanilla(3), dict, "vanilla", None])
def test_what_is_no_sampler_is_refused(thing):
    with pytest.raises(AssertionError, match="expected a subclass of slide.sampling.Sampler"):
        check_sampler(thing)
