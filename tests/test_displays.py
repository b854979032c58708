"""The displays, against histories of real fits and runs by the public methods."""

import subprocess
import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from settings import PLAIN_SGD
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.class_weight import compute_sample_weight

from skmbsgd import (
    DivergenceError,
    LearningRateDisplay,
    LearningRateRangeDisplay,
    MiniBatchSGDClassifier,
    MiniBatchSGDRegressor,
    TrainingCurveDisplay,
)

N_EPOCHS = 7
DISPLAYS = [LearningRateDisplay, TrainingCurveDisplay, LearningRateRangeDisplay]


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return scale(X), y


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X), y


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return scale(X), scale(y)


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# Schedules


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": "constant", "eta0": 0.3},
        {"learning_rate": "time", "decay": 0.3},
        {"learning_rate": "time", "decay": "auto", "eta0": 2.0},
        {"learning_rate": "time", "decay": 0.01, "decay_unit": "update"},
        {"learning_rate": "step", "epochs_drop": 2},
        {"learning_rate": "step", "epochs_drop": [1, 5], "drop": 0.1},
        {"learning_rate": "exponential", "decay": 0.3},
        {"learning_rate": "exponential", "decay": 0.01, "decay_unit": "update"},
        {"learning_rate": "cosine"},
        {"learning_rate": "invscaling"},
        {"learning_rate": "invscaling", "batch_size": 1, "power_t": 0.1},
        {"learning_rate": "invscaling", "batch_size": "full"},
        {"learning_rate": "invscaling", "batch_size": 10_000},
        {"learning_rate": "optimal", "alpha": 0.1},
        {"learning_rate": lambda epoch: 1 / (3 + epoch)},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "estimator, data",
    [
        (MiniBatchSGDClassifier(), "digits"),
        (MiniBatchSGDClassifier("hinge"), "cancer"),
        (MiniBatchSGDRegressor("huber"), "diabetes"),
    ],
    ids=["softmax", "binary", "regression"],
)
def test_schedule_is_the_one_of_a_fit(estimator, data, settings, request):
    X, y = request.getfixturevalue(data)
    usual = {**PLAIN_SGD, "max_iter": N_EPOCHS, "tol": None, "random_state": 0}
    model = clone(estimator).set_params(**{**usual, **settings})
    display = LearningRateDisplay.from_estimator(model, n_samples=len(X))
    assert not hasattr(model, "coef_")
    rates = model.fit(X, y).learning_rate_curve_
    assert_array_equal(display.learning_rates, rates)
    assert_array_equal(display.line_.get_xdata(), np.arange(1, N_EPOCHS + 1))
    assert_array_equal(display.line_.get_ydata(), rates)


def test_cosine_depends_on_max_iter_rather_than_n_epochs():
    model = MiniBatchSGDClassifier(learning_rate="cosine", eta0=1.0, max_iter=4)
    display = LearningRateDisplay.from_estimator(model, n_epochs=6)
    expected = [1.0, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 0.0, 0.0]
    assert_allclose(display.learning_rates, expected, rtol=0, atol=1e-15)


def test_schedules_share_axes_and_name_themselves():
    def halved(epoch):
        return 0.5**epoch

    display = LearningRateDisplay.from_estimator(
        make_pipeline(StandardScaler(), MiniBatchSGDRegressor(**PLAIN_SGD)), n_epochs=3
    )
    for learning_rate, name in (("step", None), (halved, None), ("cosine", "waves")):
        model = MiniBatchSGDRegressor(learning_rate=learning_rate, eta0=0.1)
        other = LearningRateDisplay.from_estimator(
            model, n_epochs=3, ax=display.ax_, name=name
        )
        assert other.figure_ is display.figure_
    assert legend_texts(display.ax_) == ["time", "step", "halved", "waves"]
    assert len(display.ax_.lines) == 4
    assert display.plot(name="again").ax_ is not other.ax_
    assert legend_texts(display.ax_) == ["again"]


def test_line_kwargs_overrule_ours_by_any_name():
    display = LearningRateDisplay([0.3, 0.2], name="ours").plot(
        line_kwargs={"ds": "default", "lw": 3, "label": "theirs"}
    )
    assert display.line_.get_drawstyle() == "default"
    assert display.line_.get_linewidth() == 3
    assert display.line_.get_label() == "theirs"


