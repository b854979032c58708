"""What is no test: a script that needs Keras, a file for mypy, the fuzzer. No screen."""

import os

collect_ignore = ["data/record_keras.py", "fuzz", "typed_use.py"]
os.environ["MPLBACKEND"] = "agg"
