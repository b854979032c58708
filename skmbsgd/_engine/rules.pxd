"""Update rules: how weights w and velocities v move by one batch's gradient g.

eta is the learning rate, mu the momentum, lam2 and lam1 the L2 and L1 penalties.
The gradient of the L2 penalty joins that of the data:

    g <- g + lam2 * w

Without an L1 penalty, this is the rule of Keras's SGD
(https://keras.io/api/optimizers/sgd/):

    classical    v' = mu * v - eta * g
                 w' = w + v'
    Nesterov     v' = mu * v - eta * g
                 w' = w + mu * v' - eta * g

With an L1 penalty the step is a proximal one (S is soft-thresholding), so that
coefficients become exactly 0 and the optimum is a fixed point with momentum too:

    classical    w' = S(w + mu * v - eta * g, eta * lam1)
                 v' = w' - w
    Nesterov     x  = w - mu * v
                 x' = S(w - eta * g, eta * lam1)
                 v' = x' - x
                 w' = x' + mu * v'

The intercept follows the same rule without penalties. To add a rule, write its
function here and its classes in updates.pyx and sparse.pyx.
"""

from skmbsgd._engine.blas cimport floating


cdef inline void classical(
    floating* w, floating* v, floating g, floating eta, floating mu, floating lam2
) noexcept nogil:
    g = g + lam2 * w[0]
    v[0] = mu * v[0] - eta * g
    w[0] = w[0] + v[0]


cdef inline void nesterov(
    floating* w, floating* v, floating g, floating eta, floating mu, floating lam2
) noexcept nogil:
    g = g + lam2 * w[0]
    v[0] = mu * v[0] - eta * g
    w[0] = w[0] + mu * v[0] - eta * g


cdef inline floating soft_threshold(floating x, floating threshold) noexcept nogil:
    """Move x towards 0 by the threshold, and no further than 0."""
    # Without branches, which the processor could not foresee. A NaN stays one.
    return x - max(-threshold, min(threshold, x))


cdef inline void proximal_classical(
    floating* w, floating* v, floating g, floating eta, floating mu, floating lam2,
    floating lam1,
) noexcept nogil:
    cdef floating w_old = w[0]
    g = g + lam2 * w[0]
    w[0] = soft_threshold(w[0] + mu * v[0] - eta * g, eta * lam1)
    v[0] = w[0] - w_old


cdef inline void proximal_nesterov(
    floating* w, floating* v, floating g, floating eta, floating mu, floating lam2,
    floating lam1,
) noexcept nogil:
    cdef floating x_old = w[0] - mu * v[0]
    cdef floating x
    g = g + lam2 * w[0]
    x = soft_threshold(w[0] - eta * g, eta * lam1)
    v[0] = x - x_old
    w[0] = x + mu * v[0]
