"""Keras on JAX, with one dense layer."""

import os

from benchmarks.peers.base import Peer


class Keras(Peer):
    """A keras.layers.Dense compiled with keras.optimizers.SGD."""

    name = "Keras"
    module = "keras"
    distribution = "keras"
    settings = "``layers.Dense``, ``optimizers.SGD`` on JAX: Nesterov momentum 0.9, L2"
    strength = "its products are compiled for the whole batch at once"

    def is_available(self):
        """Whether Keras and JAX are installed."""
        from importlib.util import find_spec

        return super().is_available() and find_spec("jax") is not None

    def version(self):
        """The versions of both."""
        from importlib.metadata import version

        return f"{version('keras')} on JAX {version('jax')}"

    def prepare(self, problem):
        """A compiled model which has run once, so that its tracing is done."""
        os.environ.setdefault("KERAS_BACKEND", "jax")
        import jax
        import keras

        jax.config.update("jax_enable_x64", problem.X.dtype == "float64")
        keras.backend.set_floatx(problem.X.dtype.name)
        keras.utils.set_random_seed(0)
        activation, loss = {
            "binary": ("sigmoid", "binary_crossentropy"),
            "multiclass": ("softmax", "categorical_crossentropy"),
        }.get(problem.task, ("linear", "mse"))
        model = keras.Sequential(
            [
                keras.Input((problem.X.shape[1],)),
                keras.layers.Dense(
                    problem.n_outputs,
                    activation=activation,
                    kernel_regularizer=keras.regularizers.L2(5e-5),
                ),
            ]
        )
        model.compile(
            keras.optimizers.SGD(learning_rate=1e-4, momentum=0.9, nesterov=True),
            loss=loss,
        )
        Y = problem.output_columns().astype(problem.X.dtype)
        size = problem.batch_size

        def run(n_epochs, n_rows=None):
            model.fit(
                problem.X[:n_rows],
                Y[:n_rows],
                batch_size=size,
                epochs=n_epochs,
                shuffle=True,
                verbose=0,
            )

        # A full batch, and one of the size of the epoch's last.
        run(1, min(size + problem.X.shape[0] % size, problem.X.shape[0]))
        return run
