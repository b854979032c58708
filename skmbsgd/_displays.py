"""Plots, like the Display classes of scikit-learn."""

import warnings
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from itertools import tee
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone, is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skmbsgd._base import BaseMiniBatchSGD
from skmbsgd._checks import read_numbers
from skmbsgd._exceptions import DivergenceError
from skmbsgd._sklearn import Interval, validate_parameter_constraints
from skmbsgd._state import TrainingState
from skmbsgd._typing import MatrixLike
from skmbsgd._warnings import stack_level_of_caller

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The range test ends when the smoothed loss exceeds this multiple of its first value.
RISE_THAT_ENDS_THE_TEST = 4.0
# Margin of the plot above the largest smoothed loss before the minimum
RISE_SHOWN = 1.25
# The suggested rate, relative to the rate of the lowest smoothed loss
SAFETY_FACTOR = 10.0


class LearningRateDisplay:
    """Plot of the learning rates of a schedule, epoch by epoch.

    Use :meth:`from_estimator` to create it; most schedules need no fit. All parameters
    are stored as attributes.

    Parameters
    ----------
    learning_rates : array-like of shape (n_epochs,)
        Rate of the first update of each epoch, as in the attribute
        `learning_rate_curve_` of the estimators.
    name : str, default=None
        Name in the legend. If None, there is no legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.
    ax_ : matplotlib Axes
        Axes with the curve.
    figure_ : matplotlib Figure
        Figure of the axes.

    See Also
    --------
    TrainingCurveDisplay : The rates of a fitted estimator, with its objective.
    LearningRateRangeDisplay : Finds the initial rate `eta0`.

    Examples
    --------
    Two schedules on the same axes:

    >>> from skmbsgd import LearningRateDisplay, MiniBatchSGDClassifier
    >>> step = MiniBatchSGDClassifier(learning_rate="step", eta0=0.8, epochs_drop=2)
    >>> cosine = MiniBatchSGDClassifier(
    ...     learning_rate="cosine", eta0=0.8, max_iter=4
    ... )
    >>> display = LearningRateDisplay.from_estimator(step, n_epochs=4)
    >>> display.learning_rates
    array([0.8, 0.4, 0.4, 0.2])
    >>> other = LearningRateDisplay.from_estimator(cosine, ax=display.ax_)
    >>> [text.get_text() for text in display.ax_.get_legend().get_texts()]
    ['step', 'cosine']
    """

    def __init__(self, learning_rates: ArrayLike, *, name: str | None = None) -> None:
        self.learning_rates = learning_rates
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseMiniBatchSGD | Pipeline,
        *,
        n_epochs: int | None = None,
        n_samples: int | None = None,
        name: str | None = None,
        ax: "Axes | None" = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Plot the schedule of an estimator, fitted or not.

        The rates are computed by the code that training uses. With `eta0="auto"` the
        schedule starts from `eta0_`, so the estimator must be fitted. Rates that are
        determined in training (cycles and "adaptive") come from the attribute
        `learning_rate_curve_`. The estimator is not changed.

        Parameters
        ----------
        estimator : MiniBatchSGDClassifier, MiniBatchSGDRegressor or Pipeline
            The estimator, or a pipeline that ends in one.
        n_epochs : int, default=None
            Number of epochs to plot, at least 1. None means `max_iter` of the
            estimator. "cosine" reaches 0 at `max_iter` for any `n_epochs`, and
            `decay="auto"` depends on `max_iter` as well.
        n_samples : int, default=None
            Number of training rows in an epoch, at least 1, without those that
            `early_stopping` holds out. Required by the schedules that count updates
            ("invscaling", "optimal" and those with `decay_unit="update"`): together
            with `batch_size` it gives the number of updates in an epoch. Other
            schedules ignore it.
        name : str, default=None
            Name in the legend. None means the name of the schedule or of the function.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure.
        line_kwargs : dict, default=None
            Keyword arguments for matplotlib's `plot`.

        Returns
        -------
        display : LearningRateDisplay
            The display with the plot.

        Raises
        ------
        ValueError
            If a parameter of the estimator is invalid, if the schedule counts updates
            and `n_samples` is missing, or if the rates are determined in training
            (`eta0="auto"` or `learning_rate="adaptive"`) and the estimator is not
            fitted.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        positive = [Interval(Integral, 1, None, closed="left"), None]
        validate_parameter_constraints(
            {"n_epochs": positive, "n_samples": positive},
            {"n_epochs": n_epochs, "n_samples": n_samples},
            caller_name=f"{cls.__name__}.from_estimator",
        )
        model = linear_model_of(estimator)
        model._check_parameters()
        if name is None:
            schedule = model.learning_rate
            name = getattr(schedule, "__name__", str(schedule))
        n_epochs = model.max_iter if n_epochs is None else n_epochs
        rates = scheduled_rates(model, n_epochs, n_samples)
        return cls(rates, name=name).plot(ax=ax, line_kwargs=line_kwargs)

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        name: str | None = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Plot the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure.
        name : str, default=None
            Name in the legend. None means the `name` of the display.
        line_kwargs : dict, default=None
            Keyword arguments for matplotlib's `plot`.

        Returns
        -------
        display : LearningRateDisplay
            The display itself.
        """
        plt = import_pyplot(f"{type(self).__name__}.plot")
        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        style = {
            "drawstyle": "steps-mid",
            "label": self.name if name is None else name,
        }
        self.line_ = draw_over_epochs(ax, self.learning_rates, style, line_kwargs)
        ax.set(xlabel="Epoch", ylabel="Learning rate")
        add_legend(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self


class TrainingCurveDisplay:
    """Plot of a training: objective, validation score and learning rate.

    Each has its own panel, and the panels share the axis of epochs. Use
    :meth:`from_estimator` to create it. All parameters are stored as attributes.

    Parameters
    ----------
    loss_curve : array-like of shape (n_epochs,)
        Training objective of each epoch.
    learning_rate_curve : array-like of shape (n_epochs,)
        Learning rate of each epoch's first update.
    validation_scores : array-like of shape (n_validated_epochs,), default=None
        Validation score of each epoch. If None, there is no panel for it.
    score_name : str, default="Validation score"
        Label of the axis of the score.
    name : str, default=None
        Name in the legend. If None, there is no legend.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        The curves, from top to bottom.
    axes_ : ndarray of matplotlib Axes of shape (n_panels,)
        Axes of the objective, of the validation score if there is one, and of the
        learning rate.
    figure_ : matplotlib Figure
        Figure of the axes.

    See Also
    --------
    LearningRateDisplay : Plots the learning rates before a fit.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmbsgd import MiniBatchSGDClassifier, TrainingCurveDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MiniBatchSGDClassifier(
    ...     max_iter=20, tol=None, early_stopping=True, random_state=0
    ... )
    >>> display = TrainingCurveDisplay.from_estimator(model.fit(X, y))
    >>> [ax.get_ylabel() for ax in display.axes_]
    ['Training objective', 'Validation score (minus the loss)', 'Learning rate']

    Compare a second training with the first:

    >>> faster = MiniBatchSGDClassifier(
    ...     eta0=0.1, max_iter=20, tol=None, early_stopping=True, random_state=0
    ... )
    >>> display = TrainingCurveDisplay.from_estimator(
    ...     faster.fit(X, y), ax=display.axes_, name="faster"
    ... )
    """

    def __init__(
        self,
        loss_curve: ArrayLike,
        learning_rate_curve: ArrayLike,
        *,
        validation_scores: ArrayLike | None = None,
        score_name: str = "Validation score",
        name: str | None = None,
    ) -> None:
        self.loss_curve = loss_curve
        self.learning_rate_curve = learning_rate_curve
        self.validation_scores = validation_scores
        self.score_name = score_name
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseMiniBatchSGD | Pipeline,
        *,
        name: str | None = None,
        ax: "Sequence[Axes] | np.ndarray | None" = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Plot the history of a fitted estimator.

        Parameters
        ----------
        estimator : MiniBatchSGDClassifier, MiniBatchSGDRegressor or Pipeline
            The estimator after `fit` or `partial_fit`, or a pipeline that ends in one.
            Each call of `partial_fit` is one epoch of the history. After a `fit` with
            validation, such calls continue the other curves but add no scores.
        name : str, default=None
            Name in the legend. If None, there is no legend.
        ax : array-like of matplotlib Axes, default=None
            Axes to draw on, one for each panel, such as the `axes_` of another
            display. None creates a new figure.
        line_kwargs : dict, default=None
            Keyword arguments for matplotlib's `plot`, for each of the curves.

        Returns
        -------
        display : TrainingCurveDisplay
            The display with the plot.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        # A copy is consistent even while another thread trains the estimator.
        model = copy(linear_model_of(estimator))
        check_is_fitted(model)
        has_scores = hasattr(model, "validation_scores_")
        display = cls(
            curve_of(model, "loss_curve_"),
            curve_of(model, "learning_rate_curve_"),
            validation_scores=(
                curve_of(model, "validation_scores_") if has_scores else None
            ),
            score_name=f"Validation {name_of_score(model)}",
            name=name,
        )
        return display.plot(ax=ax, line_kwargs=line_kwargs)

    def plot(
        self,
        ax: "Sequence[Axes] | np.ndarray | None" = None,
        *,
        name: str | None = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Plot the curves.

        A point marks the best validation score.

        Parameters
        ----------
        ax : array-like of matplotlib Axes, default=None
            Axes to draw on, one for each panel. None creates a new figure.
        name : str, default=None
            Name in the legend. None means the `name` of the display.
        line_kwargs : dict, default=None
            Keyword arguments for matplotlib's `plot`, for each of the curves.

        Returns
        -------
        display : TrainingCurveDisplay
            The display itself.
        """
        plt = import_pyplot(f"{type(self).__name__}.plot")
        panels = {"Training objective": self.loss_curve}
        if self.validation_scores is not None:
            panels[self.score_name] = self.validation_scores
        panels["Learning rate"] = self.learning_rate_curve
        if ax is None:
            _, ax = plt.subplots(
                len(panels),
                sharex=True,
                figsize=(6.4, 2.4 * len(panels)),
                layout="constrained",
            )
        axes = np.ravel(ax)
        if len(axes) != len(panels):
            raise ValueError(
                f"ax must hold {len(panels)} axes, for {', '.join(panels)}; "
                f"got {len(axes)}."
            )
        style = {"label": self.name if name is None else name}
        self.lines_ = []
        for panel, (label, values) in zip(axes, panels.items(), strict=True):
            if label == "Learning rate":
                style["drawstyle"] = "steps-mid"
            self.lines_.append(draw_over_epochs(panel, values, style, line_kwargs))
            panel.set_ylabel(label)
        if self.validation_scores is not None:
            scores = np.asarray(self.validation_scores)
            (best_epochs,) = np.nonzero(scores == scores.max())
            best = int(best_epochs[-1])
            self.lines_[1].set(marker="o", markevery=[best])
        axes[-1].set_xlabel("Epoch")
        add_legend(axes[0])
        self.axes_, self.figure_ = axes, axes[0].figure
        return self


