"""Products over ranges of updates in which a coordinate has no gradient.

Between two batches that touch a coordinate, the rules of rules.pxd see only its own
penalty and velocity. As long as the weight keeps its sign (a condition only with an L1
penalty), one update is an affine map of the state (w, v), with a = eta * lam2,
c = eta * lam1 and sigma the sign:

    classical   w' = (1 - a) w + mu v - sigma c
                v' =     - a w + mu v - sigma c
    Nesterov    w' = (1 - a (1 + mu)) w + mu^2 v - sigma c (1 + mu)
                v' =             - a w + mu   v - sigma c

and the sum of the weights over the updates, for averaging, is S' = S + w'. The product
of the maps of any range of updates is had from a disjoint sparse table: row l holds,
for blocks of 2^(l+1) updates, the products from each update to the block's middle. A
range is cut at the middle of the smallest block that holds it, which gives two
products. No inverses are needed, which would lose all digits: the determinant of one
map is about mu. If all maps of a window are the same, as at a constant rate, their
powers take the table's place: a single product for any range.
"""

cimport cython


cdef struct Map:
    # w' = ww w + wv v,  v' = vw w + vv v
    double ww, wv, vw, vv


cdef struct Tail:
    # sigma (w_constant, v_constant) is added to (w, v), and
    # sum_w w + sum_v v + sigma sum_constant to the sum of the weights.
    double w_constant, v_constant, sum_w, sum_v, sum_constant


cdef struct Parts:
    # Places in the table of the product of a range's first part and of its second;
    # -1 for a range of one part
    Py_ssize_t first, second


@cython.final
cdef class GapTable:
    cdef readonly Py_ssize_t size, n_updates
    cdef bint with_tails, uniform
    cdef Py_ssize_t n_levels
    cdef object maps_array, tails_array
    cdef Map* maps
    cdef Tail* tails
    # The longest range over which a weight that ends with the sign that it began with
    # cannot have lost it in between
    cdef Py_ssize_t longest_stride

    cdef void build(
        self, const double* rates, Py_ssize_t n_updates, Py_ssize_t first_averaged,
        double mu, double lam2, double lam1, bint nesterov,
    ) noexcept nogil
    cdef void fill_powers(self) noexcept nogil
    cdef void fill_level(self, Py_ssize_t level) noexcept nogil
    cdef void compose(
        self, Py_ssize_t target, Py_ssize_t first, Py_ssize_t second) noexcept nogil

    cdef inline Parts parts(self, Py_ssize_t t, Py_ssize_t stop) noexcept nogil:
        """Where the product over the updates from t to before stop is found."""
        cdef Parts parts
        cdef Py_ssize_t row
        if self.uniform or t == stop - 1:
            parts.first = stop - 1 - t if self.uniform else t
            parts.second = -1
        else:
            row = highest_bit(t ^ (stop - 1)) * self.size
            parts.first = row + t
            parts.second = row + stop - 1
        return parts


cdef extern from *:
    """
    #if defined(__GNUC__)
    #define SKMBSGD_HIGHEST_BIT(x) (63 - __builtin_clzll((unsigned long long)(x)))
    #else
    static int SKMBSGD_HIGHEST_BIT(unsigned long long x)
    {
        int bit = 0;
        while (x >>= 1)
            bit++;
        return bit;
    }
    #endif
    """
    int highest_bit "SKMBSGD_HIGHEST_BIT" (Py_ssize_t x) noexcept nogil


cdef inline Map compose_maps(const Map* first, const Map* second) noexcept nogil:
    """The map that does the first and then the second."""
    cdef Map both
    both.ww = second.ww * first.ww + second.wv * first.vw
    both.wv = second.ww * first.wv + second.wv * first.vv
    both.vw = second.vw * first.ww + second.vv * first.vw
    both.vv = second.vw * first.wv + second.vv * first.vv
    return both


cdef inline void apply_map(const Map* map, double* w, double* v) noexcept nogil:
    cdef double w_old = w[0]
    w[0] = map.ww * w_old + map.wv * v[0]
    v[0] = map.vw * w_old + map.vv * v[0]


cdef inline void apply_tail(
    const Tail* tail, double sigma, double w_old, double v_old,
    double* w, double* v, double* weight_sum,
) noexcept nogil:
    """Add to the state and to the sum what the map alone leaves out."""
    weight_sum[0] += (tail.sum_w * w_old + tail.sum_v * v_old
                      + sigma * tail.sum_constant)
    w[0] += sigma * tail.w_constant
    v[0] += sigma * tail.v_constant
