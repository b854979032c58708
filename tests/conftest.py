"""The recording script needs Keras and is run by hand; pictures need no screen."""

import os

collect_ignore = ["data/record_keras.py"]
os.environ["MPLBACKEND"] = "agg"
