"""Logarithms of expected counts."""

from libc.math cimport INFINITY, log


def log_counts(counts, logs):
    """logs = log(counts), both float64; the place of the first count that is not finite and positive, or -1."""
    cdef held_buffers held
    cdef const double *count
    cdef double *out
    cdef Py_ssize_t i, n
    held.count = 0
    try:
        count = <const double *> hold_sized(&held, counts, b"counts", 0).buf
        n = held.views[0].len // sizeof(double)
        out = <double *> sized(&held, logs, "logs", n * sizeof(double), True)
        for i in range(n):
            if not (count[i] > 0 and count[i] < INFINITY):
                return i
            # counts are often equal
            out[i] = out[i - 1] if i and count[i] == count[i - 1] else log(count[i])
        return -1
    finally:
        release(&held)
