"""Learning rates, compared with numbers computed by hand or recorded elsewhere.

The expected rates are written as plain fractions and decimals, never computed by a
formula of the schedule. No attribute shows the rates within an epoch. So the data are
such that the intercept is the sum of all rates so far: the loss is |y - z| with y far
above, so its slope is -1 at each row of each update.
"""

import math
import pickle
import warnings
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose
from settings import PLAIN_SGD
from sklearn.exceptions import ConvergenceWarning

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor
from skmbsgd import _schedules as schedules

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ROOT_HALF = 0.7071067811865476
ROOT_THREE = 1.7320508075688772
E_TO_MINUS_TENTH = 0.9048374180359595
EXP_OF_MINUS_TENTHS = np.array(
    [
        *(1.0, E_TO_MINUS_TENTH, 0.8187307530779818),
        *(0.7408182206817179, 0.6703200460356393, 0.6065306597126334),
    ]
)
X = np.zeros((10, 1))
Y = np.full(10, 1000.0)
N_EPOCHS = 6


def slope_one_model(**settings):
    """Return an estimator whose intercept is the sum of its rates on X and Y.

    It does two updates per epoch, of 6 rows and of 4.
    """
    return MiniBatchSGDRegressor(
        "epsilon_insensitive",
        epsilon=0.0,
        penalty=None,
        batch_size=6,
        tol=None,
        max_iter=N_EPOCHS,
        **PLAIN_SGD,
    ).set_params(**settings)


# Settings, the rates of the epochs if they are constant within them
BY_EPOCH = {
    "plain SGD": ({"eta0": 0.1}, [0.1] * 6),
    "constant": ({"learning_rate": "constant", "eta0": 0.1, "decay": 3.0}, [0.1] * 6),
    "constant zero": ({"learning_rate": "constant", "eta0": 0.0}, [0.0] * 6),
    "time": (
        {"learning_rate": "time", "eta0": 0.6, "decay": 0.5},
        [0.6, 0.4, 0.3, 0.24, 0.2, 6 / 35],
    ),
    "time, auto": (  # decay = 0.3 / 6 = 1 / 20
        {"learning_rate": "time", "eta0": 0.3, "decay": "auto"},
        [6 / 20, 6 / 21, 6 / 22, 6 / 23, 6 / 24, 6 / 25],
    ),
    "exponential": (
        {"learning_rate": "exponential", "eta0": 2.0, "decay": 0.1},
        2 * EXP_OF_MINUS_TENTHS,
    ),
    "exponential, auto": (  # decay = 0.6 / 6 = 0.1
        {"learning_rate": "exponential", "eta0": 0.6, "decay": "auto"},
        0.6 * EXP_OF_MINUS_TENTHS,
    ),
    "cosine": (
        {"learning_rate": "cosine", "eta0": 0.8},
        [0.8, 0.4 + 0.2 * ROOT_THREE, 0.6, 0.4, 0.2, 0.4 - 0.2 * ROOT_THREE],
    ),
    "step by default": (
        {"learning_rate": "step", "eta0": 0.1, "epochs_drop": 3},
        [0.1, 0.1, 0.05, 0.05, 0.05, 0.025],
    ),
    "step of one epoch": (
        {"learning_rate": "step", "eta0": 1.0, "epochs_drop": 1, "drop": 0.1},
        [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6],
    ),
    "step of a broken number of epochs": (
        {"learning_rate": "step", "eta0": 1.0, "epochs_drop": 2.5, "drop": 0.5},
        [1.0, 1.0, 0.5, 0.5, 0.25, 0.25],
    ),
    "step of half an epoch": (
        {"learning_rate": "step", "eta0": 1.0, "epochs_drop": 0.5, "drop": 0.5},
        [1 / 4, 1 / 16, 1 / 64, 1 / 256, 1 / 1024, 1 / 4096],
    ),
    "step of a tenth of an epoch": (  # 1 / 0.1 is 10, though 0.1 is more than a tenth
        {"learning_rate": "step", "eta0": 1.0, "epochs_drop": 0.1, "drop": 0.5},
        [2.0**-10, 2.0**-20, 2.0**-30, 2.0**-40, 2.0**-50, 2.0**-60],
    ),
    "step without a drop": (
        {"learning_rate": "step", "eta0": 0.1, "epochs_drop": 2, "drop": 1.0},
        [0.1] * 6,
    ),
    "step at epochs": (
        {"learning_rate": "step", "eta0": 1.0, "epochs_drop": [1, 4], "drop": 0.1},
        [1.0, 0.1, 0.1, 0.1, 0.01, 0.01],
    ),
    "step at unsorted epochs": (
        {"learning_rate": "step", "eta0": 1.0, "epochs_drop": (4, 1), "drop": 0.1},
        [1.0, 0.1, 0.1, 0.1, 0.01, 0.01],
    ),
    "step twice at an epoch": (
        {
            "learning_rate": "step",
            "eta0": 1.0,
            "epochs_drop": np.array([3, 3]),
            "drop": 0.1,
        },
        [1.0, 1.0, 1.0, 0.01, 0.01, 0.01],
    ),
    "step at the first epoch": (
        {"learning_rate": "step", "eta0": 1.0, "epochs_drop": [0], "drop": 0.1},
        [0.1] * 6,
    ),
    "step at no epoch": (
        {"learning_rate": "step", "eta0": 1.0, "epochs_drop": [], "drop": 0.1},
        [1.0] * 6,
    ),
    "callable": (
        {"learning_rate": [0.5, 0.25, 0.125, 1, 0, 3.0].__getitem__, "eta0": 99.0},
        [0.5, 0.25, 0.125, 1.0, 0.0, 3.0],
    ),
    "callable of NumPy numbers": (
        {"learning_rate": np.array([8, 4, 2, 1, 0.5, 0], np.float32).__getitem__},
        [8.0, 4.0, 2.0, 1.0, 0.5, 0.0],
    ),
    "callable of exact numbers": (
        {"learning_rate": lambda epoch: Fraction(1, 2 + epoch)},
        [1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6, 1 / 7],
    ),
}

