"""Files that are not tests, a plot backend without a screen, Hypothesis's profile."""

import os

from hypothesis import settings

# A script that needs Keras, the fuzzer, and a file for mypy
collect_ignore = ["data/record_keras.py", "fuzz", "typed_use.py"]
os.environ["MPLBACKEND"] = "agg"

# The same examples in each run, unless the environment asks for new ones
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None, print_blob=True)
settings.load_profile(
    "random" if os.environ.get("SKMBSGD_RANDOM_EXAMPLES") == "1" else "same"
)
