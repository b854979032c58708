"""Where warnings point to."""

import inspect
import os

import joblib
import sklearn

# Between a user's line and this package there may be a Pipeline, a grid search and what
# runs its fits.
PACKAGES = tuple(
    os.path.dirname(os.path.abspath(path)) + os.sep
    for path in (__file__, sklearn.__file__, joblib.__file__)
)


def stack_level_of_caller():
    """The stacklevel by which a warning names the line outside of these packages.

    For ``warnings.warn`` in the function that asks. (Python 3.12 has
    ``skip_file_prefixes`` for it.)
    """
    frame = inspect.currentframe()
    level = 0
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGES):
        frame = frame.f_back
        level += 1
    return level
