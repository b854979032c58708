"""What the two estimators share: parameters, fit and partial_fit, epochs, history."""

import math
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Set
from functools import partial
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from joblib import cpu_count, effective_n_jobs
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn import get_config
from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model._base import SparseCoefMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from skmbsgd import _schedules as schedules
from skmbsgd._callbacks import CallbackSupportMixin, begin_fit_task
from skmbsgd._engine.losses import Logistic, PointwiseLoss
from skmbsgd._engine.penalties import PENALTIES
from skmbsgd._sparse_checks import check_indices
from skmbsgd._training import (
    Patience,
    TrainingState,
    decisions_in_parts,
    make_model,
    rows_of_threads,
    run_epoch_in_threads,
    seed_of_epoch,
    unchanged_on_error,
)
from skmbsgd._typing import MatrixLike, Method

FLOAT_TYPES = [np.float64, np.float32]
MAX_ROWS = np.iinfo(np.uint32).max
SMALLEST_ADAPTIVE_RATE = 1e-6
# An objective that rises in every one of so many epochs, to so many times its first
# value, diverges.
EPOCHS_OF_DIVERGENCE = 6
RISE_OF_DIVERGENCE = 2.0
ADAPTIVE_DIVISOR = 5.0

# Of warnings, to name the line that calls fit
STACK_LEVEL_OF_FIT = 6

HISTORIES = ("loss_curve_", "learning_rate_curve_", "validation_scores_")
VALIDATION_ATTRIBUTES = ("validation_scores_", "best_validation_score_")


def with_checked_parameters(fit: Method) -> Method:
    """Let scikit-learn check the parameters ahead of fit."""
    return _fit_context(prefer_skip_nested_validation=True)(fit)


