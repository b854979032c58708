"""Settings that several test files have in common."""

# SGD as in textbooks, for tests of the numbers of a rule or a schedule: without an
# automatic rate, standardised columns or momentum.
PLAIN_SGD = {"learning_rate": "time", "eta0": 0.01, "momentum": 0.0, "nesterov": False}
