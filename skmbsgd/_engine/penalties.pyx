"""Penalties by their names; see penalties.pxd.

To add a penalty, write its map from positions to weights in penalties.h, if it has one,
then write a class here, and name it in PENALTIES.
"""

import numpy as np

cdef enum:
    # As in penalties.h
    NO_MAP, SOFT_THRESHOLD


cdef class Penalty:
    """lam2 / 2 * ||W||_2^2

    Parameters
    ----------
    l2 : float, default=0.0
        lam2, at least 0; 0 for no penalty at all.

    Attributes
    ----------
    l1 : float
        lam1, minus the gradient of the threshold u.
    """

    def __init__(self, double l2=0.0):
        self.l2 = l2
        self.map_number = NO_MAP

    @property
    def has_positions(self):
        """Whether weights differ from the positions."""
        return self.map_number != NO_MAP

    def value(self, double squared_norm, double absolute_sum):
        """The penalty at weights with these sums of squares and absolute values."""
        return 0.5 * self.l2 * squared_norm if self.l2 > 0.0 else 0.0

    def weights(self, positions, threshold):
        """The weights at an array of positions.

        The threshold is a number, or one for each column.
        """
        return positions


cdef class L1(Penalty):
    """lam2 / 2 * ||W||_2^2 + lam1 * ||W||_1

    Parameters
    ----------
    l1 : float
        lam1, > 0.
    l2 : float, default=0.0
    """

    def __init__(self, double l1, double l2=0.0):
        super().__init__(l2)
        self.l1 = l1
        self.map_number = SOFT_THRESHOLD

    def value(self, double squared_norm, double absolute_sum):
        return super().value(squared_norm, absolute_sum) + self.l1 * absolute_sum

    def weights(self, positions, threshold):
        # The same bits as those of skmbsgd_soft_threshold
        return positions - np.clip(positions, -threshold, threshold)


def elastic_net(double alpha, double l1_ratio):
    """alpha * ((1 - l1_ratio) / 2 * ||W||_2^2 + l1_ratio * ||W||_1)"""
    cdef double l1 = alpha * l1_ratio
    l2 = alpha * (1.0 - l1_ratio)
    return L1(l1, l2) if l1 > 0.0 else Penalty(l2)


# By the name in scikit-learn: makes the penalty for alpha and l1_ratio
PENALTIES = {
    None: lambda alpha, l1_ratio: Penalty(),
    "l2": lambda alpha, l1_ratio: Penalty(alpha),
    "l1": lambda alpha, l1_ratio: elastic_net(alpha, 1.0),
    "elasticnet": elastic_net,
}