# Settings, the rates of the 12 updates
BY_UPDATE = {
    "time by update": (
        {"learning_rate": "time", "eta0": 0.6, "decay": 0.5, "decay_unit": "update"},
        [
            *(0.6, 0.4, 0.3, 0.24, 0.2, 0.6 / 3.5),
            *(0.15, 0.6 / 4.5, 0.12, 0.6 / 5.5, 0.1, 0.6 / 6.5),
        ],
    ),
    "time by update, auto": (  # decay = 0.3 / 6 = 1 / 20
        {"eta0": 0.3, "decay": "auto", "decay_unit": "update"},
        [6 / n for n in (20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31)],
    ),
    "exponential by update": (  # decay is the logarithm of 2
        {
            "learning_rate": "exponential",
            "eta0": 1.0,
            "decay": 0.6931471805599453,
            "decay_unit": "update",
        },
        [1 / n for n in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)],
    ),
    "invscaling by default": (  # power_t = 1 / 4, the square root's square root
        {"learning_rate": "invscaling", "eta0": 1.0},
        [
            *(1.0, 0.8408964152537145, 0.7598356856515925, ROOT_HALF),
            *(0.668740304976422, 0.6389431042462724, 0.6147881529512643),
            *(0.5946035575013605, 0.5773502691896258, 0.5623413251903491),
            *(0.5491004867761125, 0.537284965911771),
        ],
    ),
    "invscaling with a root": (
        {"learning_rate": "invscaling", "eta0": 0.5, "power_t": 0.5},
        0.5
        * np.array(
            [
                *(1.0, ROOT_HALF, 0.5773502691896258, 0.5, 0.4472135954999579),
                *(0.4082482904638631, 0.3779644730092272, 0.5 * ROOT_HALF, 1 / 3),
                *(0.31622776601683794, 0.30151134457776363, 0.2886751345948129),
            ]
        ),
    ),
    "optimal": (  # typical weight and first rate 2, hence 1 / (alpha * (8 + t))
        {"learning_rate": "optimal", "alpha": 0.0625},
        [16 / n for n in (8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)],
    ),
}


@pytest.mark.parametrize("settings, rates", BY_EPOCH.values(), ids=BY_EPOCH.keys())
def test_the_curve_shows_the_rates_of_the_epochs(settings, rates):
    model = slope_one_model(**settings).fit(X, Y)
    assert isinstance(model.learning_rate_curve_, list)
    assert all(type(rate) is float for rate in model.learning_rate_curve_)
    assert_allclose(model.learning_rate_curve_, rates, rtol=1e-13)
    assert_allclose(model.intercept_[0], 2 * math.fsum(rates), rtol=1e-13)


