"""The recording script needs Keras and is run by hand."""

collect_ignore = ["data/record_keras.py"]