def test_display_without_name_has_no_legend():
    assert LearningRateDisplay([0.3, 0.2]).plot().ax_.get_legend() is None


@pytest.mark.parametrize(
    "settings, arguments, message",
    [
        ({"learning_rate": "adaptive", "eta0": 0.1}, {}, "'adaptive'.*Fit the"),
        ({"learning_rate": "invscaling", "eta0": 0.1}, {}, "Pass n_samples"),
        ({"learning_rate": "optimal"}, {}, "Pass n_samples"),
        ({"eta0": 0.1, "decay_unit": "update"}, {}, "Pass n_samples"),
        ({}, {}, "'auto'.*Fit the estimator first.*eta0"),
        ({"learning_rate": "step"}, {}, "'step'.*eta0='auto'.*Fit the estimator"),
        ({"learning_rate": "optimal", "alpha": 0.0}, {"n_samples": 9}, "alpha must"),
        ({"eta0": -1.0}, {}, "eta0"),
        ({}, {"n_epochs": 0}, "n_epochs"),
        ({}, {"n_epochs": 2.5}, "n_epochs"),
        ({}, {"n_samples": 0}, "n_samples"),
        ({"learning_rate": lambda epoch: -1.0}, {}, "finite number >= 0"),
    ],
)
def test_schedule_that_cannot_be_drawn(settings, arguments, message):
    model = MiniBatchSGDClassifier(**settings)
    with pytest.raises(ValueError, match=message):
        LearningRateDisplay.from_estimator(model, **arguments)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("settings", [{}, {"learning_rate": "adaptive", "eta0": 0.1}])
def test_rates_that_came_about_in_training_are_those_that_were_used(diabetes, settings):
    model = MiniBatchSGDRegressor(random_state=0, **settings).fit(*diabetes)
    for n_epochs in (None, 4):
        display = LearningRateDisplay.from_estimator(model, n_epochs=n_epochs)
        assert_array_equal(
            display.learning_rates, model.learning_rate_curve_[:n_epochs]
        )


def test_schedule_of_a_fitted_estimator_starts_from_the_rate_that_it_found(diabetes):
    X, y = diabetes
    model = MiniBatchSGDRegressor(
        learning_rate="step", epochs_drop=2, max_iter=5, tol=None, random_state=0
    ).fit(X, y)
    display = LearningRateDisplay.from_estimator(model)
    assert_array_equal(display.learning_rates, model.learning_rate_curve_)


# Training


def test_training_curves_are_the_history(digits):
    model = MiniBatchSGDClassifier(
        learning_rate="step", early_stopping=True, max_iter=5, tol=None, random_state=0
    ).fit(*digits)
    display = TrainingCurveDisplay.from_estimator(model)
    history = [model.loss_curve_, model.validation_scores_, model.learning_rate_curve_]
    assert len(display.axes_) == 3
    for line, ax, values in zip(display.lines_, display.axes_, history, strict=True):
        assert line.axes is ax
        assert_array_equal(line.get_xdata(), [1, 2, 3, 4, 5])
        assert_array_equal(line.get_ydata(), values)
    (marked,) = display.lines_[1].get_markevery()
    assert display.lines_[1].get_ydata()[marked] == model.best_validation_score_
    assert [ax.get_ylabel() for ax in display.axes_] == [
        "Training objective",
        "Validation score (minus the loss)",
        "Learning rate",
    ]


def test_history_of_partial_fit(diabetes):
    model = MiniBatchSGDRegressor(decay=0.5, random_state=0)
    for _ in range(4):
        model.partial_fit(*diabetes)
    display = TrainingCurveDisplay.from_estimator(model)
    expected = list(model.loss_curve_)
    model.partial_fit(*diabetes)
    assert len(display.lines_) == 2
    assert_array_equal(display.loss_curve, expected)  # not the list that grows
    assert_array_equal(display.lines_[1].get_ydata(), display.learning_rate_curve)


def test_history_of_fit_with_validation_then_partial_fit(diabetes):
    X, y = diabetes
    model = MiniBatchSGDRegressor(max_iter=3, tol=None, random_state=0)
    model.fit(X, y, X_val=X, y_val=y).partial_fit(X, y)
    display = TrainingCurveDisplay.from_estimator(model)
    assert [len(line.get_xdata()) for line in display.lines_] == [4, 3, 4]
    labels = {None: "R²", "r2": "r2", max_error_score: "score"}
    for scoring, label in labels.items():
        model.set_params(scoring=scoring).fit(X, y, X_val=X, y_val=y)
        display = TrainingCurveDisplay.from_estimator(model)
        assert display.axes_[1].get_ylabel() == f"Validation {label}"


