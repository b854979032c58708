"""Types for the public signatures."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from scipy.sparse import sparray, spmatrix

    MatrixLike: TypeAlias = ArrayLike | spmatrix | sparray
else:  # sparray is newer than the oldest supported SciPy.
    MatrixLike = Any

# A decorated method keeps its type.
Method = TypeVar("Method", bound=Callable[..., Any])

Shuffle: TypeAlias = bool | Literal["blocks"]
PenaltyName: TypeAlias = Literal["l2", "l1", "elasticnet"]
Schedule: TypeAlias = (
    Literal[
        "auto",
        "time",
        "step",
        "constant",
        "exponential",
        "cosine",
        "invscaling",
        "optimal",
        "adaptive",
    ]
    | Callable[[int], float]
)
# (X, y) or (X, y, sample_weight), in an iterable or by the number of the pass
Chunks: TypeAlias = Iterable[Sequence[Any]] | Callable[[int], Iterable[Sequence[Any]]]
# "loss", the name of a scorer or scorer(estimator, X, y); None is the method score.
Scoring: TypeAlias = str | Callable[..., float] | None
EpochsDrop: TypeAlias = float | Sequence[float] | np.ndarray