@pytest.mark.parametrize("settings, rates", BY_UPDATE.values(), ids=BY_UPDATE.keys())
def test_the_curve_shows_the_first_rates_of_the_epochs(settings, rates):
    model = slope_one_model(**settings).fit(X, Y)
    assert_allclose(model.learning_rate_curve_, rates[::2], rtol=1e-13)
    assert_allclose(model.intercept_[0], math.fsum(rates), rtol=1e-13)


ALL_CASES = BY_EPOCH | BY_UPDATE


@pytest.mark.parametrize("name", ALL_CASES)
def test_a_stream_goes_through_the_rates_call_by_call(name):
    settings, rates = ALL_CASES[name]
    per_epoch = 2 if name in BY_UPDATE else 1
    model = slope_one_model(**settings)
    for _ in range(N_EPOCHS):
        model.partial_fit(X, Y)
    assert_allclose(model.learning_rate_curve_, rates[::per_epoch], rtol=1e-13)
    total = math.fsum(rates) * 2 / per_epoch
    assert_allclose(model.intercept_[0], total, rtol=1e-13)


def test_updates_are_counted_over_chunks_of_all_sizes():
    model = slope_one_model(decay=1.0, decay_unit="update", eta0=1.0)
    for n_rows in [6, 10, 1, 10]:  # 1 + 2 + 1 + 2 updates
        model.partial_fit(X[:n_rows], Y[:n_rows])
    assert_allclose(model.learning_rate_curve_, [1, 1 / 2, 1 / 4, 1 / 5], rtol=1e-14)
    total = 1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5 + 1 / 6
    assert_allclose(model.intercept_, [total], rtol=1e-14)
    assert model.t_ == 6


def test_each_fit_goes_through_the_rates_anew():
    model = slope_one_model(eta0=0.6, decay=0.5, max_iter=3, warm_start=True)
    for _ in range(2):
        model.fit(X, Y)
        assert_allclose(model.learning_rate_curve_, [0.6, 0.4, 0.3], rtol=1e-14)
    model.partial_fit(X, Y)
    assert_allclose(model.learning_rate_curve_, [0.6, 0.4, 0.3, 0.24], rtol=1e-14)
    assert_allclose(model.intercept_, [2 * (1.3 + 1.3 + 0.24)], rtol=1e-14)


def test_cosine_stays_zero_when_a_stream_outlasts_max_iter():
    model = slope_one_model(learning_rate="cosine", eta0=1.0, max_iter=2)
    for _ in range(5):
        model.partial_fit(X, Y)
    assert_allclose(model.learning_rate_curve_, [1, 0.5, 0, 0, 0], atol=1e-16)


def test_adaptive_divides_by_five_when_training_stands_still():
    # z = y = 0: no epoch improves on the first, which sets the mark.
    model = MiniBatchSGDRegressor(
        learning_rate="adaptive",
        eta0=1e-4,
        momentum=0.0,  # which waits no longer than n_iter_no_change
        n_iter_no_change=3,
        max_iter=50,
    )
    model.fit(X, np.zeros(10))
    rates = [1e-4] * 4 + [2e-5] * 3 + [4e-6] * 3 + [8e-7] * 3
    assert_allclose(model.learning_rate_curve_, rates, rtol=1e-12)
    assert model.n_iter_ == 13


def test_adaptive_starts_anew_when_eta0_is_changed_in_a_stream():
    model = slope_one_model(learning_rate="adaptive", eta0=0.5)
    for eta0 in (0.5, 0.5, 0.125, 0.125, 0.5):
        model.set_params(eta0=eta0).partial_fit(X, Y)
    assert model.learning_rate_curve_ == [0.5, 0.5, 0.125, 0.125, 0.5]
    assert_allclose(model.intercept_, [2 * 1.75], rtol=1e-14)


def test_adaptive_starts_anew_when_eta0_is_changed_after_a_fit():
    model = MiniBatchSGDRegressor(learning_rate="adaptive", eta0=1e-4, max_iter=100)
    model.fit(X, np.zeros(10))
    stale = model.learning_rate_curve_[-1]
    assert stale < 1e-6
    for eta0, rate in [(1e-4, stale), (0.125, 0.125), (0.125, 0.125)]:
        model = pickle.loads(pickle.dumps(model))  # which loses nothing of this
        model.set_params(eta0=eta0).partial_fit(X, Y)
        assert model.learning_rate_curve_[-1] == rate


