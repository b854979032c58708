"""The parts of scikit-learn that this package uses although they may change.

These names are private, or newer than the oldest supported release. They are all in
this file, so if a release moves one of them, only this file changes.
"""

from inspect import signature
from typing import Any

import numpy as np
from sklearn.base import _clone_parametrized as clone_parametrized
from sklearn.base import _fit_context
from sklearn.linear_model._base import SparseCoefMixin
from sklearn.preprocessing._data import _is_constant_feature as is_constant_feature
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call as check_partial_fit_first_call,
)
from sklearn.utils.validation import _check_sample_weight

from skmbsgd._typing import Method

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Replacement for scikit-learn < 1.9; the estimators lack `set_callbacks`."""


# Newer releases refuse weights that are all 0 by default.
ALLOW_ALL_ZERO: dict[str, Any] = {
    name: True
    for name in signature(_check_sample_weight).parameters
    if name == "allow_all_zero_weights"
}

__all__ = [
    "CallbackSupportMixin",
    "Interval",
    "SparseCoefMixin",
    "StrOptions",
    "check_partial_fit_first_call",
    "check_sample_weight",
    "clone_parametrized",
    "has_callbacks",
    "is_constant_feature",
    "safe_indexing",
    "validate_parameter_constraints",
    "with_checked_parameters",
    "without_callbacks_of_fit",
    "without_context_of_fit",
]


def with_checked_parameters(fit: Method) -> Method:
    """Let scikit-learn check the parameters before fit."""
    return _fit_context(prefer_skip_nested_validation=True)(fit)


def check_sample_weight(sample_weight, X):
    """Weights >= 0 in float64, one for each row of X; all of them may be 0."""
    return _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True, **ALLOW_ALL_ZERO
    )


def has_callbacks(estimator):
    """Whether callbacks are set on the estimator."""
    return hasattr(estimator, "_skl_callbacks")


def without_context_of_fit(attributes):
    """The attributes of an estimator, without those that it has only in training."""
    private = ("_skl_callbacks_to_teardown", "_callback_fit_ctx")
    return {name: attributes[name] for name in attributes if name not in private}


def without_callbacks_of_fit(attributes):
    """The attributes of an estimator, without callbacks if it is being fitted.

    A hook gets a copy of an estimator in training. The copy must not contain the
    callbacks, because callbacks may store it.
    """
    if "_callback_fit_ctx" not in attributes:
        return attributes
    private = (
        "_skl_callbacks",
        "_skl_callbacks_to_teardown",
        "_callback_fit_ctx",
        "_parent_callback_ctx",
    )
    return {name: attributes[name] for name in attributes if name not in private}
