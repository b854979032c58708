"""Products over ranges of updates in which a coordinate has no gradient.

Between two batches that touch a coordinate, the rules of rules.pxd see only its own
penalty and velocity. As long as the weight keeps its sign (a condition only with an L1
penalty), one update is an affine map of the state (w, v), with a = eta * lam2,
c = eta * lam1 and sigma the sign:

    classical   w' = (1 - a) w + mu v - sigma c
                v' =     - a w + mu v - sigma c
    Nesterov    w' = (1 - a (1 + mu)) w + mu^2 v - sigma c (1 + mu)
                v' =             - a w + mu   v - sigma c

and the sum of the weights over the updates, for averaging, is S' = S + w'. A gradient g
adds -eta (1, 1) g to the classical (w', v'), and -eta (1 + mu, 1) g to Nesterov's.

Without an L1 penalty a coordinate catches up by a map that makes the update its
gradient belongs to and all those since. At a constant rate the map depends on the
number of updates alone, and PowerTable has it. Otherwise CatchUpTable has it in two
parts: up to the end of a block of updates, and from there to the present.

With an L1 penalty it must be found out where the sign is lost, for which GapTable has
the product of any range. Row l of this disjoint sparse table holds, for blocks of
2^(l+1) updates, the products from each update to the block's middle. A range is cut at
the middle of the smallest block that holds it, which gives two products. No inverses
are needed, which would lose all digits: the determinant of one map is about mu. If all
updates are equal, their powers take the table's place.
"""

cimport cython


cdef struct Map:
    # w' = ww w + wv v,  v' = vw w + vv v
    double ww, wv, vw, vv


cdef struct Affine:
    # w' = ww w + wv v + sigma w_constant,  v' = vw w + vv v + sigma v_constant
    double ww, wv, vw, vv, w_constant, v_constant
    # A whole cache line
    double unused, unused_too


cdef struct AffineSum:
    # The sum of the weights after each of the updates is
    # sum_w w + sum_v v + sigma sum_constant.
    double sum_w, sum_v, sum_constant


cdef struct CatchUp:
    # w' = ww w + wv v + wg g,  v' = vw w + vv v + vg g,  g' = kept g. kept is 1 for no
    # update at all, else 0.
    double ww, wv, wg, vw, vv, vg, kept
    # A whole cache line
    double unused


cdef struct Sum:
    # The sum of the weights after each of the updates is sum_w w + sum_v v + sum_g g.
    double sum_w, sum_v, sum_g


@cython.final
cdef class PowerTable:
    cdef object catch_ups_array, sums_array
    # By the number of updates
    cdef CatchUp* catch_ups
    cdef Sum* sums

    cdef void build(
        self, Py_ssize_t n_updates, double eta, double mu, double lam2, bint nesterov,
        bint averaged,
    ) noexcept nogil


@cython.final
cdef class CatchUpTable:
    cdef object catch_ups_array, sums_array, block_maps_array, block_sums_array
    cdef Py_ssize_t now, shift
    # By the update that has the gradient: over the rest of its block
    cdef CatchUp* catch_ups
    cdef Sum* sums
    # By block: over all updates since its end
    cdef Map* block_maps
    cdef Sum* block_sums

    cdef void begin(self) noexcept nogil
    cdef void open_update(self) noexcept nogil
    cdef void append(
        self, double eta, double mu, double lam2, bint nesterov, bint averaged
    ) noexcept nogil


cdef enum:
    # Where a GapTable has the map of no update; all others are found by counting.
    IDENTITY = -1


cdef struct Parts:
    # Places in the table of the product of a range's first part and of its second
    Py_ssize_t first, second


@cython.final
cdef class GapTable:
    cdef readonly Py_ssize_t size, n_updates
    cdef bint uniform
    cdef Py_ssize_t n_levels
    cdef object maps_array, sums_array
    cdef Affine* maps
    cdef AffineSum* sums
    # The longest range over which a weight that ends with the sign that it began with
    # cannot have lost it in between
    cdef Py_ssize_t longest_stride

    cdef void build(
        self, const double* rates, Py_ssize_t n_updates, Py_ssize_t first_averaged,
        bint uniform, double mu, double lam2, double lam1, bint nesterov,
    ) noexcept nogil
    cdef void fill_powers(self) noexcept nogil
    cdef void fill_level(self, Py_ssize_t level) noexcept nogil
    cdef void put_product(
        self, Py_ssize_t target, Py_ssize_t first, Py_ssize_t second) noexcept nogil

    cdef inline Parts parts(self, Py_ssize_t t, Py_ssize_t stop) noexcept nogil:
        """Where the product over the updates from t to before stop is found."""
        cdef Parts parts
        cdef Py_ssize_t row
        if self.uniform:
            parts.first = stop - 1 - t
            parts.second = IDENTITY
        else:
            row = highest_bit((t ^ (stop - 1)) | 1) * self.size
            parts.first = row + t if t < stop else IDENTITY
            parts.second = row + stop - 1 if t < stop - 1 else IDENTITY
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


cdef size_t aligned(size_t address)


cdef inline void apply_map(const Map* map, double* w, double* v) noexcept nogil:
    cdef double w_old = w[0]
    w[0] = map.ww * w_old + map.wv * v[0]
    v[0] = map.vw * w_old + map.vv * v[0]


cdef inline void apply_affine(
    const Affine* map, double sigma, double* w, double* v
) noexcept nogil:
    cdef double w_old = w[0]
    w[0] = map.ww * w_old + map.wv * v[0] + sigma * map.w_constant
    v[0] = map.vw * w_old + map.vv * v[0] + sigma * map.v_constant


cdef inline void apply_catch_up(
    const CatchUp* map, double* w, double* v, double* g
) noexcept nogil:
    cdef double w_old = w[0], v_old = v[0], g_old = g[0]
    w[0] = map.ww * w_old + map.wv * v_old + map.wg * g_old
    v[0] = map.vw * w_old + map.vv * v_old + map.vg * g_old
    g[0] = map.kept * g_old


cdef inline double weight_sum(
    const Sum* sums, double w, double v, double g
) noexcept nogil:
    return sums.sum_w * w + sums.sum_v * v + sums.sum_g * g


cdef inline double affine_weight_sum(
    const AffineSum* sums, double sigma, double w, double v
) noexcept nogil:
    return sums.sum_w * w + sums.sum_v * v + sigma * sums.sum_constant
