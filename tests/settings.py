"""Settings that several test files have in common."""

# SGD as it is in textbooks, for tests about the numbers of a rule or a schedule: no
# rate is found, no column is standardised, and nothing moves on by itself.
PLAIN_SGD = {"learning_rate": "time", "eta0": 0.01, "momentum": 0.0, "nesterov": False}
