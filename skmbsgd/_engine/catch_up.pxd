"""Catching up: many updates at once for a coordinate that no row has touched.

Between two batches that touch a coordinate, the rules of rules.pxd see only its own
penalty and velocity. They are linear, so any number of such updates is a linear map of
position z, velocity v and gradient g. At a constant rate the map depends only on the
number of updates, and EqualUpdates stores it. Otherwise DifferingUpdates stores it in
two parts: up to the end of a block of updates, and from there to the present.

Under L1 a weight is w = S(z, u), which differs from z only for its own L2 penalty:

- With L1 alone, the position moves only by its velocity. The maps above describe this
  with lam2 = 0, and w is computed with the present threshold u.
- With L2 as well, or if the weights are averaged, it matters how long w keeps its sign
  sigma. While it does, w and s = v - sigma * r obey the rule with the constant gradient
  sigma * lam1 in addition to that of L2. While w is 0, z moves only by its velocity.
  SignedUpdates determines which of these applies.

The end shows whether a weight has kept its sign. Take w > 0: once it falls, it falls
until it is no longer positive, because lam2 * w and lam1 pull in the same direction. So
it is smallest at the beginning or the end, unless it has crossed 0 and come back. To
come back takes half a turn of the map if its eigenvalues are complex, and never happens
if they are real. A smaller rate turns more slowly. While w is 0, z moves in one
direction, and u never falls. So if the last z is within the first u, w stays 0.
"""

cimport cython
from libc.math cimport copysign, fabs

from skmbsgd._engine.penalties cimport Penalty, soft_threshold
from skmbsgd._engine.rules cimport Rule


cdef struct Map:
    # z' = zz z + zv v + zg g,  v' = vz z + vv v + vg g,  g' = kept g. kept is 1 for no
    # update at all, else 0.
    double zz, zv, zg, vz, vv, vg, kept
    # A whole cache line
    double unused


cdef struct Sum:
    # The sum of z after each of the averaged updates is sum_z z + sum_v v + sum_g g.
    double sum_z, sum_v, sum_g


cdef struct Moment:
    # u and r before an update, its lam2, and the rule without a penalty:
    # z' = z + zv v + zg g,  v' = vv v + vg g. A whole cache line
    double u, r, l2, zv, zg, vv, vg, unused


cdef class Updates:
    cdef Rule rule
    cdef Penalty penalty
    # Whether g acts at every update, not only at the first
    cdef bint g_stays
    cdef bint averaged
    cdef object maps_array, sums_array
    cdef Map* maps
    cdef Sum* sums

    cdef Map map_of_update(self, double eta) noexcept nogil
    cdef void follow(
        self, const Map* update, bint averaged, Map* map, Sum* sums) noexcept nogil


@cython.final
cdef class EqualUpdates(Updates):
    # maps and sums, by the number of updates

    cdef void build(
        self, double eta, Py_ssize_t n_updates, bint averaged) noexcept nogil

    cdef inline void catch_up(
        self, Py_ssize_t t, Py_ssize_t now, double* z, double* v, double* g,
        double* total, Py_ssize_t K,
    ) noexcept nogil:
        """Apply the updates from t to before now to K coordinates.

        z, v and g are their positions, velocities, and gradients, which belong to the
        first update; total are their sums of positions.
        """
        # A copy, which the compiler knows to be constant
        cdef Map map = self.maps[now - t]
        cdef Py_ssize_t k
        if self.averaged:
            for k in range(K):
                total[k] += sum_of_positions(self.sums + (now - t), z[k], v[k], g[k])
        for k in range(K):
            apply(&map, z + k, v + k, g + k)