def curve_of(model, name):
    """A copy of a curve of a model, which users may have changed."""
    curve = read_numbers(getattr(model, name, None), name)
    if curve.ndim != 1:
        raise ValueError(f"{name} must be a list of numbers, got {curve!r}.")
    return np.array(curve)


def name_of_score(model):
    """The label of the axis of the validation scores."""
    if model.scoring == "loss":
        return "score (minus the loss)"
    if model.scoring is None:
        return "accuracy" if is_classifier(model) else "R²"
    return model.scoring if isinstance(model.scoring, str) else "score"


class LearningRateRangeDisplay:
    """Plot of the learning-rate range test, which suggests an initial rate `eta0`.

    The test increases the rate exponentially from update to update and records the
    training objective of each batch. The objective is flat while the rate is too small,
    then falls, then rises as training diverges. Use :meth:`from_estimator` to create
    the display. All parameters are stored as attributes.

    Parameters
    ----------
    learning_rates : array-like of shape (n_updates,)
        The rates, in increasing order.
    losses : array-like of shape (n_updates,)
        Training objective of the batch of each update: the loss before the update, plus
        the penalty after it.
    smoothing : float, default=0.95
        Weight of the past in the exponential moving average of the losses, in [0, 1).
    name : str, default=None
        Name in the legend.
    eta0 : float, default=None
        Another rate to mark, that of `eta0="auto"`. None means no mark.

    Attributes
    ----------
    suggested_eta0_ : float
        A tenth of the rate with the lowest smoothed loss. NaN, with a warning, if the
        loss never fell.
    smoothed_losses_ : ndarray of shape (n_updates,)
        The smoothed losses.
    line_ : matplotlib Line2D
        The curve of the smoothed losses.
    suggestion_line_ : matplotlib Line2D or None
        The vertical line at the suggestion; None if there is no suggestion.
    eta0_line_ : matplotlib Line2D or None
        The vertical line at `eta0`; None if there is no `eta0`.
    ax_ : matplotlib Axes
        Axes with the curve.
    figure_ : matplotlib Figure
        Figure of the axes.

    See Also
    --------
    LearningRateDisplay : Plots the learning rates of a schedule.

    Notes
    -----
    The test is due to Smith [1]_ [2]_. The exponential growth and the smoothing come
    from fastai [3]_, which also uses a tenth of the rate at the minimum as one of its
    suggestions. With losses :math:`l_1, l_2, \\ldots` and a `smoothing` of
    :math:`\\beta`, the smoothed loss is the exponential moving average with the bias
    correction of Adam [4]_,

    .. math::
        \\frac{1 - \\beta}{1 - \\beta^t} \\sum_{i=1}^t \\beta^{t-i} l_i .

    This average needs the first :math:`1 / (1 - \\beta)` updates (20 by default) to
    settle. They are ignored in the search for the minimum. The test ends when the
    smoothed loss is more than 4 times its value after them.

    The suggestion is a starting point. With a schedule that lowers the rate, and
    possibly on wide sparse data, a larger rate is better. Look at the plot in two
    cases: with single rows as batches the curve is noisy, and with few, well separated
    rows in one batch the loss stays small far beyond the rates that suit the first
    updates. The suggestion depends on the momentum and the batch size, as the best rate
    does, so run the test with the settings of the training. With the perceptron loss
    and no penalty the rate only scales the weights, so the suggestion has no meaning.

    References
    ----------
    .. [1] L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV
       2017. :arxiv:`1506.01186`
    .. [2] L. N. Smith, "A disciplined approach to neural network hyper-parameters:
       Part 1", 2018. :arxiv:`1803.09820`
    .. [3] J. Howard and S. Gugger, "fastai: A Layered API for Deep Learning",
       Information 11(2), 2020. :arxiv:`2002.04688`
    .. [4] D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR
       2015, section 3. :arxiv:`1412.6980`

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmbsgd import LearningRateRangeDisplay, MiniBatchSGDClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = make_pipeline(
    ...     StandardScaler(), MiniBatchSGDClassifier(momentum=0.9, random_state=0)
    ... )
    >>> display = LearningRateRangeDisplay.from_estimator(model, X, y)
    >>> 0.01 < display.suggested_eta0_ < 0.2
    True
    >>> model = model.set_params(minibatchsgdclassifier__eta0=display.suggested_eta0_)
    """

    suggested_eta0_: float

    def __init__(
        self,
        learning_rates: ArrayLike,
        losses: ArrayLike,
        *,
        smoothing: float = 0.95,
        name: str | None = None,
        eta0: float | None = None,
    ) -> None:
        self.learning_rates = learning_rates
        self.losses = losses
        self.smoothing = smoothing
        self.name = name
        self.eta0 = eta0

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseMiniBatchSGD | Pipeline,
        X: MatrixLike,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        min_rate: float = 1e-6,
        max_rate: float = 1e3,
        n_updates: int = 500,
        smoothing: float = 0.95,
        name: str | None = None,
        ax: "Axes | None" = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Run the test on clones of the estimator, and plot it.

        Training starts from weights of 0, with the loss, penalty, `batch_size`,
        `momentum` and class weights of the estimator. The rate of update t = 0, 1, ...
        is `min_rate * (max_rate / min_rate) ** (t / (n_updates - 1))`. After a pass
        over all rows they are shuffled again. The estimator passed in is not changed.
        The plot also marks the rate that `eta0="auto"` finds for the same columns. They
        are standardised only with `standardize=True`, because `standardize="auto"` is
        False if `eta0` is a number.

        Parameters
        ----------
        estimator : MiniBatchSGDClassifier, MiniBatchSGDRegressor or Pipeline
            The estimator, fitted or not. Its `learning_rate` and `eta0` are ignored. If
            it is a pipeline, clones of the steps before the last are fitted to X and
            transform it.
        X : array-like or CSR matrix of shape (n_samples, n_features)
            Training data. `batch_size * n_updates` rows are enough.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Target values.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights >= 0; only their ratios matter, as in `fit`.
        min_rate : float, default=1e-6
            The first rate, in (0, `max_rate`). It should be so small that the weights
            hardly move.
        max_rate : float, default=1e3
            The last rate, in (`min_rate`, inf). It should be so large that training
            diverges, which ends the test.
        n_updates : int, default=500
            Number of updates from `min_rate` to `max_rate`, more than
            `1 / (1 - smoothing)`. More updates make the curve less noisy and let it
            fall earlier. With `batch_size="full"` each update is a pass over the data.
        smoothing : float, default=0.95
            Weight of the past in the exponential moving average of the losses, in
            [0, 1). 0.0 means no smoothing.
        name : str, default=None
            Name in the legend.
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure.
        line_kwargs : dict, default=None
            Keyword arguments for matplotlib's `plot` of the smoothed loss.

        Returns
        -------
        display : LearningRateRangeDisplay
            The display with the plot.

        Raises
        ------
        ValueError
            If a parameter or an input is invalid.

        Warns
        -----
        UserWarning
            If the loss never fell, or if it was still falling at `max_rate`. Then
            choose another range.
        """
        import_pyplot(f"{cls.__name__}.from_estimator")
        check_range_test(cls, min_rate, max_rate, n_updates, smoothing)
        model = clone(linear_model_of(estimator))
        if isinstance(estimator, Pipeline) and len(estimator) > 1:
            X = clone(estimator[:-1]).fit_transform(X, y)
        rates = np.geomspace(min_rate, max_rate, n_updates)
        losses = run_range_test(model, X, y, sample_weight, rates, smoothing)
        display = cls(
            rates[: len(losses)],
            losses,
            smoothing=smoothing,
            name=name,
            eta0=found_rate(model, X, y, sample_weight),
        )
        return display.plot(ax=ax, line_kwargs=line_kwargs)

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        name: str | None = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Plot the smoothed loss against the rate, and mark the suggestion.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None creates a new figure.
        name : str, default=None
            Name in the legend. None means the `name` of the display.
        line_kwargs : dict, default=None
            Keyword arguments for matplotlib's `plot` of the smoothed loss.

        Returns
        -------
        display : LearningRateRangeDisplay
            The display itself.
        """
        plt = import_pyplot(f"{type(self).__name__}.plot")
        self.smoothed_losses_ = np.fromiter(
            smoothed(self.losses, self.smoothing), dtype=float
        )
        self.suggested_eta0_ = suggested_rate(
            self.learning_rates, self.smoothed_losses_, self.smoothing
        )
        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        style = with_user_style(
            {"label": self.name if name is None else name}, line_kwargs
        )
        (self.line_,) = ax.plot(self.learning_rates, self.smoothed_losses_, **style)
        self.suggestion_line_ = None
        if np.isfinite(self.suggested_eta0_):
            self.suggestion_line_ = ax.axvline(
                self.suggested_eta0_,
                color=self.line_.get_color(),
                linestyle="--",
                label=f"suggested eta0 = {self.suggested_eta0_:.2g}",
            )
        self.eta0_line_ = None
        if self.eta0 is not None:
            self.eta0_line_ = ax.axvline(
                self.eta0,
                color=self.line_.get_color(),
                linestyle=":",
                label=f"eta0='auto' = {self.eta0:.2g}",
            )
        ax.set(
            xlabel="Learning rate",
            ylabel="Smoothed objective",
            xscale="log",
        )
        show_fall(ax, self.smoothed_losses_, self.smoothing)
        add_legend(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def import_pyplot(caller):
    """Import matplotlib.pyplot; the error says how to install it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib: python -m pip install 'skmbsgd[plot]'"
        ) from error
    return plt


def linear_model_of(estimator):
    """The estimator itself, or the last step of a pipeline."""
    model = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(model, BaseMiniBatchSGD):
        raise TypeError(
            "estimator must be a MiniBatchSGDClassifier, a MiniBatchSGDRegressor or a "
            f"Pipeline that ends in one, got {estimator!r}."
        )
    return model


# Drawing


def with_user_style(style, line_kwargs):
    """Our keywords for a line, overridden by the user's, short names included."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return {**style, **normalize_kwargs(line_kwargs, Line2D)}


def draw_over_epochs(ax, values, style, line_kwargs):
    """Draw a value for each epoch 1, 2, ..., and return the line."""
    from matplotlib.ticker import MaxNLocator

    if len(values) == 1:
        style = {**style, "marker": "o"}
    epochs = np.arange(1, len(values) + 1)
    (line,) = ax.plot(epochs, values, **with_user_style(style, line_kwargs))
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    return line


def add_legend(ax):
    """Add a legend if a line has a name."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend()


def show_fall(ax, smoothed_losses, smoothing):
    """Cut off the top of a rise that would make the fall before it look flat."""
    settled = smoothed_losses[settling_updates(smoothing) - 1 :]
    if len(settled) == 0:
        return
    largest_shown = RISE_SHOWN * settled[: np.argmin(settled) + 1].max()
    _, top = ax.get_ylim()
    if 0.0 < largest_shown < top:
        least = ax.dataLim.ymin
        margin = 0.05 * (largest_shown - least)
        ax.set_ylim(least - margin, largest_shown, auto=None)


# Schedules


def updates_per_epoch(model, schedule, n_samples):
    """Number of updates in an epoch; 1 if the schedule does not depend on it."""
    if not schedule.counts_updates:
        return 1
    if n_samples is None:
        raise ValueError(
            f"learning_rate={model.learning_rate!r} counts updates. Pass n_samples, "
            "the number of training rows: together with batch_size it gives the number "
            "of updates in an epoch."
        )
    batch_size = n_samples if model.batch_size == "full" else model.batch_size
    return -(-n_samples // batch_size)


def scheduled_rates(model, n_epochs, n_samples):
    """The rate of the first update of each epoch, as training would compute it."""
    has_cycles = model._finds_rate and model.learning_rate == "auto"
    comes_about = has_cycles or model.learning_rate == "adaptive"
    if not hasattr(model, "eta0_") and (comes_about or model._finds_rate):
        raise ValueError(
            f"The rates of learning_rate={model.learning_rate!r} with "
            f"eta0={model.eta0!r} are determined in training. Fit the estimator first, "
            "or choose another schedule and a number for eta0."
        )
    if comes_about:
        return np.array(model.learning_rate_curve_[:n_epochs])
    schedule = model._make_schedule(model.eta0_ if model._finds_rate else model.eta0)
    n_updates = updates_per_epoch(model, schedule, n_samples)
    weights, intercepts = np.zeros((1, 0)), np.zeros(1)
    start = TrainingState.start(weights, intercepts, seed=0, averaged=False)
    states = (
        replace(start, n_epochs=epoch, n_updates=epoch * n_updates)
        for epoch in range(n_epochs)
    )
    return np.array([schedule.rates(state, n_updates=1)[0] for state in states])


# The range test


def check_range_test(cls, min_rate, max_rate, n_updates, smoothing):
    """Check the settings of the range test."""
    positive = [Interval(Real, 0, np.inf, closed="neither")]
    validate_parameter_constraints(
        {
            "min_rate": positive,
            "max_rate": positive,
            "n_updates": [Interval(Integral, 2, None, closed="left")],
            "smoothing": [Interval(Real, 0, 1, closed="left")],
        },
        {
            "min_rate": min_rate,
            "max_rate": max_rate,
            "n_updates": n_updates,
            "smoothing": smoothing,
        },
        caller_name=f"{cls.__name__}.from_estimator",
    )
    if min_rate >= max_rate:
        raise ValueError(
            f"min_rate must be smaller than max_rate, got min_rate={min_rate!r} and "
            f"max_rate={max_rate!r}."
        )
    if n_updates <= settling_updates(smoothing):
        raise ValueError(
            f"n_updates={n_updates} is too few with smoothing={smoothing!r}: it must "
            f"be more than 1 / (1 - smoothing) = {settling_updates(smoothing)}."
        )


def run_range_test(model, X, y, sample_weight, rates, smoothing):
    """The losses of one update per rate, until training diverges."""
    losses = []
    n_settling = settling_updates(smoothing)
    raw, to_smooth = tee(losses_at_rates(model, X, y, sample_weight, rates))
    for loss, smoothed_loss in zip(raw, smoothed(to_smooth, smoothing), strict=True):
        losses.append(loss)
        if len(losses) == n_settling:
            highest = RISE_THAT_ENDS_THE_TEST * smoothed_loss
        if len(losses) > n_settling and smoothed_loss > highest:
            break
    return np.array(losses)


def found_rate(model, X, y, sample_weight):
    """The rate that eta0="auto" finds for the columns of the test."""
    settings = {
        "eta0": "auto",
        "learning_rate": "constant",
        "standardize": model.standardize != "auto" and model.standardize,
    }
    automatic = clone(model).set_params(**settings)
    return automatic._begin_range_test(X, y, sample_weight).eta0


def losses_at_rates(model, X, y, sample_weight, rates):
    """Train with one update per rate while the weights are finite; yield the losses."""
    # There is no schedule, because the rates are given. `update` needs one thread.
    model.set_params(learning_rate="constant", n_jobs=1, average=False)
    if model.eta0 == "auto":
        # Columns are not standardised, and an intercept starts at 0, as with a number
        # for eta0, which the test looks for.
        model.set_params(eta0=1.0)
    trainer = model._begin_range_test(X, y, sample_weight)
    generator = np.random.default_rng(trainer.state.seed) if model.shuffle else None
    batches = batches_without_end(trainer.data.n_rows, trainer.batch_size, generator)
    for rate, rows in zip(rates, batches, strict=False):
        try:
            objective = trainer.update(rows, rate)
        except DivergenceError:
            return
        yield objective


def batches_without_end(n_rows, batch_size, generator):
    """Row numbers of batches without end, in a new order after each pass."""
    while True:
        rows = np.arange(n_rows) if generator is None else generator.permutation(n_rows)
        for start in range(0, n_rows, batch_size):
            yield rows[start : start + batch_size]


def settling_updates(smoothing):
    """Number of updates after which the moving average has settled."""
    return round(1.0 / (1.0 - smoothing))


def smoothed(losses, smoothing):
    """Exponential moving averages with bias correction, one for each loss.

    >>> list(smoothed([1.0, 4.0], smoothing=0.5))  # 1, and (0.5 * 1 + 4) / 1.5
    [1.0, 3.0]
    """
    average = 0.0
    for n_averaged, loss in enumerate(losses, start=1):
        average = smoothing * average + (1.0 - smoothing) * loss
        yield average / (1.0 - smoothing**n_averaged)


def suggested_rate(learning_rates, smoothed_losses, smoothing):
    """A fraction of the rate at the lowest smoothed loss; NaN if it never fell."""
    n_unsettled = settling_updates(smoothing) - 1
    settled = smoothed_losses[n_unsettled:]
    if len(settled) == 0 or np.argmin(settled) == 0:
        warnings.warn(
            "The loss did not fall at any of the rates, so no eta0 is suggested. Scale "
            "the features, for example with sklearn.preprocessing.StandardScaler, or "
            "lower min_rate.",
            UserWarning,
            stacklevel=stack_level_of_caller(),
        )
        return np.nan
    best = n_unsettled + int(np.argmin(settled))
    if best == len(smoothed_losses) - 1:
        warnings.warn(
            "The loss was still falling at the largest rate, so a larger eta0 may be "
            "better. Increase max_rate.",
            UserWarning,
            stacklevel=stack_level_of_caller(),
        )
    return float(learning_rates[best] / SAFETY_FACTOR)
