"""The line that a warning names."""

import inspect
import os

import joblib
import sklearn

# The frames between a user's line and this package can be those of a Pipeline, of a
# grid search, and of joblib.
PACKAGES = tuple(
    os.path.dirname(os.path.abspath(path)) + os.sep
    for path in (__file__, sklearn.__file__, joblib.__file__)
)


def stack_level_of_caller():
    """The stacklevel with which a warning names the line outside of these packages.

    It is for ``warnings.warn`` in the calling function. (Python 3.12 has
    ``skip_file_prefixes`` for this.)
    """
    frame = inspect.currentframe()
    level = 0
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGES):
        frame = frame.f_back
        level += 1
    return level