class BaseMiniBatchSGD(SparseCoefMixin, CallbackSupportMixin, BaseEstimator, ABC):
    """Linear model trained by mini-batch SGD; see the two estimators."""

    _parameter_constraints = {
        "penalty": [StrOptions({"l2", "l1", "elasticnet"}), None],
        "alpha": [Interval(Real, 0, np.inf, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
        "fit_intercept": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, np.inf, closed="left"), None],
        "batch_size": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"full"}),
        ],
        "learning_rate": [
            StrOptions(
                {
                    "time",
                    "step",
                    "constant",
                    "exponential",
                    "cosine",
                    "invscaling",
                    "optimal",
                    "adaptive",
                }
            ),
            callable,
        ],
        "eta0": [Interval(Real, 0, np.inf, closed="left")],
        "decay": [Interval(Real, 0, np.inf, closed="left"), StrOptions({"auto"})],
        "decay_unit": [StrOptions({"epoch", "update"})],
        "drop": [Interval(Real, 0, 1, closed="right")],
        "epochs_drop": [Interval(Real, 0, np.inf, closed="neither"), "array-like"],
        "power_t": [Interval(Real, 0, np.inf, closed="left")],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterov": ["boolean"],
        "shuffle": ["boolean", StrOptions({"blocks"})],
        "verbose": ["verbose"],
        "epsilon": [Interval(Real, 0, np.inf, closed="left")],
        "n_jobs": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Integral, None, -1, closed="right"),
            None,
        ],
        "random_state": ["random_state"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "average": [Interval(Integral, 1, None, closed="left"), "boolean"],
    }

    coef_: np.ndarray
    intercept_: np.ndarray
    n_iter_: int
    t_: int
    loss_curve_: list[float]
    learning_rate_curve_: list[float]
    validation_scores_: list[float]
    best_validation_score_: float
    n_features_in_: int
    feature_names_in_: np.ndarray

    def __init__(
        self,
        loss,
        *,
        penalty,
        alpha,
        l1_ratio,
        fit_intercept,
        max_iter,
        tol,
        batch_size,
        learning_rate,
        eta0,
        decay,
        decay_unit,
        drop,
        epochs_drop,
        power_t,
        momentum,
        nesterov,
        shuffle,
        verbose,
        epsilon,
        n_jobs,
        random_state,
        early_stopping,
        validation_fraction,
        n_iter_no_change,
        warm_start,
        average,
    ):
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.decay = decay
        self.decay_unit = decay_unit
        self.drop = drop
        self.epochs_drop = epochs_drop
        self.power_t = power_t
        self.momentum = momentum
        self.nesterov = nesterov
        self.shuffle = shuffle
        self.verbose = verbose
        self.epsilon = epsilon
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.average = average

    # What the two estimators do each in its way

    # Options of sklearn.utils.validation.validate_data for y
    _y_options: dict[str, Any] = {}

    @abstractmethod
    def _learn_outputs(self, y, classes=None):
        """Set what is learnt from the targets alone, before any training."""

    @abstractmethod
    def _make_data(self, X, y, sample_weight):
        """TrainingData of validated arrays, y checked against what was learnt."""

    def _weigh_classes(self, data, streaming=False):
        """The data with the weights of their classes, if there are any."""
        return data

    @abstractmethod
    def _split(self, data, random_state):
        """Row numbers of a training and of a held-out part."""

    @abstractmethod
    def _make_loss(self, n_outputs):
        """The engine's loss."""

    @abstractmethod
    def _public_coef(self, coef):
        """coef_, given weights of shape (n_outputs, n_features)."""

    @abstractmethod
    def _predictions_of(self, decisions):
        """Predictions, in the terms of TrainingData.y."""

    @abstractmethod
    def _score_predictions(self, y, predictions, sample_weight):
        """What ``score`` would return."""

    # Training

    @unchanged_on_error  # outermost, for callbacks fail at their teardown as well
    @with_checked_parameters
    def fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        coef_init: ArrayLike | None = None,
        intercept_init: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: MatrixLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Train from the start, for at most ``max_iter`` epochs.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data. A C-contiguous array of float32 or float64, a memory map
            included, is not copied; float32 stays float32.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Target values; two-dimensional ones for the regressor only.
        coef_init : array-like of the shape of ``coef_``, default=None
            Initial weights; 0 by default.
        intercept_init : array-like of the shape of ``intercept_``, default=None
            Initial intercepts; 0 by default.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0. They are rescaled to a mean of 1 over the training rows: only
            their ratios matter.
        X_val : array-like of shape (n_validation_samples, n_features), default=None
            Validation data: ``tol`` and ``n_iter_no_change`` then act on their score,
            and the weights of the best epoch are kept, whatever ``early_stopping``
            says; nothing is held out. A pipeline passes them on as they are, unless it
            has ``transform_input=["X_val"]``.
        y_val : array-like, default=None
            Their target values, required with `X_val`.
        sample_weight_val : array-like of shape (n_validation_samples,), default=None
            Their weights in the score.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or an input is invalid, or if training diverges. The
            estimator is then as it was before the call, as after an interrupt.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` epochs end before ``tol`` is met, or if the training
            objective rises from each epoch to the next, over six epochs or more, to
            more than twice its first value.
        """
        self._check_settings()
        given_X = X
        X, y = self._read_X_y(X, y, reset=True)
        self._learn_outputs(y)
        weights = self._read_weights(sample_weight, X)
        data = self._make_data(X, y, weights)
        random_state = check_random_state(self.random_state)
        data, validation = self._set_validation_apart(
            data, X_val, y_val, sample_weight_val, random_state
        )
        # Twice, so that no product of weights overflows
        data = self._weigh_classes(with_weights_of_mean_one(data))
        data = with_weights_of_mean_one(data)
        coef, intercept = self._initial_weights(data, coef_init, intercept_init)
        state = TrainingState.start(
            coef, intercept, random_seed(random_state), bool(self.average)
        )
        # Callbacks predict on X, and a frame would be missed for its names.
        named = hasattr(self, "feature_names_in_")
        task = begin_fit_task(self, given_X if named else X, y, weights, data.rows)
        self._train(state, data, validation, task)
        task.end()
        return self

    def _partial_fit(self, X, y, sample_weight, classes=None):
        """One epoch over a chunk, which continues where training stands."""
        # scikit-learn leaves these unchecked once the estimator is fitted.
        if not get_config()["skip_parameter_validation"]:
            self._validate_params()
        self._check_settings()
        if self.early_stopping:
            raise ValueError(
                "early_stopping=True needs all the data: use it with fit, and "
                "early_stopping=False with partial_fit."
            )
        resumed = hasattr(self, "coef_")
        X, y = self._read_X_y(X, y, reset=not resumed)
        if not resumed:
            self._learn_outputs(y, classes)
        data = self._make_data(X, y, self._read_weights(sample_weight, X))
        data = self._weigh_classes(data, streaming=True)
        if resumed:
            state = self._resume()
            if data.targets.n_outputs != len(state.coef):
                raise ValueError(
                    f"y has {data.targets.n_outputs} targets, but the model was "
                    f"trained on {len(state.coef)}."
                )
        else:
            coef, intercept = self._initial_weights(data, None, None)
            seed = random_seed(check_random_state(self.random_state))
            state = TrainingState.start(coef, intercept, seed, bool(self.average))
            self._begin_history()
        rows = self._make_rows(state, data)
        loss = self._make_loss(data.targets.n_outputs)
        objective = self._run_epoch(state, rows, loss)
        rows[0].model.store()
        self._adopt(state)
        self._record(state, objective)

    def _train(self, state, data, validation, task):
        """Run epochs until objective or score stop improving, or a callback asks."""
        self._begin_history()
        if validation is not None:
            self.validation_scores_ = []
        patience = Patience(self.tol, self.n_iter_no_change)
        rows = self._make_rows(state, data)
        model = rows[0].model
        loss = self._make_loss(data.targets.n_outputs)
        make_attributes = partial(self._attributes_in_training, state, model)
        best_state = None
        for _ in range(self.max_iter):
            task.begin_epoch(make_attributes)
            started = time.perf_counter()
            objective = self._run_epoch(state, rows, loss)
            self._record(state, objective)
            if validation is not None:
                model.store()
                score = self._validation_score(state, validation)
                if not self.validation_scores_ or score > self.best_validation_score_:
                    self.best_validation_score_ = score
                    best_state = state.copy()
                self.validation_scores_.append(score)
            self._report_epoch(state, time.perf_counter() - started)
            to_minimise = objective if validation is None else -score
            finished = patience.is_exhausted_by(to_minimise) and not self._adapt(
                state, patience
            )
            if task.end_epoch(make_attributes) or finished:
                break
        else:
            self._warn_if_not_converged()
        self._warn_if_worse()
        model.store()
        if best_state is not None:
            state = state.with_weights_of(best_state)
        self._adopt(state)

    def _penalty(self):
        return PENALTIES[self.penalty](self.alpha, self.l1_ratio)

    def _make_model(self, data, state):
        """The state as a model in training."""
        penalty = self._penalty()
        state.begin_penalty(penalty)
        return make_model(
            state,
            penalty,
            sparse=issparse(data.X),
            momentum=self.momentum,
            nesterov=self.nesterov,
            fit_intercept=self.fit_intercept,
        )

    def _make_rows(self, state, data):
        """Rows of the data and the model in training, for each of the threads."""
        n_threads = data.n_useful_threads(
            self._rows_per_batch(data.n_rows), effective_n_jobs(self.n_jobs)
        )
        if n_threads > 1:
            # More threads than cores would wait for each other, and some backends of
            # joblib count the workers of a cluster.
            n_threads = min(n_threads, cpu_count())
        return rows_of_threads(
            data,
            state,
            partial(self._make_model, data),
            n_threads,
            in_blocks=isinstance(self.shuffle, str) and self.shuffle == "blocks",
        )

    def _rows_per_batch(self, n_rows):
        return n_rows if self.batch_size == "full" else min(self.batch_size, n_rows)

    def _run_epoch(self, state, rows, loss):
        """Move the model and the clocks by one epoch; return the training objective."""
        model, order = rows[0].model, rows[0].order
        n_rows = order.n_rows
        batch_size = self._rows_per_batch(n_rows)
        n_batches = -(-n_rows // batch_size)
        rates = self._learning_rates(state, n_batches, loss)
        first_averaged_batch = self._first_averaged_batch(state, batch_size, n_rows)

        # In a single batch the order of rows does not matter.
        if self.shuffle and n_batches > 1:
            order.shuffle(seed_of_epoch(state.seed, state.n_epochs))
        data_loss = run_epoch_in_threads(
            rows,
            loss,
            rates,
            batch_size,
            first_averaged_batch,
        )
        objective = data_loss + model.penalty_value
        if not (math.isfinite(objective) and model.is_finite()):
            raise ValueError(
                f"Training diverged in epoch {state.n_epochs + 1}: the weights or the "
                f"loss became infinite or NaN. {self._remedies()}"
            )
        state.n_averaged = model.n_averaged
        state.n_epochs += 1
        state.n_updates += n_batches
        state.n_samples += n_rows
        state.last_rate = float(rates[0])
        return objective

    def _first_averaged_batch(self, state, batch_size, n_rows):
        """The batch of the epoch from which on updates are averaged; -1 for none."""
        if state.average_coef is None:
            return -1
        n_missing = max(int(self.average) - state.n_samples, 1)
        return -1 if n_missing > n_rows else -(-n_missing // batch_size) - 1

    # Learning rates

    def _learning_rates(self, state, n_batches, loss):
        """The rates of an epoch's updates, or a single one for all of them."""
        epoch = state.n_epochs

        def updates():
            return np.arange(state.n_updates, state.n_updates + n_batches, dtype=float)

        def clock():
            return updates() if self.decay_unit == "update" else epoch

        decay = self.eta0 / self.max_iter if self.decay == "auto" else self.decay
        match self.learning_rate:
            case "time":
                rate = schedules.time_based(clock(), self.eta0, decay)
            case "step":
                rate = schedules.step(epoch, self.eta0, self.drop, self.epochs_drop)
            case "constant":
                rate = schedules.constant(epoch, self.eta0)
            case "exponential":
                rate = schedules.exponential(clock(), self.eta0, decay)
            case "cosine":
                rate = schedules.cosine(epoch, self.eta0, self.max_iter)
            case "invscaling":
                rate = schedules.inverse_scaling(updates(), self.eta0, self.power_t)
            case "optimal":
                # Softmax generalises the logistic loss, and has no single derivative.
                pointwise = loss if isinstance(loss, PointwiseLoss) else Logistic()
                start = schedules.optimal_start(self.alpha, pointwise.derivative)
                rate = schedules.optimal(updates(), self.alpha, start)
            case "adaptive":
                if state.adaptive_rate is None:
                    state.adaptive_rate = self.eta0
                rate = state.adaptive_rate
            case _:
                rate = self._rate_of_callable(epoch)
        return np.array(rate, dtype=np.float64, ndmin=1)

    def _rate_of_callable(self, epoch):
        try:
            rate = self.learning_rate(epoch)
        except Exception as error:
            error.add_note(f"This came from the callable learning_rate({epoch}).")
            raise
        if not is_finite_and_not_negative(rate):
            raise ValueError(
                f"The callable learning_rate({epoch}) returned {rate!r}; it must "
                "return a finite number >= 0 for each epoch 0, 1, 2, ..."
            )
        return float(rate)

    def _adapt(self, state, patience):
        """Lower an adaptive rate instead of stopping; tell whether that was done."""
        if (
            self.learning_rate != "adaptive"
            or state.adaptive_rate <= SMALLEST_ADAPTIVE_RATE
        ):
            return False
        state.adaptive_rate /= ADAPTIVE_DIVISOR
        patience.renew()
        return True

    # Input

    def _check_settings(self):
        """Check what no parameter's own range can tell."""
        for name in ("alpha", "max_iter", "tol", "eta0", "decay", "power_t", "epsilon"):
            value = getattr(self, name)
            if isinstance(value, Real) and not fits_float64(value):
                raise ValueError(
                    f"{name} must be a number that float64 can hold, at most "
                    f"{np.finfo(np.float64).max}: choose a smaller one."
                )
        if self.learning_rate == "optimal" and self.alpha == 0:
            raise ValueError(
                "alpha must be > 0 with learning_rate='optimal', which computes the "
                "rate from it. Set alpha, or choose another learning_rate."
            )
        if self.penalty == "elasticnet" and self.l1_ratio is None:
            raise ValueError("l1_ratio must be a number with penalty='elasticnet'.")
        if not are_epochs(self.epochs_drop):
            raise ValueError(
                "epochs_drop must be a number > 0 or a sequence of epochs >= 0, "
                f"got {self.epochs_drop!r}."
            )

    def _read_X_y(self, X, y, reset, dtype=None):
        """Validated X and y; later chunks are read in the model's precision."""
        if dtype is None:
            dtype = FLOAT_TYPES if reset else self._resumption["velocity"].dtype
        check_indices(X)
        X, y = validate_data(
            self,
            X,
            y,
            dtype=dtype,
            order="C",
            accept_sparse="csr",
            reset=reset,
            **self._y_options,
        )
        check_indices(X)  # again: not every format tells before it is converted
        if not issparse(X):
            X = np.require(X, requirements=["C", "ALIGNED"])
        if X.shape[0] > MAX_ROWS:
            raise ValueError(
                f"X has {X.shape[0]} rows, and one call takes at most {MAX_ROWS}: pass "
                "them in chunks to partial_fit."
            )
        return X, y

    def _read_weights(self, sample_weight, X):
        if sample_weight is None:
            return None
        weights = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
        if not weights.any():
            raise ValueError("All sample weights are zero: there is nothing to learn.")
        return np.require(weights, requirements=["C", "ALIGNED"])

    def _set_validation_apart(
        self, data, X_val, y_val, sample_weight_val, random_state
    ):
        """Training data, and validation data if there are to be any."""
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val go together: pass both or neither.")
        if X_val is not None:
            try:
                return data, self._read_validation_data(
                    X_val, y_val, sample_weight_val, data
                )
            except (TypeError, ValueError) as error:
                kind = TypeError if isinstance(error, TypeError) else ValueError
                raise kind(f"In X_val, y_val or sample_weight_val: {error}") from error
        if sample_weight_val is not None:
            raise ValueError("sample_weight_val needs X_val and y_val.")
        if not self.early_stopping:
            return data, None
        # Sorted, for the order of the data means something without shuffling.
        rows, held_out_rows = map(np.sort, self._split(data, random_state))
        return data.subset(rows), with_weights_of_mean_one(data.subset(held_out_rows))

    def _read_validation_data(self, X, y, sample_weight, data):
        """Validation data that fit the training data."""
        X, y = self._read_X_y(X, y, reset=False, dtype=data.X.dtype)
        validation = with_weights_of_mean_one(
            self._make_data(X, y, self._read_weights(sample_weight, X))
        )
        if validation.targets.n_outputs != data.targets.n_outputs:
            raise ValueError(
                f"y_val has {validation.targets.n_outputs} targets, but y has "
                f"{data.targets.n_outputs}."
            )
        return validation

    def _initial_weights(self, data, coef_init, intercept_init):
        """Weights and intercepts to start from, in arrays of their own."""
        n_outputs, n_features = data.targets.n_outputs, data.X.shape[1]
        shape, dtype = (n_outputs, n_features), data.X.dtype
        name = "{}_init"
        if self.warm_start and hasattr(self, "coef_"):
            if coef_init is None:
                coef_init, name = self._dense_coef(), "{}_ (because of warm_start=True)"
            if intercept_init is None:
                intercept_init = self.intercept_
        coef = read_initial(coef_init, name.format("coef"), shape, dtype)
        intercept = read_initial(
            intercept_init, name.format("intercept"), shape[:1], dtype
        )
        return coef, intercept

    def _dense_coef(self):
        coef: Any = self.coef_
        return coef.toarray() if issparse(coef) else coef

    # Learnt attributes

    def _resume(self):
        """The state to continue from, in arrays of its own."""
        if issparse(self.coef_):
            raise ValueError(
                "coef_ is sparse after sparsify: call densify before partial_fit."
            )
        stored = dict(self._resumption)
        if "coef" not in stored:
            # They are the user's to change.
            for name in ("coef", "intercept"):
                velocity = stored[
                    "velocity" if name == "coef" else "intercept_velocity"
                ]
                stored[name] = read_weights(
                    getattr(self, name + "_"),
                    name + "_",
                    velocity.shape,
                    velocity.dtype,
                )
        state = TrainingState(**stored).copy()
        if not self.average:
            state.end_average()
        elif state.average_coef is None or state.n_samples < int(self.average):
            state.begin_average()
        return state

    def _adopt(self, state):
        """Make the state's model the estimator's own."""
        self.__dict__.update(self._attributes_of(state))

    def _attributes_of(self, state):
        """The learnt attributes that show a state, without the history."""
        coef, intercept = state.model()
        return {
            "coef_": self._public_coef(coef),
            "intercept_": intercept,
            "n_iter_": state.n_epochs,
            "t_": state.n_updates,
            # A plain dict of arrays and numbers can be stored by any safe persistence.
            # The weights go with it only where coef_ shows running means instead.
            "_resumption": {
                name: value
                for name, value in vars(state).items()
                if state.n_averaged > 0 or name not in ("coef", "intercept")
            },
        }

    def _attributes_in_training(self, state, model):
        """The same of a model still in training, in arrays of their own."""
        model.store()
        return self._attributes_of(state.copy())

    def _begin_history(self):
        self.loss_curve_ = []
        self.learning_rate_curve_ = []
        for name in VALIDATION_ATTRIBUTES:
            if hasattr(self, name):
                delattr(self, name)

    def _record(self, state, objective):
        self.loss_curve_.append(objective)
        self.learning_rate_curve_.append(state.last_rate)

    def _validation_score(self, state, validation):
        decisions = decisions_in_parts(validation, *state.model())
        score = self._score_predictions(
            validation.taken(validation.y),
            np.concatenate([self._predictions_of(part) for part in decisions]),
            validation.taken(validation.sample_weight),
        )
        if not math.isfinite(score):
            raise ValueError(
                f"The validation score is {score}: it needs at least two rows for a "
                "regressor, and weights that are not all zero. Enlarge "
                "validation_fraction, or pass other X_val, y_val, sample_weight_val."
            )
        return float(score)

    def _report_epoch(self, state, seconds):
        if not self.verbose:
            return
        parts = [
            f"Epoch {state.n_epochs}",
            f"learning rate {self.learning_rate_curve_[-1]:.6g}",
            f"objective {self.loss_curve_[-1]:.6g}",
        ]
        if hasattr(self, "validation_scores_"):
            parts.append(f"validation score {self.validation_scores_[-1]:.6g}")
        print(", ".join([*parts, f"{seconds:.3f} s"]))

    def _remedies(self):
        """What to try against divergence."""
        if callable(self.learning_rate):
            rate = "smaller rates from the callable learning_rate"
        elif self.learning_rate == "optimal":
            rate = f"a larger alpha (now {self.alpha!r}), which lowers the rates"
        else:
            rate = f"a smaller initial rate (now eta0={self.eta0!r})"
        return (
            f"Try {rate} or a smaller momentum, or scale the features, for example "
            "with sklearn.preprocessing.StandardScaler."
        )

    def _warn_if_worse(self):
        first, last = self.loss_curve_[0], self.loss_curve_[-1]
        rises = all(before < after for before, after in pairwise(self.loss_curve_))
        # The perceptron's loss is 0 to begin with, and must rise.
        if (
            rises
            and len(self.loss_curve_) >= EPOCHS_OF_DIVERGENCE
            and last > RISE_OF_DIVERGENCE * first > 0
        ):
            warnings.warn(
                f"The training objective rose from {first:.6g} in the first epoch to "
                f"{last:.6g} in the last: training diverges. {self._remedies()}",
                ConvergenceWarning,
                stacklevel=STACK_LEVEL_OF_FIT,
            )

    def _warn_if_not_converged(self):
        if self.tol is None:
            return
        warnings.warn(
            f"max_iter={self.max_iter} epochs ended before the improvement per epoch "
            f"fell below tol={self.tol}. Increase max_iter, scale the features, or set "
            "tol=None to always run max_iter epochs.",
            ConvergenceWarning,
            stacklevel=STACK_LEVEL_OF_FIT,
        )

    def __getstate__(self):
        """What a copy is made of: a shallow one too gets histories of its own."""
        state = super().__getstate__()
        histories = {name: list(state[name]) for name in HISTORIES if name in state}
        return {**state, **histories}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # Prediction

    def _decisions(self, X):
        """X W^T + b, of shape (n_samples,) for a model of one output."""
        check_is_fitted(self)
        check_indices(X)
        X = validate_data(self, X, dtype=FLOAT_TYPES, accept_sparse="csr", reset=False)
        check_indices(X)
        return safe_sparse_dot(X, self.coef_.T, dense_output=True) + self.intercept_


def are_epochs(epochs_drop):
    """Whether they are a number > 0, or a sequence of numbers >= 0."""
    if np.iterable(epochs_drop):
        return not isinstance(epochs_drop, (Mapping, Set, Iterator, bytes)) and all(
            map(is_finite_and_not_negative, epochs_drop)
        )
    # scikit-learn takes a 0-d array for a sequence, and leaves its range unchecked.
    number = np.asarray(epochs_drop).item()
    return is_finite_and_not_negative(number) and number != 0


def is_finite_and_not_negative(value):
    """Whether the value is a number in [0, inf) that float64 can hold."""
    if not isinstance(value, Real) or isinstance(value, (bool, np.bool_)):
        return False
    return fits_float64(value) and float(value) >= 0


def fits_float64(value):
    """Whether a number is finite and remains so as a float."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def read_initial(values, name, shape, dtype):
    """A copy of user-given initial weights, checked; zeros for None."""
    if values is None:
        return np.zeros(shape, dtype)
    return read_weights(values, name, shape, dtype)


def read_weights(values, name, shape, dtype):
    """A copy of user-given weights, checked."""
    try:
        values = check_array(
            np.atleast_1d(values),
            dtype=dtype,
            ensure_2d=False,
            ensure_min_samples=0,
            order="C",
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from error
    single = shape[0] == 1 and values.shape == shape[1:]
    if values.shape != shape and not single:
        raise ValueError(f"{name} must have shape {shape}, got {values.shape}.")
    return values.reshape(shape).copy()


def with_weights_of_mean_one(data):
    """The data with weights rescaled to a mean of 1 over the rows taking part."""
    if data.sample_weight is None:
        return data
    largest = data.taken(data.sample_weight).max()
    if largest == 0.0:
        raise ValueError(
            "All weights of the training rows or of the validation rows are zero: no "
            "sample is left."
        )
    weights = data.sample_weight / largest  # so that no sum overflows
    return data.with_weights(weights / data.taken(weights).mean())


def random_seed(random_state):
    """A seed for the row orders."""
    return int(random_state.randint(np.iinfo(np.int32).max))
