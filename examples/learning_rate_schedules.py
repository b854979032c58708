"""
=======================
Learning-rate schedules
=======================

A large learning rate makes fast progress at first, and hinders it later: near the
optimum, the noise of the batches keeps throwing the weights off by steps as large as
the rate. Schedules start large and end small. Here are all that
:class:`~skmbsgd.MiniBatchSGDClassifier` and :class:`~skmbsgd.MiniBatchSGDRegressor`
offer, and what each does for one fit.
"""

# Authors: The skmbsgd developers
# SPDX-License-Identifier: BSD-3-Clause

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
# All start from ``eta0=0.1``, except "optimal", which computes its rate from ``alpha``,
# and the function, which is a schedule of one's own: here a cosine that starts again
# every ten epochs. "adaptive" lowers its rate when training no longer improves by
# ``tol``, so it needs a ``tol``; the others run all their epochs.

n_epochs = 40


def warm_restarts(epoch):
    return 0.1 * (1 + np.cos(np.pi * (epoch % 10) / 10)) / 2


schedules = {
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
# A fit with each
# ---------------
# Softmax regression on the digits. Its objective is strictly convex:
# :class:`~sklearn.linear_model.LogisticRegression` finds the optimum to many digits, and
# what matters is how far above it training comes to lie.

X, y = load_digits(return_X_y=True)
X = scale(X)
alpha = 0.01

exact = LogisticRegression(C=1 / (alpha * len(X)), tol=1e-8, max_iter=10_000).fit(X, y)
optimum = log_loss(y, exact.predict_proba(X)) + alpha / 2 * np.sum(exact.coef_**2)

models = {}
for name, schedule in schedules.items():
    settings = {"eta0": 0.1, "max_iter": n_epochs, "tol": None, **schedule}
    model = MiniBatchSGDClassifier(
        alpha=alpha, momentum=0.9, nesterov=True, random_state=0, **settings
    )
    models[name] = model.fit(X, y)

# %%
# The picture
# -----------
# A column for each family: schedules that fall smoothly with the epoch, schedules that
# jump, and schedules that fall with each update. The constant rate is in all of them,
# dashed.

families = {
    "smooth": ["time", "exponential", "cosine"],
    "in jumps": ["step", "adaptive", "a function"],
    "from update to update": ["invscaling", "optimal"],
}
colors = ["#0072B2", "#D55E00", "#009E73"]  # told apart by colour-blind eyes too

figure, axes = plt.subplots(
    2, 3, figsize=(11, 6.5), sharex=True, sharey="row", layout="constrained"
)
for (rate_axis, loss_axis), (family, names) in zip(
    axes.T, families.items(), strict=True
):
    styles = [("constant", "0.6", "--"), *zip(names, colors, "---", strict=False)]
    for name, color, line in styles:
        model = models[name]
        epochs = np.arange(1, model.n_iter_ + 1)
        rates = model.learning_rate_curve_
        excess = np.array(model.loss_curve_) - optimum
        rate_axis.step(
            epochs, rates, where="mid", color=color, linestyle=line, label=name
        )
        loss_axis.plot(epochs, excess, color=color, linestyle=line)
    rate_axis.set(title=family, yscale="log")
    rate_axis.legend()
    loss_axis.set(xlabel="epoch", yscale="log")
axes[0, 0].set_ylabel("learning rate")
axes[1, 0].set_ylabel("objective above its optimum")

plt.show()
