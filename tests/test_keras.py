"""The estimators have the same weights as Keras's SGD after each epoch.

``data/keras_trajectories.json`` holds small data sets and, for each of its cases, the
weights of a ``Dense`` layer after every epoch of training by ``keras.optimizers.SGD``;
``data/record_keras.py`` recorded them. The tests do not need Keras.

Keras computed in float32, whose spacing near the weights' size (up to 3) is 2.4e-7. The
rounding errors of a case's few hundred updates add up. The same updates in float64 end
within 8e-7 of the record. In float32, with another order of summation, they end within
2.5e-6, for weights near 2. So the tolerance is 1e-5 of a weight plus 1e-6. A clock that
is one tick off, the other momentum rule, or an alpha that is 5% too large exceeds it by
a factor of more than 100.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

RECORDING = json.loads(
    Path(__file__).with_name("data").joinpath("keras_trajectories.json").read_text()
)
CASES = RECORDING["cases"]
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def id_of(case):
    """Name a case by its settings."""
    schedule = case["schedule"]
    clock = f" by {schedule['per']}" if "per" in schedule else ""
    momentum = "nesterov" if case["nesterov"] else "momentum"
    return (
        f"{case['task']} from {case['start']}, batch {case['batch_size']}, "
        f"{schedule['kind']}{clock}, {momentum} {case['momentum']}, l2 {case['l2']}"
    )


def each_case(cases):
    return pytest.mark.parametrize("case", cases, ids=id_of)


each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def data_of(case, dtype, layout=np.asarray):
    X = layout(np.array(RECORDING["data"]["X"], dtype))
    y = np.array(RECORDING["data"]["y"][case["task"]])
    return X, y.astype(dtype) if case["task"] == "regression" else y


def penalty_and_eta0(case):
    """Translate Keras's learning rate and L2 factor.

    Keras's mean squared error is twice our squared error; its L2(l2) adds l2 * ||w||^2
    to the loss where we add alpha / 2 * ||w||^2. So Keras's step for regression,

        rate * (2 * (z - y) * x + 2 * l2 * w),

    is ours with eta0 = 2 * rate and alpha = l2. The cross-entropies are the same here
    and there, which leaves eta0 = rate and alpha = 2 * l2.
    """
    if case["task"] == "regression":
        eta0, alpha = 2 * case["rate"], case["l2"]
    else:
        eta0, alpha = case["rate"], 2 * case["l2"]
    penalty = {"penalty": "l2", "alpha": alpha} if alpha else {"penalty": None}
    return penalty | {"eta0": eta0}


def schedule_of(case):
    """Translate a learning-rate schedule."""
    schedule = case["schedule"]
    if schedule["kind"] == "constant":
        return {"learning_rate": "constant"}
    if schedule["kind"] == "step":
        drops = {key: schedule[key] for key in ("drop", "epochs_drop")}
        return {"learning_rate": "step"} | drops
    return {
        "learning_rate": "time",
        "decay": schedule["decay"],
        "decay_unit": schedule["per"],
    }


def estimator_of(case, **changes):
    """Return the estimator with the settings of a case, except for `changes`."""
    if case["task"] == "regression":
        estimator = MiniBatchSGDRegressor(loss="squared_error")
    else:
        estimator = MiniBatchSGDClassifier(loss="log_loss")
    settings = {
        "batch_size": case["batch_size"],
        "momentum": case["momentum"],
        "nesterov": case["nesterov"],
        "max_iter": case["epochs"],
        "tol": None,
        "shuffle": False,
    }
    settings |= penalty_and_eta0(case) | schedule_of(case)
    return estimator.set_params(**settings | changes)


def as_weights(case, kernel, bias, dtype=float):
    """Return a kernel and a bias of Keras in the shapes of coef_ and intercept_."""
    coef = np.array(kernel, dtype).T
    return coef[0] if case["task"] == "regression" else coef, np.array(bias, dtype)


def assert_weights_after(estimator, case, epoch):
    """Compare the weights with those that Keras had at the end of epoch 0, 1, ..."""
    coef, intercept = as_weights(case, case["kernels"][epoch], case["biases"][epoch])
    where = f"after epoch {epoch}"
    assert estimator.coef_.shape == coef.shape
    np.testing.assert_allclose(estimator.coef_, coef, **TOLERANCE, err_msg=where)
    np.testing.assert_allclose(
        estimator.intercept_, intercept, **TOLERANCE, err_msg=where
    )


def fit_from_start(estimator, case, X, y):
    """Fit from the weights that the Keras model of the case started from."""
    coef, intercept = as_weights(
        case, case["initial_kernel"], case["initial_bias"], X.dtype
    )
    return estimator.fit(X, y, coef_init=coef, intercept_init=intercept)


@pytest.mark.parametrize("layout", [np.asarray, csr_matrix], ids=["dense", "csr"])
@each_dtype
@each_case(CASES)
def test_fit_gives_the_weights_of_keras_after_every_epoch(case, dtype, layout):
    X, y = data_of(case, dtype, layout)
    for epoch in range(case["epochs"]):
        estimator = estimator_of(case, max_iter=epoch + 1)
        fit_from_start(estimator, case, X, y)
        assert estimator.coef_.dtype == dtype
        assert_weights_after(estimator, case, epoch)


@each_dtype
@each_case([case for case in CASES if case["start"] == "zeros"])
def test_one_partial_fit_is_one_epoch_of_keras(case, dtype):
    X, y = data_of(case, dtype)
    estimator = estimator_of(case)
    classes = {} if case["task"] == "regression" else {"classes": np.unique(y)}
    for epoch in range(case["epochs"]):
        estimator.partial_fit(X, y, **classes)
        assert_weights_after(estimator, case, epoch)


def is_set_by_epoch(case):
    """Whether a LearningRateScheduler set Keras's rate, epoch by epoch."""
    schedule = case["schedule"]
    return schedule["kind"] == "step" or schedule.get("per") == "epoch"


@each_case([case for case in CASES if is_set_by_epoch(case)])
def test_callable_rate_stands_in_for_a_learning_rate_scheduler(case):
    eta0, schedule = penalty_and_eta0(case)["eta0"], case["schedule"]

    def rate(epoch):
        if schedule["kind"] == "step":
            n_drops = math.floor((1 + epoch) / schedule["epochs_drop"])
            return eta0 * schedule["drop"] ** n_drops
        return eta0 / (1 + schedule["decay"] * epoch)

    X, y = data_of(case, np.float64)
    estimator = estimator_of(case, learning_rate=rate)
    fit_from_start(estimator, case, X, y)
    assert_weights_after(estimator, case, case["epochs"] - 1)