def test_adaptive_keeps_its_rate_while_training_improves():
    # Each epoch moves z by 2 towards y = 1000, and lowers the loss by as much. It is
    # 1000 at z = 0, which is the unit, as that of the best constant is 0.
    settings = {"learning_rate": "adaptive", "eta0": 1.0, "n_iter_no_change": 2}
    with pytest.warns(ConvergenceWarning):
        model = slope_one_model(tol=1.9e-3, max_iter=9, **settings).fit(X, Y)
    assert model.learning_rate_curve_ == [1.0] * 9
    # Not by 2.1 thousandths, though: each two epochs after the first are too many.
    model = slope_one_model(tol=2.1e-3, max_iter=50, **settings).fit(X, Y)
    rates = [1, 1, 1, 0.2, 0.2, 0.04]
    assert_allclose(model.learning_rate_curve_[:6], rates, rtol=1e-14)


# Recorded from keras.optimizers.schedules.InverseTimeDecay of Keras 3.15.1 (float32):
# initial rate, decay_steps, decay_rate, {update: rate}
INVERSE_TIME_DECAY = [
    (
        0.1,
        10,
        0.5,
        {
            0: 0.10000000149011612,
            1: 0.0952381044626236,
            5: 0.07999999821186066,
            10: 0.06666667014360428,
            20: 0.05000000074505806,
            30: 0.03999999910593033,
            100: 0.01666666753590107,
        },
    ),
    (
        0.1,
        1,
        0.5,
        {
            0: 0.10000000149011612,
            1: 0.06666667014360428,
            2: 0.05000000074505806,
            3: 0.03999999910593033,
            4: 0.03333333507180214,
            5: 0.02857142873108387,
        },
    ),
]


@pytest.mark.parametrize("eta0, decay_steps, decay_rate, recorded", INVERSE_TIME_DECAY)
def test_time_by_update_is_the_inverse_time_decay_of_keras(
    eta0, decay_steps, decay_rate, recorded
):
    model = MiniBatchSGDRegressor(
        batch_size=1,
        eta0=eta0,
        decay=decay_rate / decay_steps,
        decay_unit="update",
        tol=None,
        max_iter=max(recorded) + 1,
    )
    model.fit(X[:1], Y[:1])  # one update per epoch
    rates = [model.learning_rate_curve_[update] for update in recorded]
    assert_allclose(rates, list(recorded.values()), rtol=1e-7)


# torch.optim.lr_scheduler.MultiStepLR: milestones, gamma, initial rate, and the rates
# of the epochs, each with the first epoch that has it. The second is the example of
# PyTorch's documentation.
MULTI_STEP_LR = [
    ([10, 20, 30, 40], 0.1, 0.1, {0: 1e-1, 10: 1e-2, 20: 1e-3, 30: 1e-4, 40: 1e-5}),
    ([30, 80], 0.1, 0.05, {0: 0.05, 30: 0.005, 80: 0.0005}),
    (
        [10, 20, 30, 40],
        0.5,
        0.08,
        {0: 0.08, 10: 0.04, 20: 0.02, 30: 0.01, 40: 0.005},
    ),
]


@pytest.mark.parametrize("milestones, gamma, eta0, first_epochs", MULTI_STEP_LR)
def test_step_at_epochs_is_the_multi_step_lr_of_pytorch(
    milestones, gamma, eta0, first_epochs
):
    n_epochs = milestones[-1] + 10
    model = slope_one_model(
        learning_rate="step",
        epochs_drop=milestones,
        drop=gamma,
        eta0=eta0,
        max_iter=n_epochs,
    )
    curve = model.fit(X, Y).learning_rate_curve_
    assert len(curve) == n_epochs
    starts = list(first_epochs)
    for start, stop in zip(starts, [*starts[1:], n_epochs], strict=True):
        assert_allclose(curve[start:stop], first_epochs[start], rtol=1e-13)


