"""Errors of this package's own."""


class DivergenceError(ValueError):
    """Training diverged; the estimator is as it was before the call.

    Raised by `fit` and `partial_fit` when the loss or a weight becomes infinite or NaN,
    or when the mean loss of an epoch (in `partial_fit`, of a chunk) is more than 1e9
    times both that of the model that is 0 and the highest of the epochs before.

    See Also
    --------
    LearningRateRangeDisplay : Find an initial rate at which training does not diverge.

    Examples
    --------
    >>> import numpy as np
    >>> from skmbsgd import DivergenceError, MiniBatchSGDRegressor
    >>> X = np.arange(200.0).reshape(-1, 1)
    >>> try:
    ...     MiniBatchSGDRegressor(eta0=0.01).fit(X, 2 * X.ravel())
    ... except DivergenceError:
    ...     print("scale X, or lower eta0")
    scale X, or lower eta0
    """
