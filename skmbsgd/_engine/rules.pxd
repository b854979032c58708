"""Model rules: how weights w and velocities v move by one batch's gradient g.

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
function in rules_template.h, its loop in dense_rules_template.h, and its classes in
models.pyx and csr_model.pyx.
"""

cdef extern from "rules.h":
    void classical "skmbsgd_classical_double" (
        double* w, double* v, double g, double eta, double mu, double lam2
    ) noexcept nogil
    void nesterov "skmbsgd_nesterov_double" (
        double* w, double* v, double g, double eta, double mu, double lam2
    ) noexcept nogil
    void proximal_classical "skmbsgd_proximal_classical_double" (
        double* w, double* v, double g, double eta, double mu, double lam2, double lam1
    ) noexcept nogil
    void proximal_nesterov "skmbsgd_proximal_nesterov_double" (
        double* w, double* v, double g, double eta, double mu, double lam2, double lam1
    ) noexcept nogil
