"""Record the weights of small Keras models after every epoch of training by SGD.

``test_keras.py`` compares the estimators with ``keras_trajectories.json`` in this
folder. The file includes the data, so the tests do not need Keras. Run this script by
hand if you add a case or if Keras's update rule is in doubt::

    python -m venv keras-env
    keras-env/bin/pip install keras jax
    KERAS_BACKEND=jax keras-env/bin/python tests/data/record_keras.py

Any backend of Keras 3 will do. The file names the versions it was recorded with;
another version or backend may change the last digits of the weights, nothing more.

The models are one ``Dense`` layer, trained by ``keras.optimizers.SGD`` in float32 with
``shuffle=False``. Data and starting weights are multiples of 1/16, exact in both
float32 and float64, so that every precision trains on the very same numbers.
"""

import importlib
import json
import math
import textwrap
from pathlib import Path

import keras
import numpy as np

N_ROWS, N_FEATURES, N_CLASSES = 40, 5, 4
LINE_LENGTH = 88
OUTPUT = Path(__file__).with_name("keras_trajectories.json")

CONSTANT = {"kind": "constant"}


def by_update(decay):
    """Describe the schedule rate / (1 + decay * updates done)."""
    return {"kind": "inverse time", "decay": decay, "per": "update"}


def by_epoch(decay):
    """Describe the schedule rate / (1 + decay * epochs done)."""
    return {"kind": "inverse time", "decay": decay, "per": "epoch"}


def step(drop, epochs_drop):
    """Describe the schedule rate * drop ** floor((1 + epochs done) / epochs_drop)."""
    return {"kind": "step", "drop": drop, "epochs_drop": epochs_drop}


# One row per case. The rate is Keras's learning_rate, and l2 the factor of the layer's
# regularizers.L2 (0: none). A case that starts from zeros can also be replayed by an
# estimator without initial weights.
COLUMNS = ["task", "start", "batch_size", "rate", "schedule"]
COLUMNS += ["momentum", "nesterov", "l2", "epochs"]
CASES = [
    ("regression", "random", 16, 0.05, CONSTANT, 0.0, False, 0.0, 8),
    ("regression", "random", 7, 0.02, by_update(0.05), 0.9, False, 0.0, 8),
    ("regression", "random", 7, 0.02, step(0.5, 3), 0.9, True, 0.01, 9),
    ("regression", "random", 1, 0.01, by_update(0.02), 0.5, True, 0.05, 6),
    ("regression", "random", "full", 0.1, by_epoch(0.2), 0.9, True, 0.0, 12),
    ("regression", "zeros", 7, 0.02, by_update(0.02), 0.9, True, 0.02, 8),
    ("binary", "random", "full", 0.5, CONSTANT, 0.0, False, 0.0, 12),
    ("binary", "random", 1, 0.02, step(0.5, 2), 0.9, False, 0.01, 6),
    ("binary", "random", 7, 0.1, by_update(0.05), 0.9, True, 0.02, 8),
    ("binary", "random", 16, 0.2, by_epoch(0.2), 0.5, False, 0.0, 8),
    ("binary", "zeros", 16, 0.2, step(0.5, 3), 0.5, True, 0.01, 9),
    ("multiclass", "random", 1, 0.05, CONSTANT, 0.0, False, 0.0, 6),
    ("multiclass", "random", 7, 0.1, by_update(0.05), 0.9, False, 0.01, 8),
    ("multiclass", "random", 16, 0.1, by_epoch(0.2), 0.9, True, 0.05, 8),
    ("multiclass", "random", "full", 0.5, step(0.5, 4), 0.5, True, 0.0, 12),
    ("multiclass", "zeros", 7, 0.1, by_epoch(0.2), 0.9, False, 0.01, 8),
]


def on_grid(values):
    """Round to multiples of 1/16, with no negative zeros."""
    return np.round(values * 16) / 16 + 0.0


def make_data(rng):
    """Return X and one target per task; two of the columns of X are mostly zeros."""
    X = on_grid(rng.standard_normal((N_ROWS, N_FEATURES)))
    X[:, -2:][rng.random((N_ROWS, 2)) < 0.6] = 0.0
    slopes = rng.standard_normal((N_FEATURES, N_CLASSES))
    scores = X @ slopes
    noise = 0.5 * rng.standard_normal(N_ROWS)
    return {
        "X": X,
        "y": {
            "regression": on_grid(scores[:, 0] + 1.5 + noise),
            "binary": (scores[:, 1] + rng.logistic(size=N_ROWS) > 0).astype(int),
            "multiclass": np.argmax(scores + rng.gumbel(size=scores.shape), axis=1),
        },
    }


