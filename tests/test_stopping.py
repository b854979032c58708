"""When a fit ends, and its warnings if it has learnt nothing."""

import copy
import warnings

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import spearmanr
from settings import PLAIN_SGD
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale

from skmbsgd import (
    DivergenceError,
    LearningRateRangeDisplay,
    MiniBatchSGDClassifier,
    MiniBatchSGDRegressor,
)
from skmbsgd._baseline import loss_of_best_constant, loss_of_zero
from skmbsgd._data import TrainingData
from skmbsgd._trainer import Guard, Trainer


def fit_and_messages(model, X, y, **arguments):
    """The fitted model, and what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y, **arguments)
    assert all(warning.category is ConvergenceWarning for warning in caught)
    assert all(warning.filename == __file__ for warning in caught)
    return model, [str(warning.message) for warning in caught]


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return scale(X), y


# The unit of tol


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loss", reference.CLASSIFIER_LOSSES)
def test_the_loss_of_the_best_constant_for_classes(loss, n_classes, weighted):
    rng = np.random.default_rng(0)
    labels = rng.choice(n_classes, size=300, p=[0.7, 0.3, 0.0][:n_classes])
    labels[: n_classes - 1] = np.arange(1, n_classes)
    check_constants(MiniBatchSGDClassifier(loss, epsilon=0.3), labels, weighted, rng)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_targets", [1, 3])
@pytest.mark.parametrize("loss", reference.REGRESSOR_LOSSES)
def test_the_loss_of_the_best_constant_for_numbers(loss, n_targets, weighted):
    rng = np.random.default_rng(0)
    y = 3.0 + rng.exponential(2.0, size=(301, n_targets))
    check_constants(MiniBatchSGDRegressor(loss, epsilon=0.3), y, weighted, rng)


def check_constants(model, y, weighted, rng):
    n_rows = len(y)
    X = np.zeros((n_rows, 1))
    weights = rng.exponential(size=n_rows) if weighted else None
    s = np.ones(n_rows) if weights is None else weights
    if y.ndim == 1:
        classes = np.unique(y)
        data = TrainingData.of_classes(X, y, len(classes), weights)
        Y = reference.target_matrix(y, classes)
    else:
        data = TrainingData.of_numbers(X, y, weights)
        Y = y
    loss = model._make_loss(data.n_outputs)
    for constant_loss, fit_intercept in [
        (loss_of_best_constant, True),
        (loss_of_zero, False),
    ]:
        expected = reference.loss_of_best_constant(
            model.loss, Y, s, model.epsilon, fit_intercept
        )
        assert_allclose(constant_loss(loss, data), expected, rtol=1e-8, atol=1e-14)


def test_the_best_constant_knows_only_rows_with_a_weight():
    y = np.array([1.0, 2.0, 4.0, -1e9])
    weights = np.array([1.0, 1.0, 2.0, 0.0])
    data = TrainingData.of_numbers(np.zeros((4, 1)), y[:, None], weights)
    loss = MiniBatchSGDRegressor("epsilon_insensitive", epsilon=0.0)._make_loss(1)
    # Any constant from 2 to 4 is a median; at 4 the loss is (3 + 2) / 4.
    assert_allclose(loss_of_best_constant(loss, data), 5 / 4, rtol=1e-9)


def test_tol_means_the_same_in_any_unit_of_the_targets():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 4))
    y = X @ [1.0, -2.0, 0.5, 0.0] + rng.normal(size=500)
    model = MiniBatchSGDRegressor(random_state=0).fit(X, y)
    # A power of two, for which the bits are the same
    other = MiniBatchSGDRegressor(random_state=0).fit(X, 2.0**-10 * y)
    assert 6 < other.n_iter_ == model.n_iter_
    assert_array_equal(2.0**10 * other.coef_, model.coef_)


def test_small_targets_are_learnt():
    # Like daily returns: a standard deviation of 0.004, of which two thirds are signal
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 5))
    signal = X @ rng.normal(size=5)
    y = 0.004 * (0.8 * signal / signal.std() + 0.6 * rng.normal(size=2000))
    optimum = LinearRegression().fit(X, y).score(X, y)
    for seed in range(5):
        model, messages = fit_and_messages(
            MiniBatchSGDRegressor(random_state=seed), X, y
        )
        assert model.score(X, y) > optimum - 0.005
        assert not messages


def test_a_rare_event_is_learnt_from_features_that_are_not_centred():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(40, 10, 100_000), rng.normal(3, 1, 100_000)])
    logits = -4.0 + 0.08 * (X[:, 0] - 40) - 0.6 * (X[:, 1] - 3)
    y = rng.random(100_000) < 1 / (1 + np.exp(-logits))
    assert 0.02 < y.mean() < 0.04
    for seed in range(3):
        model, messages = fit_and_messages(
            MiniBatchSGDClassifier(random_state=seed), X, y
        )
        assert spearmanr(model.predict_proba(X)[:, 1], logits).statistic > 0.6
        assert not messages


@pytest.mark.parametrize("seed", range(3))
def test_a_rare_event_is_not_learnt_at_a_rate_that_is_too_large(seed):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(50, 10, 100_000), rng.exponential(20, 100_000)])
    logits = -4.0 + 0.06 * (X[:, 0] - 50) + 0.01 * (X[:, 1] - 20)
    y = rng.random(100_000) < 1 / (1 + np.exp(-logits))
    model = MiniBatchSGDClassifier(random_state=seed, **PLAIN_SGD)
    model, (message,) = fit_and_messages(model, X, y)
    assert spearmanr(model.predict_proba(X)[:, 1], logits).statistic < 0.5
    assert "worse than a constant" in message and "eta0=0.01" in message
    model = MiniBatchSGDClassifier(random_state=seed, standardize=True, **PLAIN_SGD)
    model, messages = fit_and_messages(model, X, y)
    assert spearmanr(model.predict_proba(X)[:, 1], logits).statistic > 0.95
    assert not messages


# Patience


@pytest.mark.parametrize(
    "momentum, batch_size, n_iter_no_change, n_idle",
    [
        (0.0, 10, 5, 5),
        (0.0, "full", 1, 3),
        (0.9, "full", 5, 30),
        (0.9, 10, 5, 5),
        (0.9, 10, 1, 3),
        (0.99, 10, 5, 30),
        (0.99, "full", 5, 300),
    ],
)
def test_patience_outlasts_momentum(momentum, batch_size, n_iter_no_change, n_idle):
    # With a rate of 0 no epoch after the first makes progress.
    model = MiniBatchSGDRegressor(
        eta0=0.0,
        momentum=momentum,
        batch_size=batch_size,
        n_iter_no_change=n_iter_no_change,
    )
    y = np.arange(100.0) - 49.5
    model.fit(np.zeros((100, 1)), y)
    assert model.n_iter_ == 1 + n_idle
    # The score of a validation set has the same patience.
    model.fit(np.zeros((100, 1)), y, X_val=np.zeros((100, 1)), y_val=y)
    assert model.n_iter_ == 1 + n_idle


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": "full", "eta0": 0.05, "momentum": 0.9},
        {"batch_size": "full", "eta0": 0.05, "momentum": 0.99},
        {"batch_size": 128, "eta0": 0.005, "momentum": 0.99},
    ],
    ids=str,
)
def test_no_fit_ends_on_an_upswing(diabetes, settings, seed, nesterov):
    model = MiniBatchSGDRegressor(random_state=seed, nesterov=nesterov, **settings)
    model, messages = fit_and_messages(model, *diabetes)
    assert model.score(*diabetes) > 0.51  # 0.5177 at the optimum
    assert not messages


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("loss", reference.CLASSIFIER_LOSSES)
def test_no_fit_ends_clearly_above_its_best_without_a_word(loss, seed):
    # Fifty rows that are not scaled, and one update an epoch
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(50, 3)) * [1.0, 5.0, 20.0]
    y = X @ [1.0, 0.3, -0.1] + rng.normal(size=50) > 0
    model = MiniBatchSGDClassifier(loss, batch_size="full", random_state=seed)
    try:
        model, messages = fit_and_messages(model, X, y)
    except DivergenceError:
        return
    last, best = model.loss_curve_[-1], min(model.loss_curve_)
    Y = reference.target_matrix(y, [False, True])
    unit = reference.loss_of_best_constant(loss, Y, np.ones(50), 0.1, True) or 1.0
    assert messages or last <= max(1.2 * best, best + 0.01 * unit)


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 128, "max_iter": 5, "momentum": 0.9, "nesterov": False},
        {"batch_size": 64, "max_iter": 5, "momentum": 0.99},
        {"batch_size": "full", "max_iter": 8, "momentum": 0.99},
    ],
    ids=str,
)
def test_an_upswing_at_the_end_of_a_cycle_is_told(diabetes, settings):
    X, y = diabetes
    model = MiniBatchSGDRegressor(tol=None, random_state=0, **settings)
    model, (message,) = fit_and_messages(model, X, y)
    assert np.mean((model.predict(X) - y) ** 2) / 2 > 1.2 * min(model.loss_curve_)
    assert "clearly above its best value" in message and "max_iter" in message
    # With a few epochs more the swing is over.
    model.set_params(max_iter=200)
    _, messages = fit_and_messages(model, X, y)
    assert not messages


def test_an_upswing_cut_short_is_told(diabetes):
    X, y = diabetes
    settings = {"batch_size": "full", "eta0": 0.05, "momentum": 0.99, "tol": None}
    settings["nesterov"] = False  # which swings
    y = y - y.mean()
    curve = MiniBatchSGDRegressor(**settings, max_iter=60).fit(X, y).loss_curve_
    is_up = (curve > 1.2 * np.minimum.accumulate(curve)) & (curve < 0.9 * np.var(y) / 2)
    model = MiniBatchSGDRegressor(**settings, max_iter=1 + int(np.argmax(is_up)))
    assert model.max_iter > 1
    _, (message,) = fit_and_messages(model, X, y)
    assert "clearly above its best" in message and "eta0=0.05" in message


# Restarts


def test_training_that_begins_anew_has_all_of_its_epochs(diabetes, monkeypatch):
    accepts, n_asked = Guard.accepts, 0

    def refuse_the_third_epoch(*arguments):
        nonlocal n_asked
        n_asked += 1
        return n_asked != 3 and accepts(*arguments)

    monkeypatch.setattr(Guard, "accepts", refuse_the_third_epoch)
    settings = {"max_iter": 5, "random_state": 0}
    model = MiniBatchSGDRegressor(**settings, tol=None)
    model, messages = fit_and_messages(model, *diabetes)
    assert n_asked == 3 + 5
    assert model.n_iter_ == len(model.loss_curve_) == 5
    # The cycle of rates comes to its end as well.
    rates = model.eta0_ * np.array([1.0, 0.8, 0.6, 0.4, 0.2])
    assert_allclose(model.learning_rate_curve_, rates, rtol=1e-12)
    assert not messages
    n_asked = 0
    _, (message,) = fit_and_messages(MiniBatchSGDRegressor(**settings), *diabetes)
    assert message.startswith("Training stopped at max_iter=5 epochs")


# Worse than no model


@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_a_fit_worse_than_a_constant_says_so(load):
    X, y = load(return_X_y=True)
    shares = np.bincount(y) / len(y)
    entropy = -shares @ np.log(shares)
    for seed in range(3):
        model = MiniBatchSGDClassifier(random_state=seed, **PLAIN_SGD)
        model, (message,) = fit_and_messages(model, X, y)
        assert model.loss_curve_[-1] > 10 * entropy
        assert f"constant prediction, {entropy:.6g}: the model is worse" in message
        assert "eta0=0.01" in message and "StandardScaler" in message
        _, messages = fit_and_messages(model, scale(X), y)
        assert not messages


def test_a_rise_that_a_single_update_brings_is_seen():
    X = np.arange(20.0)[:, None]
    model = MiniBatchSGDRegressor(eta0=0.1, max_iter=1, batch_size="full", tol=None)
    _, (message,) = fit_and_messages(model, X, X.ravel() - 9.5)
    assert "worse than a constant" in message and "eta0=0.1" in message


def test_too_few_epochs_are_told_from_too_large_rates(diabetes):
    X, y = diabetes
    model = MiniBatchSGDRegressor(eta0=1e-3, max_iter=3, tol=None)
    _, (message,) = fit_and_messages(model, X, y)
    assert "worse than a constant. Increase max_iter" in message


def test_a_first_epoch_that_gets_somewhere_is_no_reason_to_warn(diabetes):
    X, y = diabetes
    model = MiniBatchSGDRegressor(eta0=0.1, max_iter=1, tol=None, random_state=0)
    model, messages = fit_and_messages(model, X, y)
    # It began far above the best constant, and ends below.
    assert model.loss_curve_[0] > np.var(y) / 2
    assert np.mean((model.predict(X) - y) ** 2) < np.var(y)
    assert not messages


# Divergence


def test_divergence_is_an_error_of_its_own():
    assert issubclass(DivergenceError, ValueError)
    X = np.arange(200.0)[:, None]
    with pytest.raises(DivergenceError, match="infinite or NaN"):
        MiniBatchSGDRegressor(eta0=1.0).fit(X, X.ravel())


@pytest.mark.parametrize("batch_size", [32, "full"])
@pytest.mark.parametrize("fitted", [False, True])
def test_a_fit_that_ends_absurdly_high_is_refused(batch_size, fitted):
    X = np.arange(200.0)[:, None]
    y = 2 * X.ravel()
    model = MiniBatchSGDRegressor(max_iter=5, tol=None, batch_size=batch_size)
    if fitted:
        model.fit(X, y)
    model.set_params(eta0=0.002)
    before = copy.deepcopy(vars(model))
    with pytest.raises(DivergenceError, match=r"objective is .*eta0=0\.002"):
        model.fit(X, y)
    assert_same_attributes(model, before)
    # Also from there on, and if the best constant is as good as any model
    model.set_params(warm_start=True)
    with pytest.raises(DivergenceError, match="at the start"):
        model.fit(X, y, coef_init=[1.0], intercept_init=1.0)
    with pytest.raises(DivergenceError):
        model.fit(X, np.ones(200))
    assert_same_attributes(model, before | {"warm_start": True})


def assert_same_attributes(model, before):
    assert vars(model).keys() == before.keys()
    for name, value in before.items():
        if isinstance(value, np.ndarray):
            assert_array_equal(getattr(model, name), value)
        elif name != "_resumption":
            assert getattr(model, name) == value


def test_an_absurd_start_is_no_divergence():
    X = np.linspace(-1.0, 1.0, 64)[:, None]
    model = MiniBatchSGDRegressor(eta0=0.01, max_iter=3, tol=None)
    start = {"coef_init": [1e30], "intercept_init": [0.0]}
    model, (message,) = fit_and_messages(model, X, X.ravel(), **start)
    assert "worse than a constant. Increase max_iter" in message
    assert 1e28 < model.coef_[0] < 1e30


@pytest.mark.parametrize("eta0", [0.0, 1e100])
def test_a_loss_of_zero_at_the_start_is_no_measure(eta0):
    X = np.linspace(-1.0, 1.0, 64)[:, None]
    model = MiniBatchSGDClassifier("perceptron", eta0=eta0, max_iter=3, tol=None)
    fit_and_messages(model, X, X.ravel() > 0.5)


def test_a_grid_search_leaves_out_what_diverged(diabetes):
    X, y = diabetes
    # Columns that are not scaled, on which the two larger rates diverge: a few epochs
    # leave finite weights.
    model = MiniBatchSGDRegressor(max_iter=5, tol=None, random_state=0)
    rates = np.array([1e-4, 1e-3, 0.01, 0.1])
    search = GridSearchCV(model, {"eta0": rates}, cv=3, refit=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search.fit(X * 10.0, y)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores[:2]).all() and np.isnan(scores[2:]).all()
    (message,) = (
        str(each.message) for each in caught if each.category is FitFailedWarning
    )
    assert "6 fits failed out of a total of 12" in message
    assert "DivergenceError: Training diverged: after epoch 5" in message
    assert "(now eta0=0.01)" in message


@pytest.mark.parametrize("n_rows", [20, 32, 100, 500])
def test_the_first_chunk_of_a_raw_stream_is_refused(n_rows):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(40, 5, n_rows), rng.normal(50_000, 8_000, n_rows)])
    model = MiniBatchSGDRegressor(random_state=0, **PLAIN_SGD)
    before = copy.deepcopy(vars(model))
    with pytest.raises(DivergenceError, match=r"eta0=0\.01"):
        model.partial_fit(X, X @ [1.0, 0.001])
    assert vars(model) == before


@pytest.mark.parametrize("n_rows", [10, 200])
def test_a_chunk_that_is_refused_can_be_left_out(n_rows):
    rng = np.random.default_rng(0)
    chunks = [rng.normal(size=(n_rows, 3)) for _ in range(6)]
    models = [MiniBatchSGDRegressor(random_state=0) for _ in range(2)]
    for number, X in enumerate(chunks):
        y = X @ [1.0, 2.0, 3.0]
        if number == 3:
            with pytest.raises(DivergenceError):
                models[0].partial_fit(1e7 * X, y)
        for model in models:
            model.partial_fit(X, y)
    assert_array_equal(models[0].coef_, models[1].coef_)
    assert_array_equal(models[0].loss_curve_, models[1].loss_curve_)


def test_drift_is_no_divergence():
    rng = np.random.default_rng(0)
    model = MiniBatchSGDRegressor(random_state=0, eta0=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for unit in (1.0, 1e-6, 1e3, 1e-3, 1e6):  # of y
            for _ in range(20):
                X = rng.normal(size=(32, 2))
                model.partial_fit(X, unit * (X @ [1.0, 2.0]))
    # Chunks of one row, which the model can fit exactly
    model = MiniBatchSGDClassifier("hinge", eta0=1.0)
    for _ in range(200):
        x = rng.normal(size=(1, 2))
        model.partial_fit(x, [int(x[0, 0] > 0)], classes=[0, 1])
    assert np.isfinite(model.coef_).all()


def test_a_large_penalty_is_no_divergence(diabetes):
    X, y = diabetes
    for kind in (MiniBatchSGDRegressor, MiniBatchSGDClassifier):
        model = kind(alpha=1e5, random_state=0)
        target = y if kind is MiniBatchSGDRegressor else y > y.mean()
        fit_and_messages(model, X, target)
        assert np.isfinite(model.coef_).all()
        model = kind(alpha=1e5, random_state=0)
        first = {} if kind is MiniBatchSGDRegressor else {"classes": [False, True]}
        for _ in range(5):
            model.partial_fit(X, target, **first)
        assert np.isfinite(model.coef_).all()
        assert len(model.loss_curve_) == 5


@pytest.mark.parametrize("error", [ValueError, DivergenceError])
def test_the_range_test_takes_no_other_error_for_divergence(
    error, diabetes, monkeypatch
):
    pytest.importorskip("matplotlib").use("agg")
    update, n_updates = Trainer.update, 0

    def failing_update(*arguments):
        nonlocal n_updates
        n_updates += 1
        if n_updates == 100:
            raise error("in the 100th update")
        return update(*arguments)

    monkeypatch.setattr(Trainer, "update", failing_update)
    run = LearningRateRangeDisplay.from_estimator
    arguments = MiniBatchSGDRegressor(random_state=0), *diabetes
    if error is DivergenceError:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            assert len(run(*arguments).losses) == 99
    else:
        with pytest.raises(ValueError, match="in the 100th update"):
            run(*arguments)


# Chunks without a weight


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_a_chunk_without_weights_counts_the_epoch_and_nothing_else(penalty, by_class):
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(64, 3)), np.tile([0, 1], 32)
    model = MiniBatchSGDClassifier(
        penalty=penalty,
        eta0=0.01,
        decay=1.0,
        alpha=0.01,
        random_state=0,
        class_weight={0: 0.0} if by_class else None,
    )
    model.partial_fit(X, labels, classes=[0, 1])
    before = copy.deepcopy(model)
    if by_class:
        model.partial_fit(X, np.zeros(64, dtype=int))
    else:
        model.partial_fit(X, labels, sample_weight=np.zeros(64))
    assert_array_equal(model.coef_, before.coef_)
    assert_array_equal(model.intercept_, before.intercept_)
    assert (model.n_iter_, model.t_) == (2, before.t_)
    strength = np.abs(model.coef_).sum() if penalty == "l1" else None
    if strength is None:
        strength = (model.coef_**2).sum() / 2
    assert_allclose(model.loss_curve_[1], 0.01 * strength, rtol=1e-12)
    assert_allclose(model.learning_rate_curve_, [0.01, 0.005], rtol=1e-12)
    model.partial_fit(X, labels)
    assert_allclose(model.learning_rate_curve_[2], 0.01 / 3, rtol=1e-12)
    assert not np.array_equal(model.coef_, before.coef_)


@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_a_stream_may_begin_with_a_chunk_without_weights(loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(64, 3))
    y = X @ [1.0, 2.0, 3.0]
    model = MiniBatchSGDRegressor(loss, random_state=0)
    model.partial_fit(X, y, sample_weight=np.zeros(64))
    assert (model.n_iter_, model.t_, model.loss_curve_) == (1, 0, [0.0])
    assert_array_equal(model.coef_, 0.0)
    model.partial_fit(X, y)
    assert (model.n_iter_, model.t_) == (2, 2)
    with pytest.raises(ValueError, match=r"weights.*zero"):
        model.fit(X, y, sample_weight=np.zeros(64))
