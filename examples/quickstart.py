"""
========================================
Quickstart: no tuning, and a grid search
========================================

First :class:`~skmbsgd.MiniBatchSGDClassifier` learns to read handwritten digits with
default parameters, like scikit-learn's :class:`~sklearn.linear_model.SGDClassifier`
and :class:`~sklearn.linear_model.LogisticRegression`. Then grid searches tune the
learning rate of :class:`~skmbsgd.MiniBatchSGDRegressor`: the initial rate ``eta0``
together with the ``decay`` of the time-based schedule, and with ``drop`` and
``epochs_drop`` of the step schedule.
"""

# Authors: The skmbsgd developers
# SPDX-License-Identifier: BSD-3-Clause

import time
import warnings
from importlib.util import find_spec
from typing import Any

from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier, SGDRegressor
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

# %%
# Without tuning
# --------------
# The data are the 1,797 images of 8 x 8 pixels that come with scikit-learn. All three
# models get the raw pixels: ``MiniBatchSGDClassifier`` finds its learning rate from the
# data and needs no scaling. ``SGDClassifier`` needs ``loss="log_loss"`` to predict
# probabilities. ``LogisticRegression`` does not converge within its 100 iterations; its
# warning is silenced here.

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

warnings.simplefilter("ignore", ConvergenceWarning)
untuned = {
    "MiniBatchSGDClassifier()": MiniBatchSGDClassifier(),
    "SGDClassifier('log_loss')": SGDClassifier("log_loss"),
    "LogisticRegression()": LogisticRegression(),
}

print(f"{'Digits, on the test set':26} accuracy  log loss  fit (s)")
for name, model in untuned.items():
    start = time.perf_counter()
    model.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    accuracy = model.score(X_test, y_test)
    loss = log_loss(y_test, model.predict_proba(X_test))
    print(f"{name:26} {accuracy:8.1%} {loss:9.3f} {seconds:8.3f}", flush=True)

# %%
# Models and grids
# ----------------
# The second task is a regression: the progression of diabetes in 442 patients. Its
# targets are noisy, which is where schedules help. The SGD models train for 30 epochs.
# With ``tol=None`` training never stops early, so each schedule runs its full course.
# ``decay=0.0`` is a constant rate, so the first grid also shows whether a decay helps.
# ``SGDRegressor`` chooses among its own schedules.

X, y = load_diabetes(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

settings: dict[str, Any] = {"max_iter": 30, "tol": None, "random_state": 0}
mini_batch_sgd = MiniBatchSGDRegressor(
    batch_size=8, momentum=0.9, nesterov=True, **settings
)

eta0s = [0.003, 0.01, 0.03, 0.1]
decays = [0.0, 0.1, 0.3, 1.0]
time_grid = {
    "model__learning_rate": ["time"],
    "model__eta0": eta0s,
    "model__decay": decays,
}
step_grid = {
    "model__learning_rate": ["step"],
    "model__eta0": eta0s,
    "model__drop": [0.2, 0.5],
    "model__epochs_drop": [5, 10],
}
sgd_grid = {
    "model__learning_rate": ["constant", "invscaling", "adaptive"],
    "model__eta0": [0.001, *eta0s],
}
tasks = {
    "MiniBatchSGD, time": (mini_batch_sgd, time_grid),
    "MiniBatchSGD, step": (mini_batch_sgd, step_grid),
    "SGDRegressor": (SGDRegressor(**settings), sgd_grid),
    "Ridge": (Ridge(), {"model__alpha": [1.0, 3.0, 10.0, 30.0]}),
}

# %%
# Search
# ------
# If you choose ``eta0`` yourself, SGD needs scaled features. The
# :class:`~sklearn.preprocessing.StandardScaler` is part of the pipeline, so it never
# sees the validation part of a fold. Each search prints its row as soon as it ends: the
# root mean squared error in cross-validation and on the test set, and the best setting.

searches = {}
print(f"\n{'Diabetes, error in':20} validation   test  best setting")
for name, (model, grid) in tasks.items():
    pipeline = Pipeline([("scale", StandardScaler()), ("model", model)])
    search = GridSearchCV(pipeline, grid, scoring="neg_root_mean_squared_error")
    searches[name] = search.fit(X_train, y_train)
    error = root_mean_squared_error(y_test, search.predict(X_test))
    setting = ", ".join(
        f"{parameter.removeprefix('model__')}={value}"
        for parameter, value in search.best_params_.items()
    )
    print(f"{name:20} {-search.best_score_:10.2f} {error:6.2f}  {setting}", flush=True)

# %%
# What a decay is good for
# ------------------------
# The first search tried each ``eta0`` with each ``decay``. These are its errors in
# cross-validation:

# The candidates vary in the alphabetical order of their parameters: decay, then eta0.
errors = -searches["MiniBatchSGD, time"].cv_results_["mean_test_score"]
errors = errors.reshape(len(decays), len(eta0s))

print(f"\n{'In cross-validation':20}" + "".join(f"{f'eta0={e}':>11}" for e in eta0s))
for decay, row in zip(decays, errors, strict=True):
    print(f"{f'decay={decay}':20}" + "".join(f"{error:11.2f}" for error in row))

# %%
# A decay wins at every ``eta0``, and it makes the choice of ``eta0`` easy: with
# ``decay=1.0`` all four rates are about equally good, while the constant rate ruins the
# model at 0.1. At a constant rate the noise of the targets keeps moving the weights; a
# decay lets them settle. Tune the two together, and try larger rates with a decay than
# without.
#
# The best errors of all models are similar: a linear model cannot learn more from these
# data.

if find_spec("matplotlib"):  # Plots need the extra "plot".
    import matplotlib.pyplot as plt

    _, axis = plt.subplots(layout="constrained")
    for decay, row in zip(decays, errors, strict=True):
        axis.plot(eta0s, row, marker="o", label=f"decay={decay}")
    axis.set(
        xscale="log",
        xlabel="eta0",
        ylabel="error in cross-validation",
        ylim=(54, 66),
    )
    axis.legend()
    plt.show()
