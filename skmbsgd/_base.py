"""What the two estimators share: parameters, input, learnt attributes, prediction."""

import math
from abc import ABC, abstractmethod
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from operator import is_
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_matrix, issparse
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer_names
from sklearn.utils import check_array, check_random_state
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from skmbsgd._at_once import appears_at_once
from skmbsgd._automatic import (
    Cycles,
    Standardized,
    StreamSchedule,
    depends_on_targets,
    highest_peak,
    initial_intercepts,
    initial_rate,
    learn_smoothness,
    learn_targets,
    typical_residual,
)
from skmbsgd._callbacks import begin_fit_task
from skmbsgd._checks import (
    are_epochs,
    check_indices,
    check_is_local,
    fits_float64,
    float_types_for,
    read_numbers,
    takes_one_argument,
)
from skmbsgd._columns import (
    learn_columns,
    learn_columns_of_chunk,
    standardization_of,
)
from skmbsgd._engine.csr_model import order_of_weights
from skmbsgd._engine.penalties import PENALTIES
from skmbsgd._engine.stored_stream import arrays_of, stream_of
from skmbsgd._row_chunks import warn_of_scattered_reads
from skmbsgd._schedules import SCHEDULES, make_schedule, uses_eta0
from skmbsgd._sklearn import (
    CallbackSupportMixin,
    Interval,
    SparseCoefMixin,
    StrOptions,
    check_sample_weight,
    with_checked_parameters,
    without_callbacks_of_fit,
)
from skmbsgd._state import TrainingState
from skmbsgd._stored import (
    NOT_STREAMED,
    check_n_features,
    fault_of_stored,
    streamed_in,
)
from skmbsgd._stream import (
    OF_COLUMNS,
    arrays_copied,
    compressed,
    is_as_shown,
    whole_state,
)
from skmbsgd._trainer import (
    CURVES,
    TRAINING_CURVES,
    VALIDATION_CURVES,
    Patience,
    Trainer,
)
from skmbsgd._typing import MatrixLike
from skmbsgd._validation import Validation, warn_if_apart

MAX_ROWS = np.iinfo(np.uint32).max

# Immutable types of parameters
UNCHANGEABLE = {bool, int, float, str, type(None)}

VALIDATION_ATTRIBUTES = (*VALIDATION_CURVES, "best_validation_score_")


