"""
==========================
Choosing the learning rate
==========================

A learning rate that is too small wastes epochs, and one that is too large makes
training diverge. The range in between depends on the data, the loss, the batch size and
the momentum. The learning-rate range test finds it in a fraction of a second:
:class:`~skmbsgd.LearningRateRangeDisplay` runs the test and suggests an initial rate
``eta0``. :class:`~skmbsgd.LearningRateDisplay` then plots schedules that start from
this rate, and :class:`~skmbsgd.TrainingCurveDisplay` plots the training.
"""

# Authors: The skmbsgd developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmbsgd import (
    LearningRateDisplay,
    LearningRateRangeDisplay,
    MiniBatchSGDClassifier,
    TrainingCurveDisplay,
)

# %%
# The range test
# --------------
# The model is softmax regression on the 1,797 images of digits that come with
# scikit-learn, with and without momentum. The test trains clones of the pipeline. They
# start from weights of 0 at a rate of 1e-6, which grows by 4% from batch to batch. The
# objective is flat at first, falls at suitable rates, and rises when the rate is too
# large. There the test ends.
#
# The suggestion is a tenth of the rate with the lowest smoothed objective. The minimum
# itself would be too large: at that point the weights have already profited from the
# smaller rates before, and training is about to diverge.

X, y = load_digits(return_X_y=True)
X_train, X_val, y_train, y_val = train_test_split(X, y, stratify=y, random_state=0)


alpha = 0.01


def classifier(**settings):
    model = MiniBatchSGDClassifier(alpha=alpha, tol=None, random_state=0, **settings)
    return make_pipeline(StandardScaler(), model)


models = {
    "without momentum": classifier(momentum=0.0),
    "momentum 0.9": classifier(momentum=0.9, nesterov=True),
}

suggestions = {}
_, axis = plt.subplots(layout="constrained")
for name, model in models.items():
    display = LearningRateRangeDisplay.from_estimator(
        model, X_train, y_train, name=name, ax=axis
    )
    suggestions[name] = display.suggested_eta0_

plt.show()

# %%
# With a momentum of 0.9, steps add up to ten times their length in the long run, so the
# whole curve lies almost a factor of ten further left. Run the test with the momentum
# and the batch size of your training.
#
# Is the suggestion good?
# -----------------------
# To check, we train for five epochs with every rate of a wide grid. The test spares us
# this work. The dot on each curve is the suggestion.

warnings.simplefilter("ignore", ConvergenceWarning)  # of rates that are too large
n_epochs = 5


def objective_after_training(model, eta0):
    model = clone(model).set_params(
        minibatchsgdclassifier__eta0=eta0, minibatchsgdclassifier__max_iter=n_epochs
    )
    loss = log_loss(y_train, model.fit(X_train, y_train).predict_proba(X_train))
    return loss + alpha / 2 * np.sum(model[-1].coef_ ** 2)


rates = np.geomspace(1e-4, 10, 21)
_, axis = plt.subplots(layout="constrained")
print(f"{'After 5 epochs':16}  suggested eta0  objective  best eta0  objective")
for name, model in models.items():
    objectives = [objective_after_training(model, eta0) for eta0 in rates]
    suggested = suggestions[name]
    objective = objective_after_training(model, suggested)
    (line,) = axis.plot(rates, objectives, label=name)
    axis.plot(suggested, objective, "o", color=line.get_color())
    best = np.argmin(objectives)
    print(
        f"{name:16} {suggested:15.3f} {objective:10.3f} {rates[best]:10.3f} "
        f"{objectives[best]:10.3f}"
    )
axis.set(
    xlabel="Learning rate",
    ylabel=f"Training objective after {n_epochs} epochs",
    xscale="log",
    ylim=(0, 2.4),
)
axis.legend()

plt.show()

# %%
# The suggestions lie in the flat part of the curves, on the safe side of the rise.
# Neither is the best rate of the grid. The test gives a starting point, and a grid
# search around it (a third of the rate, three times the rate) is the next step.
#
# Schedules
# ---------
# Near the optimum, a constant rate keeps moving the weights by steps proportional to
# the rate. A schedule lowers the rate. The plot shows five schedules over 30 epochs
# that start from the suggestion. It needs no data, only the number of rows, for the
# schedule that counts updates instead of epochs.

settings = {"momentum": 0.9, "nesterov": True, "max_iter": 30}
eta0 = suggestions["momentum 0.9"]
schedules: list[dict[str, Any]] = [
    {"learning_rate": "constant"},
    {"learning_rate": "time", "decay": 0.2},
    {"learning_rate": "step", "drop": 0.5, "epochs_drop": 8},
    {"learning_rate": "cosine"},
    {"learning_rate": "invscaling"},
]

_, axis = plt.subplots(layout="constrained")
for schedule in schedules:
    model = classifier(eta0=eta0, **settings, **schedule)
    LearningRateDisplay.from_estimator(model, n_samples=len(X_train), ax=axis)

plt.show()

# %%
# The training
# ------------
# We train with a constant rate and with a cosine schedule, both starting at three times
# the suggestion, and score the validation data after each epoch. A dot marks the best
# epoch, whose weights are kept.

scaler = StandardScaler().fit(X_train)
axes = None
for learning_rate in ("constant", "cosine"):
    model = classifier(eta0=3 * eta0, learning_rate=learning_rate, **settings)[-1]
    model.set_params(scoring="accuracy")
    model.fit(
        scaler.transform(X_train), y_train, X_val=scaler.transform(X_val), y_val=y_val
    )
    curves = TrainingCurveDisplay.from_estimator(model, name=learning_rate, ax=axes)
    axes = curves.axes_
    print(f"{learning_rate}: objective of the last epoch {model.loss_curve_[-1]:.3f}")

plt.show()

# %%
# A schedule makes an initial rate that is too large harmless. The constant rate stays
# at the level of its noise, while the objective of the cosine schedule falls with its
# rate. On these data the difference shows in the objective; the accuracies differ by a
# few of the 450 validation images.
