"""Calls whose results appear at once, so that threads may share an estimator."""

import os
from functools import wraps
from typing import Any

import numpy as np

from skmbsgd._sklearn import without_context_of_fit
from skmbsgd._typing import Method

# The calls that train, by process (a fork inherits marks that nobody would take away)
# and id, each for its estimator and for the twin. A mark in the estimator would be
# copied and pickled with it.
IN_TRAINING: dict[tuple[int, int], Any] = {}
# Of loss_curve_ and learning_rate_curve_: lists, and what they grow by
NO_GROWTH: tuple[tuple[list, list], tuple[list, list]] = ([], []), ([], [])
# Of the stream of CSR chunks, which changes in its place
NO_CHANGE: tuple[Any, Any] = ([], [])


def reads_one_model(method: Method) -> Method:
    """Make a method read to its end the model that was there when it was called."""

    @wraps(method)
    def reading_method(estimator, *args, **kwargs):
        twin = object.__new__(type(estimator))
        vars(twin).update(vars(estimator))
        return method(twin, *args, **kwargs)

    return reading_method  # type: ignore[return-value]


def appears_at_once(method: Method) -> Method:
    """Make all that a method learns appear at its end, at once, or not at all.

    The method trains a twin. For other threads, and in callbacks, the estimator is what
    it was before the call until it takes over what the twin has learnt. If the method
    fails, the estimator is given back what others have changed meanwhile. An interrupt
    is a failure too. This relies on the habit of this package never to write into the
    arrays or lists of an attribute. Only what is too long to be copied for each chunk
    of a stream changes in its place, its curves and the weights of CSR chunks: the
    method leaves them as `_growth` and `_change` in the twin.

    A long method calls `let_appear(twin)` now and then: so far it has then succeeded.
    """

    @wraps(method)
    def training_method(estimator, *args, **kwargs):
        twin = object.__new__(type(estimator))
        mark, mark_of_twin = ((os.getpid(), id(each)) for each in (estimator, twin))
        # CPython looks for signals, and lets other threads run, when a function has
        # been called: none is called from the growth of the curves to the end, nor
        # where the marks are taken away.
        call = Call(estimator, twin)
        try:
            if IN_TRAINING.setdefault(mark, call) is not call:
                raise RuntimeError(
                    f"This {type(estimator).__name__} is already being trained, by "
                    "another thread or by the call that led to this one (through a "
                    "callback, a scorer or learning_rate). Wait until it ends, or "
                    "train a clone."
                )
            IN_TRAINING[mark_of_twin] = call
            call.begin()
            try:
                method(twin, *args, **kwargs)
                growth = vars(twin).pop("_growth", NO_GROWTH)
                (losses, new_losses), (rates, new_rates) = growth
                stream, change = vars(twin).pop("_change", NO_CHANGE)
                attributes = call.with_changes(vars(estimator).copy())
                losses += new_losses
                rates += new_rates
                stream += change
                estimator.__dict__ = attributes
                return estimator
            except BaseException:
                call.restore()
                raise
        finally:
            if mark_of_twin in IN_TRAINING:
                del IN_TRAINING[mark_of_twin]  # noqa: RUF051 (`pop` is a call)
            if mark in IN_TRAINING and IN_TRAINING[mark] is call:
                del IN_TRAINING[mark]

    return training_method  # type: ignore[return-value]


def let_appear(twin):
    """Make all that a twin has learnt so far appear at once, whatever follows."""
    IN_TRAINING[os.getpid(), id(twin)].let_appear()


class Call:
    """A call that trains a twin, and what it leaves if it fails.

    Parameters
    ----------
    estimator, twin : estimator instances
    """

    def __init__(self, estimator, twin):
        self.estimator, self.twin = estimator, twin

    def begin(self):
        """Note what the estimator is, and make the twin its equal."""
        # What it is to be after a failure, and what the twin began with
        self.attributes = self.known = vars(self.estimator).copy()
        self.generator: Any = self.attributes.get("random_state")
        self.draws = isinstance(self.generator, np.random.RandomState)
        if self.draws:
            self.generator_state = self.generator.get_state()
        vars(self.twin).update(self.attributes)

    def let_appear(self):
        """Make what the twin has learnt appear; a failure leaves it there."""
        attributes = without_context_of_fit(
            self.with_changes(vars(self.estimator).copy())
        )
        known, after_failure = vars(self.twin).copy(), attributes.copy()
        self.draws = False
        # From here on no function is called.
        self.estimator.__dict__ = attributes
        self.attributes, self.known = after_failure, known

    def restore(self):
        """Give the estimator back what it was."""
        self.estimator.__dict__ = self.attributes
        if self.draws:
            self.generator.set_state(self.generator_state)

    def with_changes(self, attributes):
        """The attributes, with what the twin has set or removed since."""
        # What others have set meanwhile stays: a parameter, for the next call.
        for name in self.known.keys() - vars(self.twin).keys():
            attributes.pop(name, None)
        for name, value in vars(self.twin).items():
            if name not in self.known or self.known[name] is not value:
                attributes[name] = value
        return attributes
