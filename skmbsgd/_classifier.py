"""Classification: labels, class weights, probabilities."""

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets

from skmbsgd._at_once import appears_at_once, reads_one_model
from skmbsgd._base import BaseMiniBatchSGD
from skmbsgd._checks import check_labels
from skmbsgd._data import TrainingData
from skmbsgd._docstrings import with_shared_parts
from skmbsgd._engine.losses import (
    EpsilonInsensitive,
    Hinge,
    Huber,
    Logistic,
    ModifiedHuber,
    Softmax,
    SquaredEpsilonInsensitive,
    SquaredError,
    SquaredHinge,
)
from skmbsgd._fit_chunks import fit_chunks
from skmbsgd._partial_fit import partial_fit
from skmbsgd._sklearn import (
    StrOptions,
    check_partial_fit_first_call,
    with_checked_parameters,
)
from skmbsgd._typing import (
    Chunks,
    EpochsDrop,
    MatrixLike,
    Method,
    PenaltyName,
    Schedule,
    Scoring,
    Shuffle,
)

ClassifierLoss: TypeAlias = Literal[
    "log_loss",
    "hinge",
    "perceptron",
    "squared_hinge",
    "modified_huber",
    "squared_error",
    "huber",
    "epsilon_insensitive",
    "squared_epsilon_insensitive",
]
ClassWeight: TypeAlias = dict[Any, float] | dict[Any, int] | Literal["balanced"]

PROBABILISTIC_LOSSES = ("log_loss", "modified_huber")

# Each function makes the loss for a number of outputs and a threshold epsilon.
LOSSES = {
    "log_loss": lambda n_outputs, epsilon: Logistic() if n_outputs == 1 else Softmax(),
    "hinge": lambda n_outputs, epsilon: Hinge(1.0),
    "perceptron": lambda n_outputs, epsilon: Hinge(0.0),
    "squared_hinge": lambda n_outputs, epsilon: SquaredHinge(),
    "modified_huber": lambda n_outputs, epsilon: ModifiedHuber(),
    "squared_error": lambda n_outputs, epsilon: SquaredError(),
    "huber": lambda n_outputs, epsilon: Huber(epsilon),
    "epsilon_insensitive": lambda n_outputs, epsilon: EpsilonInsensitive(epsilon),
    "squared_epsilon_insensitive": lambda n_outputs, epsilon: SquaredEpsilonInsensitive(
        epsilon
    ),
}


def has_probabilities(estimator):
    """Whether the loss has probabilities; the error names the losses that do."""
    if estimator.loss not in PROBABILISTIC_LOSSES:
        raise AttributeError(
            f"probability estimates are not available for loss={estimator.loss!r}; "
            f"use one of {PROBABILISTIC_LOSSES}."
        )
    return True


def available_with_probabilities(method: Method) -> Method:
    """Make a method available only with the losses that have probabilities."""
    return available_if(has_probabilities)(method)