@cython.final
cdef class DifferingUpdates(Updates):
    cdef object block_maps_array, block_sums_array
    cdef Py_ssize_t now, shift
    # maps and sums go from an update to the end of its block, these from there to the
    # present.
    cdef Map* block_maps
    cdef Sum* block_sums

    cdef void begin(self) noexcept nogil
    cdef void open_update(self) noexcept nogil
    cdef void append(self, double eta, bint averaged) noexcept nogil

    cdef inline void catch_up(
        self, Py_ssize_t t, Py_ssize_t now, double* z, double* v, double* g,
        double* total, Py_ssize_t K,
    ) noexcept nogil:
        """Let K coordinates make the updates from t to before the present."""
        cdef Py_ssize_t k, block = t >> self.shift
        for k in range(K):
            self.catch_up_in_block(t, z + k, v + k, g + k, total + k)
            if self.averaged:
                total[k] += sum_of_positions(self.block_sums + block, z[k], v[k], 0.0)
            apply_without_gradient(self.block_maps + block, z + k, v + k)

    cdef inline void catch_up_in_block(
        self, Py_ssize_t t, double* z, double* v, double* g, double* total
    ) noexcept nogil:
        """Apply the updates from t to the end of its block."""
        if self.averaged:
            total[0] += sum_of_positions(self.sums + t, z[0], v[0], g[0])
        apply(self.maps + t, z, v, g)

    cdef inline void catch_up_from_block(
        self, Py_ssize_t t, double* z, double* v, double* g, double* total
    ) noexcept nogil:
        """Apply the updates from the end of the block of t on, with g at each."""
        cdef Py_ssize_t block = t >> self.shift
        if self.averaged:
            total[0] += sum_of_positions(self.block_sums + block, z[0], v[0], g[0])
        apply(self.block_maps + block, z, v, g)


@cython.final
cdef class SignedUpdates(Updates):
    # Of equal updates: those with a gradient in the first alone, in all of them, and
    # those of a weight that is 0, on which no penalty acts
    cdef EqualUpdates equal_once, equal, standing
    cdef DifferingUpdates differing
    # Separate names for what most weights need
    cdef const Map* once
    cdef const Map* always
    cdef const Map* at_zero
    cdef double l1
    cdef bint are_equal
    cdef Py_ssize_t now, first_averaged, longest_stride
    cdef double last_rate
    cdef object moments_array
    cdef Moment* moments

    cdef void begin(
        self, double rate, Py_ssize_t n_updates, Py_ssize_t first_averaged,
        bint are_equal, const double* threshold) noexcept nogil
    cdef void append(self, double eta) noexcept nogil
    cdef void walk(
        self, Py_ssize_t t, Py_ssize_t now, double* z, double* v, double* total
    ) noexcept nogil

    cdef inline void catch_up(
        self, Py_ssize_t t, Py_ssize_t now, double* z, double* v, double* g,
        double* total, Py_ssize_t K,
    ) noexcept nogil:
        """Let K coordinates make the updates from t to before the present."""
        cdef Py_ssize_t k
        if t == now:
            return
        for k in range(K):
            self.catch_up_one(t, now, z + k, v + k, g + k, total + k)

    cdef inline void catch_up_one(
        self, Py_ssize_t t, Py_ssize_t now, double* z, double* v, double* g,
        double* total,
    ) noexcept nogil:
        if self.are_equal and self.leap(t, now, z, v, g, total):
            return
        self.step(t, z, v, g[0], total)
        g[0] = 0.0
        t += 1
        if t < now and not self.jump(t, now, False, z, v, total):
            self.walk(t, now, z, v, total)

    cdef inline bint leap(
        self, Py_ssize_t t, Py_ssize_t now, double* z, double* v, double* g,
        double* total,
    ) noexcept nogil:
        """Apply equal updates in one step, the first with g, if the sign is kept."""
        cdef Py_ssize_t n = now - t
        cdef double u = self.moments[t].u, l1 = self.l1
        cdef double sigma, w, s, gradient, after_first, end
        cdef const Map* map
        cdef const Map* pull = self.always + n
        if fabs(z[0]) <= u:
            map = self.at_zero + n
            after_first = z[0] + self.at_zero[1].zv * v[0] + self.at_zero[1].zg * g[0]
            end = z[0] + map.zv * v[0] + map.zg * g[0]
            if not (fabs(after_first) <= u and fabs(end) <= u):
                return False
            z[0] = end
            v[0] = map.vv * v[0] + map.vg * g[0]
            g[0] = 0.0
            return True
        # Of the mirror image if the weight is negative
        map = self.once + n
        sigma = copysign(1.0, z[0])
        w, s = sigma * z[0] - u, sigma * v[0] - self.moments[t].r
        gradient = sigma * g[0]
        after_first = (self.once[1].zz * w + self.once[1].zv * s
                       + self.once[1].zg * (gradient + l1))
        end = map.zz * w + map.zv * s + map.zg * gradient + pull.zg * l1
        if not (after_first > 0.0 and end > 0.0 and n <= self.longest_stride):
            return False
        if self.averaged:
            total[0] += sigma * (
                sum_of_positions(self.equal_once.sums + n, w, s, gradient)
                + self.equal.sums[n].sum_g * l1)
        z[0] = sigma * (end + self.moments[now].u)
        v[0] = sigma * (map.vz * w + map.vv * s + map.vg * gradient + pull.vg * l1
                        + self.moments[now].r)
        g[0] = 0.0
        return True

    cdef inline void step(
        self, Py_ssize_t t, double* z, double* v, double g, double* total
    ) noexcept nogil:
        """Apply one update."""
        cdef const Moment* moment = self.moments + t
        g += moment.l2 * soft_threshold(z[0], moment.u)
        z[0] += moment.zv * v[0] + moment.zg * g
        v[0] = moment.vv * v[0] + moment.vg * g
        if self.averaged and t >= self.first_averaged:
            total[0] += soft_threshold(z[0], moment[1].u)

    cdef inline bint jump(
        self, Py_ssize_t t, Py_ssize_t stop, bint in_block, double* z, double* v,
        double* total,
    ) noexcept nogil:
        """Apply the updates if the weight is certain to keep its sign, or to stay 0.

        They go up to the present, or to the end of a block.
        """
        if fabs(z[0]) <= self.moments[t].u:
            return self.stay_at_zero(t, stop, z, v)
        return self.keep_sign(t, stop, in_block, z, v, total)

    cdef inline bint stay_at_zero(
        self, Py_ssize_t t, Py_ssize_t stop, double* z, double* v
    ) noexcept nogil:
        cdef const Map* map = self.at_zero + (stop - t)
        cdef double end = z[0] + map.zv * v[0]
        if not fabs(end) <= self.moments[t].u:
            return False
        z[0] = end
        v[0] *= map.vv
        return True

    cdef inline bint keep_sign(
        self, Py_ssize_t t, Py_ssize_t stop, bint in_block, double* z, double* v,
        double* total,
    ) noexcept nogil:
        # Of the mirror image if the weight is negative
        cdef double sigma = copysign(1.0, z[0]), sum_w = 0.0, g = self.l1
        cdef double w = sigma * z[0] - self.moments[t].u
        cdef double s = sigma * v[0] - self.moments[t].r
        if stop - t > self.longest_stride:
            return False
        if self.are_equal:
            if self.averaged:
                sum_w = sum_of_positions(self.equal.sums + (stop - t), w, s, g)
            apply(self.always + (stop - t), &w, &s, &g)
        else:
            self.differing.catch_up_in_block(t, &w, &s, &g, &sum_w)
            if not in_block:
                self.differing.catch_up_from_block(t, &w, &s, &g, &sum_w)
        if not w > 0.0:
            return False
        z[0] = sigma * (w + self.moments[stop].u)
        v[0] = sigma * (s + self.moments[stop].r)
        if self.averaged:
            total[0] += sigma * sum_w
        return True