class BaseMiniBatchSGD(SparseCoefMixin, CallbackSupportMixin, BaseEstimator, ABC):
    """Linear model trained by mini-batch SGD; see the two estimators."""

    _parameter_constraints = {
        "penalty": [StrOptions(set(PENALTIES) - {None}), None],
        "alpha": [Interval(Real, 0, np.inf, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
        "fit_intercept": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, np.inf, closed="left"), None],
        "batch_size": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"full"}),
        ],
        "learning_rate": [StrOptions({"auto", *SCHEDULES}), callable],
        "eta0": [Interval(Real, 0, np.inf, closed="left"), StrOptions({"auto"})],
        "decay": [Interval(Real, 0, np.inf, closed="left"), StrOptions({"auto"})],
        "decay_unit": [StrOptions({"epoch", "update"})],
        "drop": [Interval(Real, 0, 1, closed="right")],
        "epochs_drop": [Interval(Real, 0, np.inf, closed="neither"), "array-like"],
        "power_t": [Interval(Real, 0, np.inf, closed="left")],
        "standardize": ["boolean", StrOptions({"auto"})],
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
        "scoring": [StrOptions({"loss", *get_scorer_names()}), callable, None],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "average": [Interval(Integral, 1, None, closed="left"), "boolean"],
    }

    intercept_: np.ndarray
    n_iter_: int
    t_: int
    eta0_: float
    loss_curve_: list[float]
    learning_rate_curve_: list[float]
    validation_scores_: list[float]
    validation_losses_: list[float]
    best_validation_score_: float
    n_features_in_: int
    feature_names_in_: np.ndarray

    # The parameters at the last check that passed
    _checked_parameters: list[Any] = []

    # Methods that the two estimators implement

    # Options of sklearn.utils.validation.validate_data for y
    _y_options: dict[str, Any] = {}

    @abstractmethod
    def _learn_outputs(self, y, classes=None):
        """Set the attributes that are learnt from the targets, before any training."""

    # What early_stopping needs to divide the rows
    _split_needs = "each of the two parts must have a row"

    @abstractmethod
    def _make_data(self, X, y, sample_weight):
        """TrainingData of validated arrays. Checks y against the learnt attributes."""

    def _weigh_classes(self, data, streaming=False, training_data=None):
        """The data with the weights of their classes, if classes have weights."""
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
    def _public_targets(self, y):
        """Targets as users pass them, given those of TrainingData.y."""

    @abstractmethod
    def _predictions_of(self, decisions):
        """Predictions, in the same form as TrainingData.y."""

    @abstractmethod
    def _score_predictions(self, y, predictions, sample_weight):
        """The result of ``score`` for these predictions."""

    # Training

    @appears_at_once  # outermost, because callbacks can also fail in their teardown
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
        """Train a new model, for at most ``max_iter`` epochs.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data. A C-contiguous array of float32 or float64, such as a memory
            map, is not copied, and float32 stays float32. Arrays of bool, of integers
            of 8 or 16 bits and of float16 are copied to float32, which holds their
            numbers exactly, and the model is float32. All others are copied to float64.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Target values. Only the regressor accepts two dimensions.
        coef_init : array-like of the shape of ``coef_``, default=None
            Initial weights; 0 by default.
        intercept_init : array-like of the shape of ``intercept_``, default=None
            Initial intercepts. By default they are 0, or, with ``eta0="auto"`` and
            without `coef_init`, those of the best constant prediction.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0. They are rescaled to a mean of 1 over the training rows, so
            only their ratios matter.
        X_val : array-like of shape (n_validation_samples, n_features), default=None
            Validation data. If given, ``tol`` and ``n_iter_no_change`` act on their
            score, the weights of the best epoch are kept, and no rows are held out,
            whatever ``early_stopping`` says. A pipeline passes them on without
            transforming them, unless it has ``transform_input=["X_val"]``.
        y_val : array-like, default=None
            Target values of `X_val`, required with it.
        sample_weight_val : array-like of shape (n_validation_samples,), default=None
            Weights of the rows of `X_val` in the score.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or an input is invalid.
        DivergenceError
            If weights or loss become infinite or NaN, or if the objective ends more
            than 1e9 times as high as it began. After any error and after an interrupt,
            the estimator is as it was before the call.
        RuntimeError
            If the estimator is already being trained.

        Warns
        -----
        ConvergenceWarning
            If the objective ends above that of the best constant prediction, or clearly
            above its own best value, or if ``max_iter`` epochs end before ``tol`` is
            met, or if the lowest loss on validation data exceeds four times that of
            a constant prediction. The warning says what to change.
        UserWarning
            If more than a quarter of the numbers in `X_val` lie outside the range of
            their column in X by more than the width of that range. Then `X_val` lacks
            a transformation that X has had.
            Also if X is a memory map larger than the free memory and its rows are to be
            shuffled; `fit_chunks` with `row_chunks` reads slices instead.
        """
        self._check_parameters()
        given_X = X
        X, y, weights = self._read(X, y, sample_weight, reset=True)
        data = self._make_data(X, y, weights)
        random_state = check_random_state(self.random_state)
        data, validation = self._set_validation_apart(
            data, X_val, y_val, sample_weight_val, random_state
        )
        if self.shuffle and data.rows_of_batch(self.batch_size) < data.n_rows:
            warn_of_scattered_reads(data.X)
        trainer = self._begin_training(data, random_state, coef_init, intercept_init)
        # Callbacks predict on X, and need the column names of a frame.
        named = hasattr(self, "feature_names_in_")
        task = begin_fit_task(self, given_X if named else X, y, weights, data.rows)
        self._forget_validation()
        state = trainer.train(
            self.max_iter,
            self._make_patience(trainer, validation),
            task,
            validation=self._make_validation(validation, data),
            verbose=self.verbose,
        )
        self._publish(state, trainer.history)
        task.end()
        return self

    def _make_patience(self, trainer, validation):
        """The Patience that ends a training."""
        return Patience(
            self.tol,
            trainer.epochs_of_patience(self.n_iter_no_change),
            # A score that is not a loss has its own unit.
            unit=(
                trainer.unit_of_tol()
                if validation is None or self.scoring == "loss"
                else 1.0
            ),
        )

    def _begin_training(self, data, random_state, coef_init=None, intercept_init=None):
        """A trainer before the first update, on data with all weights of a fit."""
        # Rescaled twice, so that no product of weights overflows
        data = self._weigh_classes(data.with_weights_of_mean_one())
        data = data.with_weights_of_mean_one()
        if not self._starts_from(coef_init, intercept_init):
            intercept_init = self._constants_to_start_from(data)
        state = self._initial_state(data, random_state, coef_init, intercept_init)
        return self._make_trainer(state, data)

    def _starts_from(self, *initial_values):
        """Whether there are initial weights."""
        warm = self.warm_start and self._is_trained()
        return warm or any(values is not None for values in initial_values)

    def _constants_to_start_from(self, data):
        """The best intercepts without features, if the initial rate is automatic."""
        if not (self._finds_rate and self.fit_intercept):
            return None
        loss, dtype = self._make_loss(data.n_outputs), data.X.dtype
        constants = initial_intercepts(loss, data)
        with np.errstate(over="ignore"):
            constants = constants.astype(dtype)
        if not np.isfinite(constants).all():
            raise ValueError(
                "The weights of the rows, or the targets of a regression, are too "
                f"large: the best constant prediction exceeds the range of {dtype}, "
                "the precision of the model. Divide them by a power of ten, or pass X "
                "as float64."
            )
        return constants

    def _begin_range_test(self, X, y, sample_weight):
        """A trainer before the first update, on all of the data."""
        self._check_parameters()
        data = self._make_data(*self._read(X, y, sample_weight, reset=True))
        return self._begin_training(data, check_random_state(self.random_state))

    def _make_trainer(self, state, data, streaming=False, make=Trainer):
        loss = self._make_loss(data.n_outputs)
        columns = None
        if self._standardizes(data.X):
            if streaming:
                learn_columns_of_chunk(state, data)
            elif state.column_mean is None:
                learn_columns(state, data)
            columns = standardization_of(state, self.fit_intercept)
        eta0 = self.eta0
        if self._finds_rate:
            eta0 = self._find_rate(state, data, loss, columns, streaming)
        return self._assemble_trainer(make, state, data, loss, eta0, columns, streaming)

    def _assemble_trainer(self, make, state, data, loss, eta0, columns, streaming):
        """A trainer with the settings of the parameters."""
        return make(
            state,
            data,
            loss,
            self._make_penalty(),
            self._schedule_maker(data, loss, streaming),
            eta0,
            begins_anew=self._finds_rate and not streaming,
            columns=columns,
            batch_size=self.batch_size,
            momentum=self.momentum,
            nesterov=self.nesterov,
            fit_intercept=self.fit_intercept,
            shuffle=self.shuffle,
            average=self.average,
            n_jobs=self.n_jobs,
        )

    def _make_penalty(self):
        return PENALTIES[self.penalty](self.alpha, self.l1_ratio)

    @property
    def _finds_rate(self):
        """Whether the initial rate is computed from the data."""
        return self.eta0 == "auto" and uses_eta0(self.learning_rate)

    def _standardizes(self, X):
        """Whether to train as if the columns of X were standardised."""
        if self.standardize == "auto":
            return self._finds_rate and not issparse(X)
        if self.standardize and issparse(X):
            raise ValueError(
                "standardize=True needs a dense X, because centring would make a "
                "sparse X dense. Scale its columns with "
                "sklearn.preprocessing.MaxAbsScaler, and keep standardize='auto'."
            )
        return self.standardize

    def _find_rate(self, state, data, loss, columns, streaming):
        """The initial rate for all rows so far, including these."""
        alpha = self.alpha if self.penalty is not None else 0.0
        self._seek_rate(state, data.X, is_standardized=columns is not None)
        seen = Standardized(columns, self.fit_intercept)
        self._learn_smoothness(state, data, seen)
        if state.norm_sums[0] == 0.0:  # No row has had a weight yet.
            return 0.0
        batch_size = data.rows_of_batch(self.batch_size)
        size, n_rows = 0.0, data.n_rows
        if streaming:
            n_rows = math.inf
            batch_size = data.n_rows if self.batch_size == "full" else self.batch_size
        if depends_on_targets(loss):
            size = learn_targets(state, data) if streaming else typical_residual(data)
            if streaming:
                # The less the first rows differ, the smaller the rate may be.
                state.automatic_rate = math.inf
                if size == 0.0:
                    return 0.0
        rate = initial_rate(state, loss, size, n_rows, alpha, batch_size, self.momentum)
        state.automatic_rate = min(state.automatic_rate, rate)
        if streaming:
            state.eta0 = state.automatic_rate
        return state.automatic_rate

    def _learn_smoothness(self, state, data, seen):
        learn_smoothness(state, data, seen)

    def _seek_rate(self, state, X, is_standardized):
        """Reset the statistics for the rate if they are for other settings."""
        state.seek_rate_for(
            alpha=self.alpha if self.penalty is not None else 0.0,
            momentum=self.momentum,
            batch_size=0 if self.batch_size == "full" else self.batch_size,
            is_standardized=is_standardized,
            is_sparse=issparse(X),
        )

    def _schedule_maker(self, data, loss, streaming):
        """A function that makes the schedule for an initial rate."""
        if self.learning_rate != "auto" or not self._finds_rate:
            return self._make_schedule
        if streaming:  # Chunks may be smaller than a batch.
            n_rows = data.n_rows
            batch_size = n_rows if self.batch_size == "full" else self.batch_size
            last_share = ((n_rows - 1) % batch_size + 1) / batch_size
            return partial(StreamSchedule, last_share=last_share)
        n_batches, last_share = data.batches(self.batch_size)

        def make_cycles(eta0):
            return Cycles(
                eta0,
                eta0 * highest_peak(loss),
                n_batches,
                self.momentum,
                self.tol,
                self.max_iter,
                last_share,
            )

        return make_cycles

    def _make_validation(self, data, training_data):
        """The Validation that scores the epochs on these data, if there are any."""
        if data is None:
            return None
        class_weighted = self._weigh_classes(
            data, training_data=training_data.with_weights_of_mean_one()
        )
        return Validation(
            self,
            data,
            class_weighted.with_weights_of_mean_one(),
            self._make_loss(data.n_outputs),
        )

    def _make_schedule(self, eta0):
        # This needs the loss of one output. Softmax has no single derivative, so the
        # logistic loss replaces it.
        return make_schedule(self, self._make_loss(n_outputs=1).derivative, eta0)

    # Input

    def _check_parameters(self):
        """Check the parameters, one by one and together.

        This takes as long as training on a small chunk. So a stream skips parameters
        that are immutable and the same objects as at the last check.
        """
        parameters = [getattr(self, name) for name in self._parameter_constraints]
        checked = self._checked_parameters
        is_known = isinstance(checked, list) and len(checked) == len(parameters)
        if is_known and all(map(is_, parameters, checked)):
            return
        # scikit-learn leaves these unchecked once the estimator is fitted.
        are_validated = not get_config()["skip_parameter_validation"]
        if are_validated:
            self._validate_params()
        self._check_settings()
        if are_validated and all(type(value) in UNCHANGEABLE for value in parameters):
            self._checked_parameters = parameters

    def _validate_params(self):
        rate = self.learning_rate
        if isinstance(rate, Real) and not isinstance(rate, bool):
            raise ValueError(
                "The 'learning_rate' parameter must be the name of a schedule or a "
                f"callable, got {rate!r}. Pass a number as eta0={rate!r}, with "
                "learning_rate='constant' for a constant rate."
            )
        super()._validate_params()

    def _check_settings(self):
        """Check what the ranges of single parameters do not cover."""
        for name in ("alpha", "max_iter", "tol", "eta0", "decay", "power_t", "epsilon"):
            value = getattr(self, name)
            if isinstance(value, Real) and not fits_float64(value):
                raise ValueError(
                    f"{name} must be a number that float64 can hold, at most "
                    f"{np.finfo(np.float64).max}. Choose a smaller one."
                )
        if callable(self.learning_rate) and not takes_one_argument(self.learning_rate):
            raise ValueError(
                "The callable learning_rate must take one argument, the epoch 0, 1, 2, "
                "...: write the rate as a formula of the epoch. Where a function of "
                "epoch and rate for Keras's LearningRateScheduler returns rate * 0.9, "
                "use lambda epoch: 0.1 * 0.9**epoch, with 0.1 as the first rate."
            )
        if self.learning_rate == "optimal" and self.alpha == 0:
            raise ValueError(
                "alpha must be > 0 with learning_rate='optimal', which computes the "
                "rate from alpha. Set alpha, or choose another learning_rate."
            )
        if self.penalty == "elasticnet" and self.l1_ratio is None:
            raise ValueError("l1_ratio must be a number with penalty='elasticnet'.")
        if not are_epochs(self.epochs_drop):
            raise ValueError(
                "epochs_drop must be a number > 0 or a sequence of epochs >= 0, "
                f"got {self.epochs_drop!r}."
            )

    def _read(self, X, y, sample_weight, classes=None, *, reset):
        """Validated arrays; with `reset`, also learn the outputs from y."""
        check_is_local(X, y)
        X, y = self._read_X_y(X, y, reset=reset)
        if reset:
            self._learn_outputs(y, classes)
        return X, y, self._read_weights(sample_weight, X)

    def _read_X_y(self, X, y, reset, dtype=None):
        """Validated X and y; later chunks are read in the model's precision."""
        if dtype is None:
            dtype = (
                float_types_for(X)
                if reset
                else self._resumption["intercept_velocity"].dtype
            )
        if not reset and self._needs_no_validation(X, y, dtype):
            return X, y
        check_indices(X)
        with overflow_ignored():
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
        check_indices(X)  # again: some formats can be checked only after conversion
        if not issparse(X):
            # scikit-learn keeps the byte order of frames.
            native = None if X.dtype.isnative else X.dtype.newbyteorder()
            X = np.require(X, native, ["C", "ALIGNED"])
        if X.shape[0] > MAX_ROWS:
            raise ValueError(
                f"X has {X.shape[0]} rows, and one call takes at most {MAX_ROWS}. Pass "
                "them in chunks to partial_fit."
            )
        return X, y

    def _needs_no_validation(self, X, y, dtype):
        """Whether validation would leave a later chunk as it is.

        scikit-learn takes ten times as long for this check.
        """
        check_indices(X)
        is_csr = issparse(X) and X.format == "csr"
        values = X.data if is_csr else X
        return (
            is_array_of_finite(values)
            and is_array_of_finite(y)
            and values.dtype == dtype
            and values.flags.aligned
            and values.flags.c_contiguous
            and X.ndim == 2
            and X.shape[1] == self.n_features_in_
            and y.ndim == (1 if getattr(self, "_one_dimensional", True) else 2)
            and 0 < X.shape[0] == len(y) <= MAX_ROWS
            and not hasattr(self, "feature_names_in_")
        )

    def _read_weights(self, sample_weight, X):
        if sample_weight is None:
            return None
        weights = check_sample_weight(sample_weight, X)
        return np.require(weights, requirements=["C", "ALIGNED"])

    def _set_validation_apart(
        self, data, X_val, y_val, sample_weight_val, random_state
    ):
        """Training data, and validation data if there are to be any."""
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val belong together: pass both or neither.")
        if X_val is not None:
            try:
                validation = self._read_validation_data(
                    X_val, y_val, sample_weight_val, data
                )
            except (TypeError, ValueError) as error:
                kind = TypeError if isinstance(error, TypeError) else ValueError
                raise kind(f"In X_val, y_val or sample_weight_val: {error}") from error
            warn_if_apart(data.X, validation.X)
            return data, validation
        if sample_weight_val is not None:
            raise ValueError("sample_weight_val needs X_val and y_val.")
        if not self.early_stopping:
            return data, None
        try:
            parts = self._split(data, random_state)
        except ValueError as error:
            raise ValueError(
                f"early_stopping=True cannot hold out validation_fraction="
                f"{self.validation_fraction!r} of n_samples={data.n_rows}: "
                f"{self._split_needs}. Pass more rows, change validation_fraction, or "
                "pass validation data of your own as X_val and y_val."
            ) from error
        # Sorted, because the order of the rows matters without shuffling.
        rows, held_out_rows = map(np.sort, parts)
        return data.subset(rows), data.subset(held_out_rows).with_weights_of_mean_one()

    def _read_validation_data(self, X, y, sample_weight, data):
        """Validation data, checked against the training data."""
        X, y = self._read_X_y(X, y, reset=False, dtype=data.X.dtype)
        validation = self._make_data(X, y, self._read_weights(sample_weight, X))
        if validation.n_outputs != data.n_outputs:
            raise ValueError(
                f"y_val has {validation.n_outputs} targets, but y has {data.n_outputs}."
            )
        return validation.with_weights_of_mean_one()

    def _initial_state(
        self, data, random_state, coef_init=None, intercept_init=None, n_columns=None
    ):
        """The state before the first update, in arrays of its own."""
        n_columns = data.X.shape[1] if n_columns is None else n_columns
        shape, dtype = (data.n_outputs, n_columns), data.X.dtype
        name = "{}_init"
        if self.warm_start and self._is_trained():
            if coef_init is None:
                coef_init, name = self._dense_coef(), "{}_ (because of warm_start=True)"
            if intercept_init is None:
                self._check_has_intercept()
                intercept_init = self.intercept_
        order = order_of_weights(data.n_outputs, data.is_sparse)
        coef = read_initial(coef_init, name.format("coef"), shape, dtype, order)
        intercept = read_initial(
            intercept_init, name.format("intercept"), shape[:1], dtype
        )
        seed = int(random_state.randint(np.iinfo(np.int32).max))
        return TrainingState.start(coef, intercept, seed, bool(self.average))

    @property
    def coef_(self) -> np.ndarray:
        """Weights of the features."""
        # A call that ends in another thread replaces all attributes.
        attributes = vars(self)
        if "coef_" in attributes:
            return attributes["coef_"]
        stream, _ = streamed_in(attributes)
        if stream is None:
            raise AttributeError(
                f"{type(self).__name__} has no coef_: it is not fitted."
            )
        return self._public_coef(stream.show()[0])

    @coef_.setter
    def coef_(self, coef):
        self.__dict__["coef_"] = coef

    @coef_.deleter
    def coef_(self):
        if "coef_" not in vars(self):
            raise AttributeError("coef_ of a stream cannot be deleted.")
        del self.__dict__["coef_"]

    def _dense_coef(self):
        coef: Any = self.coef_
        return coef.toarray() if issparse(coef) else coef

    # Learnt attributes

    def _check_learnt(self):
        """Raise if users have set attributes from which partial_fit cannot continue."""
        if issparse(vars(self).get("coef_")):
            raise ValueError(
                "coef_ is sparse after sparsify: call densify before training goes on."
            )
        self._check_stored()
        self._check_has_intercept()
        for name in TRAINING_CURVES:
            curve = getattr(self, name, None)
            if not isinstance(curve, list):
                raise ValueError(
                    f"{name} must be a list, to which partial_fit appends a number, "
                    f"got {curve!r}. Set it to a list, which may be empty."
                )

    def _check_has_intercept(self):
        """Raise if users have deleted the intercepts."""
        if not hasattr(self, "intercept_"):
            raise ValueError(
                "intercept_, from which training continues, was deleted. Set it, or "
                "start again with fit and warm_start=False."
            )

    def _check_stored(self):
        """Raise if users have damaged the state."""
        stream, _ = streamed_in(vars(self))
        n_features = getattr(self, "n_features_in_", None)
        check_n_features(stream, n_features)
        fault = fault_of_stored(
            getattr(self, "_resumption", None),
            n_features,
            without_columns=stream is not None,
        )
        if fault is not None:
            raise ValueError(
                f"_resumption, from which training continues, is damaged: {fault}. "
                "Load the estimator again, or start again with fit."
            )

    def _resume(self, n_outputs, is_sparse, to_read=False):
        """The state to continue from, in arrays of its own.

        The exception are the arrays with an entry per column if these are only to be
        read.
        """
        stored = self._resumption
        stream, _ = streamed_in(vars(self))
        if stream is not None:
            stored = self._stored_of(whole_state(stream, stored))
        # Users may have changed them.
        dtype = stored["intercept_velocity"].dtype
        shape = len(stored["intercept_velocity"]), self.n_features_in_
        order = order_of_weights(shape[0], is_sparse)
        public = {
            "coef": read_weights(
                self.coef_, "coef_", shape, dtype, order, copy=not to_read
            ),
            "intercept": read_weights(self.intercept_, "intercept_", shape[:1], dtype),
        }
        stored = arrays_copied(stored, order, but=OF_COLUMNS if to_read else ())
        if "velocity" not in stored:
            stored["velocity"] = np.zeros(shape, dtype, order)
        state = TrainingState(**{**public, **stored})
        if not state.shows(**public):
            if state.n_averaged > 0:
                # Training continues from the means, whatever the positions are.
                state.positions = None
            state = replace(state, **public)
            state.end_average()
        if n_outputs != len(state.coef):
            raise ValueError(
                f"y has {n_outputs} targets, but the model was trained on "
                f"{len(state.coef)}."
            )
        return state

    def _is_trained(self):
        """Whether there are weights."""
        return "coef_" in vars(self) or streamed_in(vars(self))[0] is not None

    def _publish(self, state, history=None):
        """Set the learnt attributes from a state and a history."""
        self.__dict__.pop("_unfinished", None)  # It can no longer be resumed.
        self.__dict__.update(self._attributes_of(state, history))
        del self._streamed  # NOT_STREAMED is the default.

    def _publish_stream(self, stream, intercept, state):
        """Set the learnt attributes if the weights are those of a stream."""
        self.__dict__.update(self._clocks_of(state))
        self.__dict__.pop("coef_", None)
        self.__dict__.pop("_unfinished", None)
        self.intercept_ = intercept
        self._streamed = stream, intercept

    def _attributes_of(self, state, history=None):
        """The learnt attributes that show a state and a history."""
        coef, intercept = state.weights()
        return {
            "coef_": self._public_coef(coef),
            "intercept_": intercept,
            "_streamed": NOT_STREAMED,
            **self._clocks_of(state),
            # Any safe persistence format can store a plain dict of arrays and numbers.
            "_resumption": self._stored_of(state),
            **({} if history is None else history.attributes()),
        }

    def _stored_of(self, state):
        """The parts of a state that are stored besides coef_ and intercept_."""
        # coef_ and intercept_ may be running means instead of the weights.
        unused = set() if state.n_averaged > 0 else {"coef", "intercept"}
        if self.momentum == 0.0:
            unused.add("velocity")
        return {
            name: value for name, value in vars(state).items() if name not in unused
        }

    def _clocks_of(self, state):
        """The learnt attributes that are numbers."""
        clocks = {"n_iter_": state.n_epochs, "t_": state.n_updates}
        return clocks if state.eta0 is None else {**clocks, "eta0_": state.eta0}

    @appears_at_once
    def sparsify(self) -> Self:
        """Convert the coefficients, and what belongs to them, to sparse matrices.

        Predictions are the same; before ``partial_fit``, call ``densify``.

        Returns
        -------
        self : object
            The estimator with sparse `coef_`.

        Raises
        ------
        RuntimeError
            If the estimator is being trained.
        """
        check_is_fitted(self)
        if issparse(vars(self).get("coef_")):
            return self
        coef = np.atleast_2d(self._dense_coef())
        stored = getattr(self, "_resumption", {})
        stream, _ = streamed_in(vars(self))
        if stream is not None:
            self._check_stored()
            stored = self._stored_of(whole_state(stream, stored))
        elif not isinstance(stored, dict):
            self._check_stored()
        self._resumption = {
            name: csr_matrix(value) if np.ndim(value) == 2 else value
            for name, value in stored.items()
        }
        self.coef_ = csr_matrix(coef)
        self.__dict__.pop("_streamed", None)
        return self

    @appears_at_once
    def densify(self) -> Self:
        """Convert the coefficients back to an array, after `sparsify`.

        Returns
        -------
        self : object
            The estimator with dense `coef_`.

        Raises
        ------
        RuntimeError
            If the estimator is being trained.
        """
        check_is_fitted(self)
        stored = getattr(self, "_resumption", {})
        if not isinstance(stored, dict):
            self._check_stored()
        self._resumption = {
            name: value.toarray() if issparse(value) else value
            for name, value in stored.items()
        }
        self.coef_ = self._public_coef(np.atleast_2d(self._dense_coef()))
        return self

    def _forget_validation(self):
        for name in VALIDATION_ATTRIBUTES:
            self.__dict__.pop(name, None)

    def __getstate__(self):
        """The attributes of a copy; even a shallow copy gets its own histories."""
        while True:
            model = self.__dict__
            state = dict(super().__getstate__())  # which may be that of the model
            stream, _ = streamed_in(model)
            state.pop("_streamed", None)
            if stream is not None:
                state["_streamed"] = arrays_of(stream)
                if not is_as_shown(stream):
                    state["coef_"] = self.coef_.copy()
            histories = {
                name: list(state[name])
                for name in CURVES
                if isinstance(state.get(name), list)
            }
            # A call that ends in another thread extends the histories, and replaces
            # everything else as a whole.
            if self.__dict__ is model:
                return without_callbacks_of_fit({**state, **histories})

    def __setstate__(self, state):
        super().__setstate__(state)
        arrays = vars(self).get("_streamed")
        if arrays is not None:
            stream = stream_of(arrays)
            self._streamed = stream, stream.intercept
            if np.array_equal(self.intercept_, stream.intercept):
                self.intercept_ = stream.intercept  # shared with no other object

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.standardize is not True
        return tags

    # Prediction

    def _decisions(self, X):
        """X W^T + b, of shape (n_samples,) for a model of one output."""
        check_is_fitted(self)
        check_indices(X)
        dtypes = float_types_for(X)
        intercept = getattr(self, "intercept_", None)
        if getattr(intercept, "dtype", None) == np.float64:
            # The product would copy a copy in float32 once more.
            dtypes = [np.float64, np.float32]
        with overflow_ignored():
            X = validate_data(self, X, dtype=dtypes, accept_sparse="csr", reset=False)
        check_indices(X)
        X, coef, intercept = self._weights_to_predict_with(X)
        return safe_sparse_dot(X, coef.T, dense_output=True) + intercept

    def _weights_to_predict_with(self, X):
        """X, weights and intercepts, reduced to the columns of X if these are few.

        The weights of other columns are then neither brought up to date nor copied, as
        the product of SciPy would do.
        """
        stream, shown_intercept = streamed_in(vars(self))
        check_n_features(stream, getattr(self, "n_features_in_", None))
        intercept = getattr(self, "intercept_", None)
        is_shown = "coef_" in vars(self) or intercept is not shown_intercept
        if stream is None or is_shown:
            coef, intercept = self._given_weights(X.shape[1])
            if issparse(X) and not issparse(coef) and X.nnz < X.shape[1]:
                columns, numbers = np.unique(X.indices, return_inverse=True)
                X = type(X)((X.data, numbers, X.indptr), (X.shape[0], len(columns)))
                coef = np.atleast_2d(coef)[:, columns]
            return X, coef, intercept
        if stream.shown is None and issparse(X):
            columns, X = compressed(X, stream)
            return X, *stream.weights_of(columns)
        return X, *stream.show()

    def _given_weights(self, n_features):
        """coef_ and intercept_, which users may have set."""
        coef = read_numbers(self.coef_, "coef_")
        intercept = read_numbers(getattr(self, "intercept_", None), "intercept_")
        may_be_vector = getattr(self, "_one_dimensional", False)
        if coef.ndim != 2 and not (coef.ndim == 1 and may_be_vector):
            raise ValueError(f"coef_ has {coef.ndim} dimensions, and needs 2.")
        if coef.shape[-1] != n_features:
            raise ValueError(
                f"coef_ has weights of {coef.shape[-1]} features, but X has "
                f"{n_features}."
            )
        if intercept.shape not in [coef.shape[:-1], (1,), ()]:
            raise ValueError(
                f"intercept_ has the shape {intercept.shape}, and coef_ {coef.shape}."
            )
        return coef, intercept


