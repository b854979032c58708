"""Declarations of models in records; see csr_model.pyx."""

cimport cython
from libc.stdint cimport int32_t, int64_t

from skmbsgd._engine.catch_up cimport CatchUpTable, GapTable, PowerTable
from skmbsgd._engine.rest cimport RestTable
from skmbsgd._engine.models cimport Model

ctypedef fused index:
    int32_t
    int64_t


cdef enum:
    # At most so many records are brought up to date together.
    GROUP = 256


cdef struct Group:
    Py_ssize_t n_records
    double* records[GROUP]
    # The updates, counted from the window's first, that the records are before
    Py_ssize_t clocks[GROUP]


cdef struct Unfinished:
    # The place of a weight, the update that it is before, and what the one before that
    # has made of weight and velocity
    double* w
    Py_ssize_t t
    double moved_w, moved_v


@cython.final
cdef class CSRModel(Model):
    cdef bint nesterov, averaged
    cdef readonly object coef, intercept
    cdef readonly object velocity, intercept_velocity
    cdef readonly object average_coef, average_intercept

    # The records of the coordinates, and their layout in numbers of float64
    cdef object records_array
    cdef double* records
    cdef Py_ssize_t stride, v_offset, sum_offset

    cdef object active_array
    cdef int64_t* active
    cdef Py_ssize_t n_active
    cdef bint active_sorted

    cdef object b_array
    cdef double* b
    cdef double* b_v
    cdef double* b_g
    cdef double* b_average

    cdef PowerTable powers
    cdef CatchUpTable catch_ups
    cdef GapTable gaps
    cdef Py_ssize_t window_size
    cdef bint uniform
    cdef object rates_array
    cdef const double* rates
    cdef Py_ssize_t n_batches, batch, window_start, first_averaged_batch
    cdef Py_ssize_t n_averaged

    cdef RestTable rest
    cdef bint rest_is_known

    cdef void begin_window(self) noexcept nogil
    cdef int settle_all(self) except -1 nogil
    cdef Py_ssize_t settle(self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil
    cdef void settle_single(self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil
    cdef void add_to_sums(self, Py_ssize_t first, Py_ssize_t stop) noexcept nogil
    cdef void claim(self, const index* columns, Py_ssize_t n) noexcept nogil
    cdef void enlist(self, double* record, int64_t column) noexcept nogil
    cdef Py_ssize_t advance(self, const Group* group, Py_ssize_t stop) noexcept nogil
    cdef void catch_up(
        self, double* record, Py_ssize_t t, Py_ssize_t stop) noexcept nogil
    cdef void catch_up_single(self, double* record, double now) noexcept nogil
    cdef Py_ssize_t advance_under_l1(
        self, const Group* group, Py_ssize_t k, Py_ssize_t stop) noexcept nogil
    cdef bint cross_at_once(
        self, double* w, Py_ssize_t t, Py_ssize_t stop, Unfinished* left
    ) noexcept nogil
    cdef void add_crossing(
        self, const Unfinished* left, double sigma, bint kept, Py_ssize_t stop
    ) noexcept nogil
    cdef Py_ssize_t cross(
        self, const Unfinished* left, Py_ssize_t stop) noexcept nogil
    cdef Py_ssize_t keep_sign(
        self, double* w, double* v, double* total, double sigma,
        Py_ssize_t t, Py_ssize_t stop) noexcept nogil
    cdef void jump(
        self, double* w, double* v, double sigma, Py_ssize_t t, Py_ssize_t stop
    ) noexcept nogil
    cdef double sum_of_jump(
        self, double w, double v, double sigma, Py_ssize_t t, Py_ssize_t stop
    ) noexcept nogil
    cdef double thresholded(self, double w, double v) noexcept nogil
    cdef void send_for_record(self, int64_t column) noexcept nogil
    cdef void move(
        self, double* w, double* v, double g, double eta, double l2, double l1
    ) noexcept nogil
    cdef void move_by_threshold(
        self, double* w, double* v, double g, double eta, double l2, double l1
    ) noexcept nogil