def max_error_score(estimator, X, y):
    return -np.abs(estimator.predict(X) - y).max()


def test_history_of_one_epoch_is_visible(diabetes):
    model = MiniBatchSGDRegressor().partial_fit(*diabetes)
    display = TrainingCurveDisplay.from_estimator(model)
    assert [line.get_marker() for line in display.lines_] == ["o", "o"]


def test_trainings_share_axes(diabetes):
    model = make_pipeline(
        StandardScaler(), MiniBatchSGDRegressor(max_iter=3, tol=None)
    ).fit(*diabetes)
    first = TrainingCurveDisplay.from_estimator(model, name="one")
    second = TrainingCurveDisplay.from_estimator(model, name="two", ax=first.axes_)
    assert second.figure_ is first.figure_
    assert legend_texts(first.axes_[0]) == ["one", "two"]
    with pytest.raises(ValueError, match="ax must hold 2 axes"):
        TrainingCurveDisplay.from_estimator(model, ax=first.axes_[0])


@pytest.mark.parametrize("curve", [None, 3, "abc", [[1.0, 2.0]], [None]])
@pytest.mark.parametrize(
    "name", ["loss_curve_", "learning_rate_curve_", "validation_scores_"]
)
def test_curves_overwritten_by_nonsense_are_named(diabetes, name, curve):
    X, y = diabetes
    model = MiniBatchSGDRegressor(max_iter=3, tol=None).fit(X, y, X_val=X, y_val=y)
    setattr(model, name, curve)
    with pytest.raises(ValueError, match=name):
        TrainingCurveDisplay.from_estimator(model)
    assert plt.get_fignums() == []


def test_training_curves_need_a_fitted_estimator():
    with pytest.raises(NotFittedError):
        TrainingCurveDisplay.from_estimator(MiniBatchSGDClassifier())


# The range test


