"""Calls whose results become visible all at once, so threads can share an estimator."""

import os
from functools import wraps
from typing import Any

import numpy as np

from skmbsgd._sklearn import without_context_of_fit
from skmbsgd._typing import Method

# The running calls that train. Each marks its estimator and its twin, by process and
# id: by process, because a fork inherits marks that nothing would remove. The marks are
# not kept in the estimator, because they would be copied and pickled with it.
IN_TRAINING: dict[tuple[int, int], Any] = {}
# loss_curve_ and learning_rate_curve_: the lists, and the entries to append
NO_GROWTH: tuple[tuple[list, list], tuple[list, list]] = ([], []), ([], [])
# The stream of CSR chunks, which is changed in place
NO_CHANGE: tuple[Any, Any] = ([], [])


def reads_one_model(method: Method) -> Method:
    """Make a method use one model throughout: that of the moment of the call."""

    @wraps(method)
    def reading_method(estimator, *args, **kwargs):
        twin = object.__new__(type(estimator))
        vars(twin).update(vars(estimator))
        return method(twin, *args, **kwargs)

    return reading_method  # type: ignore[return-value]


def appears_at_once(method: Method) -> Method:
    """Make the results of a method visible all at once when it ends, or not at all.

    The method trains a twin. Other threads and callbacks see the estimator as it was
    before the call, until it takes over what the twin has learnt. If the method fails,
    the estimator is restored, which also undoes what others have changed meanwhile. An
    interrupt is a failure too. This relies on a rule of this package: it never writes
    into the arrays or lists of an attribute. The exceptions are too long to copy for
    each chunk of a stream, so they are changed in place: the curves and the weights of
    CSR chunks. The method leaves these changes as `_growth` and `_change` in the twin.

    A long method calls `let_appear(twin)` from time to time, to publish what it has
    completed so far.
    """

    @wraps(method)
    def training_method(estimator, *args, **kwargs):
        twin = object.__new__(type(estimator))
        mark, mark_of_twin = ((os.getpid(), id(each)) for each in (estimator, twin))
        # CPython handles signals, and switches threads, at function calls. So no
        # function is called from the change of the stream to the end, nor where the
        # marks are removed. The change itself can fail only before it does anything.
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
                stream += change
                losses += new_losses
                rates += new_rates
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
    """Make what a twin has learnt so far visible, even if the call fails later."""
    IN_TRAINING[os.getpid(), id(twin)].let_appear()


class Call:
    """A call that trains a twin, and restores the estimator if it fails.

    Parameters
    ----------
    estimator, twin : estimator instances
    """

    def __init__(self, estimator, twin):
        self.estimator, self.twin = estimator, twin

    def begin(self):
        """Record the attributes of the estimator, and give them to the twin."""
        # The attributes after a failure, and those that the twin started with
        self.attributes = self.known = vars(self.estimator).copy()
        self.generator: Any = self.attributes.get("random_state")
        self.draws = isinstance(self.generator, np.random.RandomState)
        if self.draws:
            self.generator_state = self.generator.get_state()
        vars(self.twin).update(self.attributes)

    def let_appear(self):
        """Make what the twin has learnt visible; a later failure does not undo it."""
        attributes = without_context_of_fit(
            self.with_changes(vars(self.estimator).copy())
        )
        known, after_failure = vars(self.twin).copy(), attributes.copy()
        self.draws = False
        # No function may be called from here on.
        self.estimator.__dict__ = attributes
        self.attributes, self.known = after_failure, known

    def restore(self):
        """Restore the estimator."""
        self.estimator.__dict__ = self.attributes
        if self.draws:
            self.generator.set_state(self.generator_state)

    def with_changes(self, attributes):
        """The attributes, with what the twin has set or removed since it started."""
        # Keep what others have set meanwhile, such as a parameter for the next call.
        for name in self.known.keys() - vars(self.twin).keys():
            attributes.pop(name, None)
        for name, value in vars(self.twin).items():
            if name not in self.known or self.known[name] is not value:
                attributes[name] = value
        return attributes
