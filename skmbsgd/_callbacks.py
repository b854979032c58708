"""scikit-learn's callbacks around a fit and its epochs.

The one place that knows whether scikit-learn has callbacks: it does from 1.9 on.
"""

from functools import cache
from typing import Any

from sklearn.utils import _safe_indexing

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in with scikit-learn < 1.9: the estimators lack `set_callbacks`."""


class FitWithoutCallbacks:
    """The task of fitting an estimator while nobody listens."""

    def begin_epoch(self, make_attributes):
        """Tell the callbacks that an epoch begins."""

    def end_epoch(self, make_attributes):
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
    `make_attributes` in the methods is a function without arguments that returns a
    dict: the attributes of the estimator as if training ended there, in arrays and
    lists of their own. It is called only if a callback asks for a fitted estimator.
    """

    def __init__(self, estimator, data):
        self.arguments = {"estimator": estimator, **data}
        self.context = estimator._init_callback_context(max_subtasks=estimator.max_iter)
        self.epoch_context: Any = None
        self.context.call_on_fit_task_begin(**self.arguments)

    def begin_epoch(self, make_attributes):
        self.epoch_context = self.context.subcontext(task_name="epoch")
        self.epoch_context.call_on_fit_task_begin(
            **self.arguments, reconstruction_attributes=make_attributes
        )

    def end_epoch(self, make_attributes):
        return self.epoch_context.call_on_fit_task_end(
            **self.arguments, reconstruction_attributes=make_attributes
        )

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
        All the data of the fit; no weights may be None.
    rows : ndarray or None
        The rows of them to train on; None for all.

    Returns
    -------
    task : FitWithCallbacks or FitWithoutCallbacks
    """
    # scikit-learn has no public way to ask, and unheard hooks would cost time.
    if not hasattr(estimator, "_skl_callbacks"):
        return FitWithoutCallbacks()

    def training_rows(values):
        return values if rows is None else _safe_indexing(values, rows)

    data = {
        # Functions, for a copy of the rows is made only if a callback asks for it.
        "X": cache(lambda: training_rows(X)),
        "y": cache(lambda: training_rows(y)),
        # scikit-learn passes all of it on to scorers, which take nothing but weights.
        "metadata": (
            None
            if sample_weight is None
            else {"sample_weight": training_rows(sample_weight)}
        ),
    }
    return FitWithCallbacks(estimator, data)
