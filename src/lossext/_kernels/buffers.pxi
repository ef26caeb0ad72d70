"""Pointers into the arrays of one call, held until it ends."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

cdef enum:
    MOST_BUFFERS = 40

ctypedef struct held_buffers:
    Py_buffer views[MOST_BUFFERS]
    int count


cdef void *hold(held_buffers *held, array, bint writable=False) except? NULL:
    """Address of a C-contiguous array's memory; NULL for None."""
    if array is None:
        return NULL
    PyObject_GetBuffer(array, &held.views[held.count], PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
    held.count += 1
    return held.views[held.count - 1].buf


cdef void release(held_buffers *held) noexcept:
    for i in range(held.count):
        PyBuffer_Release(&held.views[i])


cdef bint overlap(const Py_buffer *a, const Py_buffer *b) noexcept nogil:
    return <char *> a.buf < <char *> b.buf + b.len and <char *> b.buf < <char *> a.buf + a.len
