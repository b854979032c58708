"""The functions of steps.h. They take long to compile, so they have a module."""

cdef extern from "steps.h":
    Step c_step_for "skmbsgd_step_for" (
        Py_ssize_t rule, Py_ssize_t map, bint single_precision) noexcept nogil
    StandardizedStep c_standardized_step_for "skmbsgd_standardized_step_for" (
        Py_ssize_t rule, Py_ssize_t map, bint single_precision) noexcept nogil
    Dot c_dot_for "skmbsgd_dot_for" (bint single_precision) noexcept nogil


cdef Step step_for(Py_ssize_t rule, Py_ssize_t map, bint single_precision):
    """The step for a rule and a map of penalties.h, given by their numbers."""
    return c_step_for(rule, map, single_precision)


cdef StandardizedStep standardized_step_for(
    Py_ssize_t rule, Py_ssize_t map, bint single_precision
):
    """The step for standardised columns."""
    return c_standardized_step_for(rule, map, single_precision)


cdef Dot dot_for(bint single_precision):
    """The sum of the products of weights and numbers of float64."""
    return c_dot_for(single_precision)
