"""The ids of a call: checked copies, grouped by the rows of the layer that they stand for."""

cdef enum:
    ID_ARRAYS = 16


class BadIdError(ValueError):
    """An id out of range: (which argument, its place, the id)."""


def is_canonical(indices, start, data, Py_ssize_t n_classes):
    """Whether these int64 ids, int64 starts of rows and float64 data are a CSR matrix with ids that ascend in each row,
    without stored zeros."""
    cdef held_buffers held
    cdef const int64_t *id_
    cdef const int64_t *first
    cdef const double *value
    cdef Py_ssize_t n_rows, n, i, j
    held.count = 0
    try:
        id_ = <const int64_t *> hold_sized(&held, indices, b"indices", 0).buf
        n = held.views[0].len // sizeof(int64_t)
        first = <const int64_t *> hold_sized(&held, start, b"indptr", sizeof(int64_t)).buf
        n_rows = held.views[1].len // sizeof(int64_t) - 1
        value = <const double *> hold_sized(&held, data, b"data", n * sizeof(double)).buf
        if first[0] != 0 or first[n_rows] != n:
            return False
        for i in range(n_rows):
            if first[i + 1] < first[i] or first[i + 1] > n:
                return False
            for j in range(first[i], first[i + 1]):
                if (<uint64_t> id_[j] >= <uint64_t> n_classes or value[j] == 0
                        or j > first[i] and id_[j] <= id_[j - 1]):
                    return False
        return True
    finally:
        release(&held)


