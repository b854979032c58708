"""
==========================================
Mini-batch SGD without tuning, and with it
==========================================

:class:`~skmbsgd.MiniBatchSGDClassifier` learns to read handwritten digits: first with
no argument at all, then with a grid search over the initial rate ``eta0`` and the
``decay`` of the time-based schedule, and over ``eta0``, ``drop`` and ``epochs_drop`` of
the step schedule. Beside it stand scikit-learn's
:class:`~sklearn.linear_model.SGDClassifier` and
:class:`~sklearn.linear_model.LogisticRegression`, used in the same ways.
"""

# Authors: The skmbsgd developers
# SPDX-License-Identifier: BSD-3-Clause

import time
import warnings
from typing import Any

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skmbsgd import MiniBatchSGDClassifier

# %%
# Data
# ----
# The 1,797 images of 8 x 8 pixels that ship with scikit-learn, a quarter of them kept
# for the test.

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

# %%
# With nothing chosen
# -------------------
# The initial rate is found from the data, it falls in cycles until nothing is gained
# any more, and the pixels need no scaling. ``SGDClassifier`` is asked for
# probabilities. All three get the pixels as they are; ``LogisticRegression`` warns that
# its 100 iterations do not suffice.

warnings.simplefilter("ignore", ConvergenceWarning)
untuned = {
    "MiniBatchSGDClassifier()": MiniBatchSGDClassifier(),
    "SGDClassifier('log_loss')": SGDClassifier("log_loss"),
    "LogisticRegression()": LogisticRegression(),
}

print(f"{'On the test set':26} accuracy  log loss  fit (s)")
for name, model in untuned.items():
    start = time.perf_counter()
    model.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    accuracy = model.score(X_test, y_test)
    loss = log_loss(y_test, model.predict_proba(X_test))
    print(f"{name:26} {accuracy:8.1%} {loss:9.3f} {seconds:8.3f}")

# %%
# Models to tune
# --------------
# Nesterov momentum and the number of epochs are given. With ``tol=None`` training never
# stops early: each schedule runs its whole course. The penalty is the one that
# ``LogisticRegression`` has by default: its ``C=1`` is ``alpha = 1 / n_samples`` here.

settings: dict[str, Any] = {
    "alpha": 1 / len(X_train),
    "max_iter": 30,
    "tol": None,
    "random_state": 0,
}
mini_batch_sgd = MiniBatchSGDClassifier(momentum=0.9, nesterov=True, **settings)
sgd = SGDClassifier(loss="log_loss", **settings)
logistic_regression = LogisticRegression(max_iter=1000)

# %%
# Grids
# -----
# ``decay=0.0`` is a constant rate, so the first grid also tells whether a decay is of
# any use. ``SGDClassifier`` chooses among its own schedules.

eta0s = [0.01, 0.03, 0.1, 0.3]
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
sgd_grid = [
    {"model__learning_rate": ["constant"], "model__eta0": [0.01, 0.03, 0.1]},
    {"model__learning_rate": ["invscaling"], "model__eta0": [0.1, 0.3, 1.0]},
    {"model__learning_rate": ["optimal"], "model__alpha": [1e-3, 1e-2]},
]
logistic_regression_grid = {"model__C": [0.1, 1.0, 10.0]}

# %%
# Search
# ------
# SGD needs features of one scale, hence the
# :class:`~sklearn.preprocessing.StandardScaler`; being part of the pipeline, it never
# sees the validation part of a fold. The candidates are compared by their log loss,
# which tells close ones apart better than the accuracy does.


def tune(model, grid):
    pipeline = Pipeline([("scale", StandardScaler()), ("model", model)])
    search = GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=3)
    return search.fit(X_train, y_train)


searches = {
    "MiniBatchSGD, time": tune(mini_batch_sgd, time_grid),
    "MiniBatchSGD, step": tune(mini_batch_sgd, step_grid),
    "SGDClassifier": tune(sgd, sgd_grid),
    "LogisticRegression": tune(logistic_regression, logistic_regression_grid),
}

print(f"\n{'Tuned':20} accuracy  log loss  fit (s)  best setting")
for name, search in searches.items():
    accuracy = search.best_estimator_.score(X_test, y_test)
    loss = log_loss(y_test, search.predict_proba(X_test))
    seconds = search.refit_time_
    setting = ", ".join(
        f"{parameter.removeprefix('model__')}={value}"
        for parameter, value in search.best_params_.items()
    )
    print(f"{name:20} {accuracy:8.1%} {loss:9.3f} {seconds:8.3f}  {setting}")

# %%
# All four are linear in the pixels and about equally accurate: with 450 test images, a
# difference of one per cent is no more than chance. The log loss, which judges the
# probabilities, is lower for one softmax model of all ten digits than for the ten
# models of one digit against the rest that ``SGDClassifier`` trains.
#
# What a decay is good for
# ------------------------
# The first search tried each ``eta0`` with each ``decay``. Its log losses in
# cross-validation:

# The candidates vary in the alphabetical order of their parameters: decay, then eta0.
losses = -searches["MiniBatchSGD, time"].cv_results_["mean_test_score"]
losses = losses.reshape(len(decays), len(eta0s))

print(f"\n{'In cross-validation':20}" + "".join(f"{f'eta0={e}':>11}" for e in eta0s))
for decay, row in zip(decays, losses, strict=True):
    print(f"{f'decay={decay}':20}" + "".join(f"{loss:11.3f}" for loss in row))

# %%
# A decay forgives an initial rate that is too large, and makes one that is too small
# worse. Tune the two together, and with a decay try larger rates than without.
