"""Update rules by their names; see rules.pxd."""


cdef class Rule:
    """An update rule with its momentum.

    Parameters
    ----------
    name : {"classical", "nesterov"}
    momentum : float
        mu, in [0, 1).
    """

    def __init__(self, str name, double momentum):
        names = [RULE_NAMES[i].decode() for i in range(N_RULES)]
        self.momentum = momentum
        self.number = names.index(name)
        self.function = RULES[self.number]

    @property
    def name(self):
        return RULE_NAMES[self.number].decode()

    def moved(self, double w, double v, double g, double eta):
        """A number and its velocity after one update with a gradient."""
        self.move(&w, &v, g, eta)
        return w, v
