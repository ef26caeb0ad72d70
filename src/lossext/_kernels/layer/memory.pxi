"""Sizes that cannot wrap, and the memory of a call."""

cdef Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b


cdef Py_ssize_t times(Py_ssize_t a, Py_ssize_t b) except -1:
    """a b, or MemoryError where no memory is so large; a and b at least 0."""
    if b > 0 and a > ((<Py_ssize_t> 1 << 56) // b):
        raise MemoryError(f"no memory for {a} times {b} numbers")
    return a * b


cdef const Py_buffer *hold_sized(held_buffers *held, array, const char *name, Py_ssize_t size,
                                 bint writable=False) except NULL:
    """A held buffer of at least `size` bytes: what an array says of its own shape is not relied upon."""
    if array is None:
        raise TypeError(f"{name.decode()} must not be None")
    hold(held, array, writable)
    cdef const Py_buffer *view = &held.views[held.count - 1]
    if view.len < size:
        raise ValueError(f"{name.decode()} holds {view.len} bytes; its shape asks for {size}")
    return view


cdef void *sized(held_buffers *held, array, const char *name, Py_ssize_t size, bint writable=False) except? NULL:
    """Address of at least `size` bytes; NULL for None."""
    return NULL if array is None else hold_sized(held, array, name, size, writable).buf


cdef struct workspace:
    char *memory
    Py_ssize_t used


cdef void *take(workspace *space, Py_ssize_t size) noexcept:
    """The next part of the workspace, on a cache line; only counts before there is memory."""
    cdef char *part = space.memory + space.used if space.memory != NULL else NULL
    space.used += ceil_div(size, 64) * 64
    return part


cdef char *aligned_memory(Py_ssize_t size, char **memory) except NULL:
    """`size` bytes from a cache line on, in `memory`, which is to be freed."""
    memory[0] = <char *> malloc(size + 64)
    if memory[0] == NULL:
        raise MemoryError(f"no {size} bytes for the work of a call")
    return memory[0] + (-<uint64_t> memory[0] & 63)