@pytest.mark.parametrize(
    "loss", ["log_loss", "hinge", "squared_hinge", "modified_huber", "huber"]
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_optimal_starts_at_the_typical_weight(loss, n_classes):
    # alpha = 1/16: the typical weight is 2, and no loss has a slope > 1 at z = -2.
    model = MiniBatchSGDClassifier(
        loss,
        learning_rate="optimal",
        alpha=0.0625,
        batch_size="full",
        tol=None,
        max_iter=2,
    )
    rng = np.random.default_rng(0)
    model.fit(0.1 * rng.normal(size=(9, 2)), np.arange(9) % n_classes)
    assert_allclose(model.learning_rate_curve_, [2, 16 / 9], rtol=1e-14)


@pytest.mark.parametrize(
    "function, arguments, expected",
    [
        (schedules.constant, (4, 0.3), 0.3),
        (schedules.time_based, (4, 0.3, 0.125), 0.2),
        (schedules.time_based, (np.array([0, 8, 16]), 0.3, 0.125), [0.3, 0.15, 0.1]),
        (schedules.step, (8, 0.1, 0.5, 10), 0.1),
        (schedules.step, (9, 0.1, 0.5, 10), 0.05),
        (schedules.step, (18, 0.1, 0.5, 10), 0.05),
        (schedules.step, (19, 0.1, 0.5, 10), 0.025),
        (schedules.step, (0, 0.1, 0.5, 0.1), 0.1 / 1024),
        (schedules.step, (9, 0.1, 0.5, [10, 20]), 0.1),
        (schedules.step, (10, 0.1, 0.5, [10, 20]), 0.05),
        (schedules.step, (20, 0.1, 0.5, [10, 20]), 0.025),
        (schedules.exponential, (1, 0.5, 0.1), 0.5 * E_TO_MINUS_TENTH),
        (schedules.exponential, (np.array([0, 1]), 1, 0.1), [1, E_TO_MINUS_TENTH]),
        (schedules.cosine, (0, 0.4, 8), 0.4),
        (schedules.cosine, (2, 0.4, 8), 0.2 + 0.2 * ROOT_HALF),
        (schedules.cosine, (4, 0.4, 8), 0.2),
        (schedules.cosine, (6, 0.4, 8), 0.2 - 0.2 * ROOT_HALF),
        (schedules.inverse_scaling, (24, 0.4, 0.5), 0.08),
        (schedules.inverse_scaling, (np.array([0, 15]), 0.4, 0.25), [0.4, 0.2]),
        (schedules.inverse_scaling, (24, 0.4, 0.0), 0.4),
        (schedules.optimal, (np.array([0, 6]), 0.5, 2.0), [1.0, 0.25]),
        (schedules.optimal_start, (0.0625, lambda y, z: z - y), 8.0),
        # A slope of 4 divides the first rate by 4: 1 / (0.0625 * 2 / 4)
        (schedules.optimal_start, (0.0625, lambda y, z: -2 * z * y), 32.0),
    ],
)
def test_a_schedule_is_what_it_is_by_hand(function, arguments, expected):
    assert_allclose(function(*arguments), expected, rtol=1e-14)


def test_step_drops_when_a_whole_number_of_fractions_has_passed():
    # 11 / 1.1 is 10, and its floor as well; 11 // 1.1 is 9.
    assert schedules.step(10, eta0=1.0, drop=0.5, epochs_drop=1.1) == 0.5**10


@pytest.mark.parametrize("epochs_drop", [0.1, 0.3, 0.7, 1.1, 1.3, 2.2, 2.5, 3.3, 7.7])
def test_step_counts_fractions_of_epochs_as_documented(epochs_drop):
    for epoch in range(200):
        n_drops = math.floor((1 + epoch) / epochs_drop)
        rate = schedules.step(epoch, eta0=1.0, drop=0.875, epochs_drop=epochs_drop)
        assert_allclose(rate, 0.875**n_drops, rtol=1e-14)


def test_step_survives_drops_without_number():
    assert schedules.step(0, eta0=1.0, drop=0.5, epochs_drop=1e-320) == 0.0


def test_a_callable_is_asked_for_each_epoch_once_by_its_number():
    asked = []

    def rate(epoch):
        asked.append(epoch)
        return 0.1

    model = slope_one_model(learning_rate=rate, max_iter=4).fit(X, Y)
    assert asked == [0, 1, 2, 3]
    assert all(type(epoch) is int for epoch in asked)
    model.partial_fit(X, Y)
    assert asked == [0, 1, 2, 3, 4]


NOT_A_RATE = [
    *(math.nan, math.inf, -math.inf, -0.1, -1),
    *("0.1", None, 0.1j, [0.1], np.array([0.1, 0.2]), np.float32("nan")),
]


@pytest.mark.parametrize("value", NOT_A_RATE, ids=repr)
def test_a_callable_without_a_rate_is_refused_with_its_epoch(value):
    model = slope_one_model(learning_rate=lambda epoch: 0.1 if epoch < 2 else value)
    with pytest.raises(ValueError, match=r"learning_rate\(2\) returned") as caught:
        model.fit(X, Y)
    assert repr(value) in str(caught.value)
    assert "finite number >= 0" in str(caught.value)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize(
    "function", [lambda epoch, rate: rate, lambda: 0.1, lambda *, epoch: 0.1]
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_callable_that_takes_no_single_argument_is_refused(function, method):
    model = slope_one_model(learning_rate=function)
    with pytest.raises(ValueError, match="must take one argument, the epoch") as caught:
        getattr(model, method)(X, Y)
    assert "LearningRateScheduler" in str(caught.value)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize(
    "function",
    [lambda *epochs: 0.1, lambda epoch, rate=0.1: rate, {0: 0.1, 1: 0.1}.__getitem__],
)
def test_a_callable_may_have_arguments_that_need_not_be_passed(function):
    model = slope_one_model(learning_rate=function, max_iter=2).fit(X, Y)
    assert model.learning_rate_curve_ == [0.1, 0.1]


def test_a_stream_survives_a_callable_without_a_rate():
    model = slope_one_model(learning_rate=lambda epoch: 0.1 if epoch != 2 else -1.0)
    model.partial_fit(X, Y).partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"learning_rate\(2\) returned -1.0"):
        model.partial_fit(X, Y)
    assert model.n_iter_ == 2
    assert model.learning_rate_curve_ == [0.1, 0.1]
    assert_allclose(model.intercept_, [0.4], rtol=1e-14)
    model.set_params(learning_rate="constant", eta0=1.0).partial_fit(X, Y)
    assert_allclose(model.intercept_, [2.4], rtol=1e-14)


def test_an_error_in_a_callable_tells_its_epoch():
    def rate(epoch):
        return [0.1, 0.1][epoch]

    model = slope_one_model(learning_rate=rate)
    with pytest.raises(IndexError, match="list index out of range") as caught:
        model.fit(X, Y)
    assert any("learning_rate(2)" in note for note in caught.value.__notes__)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize(
    "name, value",
    [
        ("learning_rate", "linear"),
        ("learning_rate", None),
        ("learning_rate", 0.1),
        ("eta0", -0.1),
        ("eta0", math.nan),
        ("eta0", math.inf),
        ("decay", -1e-9),
        ("decay", math.inf),
        ("decay", "automatic"),
        ("decay_unit", "batch"),
        ("drop", 0.0),
        ("drop", 1.5),
        ("epochs_drop", 0),
        ("epochs_drop", -3),
        ("epochs_drop", math.inf),
        ("epochs_drop", "ten"),
        ("epochs_drop", [10, -1]),
        ("epochs_drop", [[10], [20]]),
        ("epochs_drop", [10.0, math.nan]),
        ("epochs_drop", ["10"]),
        ("power_t", -0.5),
    ],
)
def test_a_setting_out_of_range_is_named(name, value):
    model = slope_one_model(**{name: value})
    for train in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=name):
            train(X, Y)
    assert not hasattr(model, "coef_")


