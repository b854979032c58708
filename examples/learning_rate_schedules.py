"""
=======================
Learning-rate schedules
=======================

A large learning rate makes fast progress at first, but prevents convergence later: near
the optimum, the noise of the batches keeps moving the weights by steps proportional to
the rate. Schedules start with a large rate and end with a small one. This example fits
the same data with each named schedule of :class:`~skmbsgd.MiniBatchSGDClassifier` and
:class:`~skmbsgd.MiniBatchSGDRegressor`, and with a function.
"""

# Authors: The skmbsgd developers
# SPDX-License-Identifier: BSD-3-Clause

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import scale

from skmbsgd import MiniBatchSGDClassifier

# %%
# The schedules
# -------------
# All schedules start from ``eta0=0.1``, with two exceptions. "optimal" computes its
# rate from ``alpha``. The function is a cosine that restarts every ten epochs.
# "adaptive" lowers its rate when training no longer improves by ``tol``, so it needs a
# ``tol``. The others run all epochs.

n_epochs = 40


def warm_restarts(epoch):
    return 0.1 * (1 + np.cos(np.pi * (epoch % 10) / 10)) / 2


schedules: dict[str, dict[str, Any]] = {
    "constant": {"learning_rate": "constant"},
    "time": {"learning_rate": "time", "decay": 0.3},
    "exponential": {"learning_rate": "exponential", "decay": 0.12},
    "cosine": {"learning_rate": "cosine"},
    "step": {"learning_rate": "step", "drop": 0.5, "epochs_drop": 5},
    "adaptive": {"learning_rate": "adaptive", "tol": 1e-3, "n_iter_no_change": 3},
    "a function": {"learning_rate": warm_restarts},
    "invscaling": {"learning_rate": "invscaling", "power_t": 0.5},
    "optimal": {"learning_rate": "optimal"},
}

# %%
# The fits
# --------
# The model is softmax regression on the digits.
# :class:`~sklearn.linear_model.LogisticRegression` finds the optimum of the same
# objective to many digits, so we can see how far above it each training ends.

X, y = load_digits(return_X_y=True)
X = scale(X)
alpha = 0.01

exact = LogisticRegression(C=1 / (alpha * len(X)), tol=1e-6, max_iter=1000).fit(X, y)
optimum = log_loss(y, exact.predict_proba(X)) + alpha / 2 * np.sum(exact.coef_**2)

models = {}
for name, schedule in schedules.items():
    model = MiniBatchSGDClassifier(
        alpha=alpha,
        max_iter=n_epochs,
        tol=None,
        eta0=0.1,
        momentum=0.9,
        nesterov=True,
        random_state=0,
    )
    models[name] = model.set_params(**schedule).fit(X, y)

print(f"optimum {optimum:.4f}\n\nschedule     epochs  last rate  above the optimum")
for name, model in models.items():
    rate, excess = model.learning_rate_curve_[-1], model.loss_curve_[-1] - optimum
    print(f"{name:12} {model.n_iter_:6} {rate:10.1e} {excess:18.4f}")

# %%
# The plot
# --------
# There is a column for each family: schedules that fall smoothly from epoch to epoch,
# schedules that jump, and schedules that fall with each update. Each column also shows
# the constant rate for comparison. A fit records both curves: ``learning_rate_curve_``
# is the rate at the start of each epoch, and ``loss_curve_`` is the mean objective
# during the epoch.

families = {
    "smooth": ["time", "exponential", "cosine"],
    "in jumps": ["step", "adaptive", "a function"],
    "from update to update": ["invscaling", "optimal"],
}
colors = ["#0072B2", "#E69F00", "black"]  # distinct for colour-blind eyes and in grey

figure, axes = plt.subplots(
    2, 3, figsize=(11, 6.5), sharex=True, sharey="row", layout="constrained"
)


def draw(name, rate_axis, loss_axis, **style):
    model = models[name]
    epochs = np.arange(1, model.n_iter_ + 1)
    excess = np.array(model.loss_curve_) - optimum
    rate_axis.step(epochs, model.learning_rate_curve_, where="mid", label=name, **style)
    loss_axis.plot(epochs, excess, **style)


for column, (family, names) in zip(axes.T, families.items(), strict=True):
    draw("constant", *column, color="0.6", linestyle="--")
    for name, color in zip(names, colors, strict=False):
        draw(name, *column, color=color)
    rate_axis, loss_axis = column
    rate_axis.set(title=family, yscale="log")
    rate_axis.legend(loc="lower left", frameon=False)
    loss_axis.set(xlabel="epoch", yscale="log")
axes[0, 0].set_ylabel("learning rate")
axes[1, 0].set_ylabel("objective above its optimum")

plt.show()

# %%
# The constant rate is as fast as any schedule in the first epochs, and then makes no
# further progress. The other results depend on how long the rate stays large and how
# small it becomes:
#
# - "time" never becomes very small. "exponential" and "step" give similar results.
# - "cosine" keeps a large rate for a long time and gains most in the last epochs, so
#   the number of epochs must be known in advance.
# - "adaptive" lowers the rate when noise hides the progress. Here it did so too early
#   and ended above "step", but it is the only one that stops by itself.
# - The function with restarts reaches a good model every ten epochs.
# - "invscaling" and "optimal" count updates, and an epoch has many. "invscaling" has
#   lost nine tenths of its rate after two epochs. "optimal" starts with a rate that is
#   meant for plain SGD and is far too large with momentum.
#
# One fit to one data set is not a ranking: another ``eta0`` or ``decay`` changes the
# order.
