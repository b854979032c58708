"""Calls that a type checker must accept or refuse; checked by mypy, not run.

An error that is expected and does not come is reported as an unused "type: ignore".
"""

from typing import Literal, assert_type

import numpy as np
from scipy.sparse import csr_array, csr_matrix

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor, row_chunks

X = np.zeros((4, 2))
y = np.arange(4.0)

# Settings
MiniBatchSGDClassifier("hinge", penalty=None, l1_ratio=None, tol=None)
MiniBatchSGDClassifier(batch_size="full", decay="auto", decay_unit="update")
MiniBatchSGDClassifier(class_weight={"yes": 2, "no": 1})
MiniBatchSGDClassifier(class_weight={0: 0.5, 1: 1.5})
MiniBatchSGDClassifier(class_weight="balanced", random_state=np.random.RandomState(0))
MiniBatchSGDRegressor(learning_rate="step", epochs_drop=[3, 6], average=10)
MiniBatchSGDRegressor(shuffle="blocks")
MiniBatchSGDRegressor(learning_rate=lambda epoch: 0.1 * 0.9**epoch)

MiniBatchSGDClassifier("hing")  # type: ignore[arg-type]
MiniBatchSGDRegressor("log_loss")  # type: ignore[arg-type]
MiniBatchSGDRegressor("huber", "l2")  # type: ignore[call-arg]
MiniBatchSGDRegressor(penalty="l3")  # type: ignore[arg-type]
MiniBatchSGDRegressor(batch_size="half")  # type: ignore[arg-type]
MiniBatchSGDRegressor(shuffle="rows")  # type: ignore[arg-type]
MiniBatchSGDRegressor(eta0="automatic")  # type: ignore[arg-type]
MiniBatchSGDRegressor(learning_rate="linear")  # type: ignore[arg-type]
MiniBatchSGDRegressor(learning_rate=lambda: 0.1)  # type: ignore[arg-type, misc]
MiniBatchSGDRegressor(class_weight="balanced")  # type: ignore[call-arg]

# Methods
classifier = MiniBatchSGDClassifier()
assert_type(classifier.fit(X, ["a", "b", "a", "b"]), MiniBatchSGDClassifier)
assert_type(
    classifier.partial_fit([[0.0, 1.0]], ["a"], classes=["a", "b"]),
    MiniBatchSGDClassifier,
)
classifier.fit(csr_array(X), y, sample_weight=[1, 2, 3, 4])
classifier.fit(csr_matrix(X), y, X_val=X, y_val=y)
assert_type(classifier.predict(X), np.ndarray)
assert_type(classifier.predict_proba(X), np.ndarray)
assert_type(classifier.predict_log_proba(X), np.ndarray)
assert_type(classifier.decision_function(X), np.ndarray)
classifier.fit(X)  # type: ignore[call-arg]
classifier.fit(X, y, weights=y)  # type: ignore[call-arg]

regressor = MiniBatchSGDRegressor()
assert_type(regressor.fit(X, y).partial_fit(X, y).sparsify(), MiniBatchSGDRegressor)
assert_type(regressor.densify().predict(X), np.ndarray)
regressor.partial_fit(X, y, classes=[0, 1])  # type: ignore[call-arg]

# Chunks
assert_type(regressor.fit_chunks([(X, y), (X, y, y)]), MiniBatchSGDRegressor)
regressor.fit_chunks(lambda epoch: [(X, y)], X_val=X, y_val=y, resume=True)
regressor.fit_chunks(row_chunks(X, y, 2, random_state=0, sample_weight=y))
regressor.fit_chunks([[X, y]] for _ in range(2))
classifier.fit_chunks(row_chunks(csr_array(X), y), classes=["a", "b"])
regressor.fit_chunks([(X, y)], classes=[0, 1])  # type: ignore[call-arg]
regressor.fit_chunks(lambda: [(X, y)])  # type: ignore[arg-type, misc]
regressor.fit_chunks(X=X, y=y)  # type: ignore[call-arg]
row_chunks(X, y, n_rows="all")  # type: ignore[arg-type]

# Attributes
assert_type(regressor.eta0, float | Literal["auto"])
assert_type(regressor.tol, float | None)
assert_type(regressor.coef_, np.ndarray)
assert_type(regressor.n_iter_, int)
assert_type(regressor.validation_losses_, list[float])
MiniBatchSGDRegressor(scoring="r2")
MiniBatchSGDRegressor(scoring=lambda estimator, X, y: 0.5)
MiniBatchSGDRegressor(scoring=1)  # type: ignore[arg-type]
assert_type(regressor.loss_curve_, list[float])
assert_type(classifier.classes_, np.ndarray)
