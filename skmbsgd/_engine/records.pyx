"""Records of float64 numbers, one for each coordinate of a model of CSR input.

The numbers of a coordinate are together in memory. The first is its clock: 1 plus the
number of an update, counted from the first of a window (see catch_up.pxd). The other
numbers are those before this update. A clock of 0 means that the coordinate has never
been touched, and that all its numbers are 0.
"""

import numpy as np

cimport cython

from skmbsgd._engine.blas cimport floating
from skmbsgd._engine.catch_up cimport aligned
from skmbsgd._engine.penalties cimport weight_at

cdef enum:
    # Coordinates whose numbers stay in the cache while each of them is passed over
    COORDINATES_OF_PART = 256


@cython.final
cdef class Records:
    """A record for each coordinate, and a list of those that have been touched.

    Parameters
    ----------
    n_coordinates : int
    n_numbers : int
        Numbers of a record, with its clock.
    """

    def __init__(self, Py_ssize_t n_coordinates, Py_ssize_t n_numbers):
        self.n_coordinates = n_coordinates
        self.stride = stride_for(n_numbers)
        # Zeroed memory costs nothing before it is touched.
        self.array = np.zeros(n_coordinates * self.stride + NUMBERS_PER_LINE - 1)
        self.first = <double*>aligned(<size_t>self.array.ctypes.data)
        self.active_array = np.empty(n_coordinates, dtype=np.int64)
        self.active = <int64_t*><size_t>self.active_array.ctypes.data
        self.is_sorted = True

    def view(self):
        """The records as an array of shape (n_coordinates, n_numbers or more)."""
        start = (<size_t>self.first - <size_t>self.array.ctypes.data) // sizeof(double)
        n = self.n_coordinates * self.stride
        return self.array[start : start + n].reshape(-1, self.stride)

    def active_columns(self):
        """The coordinates that have been touched, in no particular order."""
        return self.active_array[: self.n_active].copy()

    def begin(self, columns, bint is_sorted):
        """Let only these coordinates have been touched, and be at 0."""
        records = self.view()
        records[self.active_array[: self.n_active]] = 0.0
        records[columns, CLOCK] = 1.0
        self.n_active = len(columns)
        self.active_array[: self.n_active] = columns
        self.is_sorted = is_sorted

    cdef void sort_active(self):
        """Let the list be in the order of memory, in which it is faster to visit."""
        if not self.is_sorted:
            self.active_array[: self.n_active].sort()
            self.is_sorted = True

    def read(self, const floating[:, :] values, Py_ssize_t place, double factor):
        """Copy an array into all records that have been touched.

        Parameters
        ----------
        values : ndarray of shape (n_outputs, n_coordinates)
        place : int
            Where a record has the first of these numbers.
        factor : float
            The numbers are multiplied by this.
        """
        cdef Py_ssize_t first = 0, stop, i, k
        cdef double* numbers = self.first + place
        while first < self.n_active:
            stop = min(first + COORDINATES_OF_PART, self.n_active)
            for k in range(values.shape[0]):
                for i in range(first, stop):
                    numbers[self.active[i] * self.stride + k] = (
                        factor * values[k, self.active[i]])
            first = stop

    def write(
        self, floating[:, :] values, Py_ssize_t place, double divisor, double threshold
    ):
        """Copy numbers of all records that have been touched into an array.

        Parameters
        ----------
        values, place
            As for `read`.
        divisor : float
            The numbers are divided by this.
        threshold : float
            Then they are moved towards 0 by this; see penalties.h.
        """
        cdef Py_ssize_t first = 0, stop, i, k
        cdef const double* numbers = self.first + place
        while first < self.n_active:
            stop = min(first + COORDINATES_OF_PART, self.n_active)
            for k in range(values.shape[0]):
                for i in range(first, stop):
                    values[k, self.active[i]] = <floating>weight_at(
                        numbers[self.active[i] * self.stride + k] / divisor, threshold)
            first = stop


cdef Py_ssize_t stride_for(Py_ssize_t n_numbers) noexcept:
    """Size of a record, chosen so that records cross as few cache lines as possible."""
    cdef Py_ssize_t stride = 2
    while stride < n_numbers and stride < NUMBERS_PER_LINE:
        stride *= 2
    while stride < n_numbers:
        stride += NUMBERS_PER_LINE
    return stride
