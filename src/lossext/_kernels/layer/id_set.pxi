"""A set of class ids, for draws without repetition."""


cdef class IdSet:
    """A set of class ids: open addressing, at most half full."""

    cdef int64_t *slots
    cdef Py_ssize_t mask, count

    def __cinit__(self, Py_ssize_t capacity):
        cdef int bits = 3
        times(capacity, 4 * sizeof(int64_t))
        while (<Py_ssize_t> 1 << bits) < 2 * capacity:
            bits += 1
        self.mask, self.count = (<Py_ssize_t> 1 << bits) - 1, 0
        self.slots = <int64_t *> malloc((self.mask + 1) * sizeof(int64_t))
        if self.slots == NULL:
            raise MemoryError(f"no memory for a set of {capacity} class ids")
        memset(self.slots, 0xff, (self.mask + 1) * sizeof(int64_t))

    def __dealloc__(self):
        free(self.slots)

    def __len__(self):
        return self.count

    cdef bint insert(self, int64_t key) noexcept nogil:
        """True if it was not there yet."""
        cdef Py_ssize_t at = <Py_ssize_t> (<uint64_t> key * 0x9e3779b97f4a7c15u >> 20) & self.mask
        while self.slots[at] != -1:
            if self.slots[at] == key:
                return False
            at = (at + 1) & self.mask
        self.slots[at] = key
        self.count += 1
        return True

    def add(self, ids):
        """Take int64 ids of at least 0 in, no more than there is room for."""
        cdef held_buffers held
        cdef const int64_t *each
        cdef Py_ssize_t i, n
        held.count = 0
        try:
            each = <const int64_t *> hold_sized(&held, ids, b"ids", 0).buf
            n = held.views[0].len // sizeof(int64_t)
            if 2 * (self.count + n) > self.mask + 1:
                raise ValueError(f"no room for {n} more ids")
            for i in range(n):
                self.insert(each[i])
        finally:
            release(&held)

    def take_new(self, candidates, new):
        """Fill `new` with candidates that were not there yet; (how many are new, how many candidates it took)."""
        cdef held_buffers held
        cdef const int64_t *candidate
        cdef int64_t *out
        cdef Py_ssize_t used = 0, n_new = 0, n_candidates, n
        held.count = 0
        try:
            candidate = <const int64_t *> hold_sized(&held, candidates, b"candidates", 0).buf
            out = <int64_t *> hold_sized(&held, new, b"new", 0, True).buf
            n_candidates = held.views[0].len // sizeof(int64_t)
            n = min(<Py_ssize_t> (held.views[1].len // sizeof(int64_t)), (self.mask + 1) // 2 - self.count)
            while n_new < n and used < n_candidates:
                if self.insert(candidate[used]):
                    out[n_new] = candidate[used]
                    n_new += 1
                used += 1
            return n_new, used
        finally:
            release(&held)