@with_shared_parts
class MiniBatchSGDClassifier(ClassifierMixin, BaseMiniBatchSGD):
    r"""Linear classifier trained by mini-batch SGD with momentum and schedules.

    The objective is the mean of the weighted loss plus
    `alpha * ((1 - l1_ratio) / 2 * ||W||_2^2 + l1_ratio * ||W||_1)`. More than two
    classes are trained in the same pass over the data: as softmax regression with
    "log_loss", one-vs-all with the other losses.

    Parameters
    ----------
    loss : str, default="log_loss"
        The loss, where y is -1 or +1 and z is the decision:

        - "log_loss": logistic regression, `log(1 + exp(-y z))`; for more than two
          classes, the cross-entropy of the softmax over all classes;
        - "hinge": linear support vector machine, `max(0, 1 - y z)`;
        - "modified_huber": `max(0, 1 - y z)^2` if `y z >= -1`, otherwise `-4 y z`;
        - "squared_hinge": `max(0, 1 - y z)^2`;
        - "perceptron": `max(0, -y z)`;
        - "squared_error", "huber", "epsilon_insensitive" and
          "squared_epsilon_insensitive": as in `MiniBatchSGDRegressor`.
    <PENALTY>
    <LEARNING_RATE>
    power_t : float, default=0.5
        Exponent of "invscaling", in [0, inf).
    <MOMENTUM>
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, {label: weight >= 0}. "balanced" weights each class
        inversely to its frequency (`fit` only). They multiply `sample_weight`.
    <WARM_START>

    Attributes
    ----------
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Weights, float32 or float64 as X; a single row for two classes.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts.
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    <HISTORY_ATTRIBUTES>

    See Also
    --------
    MiniBatchSGDRegressor : The same for regression.
    sklearn.linear_model.SGDClassifier : One row per update, without momentum.

    Notes
    -----
    <UPDATE_RULE>
    <CALLBACKS>

    References
    ----------
    <REFERENCES>

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmbsgd import MiniBatchSGDClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = make_pipeline(
    ...     StandardScaler(),
    ...     MiniBatchSGDClassifier(
    ...         learning_rate="step", eta0=0.1, drop=0.5, epochs_drop=10,
    ...         momentum=0.9, nesterov=True, random_state=0,
    ...     ),
    ... )
    >>> model.fit(X, y).score(X, y) > 0.98
    True
    """

    _parameter_constraints = {
        **BaseMiniBatchSGD._parameter_constraints,
        "loss": [StrOptions(set(LOSSES))],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    classes_: np.ndarray

    def __init__(
        self,
        loss: ClassifierLoss = "log_loss",
        *,
        penalty: PenaltyName | None = "l2",
        alpha: float = 1e-4,
        l1_ratio: float | None = 0.15,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float | None = 1e-3,
        batch_size: int | Literal["full"] = 32,
        learning_rate: Schedule = "auto",
        eta0: float | Literal["auto"] = "auto",
        decay: float | Literal["auto"] = 0.0,
        decay_unit: Literal["epoch", "update"] = "epoch",
        drop: float = 0.5,
        epochs_drop: EpochsDrop = 10,
        power_t: float = 0.5,
        standardize: bool | Literal["auto"] = "auto",
        momentum: float = 0.9,
        nesterov: bool = True,
        shuffle: Shuffle = True,
        verbose: int = 0,
        epsilon: float = 0.1,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        early_stopping: bool = False,
        scoring: Scoring = "loss",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        class_weight: ClassWeight | None = None,
        warm_start: bool = False,
        average: bool | int = False,
    ) -> None:
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
        self.standardize = standardize
        self.momentum = momentum
        self.nesterov = nesterov
        self.shuffle = shuffle
        self.verbose = verbose
        self.epsilon = epsilon
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.early_stopping = early_stopping
        self.scoring = scoring
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.average = average

    @appears_at_once
    def partial_fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on a chunk of a stream.

        Velocities, clocks and running means continue from call to call. Each call
        counts as one epoch of the schedule.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The chunk. It is converted to the precision of the first one.
        y : array-like of shape (n_samples,)
            Labels of the chunk.
        classes : array-like of shape (n_classes,), default=None
            All labels that can occur in the stream. Required in the first call,
            optional afterwards.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0, used as given, because a chunk does not know the mean of the
            stream. If all are 0, the call counts as an epoch and does nothing else.

        Returns
        -------
        self : object
            The estimator, trained for one more epoch.

        Raises
        ------
        ValueError
            If a parameter or an input is invalid, or if y has labels that are not in
            `classes`.
        DivergenceError
            If the chunk would ruin the model. After any error and after an interrupt,
            the estimator is as it was before the call, so you can skip the chunk.
        RuntimeError
            If the estimator is already being trained.

        Examples
        --------
        >>> import numpy as np
        >>> from skmbsgd import MiniBatchSGDClassifier
        >>> rng = np.random.default_rng(0)
        >>> model = MiniBatchSGDClassifier(eta0=0.1, momentum=0.9, random_state=0)
        >>> for month in range(5):
        ...     X = rng.normal(size=(200, 3))
        ...     model = model.partial_fit(X, X[:, 0] > 0, classes=[False, True])
        >>> model.n_iter_, model.t_
        (5, 35)
        >>> model.predict([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
        array([ True, False])
        """
        if classes is not None:
            check_labels(classes, "classes")
        if self._is_trained():
            self._check_learnt()
        # Many users pass them in each call.
        if classes is None or not self._has_classes(classes):
            with refused_as_labels("classes"):
                check_partial_fit_first_call(self, classes)
        partial_fit(self, X, y, sample_weight, classes)
        return self

    @appears_at_once
    @with_checked_parameters
    @with_shared_parts
    def fit_chunks(
        self,
        chunks: Chunks,
        *,
        classes: ArrayLike | None = None,
        X_val: MatrixLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
        resume: bool = False,
    ) -> Self:
        """Train in passes over chunks of data that need not fit into the memory.

        <CHUNKS_SUMMARY>

        Parameters
        ----------
        <CHUNKS>
        classes : array-like of shape (n_classes,), default=None
            All labels that the chunks can hold. None reads all chunks once beforehand
            to learn them.
        <CHUNKS_VALIDATION>

        <CHUNKS_NOTES>

        Examples
        --------
        >>> import numpy as np
        >>> from skmbsgd import MiniBatchSGDClassifier
        >>> def chunks(epoch):
        ...     for month in range(5):  # as if read from a file for each month
        ...         X = np.random.default_rng(month).normal(size=(200, 3))
        ...         yield X, X[:, 0] > 0
        >>> model = MiniBatchSGDClassifier(
        ...     learning_rate="step", eta0=0.1, epochs_drop=5, max_iter=20, tol=None,
        ...     random_state=0,
        ... )
        >>> model = model.fit_chunks(chunks, classes=[False, True])
        >>> model.n_iter_, model.t_  # passes, and updates: 7 in each chunk
        (20, 700)
        >>> model.predict([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
        array([ True, False])
        """
        if classes is not None:
            check_labels(classes, "classes")
            if resume and self._is_trained():
                with refused_as_labels("classes"):
                    check_partial_fit_first_call(self, classes)
        fit_chunks(self, chunks, X_val, y_val, sample_weight_val, resume, classes)
        return self

    def _has_classes(self, classes):
        """Whether these are exactly the labels of a trained model."""
        known: Any = vars(self).get("classes_")
        if not isinstance(known, np.ndarray):
            return False
        given = np.asarray(classes)
        return given.dtype == known.dtype and np.array_equal(given, known)

    def _check_settings(self):
        super()._check_settings()
        if isinstance(self.class_weight, dict):
            for label, weight in self.class_weight.items():
                if not (isinstance(weight, Real) and 0 <= weight < np.inf):
                    raise ValueError(
                        f"class_weight of class {label!r} must be a number in "
                        f"[0, inf), got {weight!r}."
                    )

    def _check_classes(self, n_outputs):
        """Refuse classes_ that users have set and that do not suit the outputs."""
        n_classes = 2 if n_outputs == 1 else n_outputs
        classes: Any = getattr(self, "classes_", None)
        if not isinstance(classes, np.ndarray) or classes.shape != (n_classes,):
            raise ValueError(
                f"classes_ must be an array of the labels of the {n_classes} classes "
                f"that the model was trained on, got {classes!r}. Restore the labels, "
                "or start again with fit."
            )

    def _check_learnt(self):
        super()._check_learnt()
        self._check_classes(len(self._resumption["intercept_velocity"]))
        with refused_as_labels("classes_"):
            is_sorted = np.array_equal(np.unique(self.classes_), self.classes_)
        if not is_sorted:
            raise ValueError(
                "For partial_fit, classes_ must hold each label once, in ascending "
                f"order, got {self.classes_!r}."
            )

    def _read_X_y(self, X, y, reset, dtype=None):
        if y is not None:
            check_labels(y, "y")
        return super()._read_X_y(X, y, reset=reset, dtype=dtype)

    def _learn_outputs(self, y, classes=None):
        former_classes: Any = getattr(self, "classes_", None)
        with refused_as_labels("y"):
            check_classification_targets(y)
        with refused_as_labels("y" if classes is None else "classes"):
            self.classes_ = np.unique(y if classes is None else classes)
        if (
            self.warm_start
            and self._is_trained()
            and not np.array_equal(self.classes_, former_classes)
        ):
            raise ValueError(
                "warm_start=True continues from weights of the classes "
                f"{former_classes}, but y has {self.classes_}. Start again with "
                "warm_start=False. If a class can be missing, train with "
                "partial_fit(classes=...), and pass all classes."
            )
        if len(self.classes_) < 2:
            n_classes = "1 class" if len(self.classes_) == 1 else "no class"
            raise ValueError(
                f"A classifier needs samples of at least 2 classes, got {n_classes}: "
                f"{self.classes_}."
            )

    def _labels_of(self, y):
        """The labels in y, and the number of the label for each entry."""
        with refused_as_labels("y"):
            check_classification_targets(y)
            return np.unique(y, return_inverse=True)

    def _make_data(self, X, y, sample_weight):
        with refused_as_labels("y"):
            labels = np.searchsorted(self.classes_, y).astype(np.intp, copy=False)
            labels[labels == len(self.classes_)] = 0
            are_known = np.array_equal(self.classes_[labels], y)
            # The check takes as long as training on a small chunk, so it is skipped for
            # known labels of the same type.
            if not are_known or np.asarray(y).dtype != self.classes_.dtype:
                check_classification_targets(y)
        if not are_known:
            raise ValueError(
                f"y has labels that are not among the classes {self.classes_}: "
                f"{np.setdiff1d(y, self.classes_)}. Remove their rows, or start again "
                "with all classes."
            )
        return TrainingData.of_classes(X, labels, len(self.classes_), sample_weight)

    def _weigh_classes(self, data, streaming=False, training_data=None):
        if self.class_weight is None:
            return data
        if streaming and self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all labels, but partial_fit sees only a "
                "chunk. Compute the weights beforehand with "
                "sklearn.utils.class_weight.compute_class_weight, and pass a dict."
            )
        weights = self._weights_of_classes(training_data or data)
        if not streaming:
            # Only ratios matter here, and products must not overflow.
            weights = weights / (weights.max() or 1.0)
        weights = weights[data.y]
        if data.sample_weight is not None:
            with np.errstate(over="ignore"):
                weights = weights * data.sample_weight
            if not np.isfinite(weights).all():
                raise ValueError(
                    "class_weight times sample_weight exceeds the range of float64. "
                    "Divide one of them by a power of ten."
                )
        return data.with_weights(weights)

    def _weights_of_classes(self, data):
        """A weight for each class; 0 for a class without weighted rows."""
        present = np.ones(len(self.classes_), dtype=bool)
        weighted = slice(None)
        if data.sample_weight is not None and self.class_weight == "balanced":
            totals = np.bincount(data.y, data.sample_weight, len(present))
            present, weighted = totals > 0, data.sample_weight > 0
        weights = np.zeros(len(present))
        with np.errstate(over="ignore"):
            weights[present] = compute_class_weight(
                self.class_weight,
                classes=self.classes_[present],
                y=self.classes_[data.y[weighted]],
                sample_weight=(
                    None if data.sample_weight is None else data.sample_weight[weighted]
                ),
            )
        if not np.isfinite(weights).all():
            raise ValueError(
                "class_weight='balanced' cannot balance the classes, because one has "
                "more than 1e300 times the sample_weight of another."
            )
        return weights

    _split_needs = "each class needs a row in both parts"

    def _split(self, data, random_state):
        splitter = StratifiedShuffleSplit(
            test_size=self.validation_fraction, random_state=random_state
        )
        return next(splitter.split(np.zeros((len(data.y), 1)), data.y))

    def _make_loss(self, n_outputs):
        return LOSSES[self.loss](n_outputs, self.epsilon)

    def _public_coef(self, coef):
        return coef

    def _public_targets(self, y):
        return self.classes_[y]

    def _predictions_of(self, decisions):
        return labels_of(decisions)

    def _score_predictions(self, y, predictions, sample_weight):
        return accuracy_score(y, predictions, sample_weight=sample_weight)

    def _decisions(self, X):
        decisions = super()._decisions(X)
        self._check_classes(decisions.shape[1])
        return decisions

    @reads_one_model
    def decision_function(self, X: MatrixLike) -> np.ndarray:
        """Compute the decisions X W^T + b.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        decisions : ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes, one number per row, which is > 0 for `classes_[1]`.
        """
        decisions = self._decisions(X)
        return decisions.ravel() if decisions.shape[1] == 1 else decisions

    @reads_one_model
    def predict(self, X: MatrixLike) -> np.ndarray:
        """Predict labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,)
        """
        labels = labels_of(self._decisions(X))
        return self.classes_[labels]

    @available_with_probabilities
    @reads_one_model
    def predict_proba(self, X: MatrixLike) -> np.ndarray:
        """Predict probabilities of the classes ("log_loss" and "modified_huber" only).

        With "log_loss" they are the probabilities of the model: the logistic function
        of the decision, or the softmax of the decisions. With "modified_huber" they are
        (clip(z, -1, 1) + 1) / 2, normalised to a sum of 1 for more than two classes:
        Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass
        probability estimates" (KDD 2002).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        decisions = self._decisions(X)
        if self.loss == "log_loss" and decisions.shape[1] > 1:
            return softmax(decisions, axis=1)
        if self.loss == "log_loss":
            return np.hstack([expit(-decisions), expit(decisions)])
        return modified_huber_probabilities(decisions)

    @available_with_probabilities
    @reads_one_model
    def predict_log_proba(self, X: MatrixLike) -> np.ndarray:
        """Predict log-probabilities ("log_loss" and "modified_huber" only).

        With "log_loss" they are computed from the decisions, not from rounded
        probabilities, so none of them becomes -inf.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        if self.loss != "log_loss":
            with np.errstate(divide="ignore"):
                return np.log(self.predict_proba(X))
        decisions = self._decisions(X)
        if decisions.shape[1] > 1:
            return log_softmax(decisions, axis=1)
        return np.hstack([log_expit(-decisions), log_expit(decisions)])


@contextmanager
def refused_as_labels(name: str) -> Iterator[None]:
    """Name the argument whose labels NumPy or scikit-learn cannot sort or read."""
    try:
        with np.errstate(invalid="ignore"):  # of labels that are NaN
            yield
    except TypeError as error:
        raise ValueError(f"{name} cannot be read as labels: {error}") from error


def labels_of(decisions):
    """Class numbers for decisions of shape (n_samples, n_outputs)."""
    if decisions.shape[1] == 1:
        return (decisions[:, 0] > 0).astype(np.intp)
    return decisions.argmax(axis=1)


def modified_huber_probabilities(decisions):
    """Probabilities for the modified Huber loss, of shape (n_samples, n_classes)."""
    positive = (np.clip(decisions, -1, 1) + 1) / 2
    if positive.shape[1] == 1:
        return np.hstack([1 - positive, positive])
    total = positive.sum(axis=1, keepdims=True)
    # If the probabilities of all classes are 0, all classes are equally probable.
    positive = np.where(total == 0, 1, positive)
    return positive / positive.sum(axis=1, keepdims=True)
