"""A Fenwick tree of counts, for draws from a distribution that changes."""


def tree_add(int64_t[::1] tree, const int64_t[::1] ids):
    """Count ids in a Fenwick tree; class i stands at i + 1."""
    cdef Py_ssize_t i
    cdef int64_t at
    for i in range(ids.shape[0]):
        at = ids[i] + 1
        while 0 < at < tree.shape[0]:
            tree[at] += 1
            at += at & -at


def tree_find(const int64_t[::1] tree, const int64_t[::1] targets, int64_t[::1] ids):
    """The class at which the running sum of counts exceeds each target."""
    cdef Py_ssize_t i, top = 1
    cdef int64_t at, step, rest
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
