"""The callbacks of scikit-learn 1.9 and newer, around a fit and its epochs."""

from functools import cache
from typing import Any

from skmbsgd._sklearn import has_callbacks, safe_indexing


class FitWithoutCallbacks:
    """The task of fitting an estimator without callbacks."""

    def begin_epoch(self, snapshot):
        """Tell the callbacks that an epoch begins."""

    def end_epoch(self, snapshot):
        """Tell them that it has ended; return whether one of them wants to stop."""
        return False

    def end(self):
        """Tell them that the estimator is fitted."""


class FitWithCallbacks(FitWithoutCallbacks):
    """The task of fitting an estimator, and its subtasks, the epochs.

    Parameters
    ----------
    estimator : estimator instance
        The estimator in training, on which callbacks are set.
    data : dict
        `X`, `y` and `metadata` as the hooks of the callbacks take them.

    Notes
    -----
    `snapshot` in the methods is a function without arguments that returns a copy of the
    state, and a history. It is called only if a callback asks for a fitted estimator.
    """

    def __init__(self, estimator, data):
        self.arguments = {"estimator": estimator, **data}
        self.context = estimator._init_callback_context(max_subtasks=estimator.max_iter)
        self.epoch_context: Any = None
        self.n_epochs = 0
        self.context.call_on_fit_task_begin(**self.arguments)

    def begin_epoch(self, snapshot):
        # Training that restarts has more epochs than max_iter.
        self.n_epochs += 1
        self.context.max_subtasks = max(self.n_epochs, self.context.max_subtasks)
        self.epoch_context = self.context.subcontext(task_name="epoch")
        self.epoch_context.call_on_fit_task_begin(**self._arguments_with(snapshot))

    def end_epoch(self, snapshot):
        return self.epoch_context.call_on_fit_task_end(**self._arguments_with(snapshot))

    def _arguments_with(self, snapshot):
        def attributes():
            return self.arguments["estimator"]._attributes_of(*snapshot())

        return {**self.arguments, "reconstruction_attributes": attributes}

    def end(self):
        self.context.call_on_fit_task_end(
            **self.arguments, reconstruction_attributes={}
        )


def begin_fit_task(estimator, X, y, sample_weight, rows):
    """Tell the estimator's callbacks, if it has any, that training begins.

    Parameters
    ----------
    estimator : estimator instance
    X, y, sample_weight : array-like
        All data of the fit. `sample_weight` may be None.
    rows : ndarray or None
        The rows to train on; None for all.

    Returns
    -------
    task : FitWithCallbacks or FitWithoutCallbacks
    """
    # Hooks without callbacks would only cost time.
    if not has_callbacks(estimator):
        return FitWithoutCallbacks()

    def training_rows(values):
        return values if rows is None else safe_indexing(values, rows)

    data = {
        # These are functions, so rows are copied only if a callback asks for them.
        "X": cache(lambda: training_rows(X)),
        "y": cache(lambda: training_rows(y)),
        # scikit-learn passes all metadata to scorers, which accept only weights.
        "metadata": (
            None
            if sample_weight is None
            else {"sample_weight": training_rows(sample_weight)}
        ),
    }
    return FitWithCallbacks(estimator, data)
