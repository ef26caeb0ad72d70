"""Uniform draws without repetition, out of NumPy's bit generators by their C interface."""

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport uint32_t

ctypedef struct bit_generator_interface:    # numpy/random/bitgen.h
    void *state
    uint64_t (*next_uint64)(void *) noexcept nogil
    uint32_t (*next_uint32)(void *) noexcept nogil
    double (*next_double)(void *) noexcept nogil
    uint64_t (*next_raw)(void *) noexcept nogil

cdef enum:
    SPARE = 16    # candidates beyond those wanted, drawn at a time


def draw_uniform(bit_generator, Py_ssize_t classes, IdSet taken not None, out, Py_ssize_t max_tries):
    """Fill `out` with classes that are not in the set; (how many were filled within `max_tries`, how many tries).

    `classes` is at most 2^32 - 1. The draws are those of numpy.random.Generator.integers(classes, size=...), which
    rejects as in Lemire, "Fast random integer generation in an interval", 2019.
    """
    cdef held_buffers held
    cdef bit_generator_interface *source
    cdef int64_t *drawn
    cdef Py_ssize_t n, i, n_drawn = 0, tries = 0
    cdef uint64_t product, range_ = classes
    cdef uint32_t threshold, candidate
    if not 0 < classes < (<Py_ssize_t> 1 << 32):
        raise ValueError(f"{classes} classes are not 1 to 2^32 - 1")
    threshold = <uint32_t> ((<uint64_t> 1 << 32) % range_)
    source = <bit_generator_interface *> PyCapsule_GetPointer(bit_generator.capsule, "BitGenerator")
    lock = bit_generator.lock
    held.count = 0
    try:
        drawn = <int64_t *> hold_sized(&held, out, b"out", 0, True).buf
        n = min(<Py_ssize_t> (held.views[0].len // sizeof(int64_t)), (taken.mask + 1) // 2 - taken.count)
        lock.acquire()
        while n_drawn < n and tries <= max_tries:
            for i in range(n - n_drawn + SPARE):
                candidate = 0
                if classes > 1:
                    product = source.next_uint32(source.state) * range_
                    while <uint32_t> product < threshold:
                        product = source.next_uint32(source.state) * range_
                    candidate = <uint32_t> (product >> 32)
                if n_drawn < n:
                    tries += 1
                    if taken.insert(candidate):
                        drawn[n_drawn] = candidate
                        n_drawn += 1
        lock.release()
        return n_drawn, tries
    finally:
        release(&held)
