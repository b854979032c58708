"""Estimators for data on a Dask cluster: training on more than one machine.

They need ``python -m pip install "skmbsgd[dask]"``, on this machine and on the workers.
Dask moves the data and runs the tasks, and repeats those of a lost worker.
"""

import inspect
import warnings
from copy import copy
from numbers import Integral
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

try:
    import dask
    import dask.array as da
    from dask.distributed import get_client
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"Training on a cluster needs {error.name}. Install everything it needs, here "
        'and on the workers, with: python -m pip install "skmbsgd[dask]"',
        name=error.name,
    ) from error

from skmbsgd._at_once import appears_at_once
from skmbsgd._automatic import learn_smoothness
from skmbsgd._base import BaseMiniBatchSGD
from skmbsgd._chunks import NO_COLUMNS
from skmbsgd._classifier import MiniBatchSGDClassifier, available_with_probabilities
from skmbsgd._columns import merge_statistics, statistics_of
from skmbsgd._fit_chunks import begin_passes, train_in_passes
from skmbsgd._regressor import MiniBatchSGDRegressor
from skmbsgd._shards import (
    ShardedData,
    ShardTrainer,
    blocks_of,
    check_workers,
    chunks_of,
)
from skmbsgd._sklearn import (
    Interval,
    clone_parametrized,
    with_checked_parameters,
)
from skmbsgd._warnings import stack_level_of_caller

__all__ = ["DaskMiniBatchSGDClassifier", "DaskMiniBatchSGDRegressor"]

# In shorter rounds, in seconds, sending weights takes much of the time.
SHORTEST_ROUND = 0.2

# Attributes that an estimator learns from X and y alone
OF_INPUT = {"n_features_in_", "feature_names_in_", "classes_", "_one_dimensional"}
OF_SHARDS: dict[str, Any] = {
    "n_shards": [Interval(Integral, 1, None, closed="left"), None],
    "rounds_per_epoch": [Interval(Integral, 1, None, closed="left")],
}


def init_of(parent):
    """An ``__init__`` with the parameters of the parent and those of shards."""

    def __init__(
        self, *arguments, client=None, n_shards=None, rounds_per_epoch=8, **parameters
    ):
        parent.__init__(self, *arguments, **parameters)
        self.client = client
        self.n_shards = n_shards
        self.rounds_per_epoch = rounds_per_epoch

    inherited = inspect.signature(parent.__init__).parameters.values()
    _, _, *added, _ = inspect.signature(__init__).parameters.values()
    vars(__init__)["__signature__"] = inspect.Signature([*inherited, *added])
    return __init__


