"""Learning-rate schedules: the rate as a function of the clock.

Each schedule is a pure function of a clock that starts at 0: the epoch, or the update
(an array of updates gives an array of rates). ``eta0`` is the initial rate.
"""

import numpy as np


def constant(clock, eta0):
    """eta0, at any time.

    >>> constant(7, eta0=0.1)
    0.1
    """
    return eta0


def time_based(clock, eta0, decay):
    """eta0 / (1 + decay * clock)

    With the update as clock this is the ``decay`` of Keras's first optimizers, today
    ``keras.optimizers.schedules.InverseTimeDecay``.

    >>> time_based(4, eta0=0.1, decay=0.25)
    0.05
    """
    return eta0 / (1.0 + decay * clock)


def step(epoch, eta0, drop, epochs_drop):
    """eta0 * drop ** floor((1 + epoch) / epochs_drop)

    If ``epochs_drop`` is a sequence of epochs, the rate drops at each of them:
    eta0 * drop ** (number of entries <= epoch), as in
    ``torch.optim.lr_scheduler.MultiStepLR``.

    >>> [step(epoch, eta0=1.0, drop=0.5, epochs_drop=2) for epoch in range(5)]
    [1.0, 0.5, 0.5, 0.25, 0.25]
    >>> [step(epoch, eta0=1.0, drop=0.5, epochs_drop=[1, 3]) for epoch in range(5)]
    [1.0, 0.5, 0.5, 0.25, 0.25]
    """
    if np.iterable(epochs_drop):
        n_drops = sum(1 for dropped_at in epochs_drop if dropped_at <= epoch)
    else:
        # Not `//`, whose quotient is now and then less by one: 11 // 1.1 is 9.
        n_drops = float(np.floor((1 + epoch) / epochs_drop))
    return eta0 * drop**n_drops


def exponential(clock, eta0, decay):
    """eta0 * exp(-decay * clock)

    >>> float(exponential(0, eta0=0.1, decay=0.5))
    0.1
    """
    return eta0 * np.exp(-decay * clock)


def cosine(epoch, eta0, n_epochs):
    """eta0 * (1 + cos(pi * epoch / n_epochs)) / 2, and 0 from n_epochs on

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts"
    (ICLR 2017), equation 5, without restarts.

    >>> float(cosine(0, eta0=0.1, n_epochs=10))
    0.1
    >>> round(float(cosine(5, eta0=0.1, n_epochs=10)), 12)
    0.05
    >>> float(cosine(12, eta0=0.1, n_epochs=10))
    0.0
    """
    return eta0 * (1.0 + np.cos(np.pi * min(epoch / n_epochs, 1.0))) / 2.0


def inverse_scaling(update, eta0, power_t):
    """eta0 / (update + 1) ** power_t, scikit-learn's "invscaling"

    >>> inverse_scaling(3, eta0=0.1, power_t=0.5)
    0.05
    """
    return eta0 / (update + 1.0) ** power_t


def optimal(update, alpha, start):
    """1 / (alpha * (start + update)), scikit-learn's "optimal"

    Bottou, "Stochastic Gradient Descent Tricks" (2012), section 5.2. See
    `optimal_start` for ``start``.

    >>> optimal(6, alpha=0.5, start=2.0)
    0.25
    """
    return 1.0 / (alpha * (start + update))


def optimal_start(alpha, derivative):
    """Start of the clock of `optimal`, by scikit-learn's heuristic.

    The first rate is such that one update moves a weight by about its expected size,
    sqrt(1 / sqrt(alpha)).

    Parameters
    ----------
    alpha : float
        Strength of the penalty, > 0.
    derivative : callable
        ``derivative(y, z)`` of the loss.
    """
    typical_weight = np.sqrt(1.0 / np.sqrt(alpha))
    first_rate = typical_weight / max(1.0, derivative(1.0, -typical_weight))
    return 1.0 / (alpha * first_rate)
