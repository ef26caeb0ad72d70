"""Pointers into the arrays of one call, held until it ends."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

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


cdef int require_held(const held_buffers *held) except -1:
    """ValueError unless all arrays are where they were: code that an argument or a signal runs may resize them."""
    cdef Py_buffer now
    cdef bint same
    cdef int i
    for i in range(held.count):
        PyObject_GetBuffer(<object> held.views[i].obj, &now, PyBUF_STRIDES)
        same = now.buf == held.views[i].buf and now.len == held.views[i].len
        PyBuffer_Release(&now)
        if not same:
            raise ValueError("an array was resized during the call, by what another argument or a signal runs")
    return 0


cdef bint overlap(const Py_buffer *a, const Py_buffer *b) noexcept nogil:
    return <char *> a.buf < <char *> b.buf + b.len and <char *> b.buf < <char *> a.buf + a.len
