"""Errors of this package's own."""


class DivergenceError(ValueError):
    """Training diverged; the estimator is as it was before the call.

    After `fit_chunks` it is as it was at the end of the last complete pass.

    `fit`, `fit_chunks` and `partial_fit` raise it if the loss or a weight becomes
    infinite or NaN. `fit` and `fit_chunks` also raise it if they end with an objective
    more than 1e9 times both that of their start and that of a model with all weights 0;
    `partial_fit`, if the mean loss of the chunk, before or after training on it, is
    more than 1e9 times both the loss of a model with all weights 0 and the highest loss
    so far. A `fit` that ends between the loss of the best constant prediction and that
    bound gives a `ConvergenceWarning`.

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

    __module__ = "skmbsgd"  # the name under which users import it, also in tracebacks