class WeightRecorder(keras.callbacks.Callback):
    """Keep a copy of the layer's kernel and bias at the end of every epoch."""

    def __init__(self):
        super().__init__()
        self.kernels, self.biases = [], []

    def on_epoch_end(self, epoch, logs=None):
        """Copy the weights."""
        kernel, bias = self.model.get_weights()
        self.kernels.append(kernel.copy())
        self.biases.append(bias.copy())


def schedule_in_keras(schedule, rate):
    """Return the optimizer's learning rate and the callbacks that go with it."""
    kind = schedule["kind"]
    if kind == "constant":
        return rate, []
    if kind == "inverse time" and schedule["per"] == "update":
        decayed = keras.optimizers.schedules.InverseTimeDecay(
            rate, decay_steps=1, decay_rate=schedule["decay"]
        )
        return decayed, []

    def rate_of_epoch(epoch):
        if kind == "step":
            n_drops = math.floor((1 + epoch) / schedule["epochs_drop"])
            return rate * schedule["drop"] ** n_drops
        return rate / (1 + schedule["decay"] * epoch)

    def scheduler(epoch, _):
        return rate_of_epoch(epoch)

    return rate, [keras.callbacks.LearningRateScheduler(scheduler)]


def loss_and_target(task, y):
    """Return the Keras loss of a task and its target as an (n_rows, units) array."""
    if task == "regression":
        return keras.losses.MeanSquaredError(), y.astype(np.float32)[:, None]
    if task == "binary":
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        return loss, y.astype(np.float32)[:, None]
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    return loss, keras.utils.to_categorical(y, N_CLASSES)


def record(case, data, rng):
    """Train the model of one case; return the case with its weights added."""
    loss, target = loss_and_target(case["task"], data["y"][case["task"]])
    kernel = on_grid(rng.standard_normal((N_FEATURES, target.shape[1])))
    bias = on_grid(rng.standard_normal(target.shape[1]))
    if case["start"] == "zeros":
        kernel, bias = np.zeros_like(kernel), np.zeros_like(bias)

    regularizer = keras.regularizers.L2(case["l2"]) if case["l2"] else None
    model = keras.Sequential(
        [
            keras.Input((N_FEATURES,)),
            keras.layers.Dense(target.shape[1], kernel_regularizer=regularizer),
        ]
    )
    model.set_weights([kernel, bias])
    learning_rate, callbacks = schedule_in_keras(case["schedule"], case["rate"])
    optimizer = keras.optimizers.SGD(
        learning_rate, momentum=case["momentum"], nesterov=case["nesterov"]
    )
    model.compile(optimizer=optimizer, loss=loss)
    recorder = WeightRecorder()
    model.fit(
        data["X"].astype(np.float32),
        target,
        batch_size=N_ROWS if case["batch_size"] == "full" else case["batch_size"],
        epochs=case["epochs"],
        shuffle=False,
        callbacks=[*callbacks, recorder],
        verbose=0,
    )
    return case | {
        "initial_kernel": kernel,
        "initial_bias": bias,
        "kernels": recorder.kernels,
        "biases": recorder.biases,
    }


def plain(value):
    """Turn arrays into lists, float32 into the shortest decimals that name them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, np.floating):
        return float(str(value))
    return value.item() if isinstance(value, np.generic) else value


def pretty(value, indent=""):
    """Write JSON, breaking only the lists and objects too long for one line."""
    line = json.dumps(value)
    if len(indent + line) < LINE_LENGTH or not isinstance(value, list | dict):
        return line
    deeper = indent + " "
    if isinstance(value, dict):
        items = [f"{json.dumps(k)}: {pretty(v, deeper)}" for k, v in value.items()]
    elif isinstance(value[0], list | dict):
        items = [pretty(item, deeper) for item in value]
    else:
        return textwrap.fill(
            line, LINE_LENGTH, initial_indent=indent, subsequent_indent=deeper
        ).lstrip()
    body = ",\n".join(deeper + item for item in items)
    return f"{line[0]}\n{body}\n{indent}{line[-1]}"


def main():
    """Record all cases."""
    keras.config.set_floatx("float32")
    backend = keras.config.backend()
    rng = np.random.default_rng(20)
    data = make_data(rng)
    cases = [record(dict(zip(COLUMNS, row, strict=True)), data, rng) for row in CASES]
    recording = {
        "recorded_with": {
            "keras": keras.__version__,
            "backend": backend,
            "backend_version": importlib.import_module(backend).__version__,
            "dtype": keras.config.floatx(),
        },
        "data": data,
        "cases": cases,
    }
    OUTPUT.write_text(pretty(plain(recording)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