class DaskEstimator(BaseMiniBatchSGD):
    """The shared part of the two estimators: what they add to the plain ones."""

    client: Any
    n_shards: Any
    rounds_per_epoch: Any
    n_shards_: int

    _local_class: Any
    # The part of a partition in the score, and a function that combines the parts
    _score_part: Any
    _score_of: Any

    @property
    def client_(self):
        """The client in use: the parameter, or Dask's current one."""
        if self.client is not None:
            return self.client
        try:
            return get_client()
        except ValueError as error:
            raise ValueError(
                "There is no client of a Dask cluster. Create one with "
                "dask.distributed.Client(), or pass one as client."
            ) from error

    @appears_at_once
    @with_checked_parameters
    def fit(  # type: ignore[override]
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train on the partitions of Dask collections, on the workers.

        Parameters
        ----------
        X : Dask array or dataframe of shape (n_samples, n_features)
            Blocks are dense or CSR. Chunk sizes may be unknown.
        y : Dask array, series or dataframe
            Labels or target values, in as many partitions as X.
        sample_weight : Dask array or series, default=None
            Weights >= 0, rescaled to a mean of 1.
        X_val, y_val, sample_weight_val : array-like or Dask collection, default=None
            Validation data, as in `MiniBatchSGDClassifier.fit`. They must fit into the
            memory of the client, which scores the epochs.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError
            If X, y or sample_weight is not a Dask collection.
        ValueError
            If a parameter or a partition is invalid; the message has the number of the
            partition. Other errors in the computation of a partition have a note with
            its number.
        DivergenceError
            If weights or loss become infinite or NaN. After any error and after an
            interrupt, the estimator is as it was before, and the tasks are cancelled.
        RuntimeError
            If a worker lacks this package, or if the cluster has cancelled the tasks.

        Warns
        -----
        ConvergenceWarning
            As `MiniBatchSGDClassifier.fit` does.
        UserWarning
            If a shard has no row of some class, or if rounds are so short that most
            of the time goes to sending weights.
        """
        self._check_parameters()
        if self.early_stopping and X_val is None:
            raise ValueError(
                "early_stopping=True cannot hold out rows of Dask collections. Pass "
                "validation data as X_val and y_val, or set early_stopping=False."
            )
        client = self.client_
        check_workers(client)
        of_validation = X_val, y_val, sample_weight_val
        if any(map(dask.is_dask_collection, of_validation)):
            of_validation = client.gather(client.compute(of_validation))
        data = ShardedData(self, client, X, y, sample_weight)
        try:
            data.prepare(self.n_shards)
            self.n_shards_ = len(data.shards)
            if is_classifier(self):
                data.warn_of_missing_classes()
            _, validation = self._set_validation_apart(data, *of_validation, None)
            if self._standardizes(data.X):
                data.learn_columns()
            trainer = begin_passes(self, data, make=ShardTrainer)
            self._forget_validation()
            n_batches = data.first_pass.n_batches
            trainer.n_rounds = min(self.rounds_per_epoch, n_batches)
            trainer.publish = self._publish
            train_in_passes(self, trainer, data, validation)
        finally:
            data.release()
        warn_of_short_rounds(trainer)
        return self

    def _learn_smoothness(self, state, data, seen):
        learn_smoothness(state, data, seen, data.norms_and_sample)

    def _reader(self):
        """A plain estimator for the workers, without callables of users."""
        reader = self._local_class(**self._local_parameters()).set_params(
            learning_rate="constant", eta0=1.0, scoring="loss", random_state=None
        )
        known = OF_INPUT & vars(self).keys()
        vars(reader).update({name: vars(self)[name] for name in known})
        return reader

    def _local_parameters(self):
        names = self._local_class._get_param_names()
        return {name: getattr(self, name) for name in names}

    def to_local(self) -> Any:
        """Return the fitted model as a plain estimator.

        Returns
        -------
        model : MiniBatchSGDClassifier or MiniBatchSGDRegressor
            It predicts without Dask, can be pickled and exported, and continues with
            `partial_fit` from the present weights, velocities and clocks.
        """
        check_is_fitted(self)
        local = self._local_class(**self._local_parameters())
        learnt = vars(self).keys() - {*self.get_params(deep=False), "n_shards_"}
        vars(local).update({name: vars(self)[name] for name in learnt})
        return local

    def _apply(self, method, X):
        """The result of a method of the plain estimator, lazy for a collection."""
        local = self.to_local()
        if not dask.is_dask_collection(X):
            return getattr(local, method)(X)
        like = none_of(method, local)
        run, local = dask.delayed(run_method), dask.delayed(local)
        lengths = X.chunks[0] if isinstance(X, da.Array) else [np.nan] * X.npartitions
        blocks = [
            da.from_delayed(
                run(method, local, block, like), (length, *like.shape[1:]), like.dtype
            )
            for block, length in zip(blocks_of(X, "X"), lengths, strict=True)
        ]
        return da.concatenate(blocks, allow_unknown_chunksizes=True)

    def predict(self, X: Any) -> Any:
        """Predict; the result is a lazy Dask array if X is a Dask collection.

        Parameters
        ----------
        X : Dask array or dataframe, or array-like, of shape (n_samples, n_features)

        Returns
        -------
        y : Dask array or ndarray of shape (n_samples,) or (n_samples, n_targets)
        """
        return self._apply("predict", X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy or R2, like scikit-learn's estimators.

        Parameters
        ----------
        X, y, sample_weight : Dask collections, or all array-like
            The last one may be None.

        Returns
        -------
        score : float
        """
        if not dask.is_dask_collection(X):
            return self.to_local().score(X, y, sample_weight)
        run, local = dask.delayed(type(self)._score_part), dask.delayed(self.to_local())
        parts = [run(local, *chunk) for chunk in chunks_of(X, y, sample_weight)]
        client = self.client_
        found = client.gather(client.compute(parts))
        return self._score_of([part for part in found if part is not None])

    def __sklearn_clone__(self):
        return clone_parametrized(copy(self)).set_params(client=self.client)

    def __getstate__(self):
        """The attributes of a copy; the client stays behind with its process."""
        state: Any = super().__getstate__()
        return {**state, "client": None}


def none_of(method, local):
    """The result that a method of an estimator would have for no rows."""
    nameless = copy(local)
    vars(nameless).pop("feature_names_in_", None)
    return getattr(nameless, method)(np.zeros((1, local.n_features_in_)))[:0]


def run_method(method, local, X, none):
    """The result of a method of an estimator; `none` is the one for no rows."""
    return none if X.shape[0] == 0 else getattr(local, method)(X)


def warn_of_short_rounds(trainer):
    """Warn if one process would probably be faster."""
    seconds = float(np.median(trainer.seconds))
    if seconds < SHORTEST_ROUND:
        warnings.warn(
            f"A round of training took {seconds:.2g} s. If it takes less than "
            f"{SHORTEST_ROUND} s, most of the time goes to sending weights. Use fewer "
            "shards or a smaller rounds_per_epoch, or train in one process with fit or "
            "fit_chunks.",
            UserWarning,
            stacklevel=stack_level_of_caller(),
        )


class DaskMiniBatchSGDClassifier(DaskEstimator, MiniBatchSGDClassifier):
    """:class:`~skmbsgd.MiniBatchSGDClassifier` for data on a Dask cluster.

    Parameters
    ----------
    loss, penalty, alpha, ...
        Those of :class:`~skmbsgd.MiniBatchSGDClassifier`.
    client : distributed.Client, default=None
        The client of the cluster. None means Dask's current one.
    n_shards : int, default=None
        Number of models that are trained at the same time, at least 1 and at most the
        number of partitions. The result depends on it. None means one per worker.
    rounds_per_epoch : int, default=8
        Number of times in an epoch that the models are averaged, at least 1. A shard
        with fewer batches takes part in as many rounds as it has batches.

    Attributes
    ----------
    coef_, intercept_, classes_, ...
        As in :class:`~skmbsgd.MiniBatchSGDClassifier`. `t_` counts the updates of the
        longest shard.
    client_ : distributed.Client
        The client in use.
    n_shards_ : int
        The number of shards of the last fit.

    See Also
    --------
    skmbsgd.MiniBatchSGDClassifier : The same in one process.

    Notes
    -----
    The algorithm is local SGD. In each round of an epoch, each shard trains on its
    share, starting from the common weights and velocities. These are then averaged,
    weighted by the number of rows. The result depends on `n_shards`, `rounds_per_epoch`
    and the partitions, but not on the workers, even if one is lost: it is the same bit
    for bit. With one shard and one round, an epoch is that of `fit_chunks`.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> from skmbsgd.dask import DaskMiniBatchSGDClassifier
    >>> client = Client(processes=False, dashboard_address=None)
    >>> X = da.random.default_rng(0).normal(size=(2000, 3), chunks=(500, 3))
    >>> model = DaskMiniBatchSGDClassifier(n_shards=2, random_state=0)
    >>> model = model.fit(X, X[:, 0] > 0)
    >>> model.score(X, X[:, 0] > 0) > 0.98
    True
    >>> model.to_local().predict([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    array([ True, False])
    >>> client.close()
    """

    _parameter_constraints = {
        **MiniBatchSGDClassifier._parameter_constraints,
        **OF_SHARDS,
    }
    _local_class = MiniBatchSGDClassifier

    __init__ = init_of(MiniBatchSGDClassifier)

    def decision_function(self, X: Any) -> Any:
        """Compute the decisions X W^T + b, as a lazy Dask array if X is a collection.

        Parameters
        ----------
        X : Dask array or dataframe, or array-like, of shape (n_samples, n_features)

        Returns
        -------
        decisions : Dask array or ndarray of shape (n_samples,) or \
                (n_samples, n_classes)
        """
        return self._apply("decision_function", X)

    @available_with_probabilities
    def predict_proba(self, X: Any) -> Any:
        """Predict probabilities of the classes, lazily if X is a Dask collection.

        Parameters
        ----------
        X : Dask array or dataframe, or array-like, of shape (n_samples, n_features)

        Returns
        -------
        probabilities : Dask array or ndarray of shape (n_samples, n_classes)
        """
        return self._apply("predict_proba", X)

    @available_with_probabilities
    def predict_log_proba(self, X: Any) -> Any:
        """Predict log-probabilities, lazily if X is a Dask collection.

        Parameters
        ----------
        X : Dask array or dataframe, or array-like, of shape (n_samples, n_features)

        Returns
        -------
        log_probabilities : Dask array or ndarray of shape (n_samples, n_classes)
        """
        return self._apply("predict_log_proba", X)

    @staticmethod
    def _score_part(local, X, y, sample_weight=None):
        """The weight of the correctly predicted rows, and of all rows."""
        if len(y) == 0:
            return None
        weight = len(y) if sample_weight is None else np.sum(sample_weight)
        right = accuracy_score(
            y, local.predict(X), sample_weight=sample_weight, normalize=False
        )
        return float(right), float(weight)

    @staticmethod
    def _score_of(parts):
        right, weight = map(sum, zip(*parts, strict=True))
        return right / weight


class DaskMiniBatchSGDRegressor(DaskEstimator, MiniBatchSGDRegressor):
    """:class:`~skmbsgd.MiniBatchSGDRegressor` for data on a Dask cluster.

    Parameters
    ----------
    loss, penalty, alpha, ...
        Those of :class:`~skmbsgd.MiniBatchSGDRegressor`.
    client, n_shards, rounds_per_epoch
        As in :class:`DaskMiniBatchSGDClassifier`.

    Attributes
    ----------
    coef_, intercept_, ...
        As in :class:`~skmbsgd.MiniBatchSGDRegressor`.
    client_, n_shards_
        As in :class:`DaskMiniBatchSGDClassifier`.

    See Also
    --------
    DaskMiniBatchSGDClassifier : Has the notes on the algorithm.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> from skmbsgd.dask import DaskMiniBatchSGDRegressor
    >>> client = Client(processes=False, dashboard_address=None)
    >>> X = da.random.default_rng(0).normal(size=(2000, 2), chunks=(500, 2))
    >>> model = DaskMiniBatchSGDRegressor(alpha=0.0, n_shards=2, random_state=0)
    >>> model.fit(X, X @ [1.0, -2.0]).coef_.round(3)
    array([ 1., -2.])
    >>> client.close()
    """

    _parameter_constraints = {
        **MiniBatchSGDRegressor._parameter_constraints,
        **OF_SHARDS,
    }
    _local_class = MiniBatchSGDRegressor

    __init__ = init_of(MiniBatchSGDRegressor)

    @staticmethod
    def _score_part(local, X, y, sample_weight=None):
        """Statistics of the targets, and the mean of the squared residuals."""
        if len(y) == 0:
            return None
        y = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        weights = None if sample_weight is None else np.asarray(sample_weight, float)
        squares = (y - local.predict(X).reshape(y.shape)) ** 2
        return *statistics_of((y, weights)), np.average(squares, 0, weights)

    @staticmethod
    def _score_of(parts):
        weights, _, _, squares = zip(*parts, strict=True)
        total = SimpleNamespace(**NO_COLUMNS)
        merge_statistics(total, [part[:3] for part in parts], len(squares[0]))
        residual = np.average(squares, 0, weights)
        # Like r2_score for constant targets
        scores = 1.0 - np.divide(
            residual,
            total.column_variance,
            out=np.sign(residual),
            where=total.column_variance > 0.0,
        )
        return float(scores.mean())
