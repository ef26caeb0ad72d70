"""The vector functions that losses are made of, over arrays (for tests)."""

cdef extern from "maths.h" nogil:
    ctypedef struct lx_vector_function:
        const char *name
        int arguments
        void (*run)(const void *first, const void *second, void *result, Py_ssize_t n) noexcept nogil
    const lx_vector_function *lx_vector_functions(int type)


def vector_function(str name, array, other=None):
    """v_<name> of a C-contiguous array of float32 or float64, with `other` as its second argument, at this level."""
    cdef held_buffers held
    cdef const void *first
    cdef const void *second
    cdef void *target
    cdef Py_ssize_t n = array.size
    cdef const lx_vector_function *function = lx_vector_functions(array.dtype is FLOAT64)
    if array.dtype is not FLOAT32 and array.dtype is not FLOAT64:
        raise TypeError(f"array has dtype {array.dtype}, not float32 or float64")
    while function.name != NULL and function.name.decode() != name:
        function += 1
    if function.name == NULL:
        raise ValueError(f"there is no vector function {name!r}")
    if (function.arguments == 2) != (other is not None):
        raise TypeError(f"{name} takes {function.arguments} argument{'s' * (function.arguments == 2)}")
    if other is not None and (other.dtype is not array.dtype or other.size != n):
        raise ValueError(f"other is {other.size} of {other.dtype}, array {n} of {array.dtype}")
    result = np.zeros(array.shape, array.dtype)
    held.count = 0
    try:
        first = hold(&held, array)
        second = hold(&held, other if other is not None else array)
        target = hold(&held, result, True)
        with nogil:
            function.run(first, second, target, n)
    finally:
        release(&held)
    return result
