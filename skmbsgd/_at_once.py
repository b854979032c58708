"""Calls whose results appear at once, so that threads may share an estimator."""

import os
from functools import wraps
from typing import Any

import numpy as np

from skmbsgd._typing import Method

# The twins that are trained, by process (a fork inherits marks that nobody would take
# away) and id, each for its estimator and for itself. A mark in the estimator would be
# copied and pickled with it.
IN_TRAINING: dict[tuple[int, int], Any] = {}
# Of loss_curve_ and learning_rate_curve_: lists, and what they grow by
NO_GROWTH: tuple[tuple[list, list], tuple[list, list]] = ([], []), ([], [])


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
    arrays or lists of an attribute. Only the curves of a stream, too long to be copied
    for each chunk, grow: the method leaves them as `_growth` in the twin.
    """

    @wraps(method)
    def training_method(estimator, *args, **kwargs):
        twin = object.__new__(type(estimator))
        mark, mark_of_twin = ((os.getpid(), id(each)) for each in (estimator, twin))
        # CPython looks for signals, and lets other threads run, when a function has
        # been called: none is called from the growth of the curves to the end, nor
        # where the marks are taken away.
        try:
            if IN_TRAINING.setdefault(mark, twin) is not twin:
                raise RuntimeError(
                    f"This {type(estimator).__name__} is already being trained, by "
                    "another thread or by the call that led to this one (through a "
                    "callback, a scorer or learning_rate). Wait until it ends, or "
                    "train a clone."
                )
            IN_TRAINING[mark_of_twin] = twin
            backup = Backup(estimator)
            try:
                vars(twin).update(backup.attributes)
                method(twin, *args, **kwargs)
                growth = vars(twin).pop("_growth", NO_GROWTH)
                (losses, new_losses), (rates, new_rates) = growth
                attributes = backup.with_changes_of(twin, vars(estimator).copy())
                losses += new_losses
                rates += new_rates
                estimator.__dict__ = attributes
                return estimator
            except BaseException:
                backup.restore(estimator)
                raise
        finally:
            if mark_of_twin in IN_TRAINING:
                del IN_TRAINING[mark_of_twin]  # noqa: RUF051 (`pop` is a call)
            if mark in IN_TRAINING and IN_TRAINING[mark] is twin:
                del IN_TRAINING[mark]

    return training_method  # type: ignore[return-value]


class Backup:
    """What an estimator was before a call."""

    def __init__(self, estimator):
        self.attributes = vars(estimator).copy()
        self.generator: Any = self.attributes.get("random_state")
        self.draws = isinstance(self.generator, np.random.RandomState)
        if self.draws:
            self.generator_state = self.generator.get_state()

    def restore(self, estimator):
        """Give the estimator back what it was."""
        estimator.__dict__ = self.attributes
        if self.draws:
            self.generator.set_state(self.generator_state)

    def with_changes_of(self, twin, attributes):
        """The attributes, with what a twin has set or removed since."""
        # What others have set meanwhile stays: a parameter, for the next call.
        for name in self.attributes.keys() - vars(twin).keys():
            attributes.pop(name, None)
        for name, value in vars(twin).items():
            if name not in self.attributes or self.attributes[name] is not value:
                attributes[name] = value
        return attributes
