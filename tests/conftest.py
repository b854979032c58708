"""What is no test: a script that needs Keras, and a file for mypy. No screen either."""

import os

collect_ignore = ["data/record_keras.py", "typed_use.py"]
os.environ["MPLBACKEND"] = "agg"
