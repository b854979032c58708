"""Linear models trained by mini-batch SGD, as scikit-learn estimators."""

from skmbsgd._version import __version__

try:
    from skmbsgd._engine import epoch as _compiled  # noqa: F401
except ImportError as error:
    raise ImportError(
        "The compiled part of skmbsgd cannot be loaded. In a checkout of the sources, "
        "build it in place with: python -m pip install -e ."
    ) from error

from skmbsgd._classifier import MiniBatchSGDClassifier
from skmbsgd._displays import (
    LearningRateDisplay,
    LearningRateRangeDisplay,
    TrainingCurveDisplay,
)
from skmbsgd._exceptions import DivergenceError
from skmbsgd._regressor import MiniBatchSGDRegressor
from skmbsgd._row_chunks import row_chunks

__all__ = [
    "DivergenceError",
    "LearningRateDisplay",
    "LearningRateRangeDisplay",
    "MiniBatchSGDClassifier",
    "MiniBatchSGDRegressor",
    "TrainingCurveDisplay",
    "__version__",
    "row_chunks",
]
