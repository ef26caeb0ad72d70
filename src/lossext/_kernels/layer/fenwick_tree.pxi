"""A Fenwick tree of counts, for draws from a distribution that changes."""


def tree_add(int64_t[::1] tree not None, int64_t[::1] counts not None, const int64_t[::1] ids not None):
    """Count ids: by class, and in a Fenwick tree, where class i stands at i + 1, and their number at 0.

    All of it in one call, which no interrupt cuts in two.
    """
    cdef Py_ssize_t i
    cdef int64_t at
    if counts.shape[0] + 1 != tree.shape[0]:
        raise ValueError(f"a tree of length {tree.shape[0]} is not that of {counts.shape[0]} classes")
    for i in range(ids.shape[0]):
        at = ids[i]
        if not 0 <= at < counts.shape[0]:
            continue
        counts[at] += 1
        tree[0] += 1
        at += 1
        while at < tree.shape[0]:
            tree[at] += 1
            at += at & -at


def tree_find(const int64_t[::1] tree not None, const int64_t[::1] targets not None, int64_t[::1] ids not None):
    """The class at which the running sum of counts exceeds each target."""
    cdef Py_ssize_t i, top = 1
    cdef int64_t at, step, rest
    if ids.shape[0] != targets.shape[0]:
        raise ValueError(f"{targets.shape[0]} targets do not go into {ids.shape[0]} ids")
    while 2 * top < tree.shape[0]:
        top *= 2
    for i in range(targets.shape[0]):
        at, rest, step = 0, targets[i], top
        while step:
            if at + step < tree.shape[0] and tree[at + step] <= rest:
                at += step
                rest -= tree[at]
            step >>= 1
        ids[i] = at
