"""Update rules: how a gradient g changes a number w and its velocity v.

eta is the learning rate, mu the momentum. These are the rules of Keras's SGD
(https://keras.io/api/optimizers/sgd/):

    classical    v' = mu * v - eta * g
                 w' = w + v'
    nesterov     v' = mu * v - eta * g
                 w' = w + mu * v' - eta * g

All trained numbers follow one of them: weights (or positions under an L1 penalty, see
penalties.pxd), intercepts, and the threshold of L1. They are written once, in rules.h.
"""

cdef extern from "rules.h":
    ctypedef void (*MoveNumber "skmbsgd_rule")(
        double* w, double* v, double g, double eta, double mu) noexcept nogil
    enum:
        N_RULES "SKMBSGD_N_RULES"
    const MoveNumber* RULES "skmbsgd_rules"
    const char** RULE_NAMES "skmbsgd_rule_names"


cdef class Rule:
    cdef readonly double momentum
    # The index of the rule in the tables of rules.h and steps.h
    cdef Py_ssize_t number
    cdef MoveNumber function

    cdef inline void move(
        self, double* w, double* v, double g, double eta
    ) noexcept nogil:
        """Update one number and its velocity."""
        self.function(w, v, g, eta, self.momentum)