def range_test(model, X, y, **settings):
    """The display, made where a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return LearningRateRangeDisplay.from_estimator(model, X, y, **settings)


@pytest.mark.parametrize("layout", [np.asarray, csr_array])
@pytest.mark.parametrize(
    "model, data",
    [
        (MiniBatchSGDClassifier(momentum=0.9, nesterov=True), "digits"),
        (MiniBatchSGDClassifier("hinge", penalty="l1", alpha=0.01), "cancer"),
        (MiniBatchSGDRegressor(momentum=0.5, batch_size=7), "diabetes"),
    ],
    ids=["softmax", "hinge with L1", "regression"],
)
def test_losses_are_those_of_partial_fit(model, data, layout, request):
    X, y = request.getfixturevalue(data)
    X = layout(X)
    model = clone(model).set_params(shuffle=False, random_state=0)
    display = range_test(model, X, y)

    stream = clone(model).set_params(learning_rate="constant")
    classes = {} if data == "diabetes" else {"classes": np.unique(y)}
    starts = np.arange(0, X.shape[0], model.batch_size)
    n_updates = 150  # a new pass over the digits begins after 57
    for rate, start in zip(
        np.geomspace(1e-6, 1e3, 500)[:n_updates],
        np.resize(starts, n_updates),
        strict=True,
    ):
        rows = slice(start, start + model.batch_size)
        stream.set_params(eta0=rate).partial_fit(X[rows], y[rows], **classes)
    assert_allclose(
        display.losses[:n_updates], stream.loss_curve_, rtol=1e-10, atol=1e-13
    )
    assert_allclose(
        display.learning_rates[:n_updates], stream.learning_rate_curve_, rtol=1e-14
    )


def test_only_ratios_of_weights_matter(cancer):
    X, y = cancer
    weights = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    model = MiniBatchSGDClassifier(random_state=0)
    plain = range_test(model, X, y)
    weighted = range_test(model, X, y, sample_weight=weights)
    scaled = range_test(model, X, y, sample_weight=1000.0 * weights)
    assert_allclose(scaled.losses, weighted.losses, rtol=1e-9)
    assert not np.allclose(plain.losses[:100], weighted.losses[:100], rtol=1e-3)


def test_class_weights_are_those_of_fit(cancer):
    X, y = cancer
    model = MiniBatchSGDClassifier(random_state=0)
    by_class = range_test(clone(model).set_params(class_weight="balanced"), X, y)
    by_sample = range_test(
        model, X, y, sample_weight=compute_sample_weight("balanced", y)
    )
    assert_allclose(by_class.losses, by_sample.losses, rtol=1e-9)


def test_each_epoch_of_the_test_shuffles_anew():
    # The decision does not change at these rates, so the losses are those of the rows
    y = np.arange(4.0)
    model = MiniBatchSGDRegressor(batch_size=1, penalty=None, random_state=0)
    display = LearningRateRangeDisplay.from_estimator(
        model, np.zeros((4, 1)), y, min_rate=1e-12, max_rate=1e-9, n_updates=200
    )
    epochs = np.sqrt(2 * display.losses).round(4).reshape(-1, 4)
    assert_array_equal(np.sort(epochs), np.tile(y, (50, 1)))
    assert len(np.unique(epochs, axis=0)) > 10


def test_smoothing_is_that_of_pandas(cancer):
    display = range_test(MiniBatchSGDClassifier(random_state=0), *cancer, smoothing=0.9)
    expected = pd.Series(display.losses).ewm(alpha=0.1, adjust=True).mean()
    assert_allclose(display.smoothed_losses_, expected, rtol=1e-12)
    assert_array_equal(display.line_.get_ydata(), display.smoothed_losses_)
    assert_array_equal(display.line_.get_xdata(), display.learning_rates)


def test_suggestion_is_a_tenth_of_the_rate_at_the_minimum():
    rates = np.geomspace(1e-5, 1e3, 9)
    losses = (np.log10(rates) - 1.0) ** 2
    display = LearningRateRangeDisplay(rates, losses, smoothing=0.0).plot()
    assert display.suggested_eta0_ == pytest.approx(1.0, rel=1e-12)
    assert_allclose(display.suggestion_line_.get_xdata(), 1.0, rtol=1e-12)
    assert legend_texts(display.ax_) == ["suggested eta0 = 1"]
    # The average is settled from the second update on: the first loss does not count.
    losses[0] = -1.0
    display = LearningRateRangeDisplay(rates, losses, smoothing=0.5).plot()
    assert display.suggested_eta0_ > 0.5


def test_batch_gradient_descent_on_a_parabola():
    # The objective is w^2 / 2 + 1/2 at its best of w = 0; a step multiplies w by
    # 1 - rate, so that w shrinks at rates < 2 and grows beyond.
    X = np.array([[1.0], [1.0]])
    y = np.array([11.0, 9.0])
    model = MiniBatchSGDRegressor(
        penalty=None, fit_intercept=False, batch_size="full", momentum=0.0
    )
    rates = np.geomspace(1e-2, 1e2, 30)
    display = range_test(
        model, X, y, min_rate=1e-2, max_rate=1e2, n_updates=30, smoothing=0.0
    )
    factors = np.cumprod(1.0 - rates)[: len(display.losses) - 1]
    expected = 0.5 + 0.5 * (10.0 * np.concatenate([[1.0], factors])) ** 2
    assert_allclose(display.losses, expected, rtol=1e-9)
    assert len(display.losses) < 30
    assert expected[-1] > 4 * expected[0] >= expected[-2]
    # A loss is met before the update of its rate: it is due to the rate before.
    due_to = rates[np.flatnonzero(np.isclose(rates, 10 * display.suggested_eta0_)) - 1]
    assert 1.0 < due_to < 2.0 < display.learning_rates[-1]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize(
    "model, data",
    [
        (MiniBatchSGDClassifier(), "digits"),
        (MiniBatchSGDClassifier(), "cancer"),
        (MiniBatchSGDRegressor(), "diabetes"),
    ],
    ids=["digits", "cancer", "diabetes"],
)
def test_suggestion_is_near_the_best_of_a_scan(model, data, momentum, request):
    X, y = request.getfixturevalue(data)
    model = clone(model).set_params(
        momentum=momentum, learning_rate="constant", tol=None, random_state=0
    )
    display = range_test(model, X, y)

    def objective_after_five_epochs(eta0):
        try:
            fitted = clone(model).set_params(eta0=eta0, max_iter=5).fit(X, y)
        except DivergenceError:
            return np.inf
        at_rest = clone(model).set_params(eta0=0.0, max_iter=1)
        return at_rest.fit(X, y, fitted.coef_, fitted.intercept_).loss_curve_[0]

    start = objective_after_five_epochs(0.0)
    best = min(map(objective_after_five_epochs, np.geomspace(1e-4, 10.0, 11)))
    suggested = objective_after_five_epochs(display.suggested_eta0_)
    assert suggested - best < 0.05 * (start - best)


@pytest.mark.parametrize("batch_size", [1, 32, "full"])
def test_divergence_ends_the_test_quietly(diabetes, batch_size):
    model = MiniBatchSGDRegressor(batch_size=batch_size, random_state=0)
    display = range_test(model, *diabetes)
    assert 20 < len(display.losses) == len(display.learning_rates) < 500
    smoothed_losses = display.smoothed_losses_
    assert smoothed_losses[-1] > 4 * smoothed_losses[19] >= smoothed_losses[19:-1].max()
    # The plot shows the whole fall, and its scale does not depend on the rise.
    settled = smoothed_losses[19:]
    highest = settled[: np.argmin(settled)].max()
    bottom, top = display.ax_.get_ylim()
    assert bottom < smoothed_losses.min() < highest < top < 1.3 * highest


def test_overflow_in_the_first_update(diabetes):
    X, y = diabetes
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        display = LearningRateRangeDisplay.from_estimator(
            MiniBatchSGDRegressor(), 1e74 * X, y
        )
    (warning,) = caught
    assert "did not fall" in str(warning.message)
    assert warning.filename == __file__
    assert np.isfinite(display.losses).all() and len(display.losses) <= 1
    assert np.isnan(display.suggested_eta0_)


@pytest.mark.parametrize(
    "model",
    [MiniBatchSGDRegressor(random_state=0), MiniBatchSGDRegressor(momentum=0.9)],
)
def test_no_suggestion_where_nothing_falls(diabetes, model):
    X, y = diabetes
    with pytest.warns(UserWarning, match="did not fall"):
        display = LearningRateRangeDisplay.from_estimator(
            model, 1000 * X, y, min_rate=1.0
        )
    assert np.isnan(display.suggested_eta0_)
    assert display.suggestion_line_ is None
    (label,) = display.ax_.get_legend().get_texts()
    assert label.get_text() == f"eta0='auto' = {display.eta0:.2g}"


def test_range_that_ends_too_early_is_told(cancer):
    model = MiniBatchSGDClassifier(batch_size="full")
    with pytest.warns(UserWarning, match="Increase max_rate"):
        display = LearningRateRangeDisplay.from_estimator(model, *cancer, max_rate=1e-3)
    assert len(display.losses) == 500
    assert display.suggested_eta0_ == pytest.approx(1e-4, rel=1e-12)


def test_range_test_changes_nothing(cancer):
    X, y = cancer
    generator = np.random.RandomState(0)
    model = MiniBatchSGDClassifier(random_state=generator, max_iter=5, tol=None)
    model.fit(X, y)
    before = {
        name: value.copy() if isinstance(value, np.ndarray) else value
        for name, value in vars(model).items()
    }
    position, X_before, y_before = generator.get_state()[2], X.copy(), y.copy()
    history = list(model.loss_curve_)
    LearningRateRangeDisplay.from_estimator(model, X, y)
    assert vars(model).keys() == before.keys()
    for name, value in before.items():
        assert_array_equal(getattr(model, name), value)
    assert model.loss_curve_ == history
    assert generator.get_state()[2] == position
    assert_array_equal(X, X_before)
    assert_array_equal(y, y_before)


def test_settings_of_the_fit_to_come_play_no_role(cancer):
    X, y = cancer
    model = MiniBatchSGDClassifier(random_state=0)
    expected = range_test(model, X, y).losses
    for settings in (
        {"learning_rate": "adaptive"},
        {"learning_rate": lambda epoch: 1 / 0},
        {"eta0": 0.0, "decay": "auto", "decay_unit": "update"},
        {"early_stopping": True, "average": True, "warm_start": True},
        {"max_iter": 1, "tol": None},
    ):
        other = clone(model).set_params(**settings)
        assert_array_equal(range_test(other, X, y).losses, expected)


def test_pipeline_transforms_by_clones_of_its_steps():
    X, y = load_breast_cancer(return_X_y=True)
    model = MiniBatchSGDClassifier(random_state=0)
    pipeline = make_pipeline(StandardScaler(), model)
    display = range_test(pipeline, pd.DataFrame(X), y)
    assert not hasattr(pipeline[0], "mean_")
    expected = range_test(model, StandardScaler().fit_transform(X), y)
    assert_allclose(display.losses, expected.losses, rtol=1e-6)
    alone = range_test(make_pipeline(model), scale(X), y)
    assert_allclose(alone.losses, expected.losses, rtol=1e-6)


def test_several_targets_and_single_precision(diabetes):
    X, y = diabetes
    model = MiniBatchSGDRegressor(random_state=0, penalty=None)
    one = range_test(model, X, y)
    two = range_test(model, X, np.column_stack([y, y]))
    assert_allclose(two.losses, 2 * one.losses, rtol=1e-12)
    single = range_test(model, X.astype(np.float32), y)
    assert_allclose(single.losses[:300], one.losses[:300], rtol=1e-3)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"min_rate": 0.0}, "min_rate"),
        ({"min_rate": "small"}, "min_rate"),
        ({"max_rate": np.inf}, "max_rate"),
        ({"min_rate": 1.0, "max_rate": 1.0}, "min_rate must be smaller"),
        ({"n_updates": 1}, "n_updates"),
        ({"n_updates": 20}, "n_updates=20 is too few.*= 20"),
        ({"smoothing": 1.0}, "smoothing"),
        ({"smoothing": -0.1}, "smoothing"),
        ({"sample_weight": np.full(569, -1.0)}, "sample_weight"),
        ({"sample_weight": np.zeros(569)}, "(?i)sample weights.*zero"),
    ],
)
def test_range_test_with_bad_settings(cancer, arguments, message):
    model = MiniBatchSGDClassifier()
    with pytest.raises(ValueError, match=message):
        LearningRateRangeDisplay.from_estimator(model, *cancer, **arguments)
    assert plt.get_fignums() == []


def test_range_test_with_bad_data(cancer):
    X, y = cancer
    X_with_nan = X.copy()
    X_with_nan[500, 3] = np.nan
    model = MiniBatchSGDClassifier()
    with pytest.raises(ValueError, match="NaN"):
        LearningRateRangeDisplay.from_estimator(model, X_with_nan, y)
    with pytest.raises(ValueError, match="2 classes"):
        LearningRateRangeDisplay.from_estimator(model, X, np.zeros(len(y)))
    with pytest.raises(ValueError, match="alpha"):
        LearningRateRangeDisplay.from_estimator(model.set_params(alpha=-1.0), X, y)


# All displays


def data_for(display, X, y):
    return (X, y) if display is LearningRateRangeDisplay else ()


@pytest.mark.parametrize("display", DISPLAYS)
def test_other_estimators_are_refused(display, cancer):
    for estimator in (SGDClassifier(), make_pipeline(StandardScaler()), None):
        with pytest.raises(TypeError, match="estimator must be"):
            display.from_estimator(estimator, *data_for(display, *cancer))


@pytest.mark.parametrize("display", DISPLAYS)
def test_missing_matplotlib_is_named_with_its_extra(display, cancer, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    model = MiniBatchSGDClassifier()
    with pytest.raises(ImportError, match=r"matplotlib.*skmbsgd\[plot\]"):
        display.from_estimator(model, *data_for(display, *cancer))


def test_matplotlib_is_imported_where_it_is_used():
    program = "import sys, skmbsgd; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("standardize", ["auto", False, True])
def test_the_automatic_rate_stands_beside_the_suggestion(cancer, standardize):
    X, y = cancer[0] * 2.0, cancer[1]
    model = MiniBatchSGDClassifier(standardize=standardize, random_state=0)
    display = LearningRateRangeDisplay.from_estimator(model, X, y)
    # The columns as they are, of variance 4, unless they are to be standardised
    found = MiniBatchSGDClassifier(standardize=standardize is True, random_state=0)
    assert display.eta0 == found.fit(X, y).eta0_
    assert_array_equal(display.eta0_line_.get_xdata(), display.eta0)
    assert f"eta0='auto' = {display.eta0:.2g}" in [
        text.get_text() for text in display.ax_.get_legend().get_texts()
    ]
    assert LearningRateRangeDisplay([1.0, 2.0], [1.0, 2.0]).eta0 is None
