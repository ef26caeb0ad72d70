"""Sorting of ids."""

cdef enum:
    DIGIT = 11                 # bits of a radix sort's digit
    FEW_IDS = 64               # that insertion sorts faster


cdef bint sort_positions(const int64_t *keys, Py_ssize_t n, int64_t *order) noexcept nogil:
    """order = the positions of the keys in ascending order, equal ones as they came.  False without memory."""
    cdef Py_ssize_t i, p
    for i in range(n):
        order[i] = i
    if n > FEW_IDS:
        return radix_sort(keys, n, order)
    for i in range(1, n):
        p = i
        while p > 0 and keys[order[p - 1]] > keys[i]:
            order[p] = order[p - 1]
            p -= 1
        order[p] = i
    return True


cdef bint radix_sort(const int64_t *keys, Py_ssize_t n, int64_t *order) noexcept nogil:
    cdef Py_ssize_t i, count, place
    cdef Py_ssize_t[1 << DIGIT] counts
    cdef int64_t least = keys[0], largest = keys[0]
    cdef int64_t *other = <int64_t *> malloc(n * sizeof(int64_t))
    cdef int64_t *source = order
    cdef int64_t *sink = other
    cdef int shift = 0
    cdef uint64_t span, digit
    if other == NULL:
        return False
    for i in range(n):
        least, largest = min(least, keys[i]), max(largest, keys[i])
    span = <uint64_t> largest - <uint64_t> least
    while shift < 64 and span >> shift:
        memset(counts, 0, sizeof(counts))
        for i in range(n):
            counts[(<uint64_t> keys[i] - <uint64_t> least) >> shift & ((1 << DIGIT) - 1)] += 1
        place = 0
        for i in range(1 << DIGIT):
            count = counts[i]
            counts[i] = place
            place += count
        for i in range(n):
            digit = (<uint64_t> keys[source[i]] - <uint64_t> least) >> shift & ((1 << DIGIT) - 1)
            sink[counts[digit]] = source[i]
            counts[digit] += 1
        source, sink = sink, source
        shift += DIGIT
    if source != order:
        memcpy(order, source, n * sizeof(int64_t))
    free(other)
    return True


cdef int compare_ids(const void *a, const void *b) noexcept nogil:
    cdef int64_t x = (<const int64_t *> a)[0], y = (<const int64_t *> b)[0]
    return (x > y) - (x < y)


cdef void sort_ids(int64_t *ids, Py_ssize_t n) noexcept nogil:
    """In place: a row's labels, or history."""
    cdef Py_ssize_t i = 1
    while i < n and ids[i - 1] <= ids[i]:
        i += 1
    if i < n:
        qsort(ids, n, sizeof(int64_t), compare_ids)