cdef class LayerIds:
    """Labels of the rows, classes to compare them with, and classes that rows do not meet.

    First `take_labels`, `take_classes` where these are not the layer's rows one by one, then one of the `group_`s.
    Arrays are int64, C-contiguous.
    """

    cdef int64_t *arrays[ID_ARRAYS]
    cdef int n_arrays
    cdef readonly Py_ssize_t rows, vocabulary, n_labels, n_classes, n_groups
    cdef int64_t *label_start
    cdef int64_t *label_row
    cdef int64_t *class_row
    cdef int64_t *group_row
    cdef int64_t *group_label
    cdef int64_t *label_first
    cdef int64_t *group_class
    cdef int64_t *class_first
    cdef int64_t *hit_start
    cdef int64_t *hit_key
    cdef int64_t *hit_order
    cdef int64_t *hit_first

    def __cinit__(self, Py_ssize_t rows, Py_ssize_t vocabulary):
        self.rows, self.vocabulary = rows, vocabulary

    def __dealloc__(self):
        for i in range(self.n_arrays):
            free(self.arrays[i])

    cdef int64_t *array(self, Py_ssize_t n) except NULL:
        """Room for n ids and one more, as long as this object lives."""
        cdef int64_t *room = NULL
        if self.n_arrays < ID_ARRAYS:
            room = <int64_t *> malloc(times(n + 1, sizeof(int64_t)))
        if room == NULL:
            raise MemoryError(f"no memory for {n} ids")
        self.arrays[self.n_arrays] = room
        self.n_arrays += 1
        return room

    cdef int64_t *copied(self, ids, str name, Py_ssize_t *n) except NULL:
        """The ids, which are checked once they are copied: nobody else can change them then."""
        cdef held_buffers held
        cdef int64_t *copy
        cdef Py_ssize_t i
        held.count = 0
        try:
            hold_sized(&held, ids, b"ids", 0)
            n[0] = held.views[0].len // sizeof(int64_t)
            copy = self.array(n[0])
            memcpy(copy, held.views[0].buf, n[0] * sizeof(int64_t))
        finally:
            release(&held)
        for i in range(n[0]):
            if <uint64_t> copy[i] >= <uint64_t> self.vocabulary:
                raise BadIdError(name, i, copy[i])
        return copy

    cdef int64_t *starts(self, start, Py_ssize_t n) except NULL:
        """Where each row's ids begin among `n`; of all rows alike without `start`."""
        cdef held_buffers held
        cdef int64_t *copy = self.array(self.rows)
        cdef Py_ssize_t i, each = n // self.rows if self.rows else 0
        if start is None:
            if each * self.rows != n:
                raise ValueError(f"{n} ids are not the same number for each of {self.rows} rows")
            for i in range(self.rows + 1):
                copy[i] = i * each
            return copy
        held.count = 0
        try:
            hold_sized(&held, start, "the rows' starts", (self.rows + 1) * sizeof(int64_t))
            memcpy(copy, held.views[0].buf, (self.rows + 1) * sizeof(int64_t))
        finally:
            release(&held)
        if copy[0] != 0 or copy[self.rows] != n:
            raise ValueError(f"rows' ids are {copy[0]} to {copy[self.rows]} of {n}")
        for i in range(self.rows):
            if copy[i + 1] < copy[i]:
                raise ValueError(f"rows' ids end before they begin: row {i}, {copy[i]} to {copy[i + 1]}")
        return copy

    def take_labels(self, ids, start):
        """The rows' own classes; start[i] is where those of row i begin."""
        self.label_row = self.copied(ids, "labels", &self.n_labels)
        self.label_start = self.starts(start, self.n_labels)

    def take_classes(self, ids):
        """Sampled classes: equal ones may come."""
        self.class_row = self.copied(ids, "sampled_candidates", &self.n_classes)

    def group_sampled(self, bint leave_out_labels, exclude, exclude_start):
        """Labels and classes together by the layer's rows; rows' hits are the groups that hold classes."""
        cdef Py_ssize_t n = self.n_labels + self.n_classes, n_exclude = 0
        cdef int64_t *label_group = self.array(self.n_labels)
        cdef int64_t *excluded = NULL
        cdef int64_t *excluded_start = NULL
        if exclude is not None:
            excluded = self.copied(exclude, "exclude", &n_exclude)
            excluded_start = self.starts(exclude_start, n_exclude)
        self.group_label, self.group_class = self.array(self.n_labels), self.array(self.n_classes)
        self.group_row, self.label_first, self.class_first = self.array(n), self.array(n), self.array(n)
        if not (sort_positions(self.label_row, self.n_labels, self.group_label)
                and sort_positions(self.class_row, self.n_classes, self.group_class)):
            raise MemoryError("no memory to sort class ids")
        with nogil:
            self.join(label_group)
        if not leave_out_labels and exclude is None:
            return
        self.hit_start = self.array(self.rows)
        self.hit_key = self.array((self.n_labels if leave_out_labels else 0) + n_exclude)
        self.hit_order, self.hit_first = self.group_class, self.class_first
        with nogil:
            self.find_hits(label_group if leave_out_labels else NULL, excluded, excluded_start)

    cdef void join(self, int64_t *label_group) noexcept nogil:
        """Merge the sorted labels and the sorted classes into groups."""
        cdef Py_ssize_t label = 0, c = 0, u = 0
        cdef int64_t row
        while label < self.n_labels or c < self.n_classes:
            if c == self.n_classes or (
                label < self.n_labels
                and self.label_row[self.group_label[label]] < self.class_row[self.group_class[c]]
            ):
                row = self.label_row[self.group_label[label]]
            else:
                row = self.class_row[self.group_class[c]]
            self.group_row[u], self.label_first[u], self.class_first[u] = row, label, c
            while label < self.n_labels and self.label_row[self.group_label[label]] == row:
                label_group[self.group_label[label]] = u
                label += 1
            while c < self.n_classes and self.class_row[self.group_class[c]] == row:
                c += 1
            u += 1
        self.label_first[u], self.class_first[u], self.n_groups = label, c, u

    cdef int64_t group_of(self, int64_t row) noexcept nogil:
        """The group of a row of the layer, -1 if it has none."""
        cdef Py_ssize_t low = 0, high = self.n_groups, middle
        while low < high:
            middle = (low + high) // 2
            if self.group_row[middle] < row:
                low = middle + 1
            else:
                high = middle
        return low if low < self.n_groups and self.group_row[low] == row else -1

    cdef void find_hits(self, const int64_t *label_group, const int64_t *excluded,
                        const int64_t *excluded_start) noexcept nogil:
        cdef Py_ssize_t i, j, n = 0
        cdef int64_t u
        for i in range(self.rows):
            self.hit_start[i] = n
            if label_group != NULL:
                for j in range(self.label_start[i], self.label_start[i + 1]):
                    u = label_group[j]
                    if self.class_first[u] < self.class_first[u + 1]:
                        self.hit_key[n] = u
                        n += 1
            if excluded != NULL:
                for j in range(excluded_start[i], excluded_start[i + 1]):
                    u = self.group_of(excluded[j])
                    if u >= 0 and self.class_first[u] < self.class_first[u + 1]:
                        self.hit_key[n] = u
                        n += 1
        self.hit_start[self.rows] = n

    def group_all(self, bint leave_out_labels, exclude, exclude_start):
        """Labels by the layer's rows, which are the classes one by one; rows' hits are classes."""
        cdef Py_ssize_t n_exclude = 0, i, j, n = 0
        cdef int64_t *excluded = NULL
        cdef int64_t *excluded_start = NULL
        self.group_labels()
        if exclude is not None:
            excluded = self.copied(exclude, "exclude", &n_exclude)
            excluded_start = self.starts(exclude_start, n_exclude)
        if not leave_out_labels and exclude is None:
            return
        self.hit_start = self.array(self.rows)
        self.hit_key = self.array((self.n_labels if leave_out_labels else 0) + n_exclude)
        with nogil:
            for i in range(self.rows):
                self.hit_start[i] = n
                if leave_out_labels:
                    for j in range(self.label_start[i], self.label_start[i + 1]):
                        self.hit_key[n] = self.label_row[j]
                        n += 1
                if excluded != NULL:
                    for j in range(excluded_start[i], excluded_start[i + 1]):
                        self.hit_key[n] = excluded[j]
                        n += 1
                sort_ids(self.hit_key + self.hit_start[i], n - self.hit_start[i])
            self.hit_start[self.rows] = n

    cdef int group_labels(self) except -1:
        cdef Py_ssize_t p, u = -1
        if self.label_start == NULL:
            self.label_start = self.starts(None, 0)
            return 0
        self.group_label = self.array(self.n_labels)
        self.group_row, self.label_first = self.array(self.n_labels), self.array(self.n_labels)
        if not sort_positions(self.label_row, self.n_labels, self.group_label):
            raise MemoryError("no memory to sort class ids")
        for p in range(self.n_labels):
            if p == 0 or self.label_row[self.group_label[p]] != self.group_row[u]:
                u += 1
                self.group_row[u], self.label_first[u] = self.label_row[self.group_label[p]], p
        self.n_groups = u + 1
        self.label_first[self.n_groups] = self.n_labels
        return 0

    def group_twins(self, keys):
        """As `group_all`; row i, whose label is class i, meets no class of the same key. Keys may be any numbers."""
        cdef held_buffers held
        cdef Py_ssize_t n, p, i, g = -1
        cdef int64_t *copy
        cdef int64_t *group_of_class
        self.group_labels()
        held.count = 0
        try:
            hold_sized(&held, keys, "item_ids", self.vocabulary * sizeof(int64_t))
            n = self.vocabulary
            copy = self.array(n)
            memcpy(copy, held.views[0].buf, n * sizeof(int64_t))
        finally:
            release(&held)
        self.hit_order, self.hit_first, group_of_class = self.array(n), self.array(n), self.array(n)
        self.hit_start, self.hit_key = self.array(self.rows), self.array(self.rows)
        if not sort_positions(copy, n, self.hit_order):
            raise MemoryError("no memory to sort item ids")
        for p in range(n):
            if p == 0 or copy[self.hit_order[p]] != copy[self.hit_order[p - 1]]:
                g += 1
                self.hit_first[g] = p
            group_of_class[self.hit_order[p]] = g
        self.hit_first[g + 1] = n
        for i in range(self.rows + 1):
            self.hit_start[i] = i
        for i in range(self.rows):
            self.hit_key[i] = group_of_class[self.label_row[i]]

    def __len__(self):
        """Rows of the layer that are touched."""
        return self.n_groups

    cdef touched_rows(self):
        """These, ascending, as an array of int64."""
        cdef held_buffers held
        rows = empty(self.n_groups, LONGS)
        held.count = 0
        try:
            hold_sized(&held, rows, "rows", self.n_groups * sizeof(int64_t), True)
            memcpy(held.views[0].buf, self.group_row, self.n_groups * sizeof(int64_t))
        finally:
            release(&held)
        return rows

    def renumber(self):
        """From now on rows are counted among the touched ones: for a layer that has these alone."""
        cdef Py_ssize_t u, p
        if self.class_first == NULL:
            raise ValueError("rows are not grouped with sampled classes")
        for u in range(self.n_groups):
            for p in range(self.label_first[u], self.label_first[u + 1]):
                self.label_row[self.group_label[p]] = u
            for p in range(self.class_first[u], self.class_first[u + 1]):
                self.class_row[self.group_class[p]] = u
            self.group_row[u] = u
        self.vocabulary = self.n_groups
