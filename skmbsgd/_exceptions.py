"""Errors of this package's own."""


class DivergenceError(ValueError):
    """Training diverged; the estimator is as it was before the call.

    After `fit_chunks` it is what it was at the end of the last whole pass. Raised by
    `fit`, `fit_chunks` and `partial_fit` when the loss or a weight becomes infinite or
    NaN, and by `partial_fit` when the mean loss of the chunk, before or after it was
    learnt, is more than 1e9 times both that of the model that is 0 and the highest so
    far. A `fit` that ends with such a loss gives a `ConvergenceWarning`.

    See Also
    --------
    LearningRateRangeDisplay : Find an initial rate at which training does not diverge.

    Examples
    --------
    >>> import numpy as np
    >>> from skmbsgd import DivergenceError, MiniBatchSGDRegressor
    >>> X = np.arange(200.0).reshape(-1, 1)
    >>> try:
    ...     MiniBatchSGDRegressor(eta0=0.01).partial_fit(X, 2 * X.ravel())
    ... except DivergenceError:
    ...     print("Scale X, or lower eta0.")
    Scale X, or lower eta0.
    """

    __module__ = "skmbsgd"  # as users import it, and as tracebacks then say
