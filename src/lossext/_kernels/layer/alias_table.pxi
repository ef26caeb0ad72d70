"""Walker's alias table, for draws of any distribution."""


def alias_table(double[::1] weights not None, double[::1] share not None, int64_t[::1] alias not None):
    """Walker's table, in Vose's way.  To draw, take a place at random, and its alias with chance 1 - share.

    `weights` are multiplied so that their mean is 1, and used up.
    """
    cdef Py_ssize_t n = weights.shape[0], i, n_small = 0, n_large = 0, small, large, heaviest = 0
    cdef int64_t *stack
    cdef double total = 0
    if share.shape[0] != n or alias.shape[0] != n:
        raise ValueError(f"{n} weights, {share.shape[0]} shares and {alias.shape[0]} aliases are not as many of each")
    # small ones from the left, large ones from the right
    stack = <int64_t *> malloc(n * sizeof(int64_t))
    if stack == NULL:
        raise MemoryError(f"no memory for a table of {n} classes")
    for i in range(n):
        total += weights[i]
        if weights[i] > weights[heaviest]:
            heaviest = i
    for i in range(n):
        weights[i] *= n / total
        if weights[i] < 1:
            stack[n_small] = i
            n_small += 1
        else:
            n_large += 1
            stack[n - n_large] = i
    while n_small and n_large:
        n_small -= 1
        small, large = stack[n_small], stack[n - n_large]
        share[small], alias[small] = weights[small], large
        weights[large] -= 1 - weights[small]
        if weights[large] < 1:
            n_large -= 1
            stack[n_small] = large
            n_small += 1
    for i in range(n_large):
        share[stack[n - 1 - i]], alias[stack[n - 1 - i]] = 1, stack[n - 1 - i]
    for i in range(n_small):    # what rounding has left over; never a class of weight 0
        share[stack[i]], alias[stack[i]] = (1 if weights[stack[i]] > 0.5 else 0), heaviest
    free(stack)
