"""Warnings name the line of the user's call, through other packages."""

import pytest
from joblib import parallel_config
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmbsgd import MiniBatchSGDClassifier

X, Y = load_iris(return_X_y=True)
MODEL = MiniBatchSGDClassifier(max_iter=2, tol=1e-9, random_state=0)


class Subclass(MiniBatchSGDClassifier):
    """A class of a user, in a file of the user."""

    def fit(self, X, y):
        return super().fit(X, y)


CALLS = {
    "directly": lambda: MODEL.fit(X, Y),
    "a pipeline": lambda: make_pipeline(StandardScaler(), MODEL).fit(X, Y),
    "a grid search": lambda: GridSearchCV(MODEL, {"eta0": [0.01]}, cv=2).fit(X, Y),
    "cross-validation": lambda: cross_validate(
        make_pipeline(StandardScaler(), MODEL), X, Y, cv=2
    ),
    "one against the rest": lambda: OneVsRestClassifier(MODEL).fit(X, Y),
    "a subclass": lambda: Subclass(**MODEL.get_params()).fit(X, Y),
}


@pytest.mark.parametrize("way", CALLS)
def test_a_warning_names_the_line_that_calls(way):
    with pytest.warns(ConvergenceWarning, match="max_iter=2") as caught:
        CALLS[way]()
    assert {warning.filename for warning in caught} == {__file__}
    lines = {warning.lineno for warning in caught}
    code = CALLS[way].__code__
    if way != "a subclass":
        assert lines <= {line for *_, line in code.co_lines()}


def test_a_warning_from_a_thread_is_heard():
    # No line of the user is left there.
    search = GridSearchCV(MODEL, {"eta0": [0.01, 0.02]}, cv=2)
    with parallel_config("threading", n_jobs=2):
        with pytest.warns(ConvergenceWarning, match="max_iter=2"):
            search.fit(X, Y)
