"""
============================================
Tuning the learning rate of mini-batch SGD
============================================

Mini-batch SGD lives by its learning rate. Here :class:`~skmbsgd.MiniBatchSGDClassifier`
learns to read handwritten digits, and a grid search finds its rate: the initial rate
``eta0`` and the ``decay`` of the time-based schedule, then ``eta0``, ``drop`` and
``epochs_drop`` of the step schedule. scikit-learn's
:class:`~sklearn.linear_model.SGDClassifier` and
:class:`~sklearn.linear_model.LogisticRegression`, tuned in the same way, stand beside
it.
"""

# Authors: The skmbsgd developers
# SPDX-License-Identifier: BSD-3-Clause

# %%
# Data
# ----
# The 1,797 images of 8 x 8 pixels that ship with scikit-learn, a quarter of them kept
# for the test.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

# %%
# Models and their grids
# ----------------------
# Nesterov momentum and the number of epochs are given. With ``tol=None`` training never
# stops early, and each schedule runs its whole course. The penalty is that of
# ``LogisticRegression`` with its default ``C=1``, of which ``alpha`` is
# ``1 / (C * n_samples)``.

from sklearn.linear_model import LogisticRegression, SGDClassifier

from skmbsgd import MiniBatchSGDClassifier

sgd_settings = {
    "alpha": 1 / len(X_train),
    "max_iter": 30,
    "tol": None,
    "random_state": 0,
}
mini_batch_sgd = MiniBatchSGDClassifier(momentum=0.9, nesterov=True, **sgd_settings)
sgd = SGDClassifier(loss="log_loss", **sgd_settings)
logistic_regression = LogisticRegression(max_iter=1000)

# %%
# ``decay=0.0`` is a constant rate, so that the first grid also tells whether a decay is
# of any use. ``SGDClassifier`` may choose between its own schedules, as all it has to
# decide is the rate, too.

time_grid = {
    "model__learning_rate": ["time"],
    "model__eta0": [0.01, 0.03, 0.1, 0.3],
    "model__decay": [0.0, 0.1, 0.3, 1.0],
}
step_grid = {
    "model__learning_rate": ["step"],
    "model__eta0": [0.03, 0.1, 0.3],
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
# The candidates are compared by their log loss, which tells close ones apart better
# than the accuracy. SGD needs features of one scale, hence the
# :class:`~sklearn.preprocessing.StandardScaler`; inside the pipeline it is fitted to
# the training part of each fold alone.

from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler


def search(model, grid):
    pipeline = Pipeline([("scale", StandardScaler()), ("model", model)])
    return GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=3).fit(
        X_train, y_train
    )


searches = {
    "MiniBatchSGD, time": search(mini_batch_sgd, time_grid),
    "MiniBatchSGD, step": search(mini_batch_sgd, step_grid),
    "SGDClassifier": search(sgd, sgd_grid),
    "LogisticRegression": search(logistic_regression, logistic_regression_grid),
}

print("On the test set    accuracy  log loss      fit   best setting")
for name, tuned in searches.items():
    accuracy = tuned.best_estimator_.score(X_test, y_test)
    loss = log_loss(y_test, tuned.predict_proba(X_test))
    setting = ", ".join(
        f"{parameter.removeprefix('model__')}={value}"
        for parameter, value in tuned.best_params_.items()
    )
    print(
        f"{name:18} {accuracy:8.1%} {loss:9.3f} {tuned.refit_time_:8.3f} s   {setting}"
    )

# %%
# All are linear in the pixels and about equally accurate: with 450 test images, a
# difference of one per cent is no more than chance. The log loss, which judges the
# probabilities, is lower where one softmax model learns all ten digits at once than
# where ``SGDClassifier`` trains ten models of one digit against the rest.
#
# What a decay is good for
# ------------------------
# The log losses of the first search, in cross-validation:

results = searches["MiniBatchSGD, time"].cv_results_
losses = -results["mean_test_score"].reshape(
    len(time_grid["model__decay"]), len(time_grid["model__eta0"])
)

print("\nIn cross-validation" + "".join(f"  eta0={e:<4}" for e in time_grid["model__eta0"]))
for decay, row in zip(time_grid["model__decay"], losses, strict=True):
    print(f"{'decay=' + str(decay):19}" + "".join(f"{loss:11.3f}" for loss in row))

# %%
# Without a decay