ctypedef fused AnyUpdates:
    EqualUpdates
    DifferingUpdates
    SignedUpdates


@cython.final
cdef class Window:
    # Coordinates catch up by `signed` if there is one, else by `equal` or `differing`.
    cdef EqualUpdates equal
    cdef DifferingUpdates differing
    cdef SignedUpdates signed
    cdef bint are_equal
    cdef readonly Py_ssize_t size
    cdef Py_ssize_t now, first_averaged

    cdef void begin(
        self, const double* rates, Py_ssize_t n_updates, Py_ssize_t first_averaged,
        const double* threshold) noexcept nogil
    cdef void begin_open(
        self, Py_ssize_t first_averaged, const double* threshold) noexcept nogil
    cdef void begin_tables(
        self, double rate, Py_ssize_t n_updates, Py_ssize_t first_averaged,
        bint are_equal, const double* threshold) noexcept nogil
    cdef void average_from(self, Py_ssize_t first_averaged) noexcept nogil
    cdef void append(self, double eta) noexcept nogil


cdef size_t aligned(size_t address)


cdef inline void apply(const Map* map, double* z, double* v, double* g) noexcept nogil:
    cdef double z_old = z[0], v_old = v[0], g_old = g[0]
    z[0] = map.zz * z_old + map.zv * v_old + map.zg * g_old
    v[0] = map.vz * z_old + map.vv * v_old + map.vg * g_old
    g[0] = map.kept * g_old


cdef inline void apply_without_gradient(
    const Map* map, double* z, double* v
) noexcept nogil:
    cdef double z_old = z[0]
    z[0] = map.zz * z_old + map.zv * v[0]
    v[0] = map.vz * z_old + map.vv * v[0]


cdef inline double sum_of_positions(
    const Sum* sums, double z, double v, double g
) noexcept nogil:
    return sums.sum_z * z + sums.sum_v * v + sums.sum_g * g
