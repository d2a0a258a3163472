"""Twin of slide/_kernels/transpose.pyx: pairs by row."""


def transpose_rows(indptr, ids):
    """{row: [(pair, group), ...]}: the pairs of each touched row, in the order of the groups."""
    rows = {}
    for g in range(len(indptr) - 1):
        for pair in range(indptr[g], indptr[g + 1]):
            rows.setdefault(int(ids[pair]), []).append((pair, g))
    return rows