def overflow_ignored():
    """A context in which NumPy does not warn of numbers that are refused later.

    scikit-learn's checks sum the numbers, which can be finite although the sum is not.
    """
    return np.errstate(over="ignore", invalid="ignore")


def is_array_of_finite(values):
    """Whether this is an array, not of a subclass, with finite numbers.

    It also returns False for numbers whose sum overflows float64.
    """
    if type(values) is not np.ndarray or values.dtype.kind not in "fiub":
        return False
    with overflow_ignored():
        return math.isfinite(values.sum())


def read_initial(values, name, shape, dtype, order="C"):
    """A copy of user-given initial weights, checked; zeros for None."""
    if values is None:
        return np.zeros(shape, dtype, order)
    return read_weights(values, name, shape, dtype, order)


def read_weights(values, name, shape, dtype, order="C", *, copy=True):
    """User-given weights, checked, and copied if asked or needed."""
    is_valid = is_array_of_finite(values) and values.dtype == dtype
    if is_valid and values.shape in (shape, shape[1:] if shape[0] == 1 else shape):
        values = values.reshape(shape)
        return np.array(values, order=order) if copy else values
    try:
        with overflow_ignored():
            values = check_array(
                np.atleast_1d(values),
                dtype=dtype,
                ensure_2d=False,
                ensure_min_samples=0,
                order="C",
            )
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from error
    single = shape[0] == 1 and values.shape == shape[1:]
    if values.shape != shape and not single:
        raise ValueError(f"{name} must have shape {shape}, got {values.shape}.")
    return values.reshape(shape).copy(order)