def test_optimal_needs_alpha():
    model = slope_one_model(learning_rate="optimal", alpha=0.0)
    with pytest.raises(ValueError, match="alpha must be > 0"):
        model.fit(X, Y)


@pytest.mark.parametrize("number", [float, np.float64])
@pytest.mark.parametrize("unit", ["epoch", "update"])
@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": "time", "decay": 1e308},
        {"learning_rate": "exponential", "decay": 1e308},
        {"learning_rate": "invscaling", "power_t": 1e300},
        {"learning_rate": "step", "epochs_drop": 1e-308, "drop": 0.5},
    ],
    ids=lambda settings: settings["learning_rate"],
)
def test_rates_too_small_for_a_number_are_zero(settings, unit, number):
    settings = {
        name: number(value) if isinstance(value, float) else value
        for name, value in settings.items()
    }
    X, y = np.ones((6, 1)), np.ones(6)
    model = MiniBatchSGDRegressor(
        **settings, decay_unit=unit, eta0=number(0.25), momentum=0.0, batch_size=3,
        max_iter=20, penalty=None, tol=None, shuffle=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        model.fit(X, y)
    first = 0.0 if settings["learning_rate"] == "step" else 0.25
    assert_allclose(model.learning_rate_curve_, [first] + 19 * [0.0], atol=1e-300)
    # As many updates at 0.25 as share the first clock, each 0.25 * (1 - w - b)
    n_updates = 0 if first == 0.0 else 1
    if unit == "epoch" and settings["learning_rate"] in ("time", "exponential"):
        n_updates = 2
    assert_allclose(model.coef_, [(1.0 - 0.5**n_updates) / 2.0])


def test_a_cosine_of_the_largest_rates_is_no_larger_than_they_are():
    assert float(schedules.cosine(0, eta0=1e308, max_iter=10)) == 1e308
