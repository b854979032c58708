"""Learning-rate schedules: the rate as a function of the clock.

Each schedule is a pure function of a clock that starts at 0: the epoch, or the update
(an array of updates gives an array of rates). ``eta0`` is the initial rate. The table
`SCHEDULES` gives each of them a name, a clock and parameters. `make_schedule` turns a
line of it into the object that training asks for rates.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from skmbsgd._checks import is_finite_and_not_negative

SMALLEST_ADAPTIVE_RATE = 1e-6
ADAPTIVE_DIVISOR = 5.0


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
    if not np.iterable(epochs_drop):
        # Not `//`, whose result is sometimes too small by one: 11 // 1.1 is 9.
        n_drops = float(np.floor((1 + epoch) / epochs_drop))
    else:
        n_drops = sum(1 for dropped_at in epochs_drop if dropped_at <= epoch)
    return eta0 * drop**n_drops


def exponential(clock, eta0, decay):
    """eta0 * exp(-decay * clock)

    >>> float(exponential(0, eta0=0.1, decay=0.5))
    0.1
    """
    return eta0 * np.exp(-decay * clock)


def cosine(epoch, eta0, max_iter):
    """eta0 * (1 + cos(pi * epoch / max_iter)) / 2, and 0 from max_iter on

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts"
    (ICLR 2017), equation 5, without restarts.

    >>> float(cosine(0, eta0=0.1, max_iter=10))
    0.1
    >>> round(float(cosine(5, eta0=0.1, max_iter=10)), 12)
    0.05
    >>> float(cosine(12, eta0=0.1, max_iter=10))
    0.0
    """
    return eta0 * ((1.0 + np.cos(np.pi * min(epoch / max_iter, 1.0))) / 2.0)


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


def custom(epoch, learning_rate):
    """learning_rate(epoch), a finite number >= 0 or an error

    >>> custom(2, learning_rate=lambda epoch: 1 / (1 + epoch) ** 2)
    0.1111111111111111
    """
    try:
        rate = learning_rate(epoch)
    except Exception as error:
        error.add_note(f"The call learning_rate({epoch}) raised this error.")
        raise
    if not is_finite_and_not_negative(rate):
        raise ValueError(
            f"The callable learning_rate({epoch}) returned {rate!r}; it must "
            "return a finite number >= 0 for each epoch 0, 1, 2, ..."
        )
    return float(rate)


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


# name: the function, its clock, and its parameters. The clock is the epoch, the update,
# or the unit that decay_unit names. With "standstill" the rate is constant until
# training would stop.
SCHEDULES: dict[str, tuple[Callable[..., Any], str, list[str]]] = {
    "time": (time_based, "decay_unit", ["eta0", "decay"]),
    "step": (step, "epoch", ["eta0", "drop", "epochs_drop"]),
    "constant": (constant, "epoch", ["eta0"]),
    "exponential": (exponential, "decay_unit", ["eta0", "decay"]),
    "cosine": (cosine, "epoch", ["eta0", "max_iter"]),
    "invscaling": (inverse_scaling, "update", ["eta0", "power_t"]),
    "optimal": (optimal, "update", ["alpha", "start"]),
    "adaptive": (constant, "standstill", ["eta0"]),
}


class EpochSchedule:
    """A function of the epoch: one rate for all its updates.

    Parameters
    ----------
    function : callable
        ``function(clock, **parameters)``
    parameters : dict
    """

    counts_updates = False

    def __init__(self, function, parameters):
        self.parameters = parameters
        self.function = partial(function, **parameters)

    def clock(self, state, n_updates, first):
        """The argument of the function in the next epoch."""
        return state.n_epochs

    def rates(self, state, n_updates, first=0):
        """Rates of the next epoch's updates, or a single one for all of them.

        They start at update `first` of the epoch.
        """
        rate = self.function(self.clock(state, n_updates, first))
        return np.array(rate, dtype=np.float64, ndmin=1)

    def lower(self, state):
        """Lower the rates because progress has stopped; return whether they changed."""
        return False

    def remedy(self):
        """A change of settings that makes the rates smaller, for messages."""
        if "learning_rate" in self.parameters:
            return "smaller rates from the callable learning_rate"
        if "eta0" in self.parameters:
            return f"a smaller initial rate (now eta0={float(self.parameters['eta0'])})"
        alpha = float(self.parameters["alpha"])
        return f"a larger alpha (now {alpha}), which lowers the rates"


class UpdateSchedule(EpochSchedule):
    """A function of the update."""

    counts_updates = True

    def clock(self, state, n_updates, first):
        first += state.n_updates
        return np.arange(first, first + n_updates, dtype=float)


class AdaptiveSchedule(EpochSchedule):
    """The rate eta0 until progress stops, then smaller; restarts if eta0 is changed."""

    def rates(self, state, n_updates, first=0):
        eta0 = float(self.parameters["eta0"])
        if state.adaptive_eta0 != eta0:
            state.adaptive_rate = state.adaptive_eta0 = eta0
        return np.array([state.adaptive_rate])

    def lower(self, state):
        if state.adaptive_rate <= SMALLEST_ADAPTIVE_RATE:
            return False
        state.adaptive_rate /= ADAPTIVE_DIVISOR
        return True


CLOCKS = {
    "epoch": EpochSchedule,
    "update": UpdateSchedule,
    "standstill": AdaptiveSchedule,
}


def make_schedule(settings, derivative, eta0):
    """The schedule for the parameters of an estimator.

    Parameters
    ----------
    settings : object
        Has the parameters of the estimators as attributes.
    derivative : callable
        ``derivative(y, z)`` of the loss.
    eta0 : float
        The initial rate.

    Returns
    -------
    schedule : EpochSchedule, or a class derived from it
    """
    if callable(settings.learning_rate):
        return EpochSchedule(custom, {"learning_rate": settings.learning_rate})
    name = "time" if settings.learning_rate == "auto" else settings.learning_rate
    function, clock, names = SCHEDULES[name]
    if clock == "decay_unit":
        clock = settings.decay_unit
    parameters = {name: parameter(name, settings, derivative, eta0) for name in names}
    # A divisor that overflows gives a rate of 0.
    return CLOCKS[clock](np.errstate(over="ignore")(function), parameters)


def uses_eta0(learning_rate):
    """Whether the schedule of this name, or a callable, has an initial rate."""
    if callable(learning_rate):
        return False
    return learning_rate == "auto" or "eta0" in SCHEDULES[learning_rate][2]


def parameter(name, settings, derivative, eta0):
    """A parameter of a schedule, as given or computed."""
    if name == "eta0":
        return eta0
    if name == "start":
        return optimal_start(settings.alpha, derivative)
    if name == "decay" and settings.decay == "auto":
        return eta0 / settings.max_iter
    return getattr(settings, name)
