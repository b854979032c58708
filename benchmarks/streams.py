"""Learners of a stream: the time of a call per chunk."""

import math
import time
from abc import ABC, abstractmethod
from importlib.util import find_spec

import numpy as np
from scipy.sparse import issparse


class Learner(ABC):
    """A model that learns chunk by chunk.

    Attributes
    ----------
    name : str
        Its name in the tables.
    module : str
        The module that must be importable.
    sparse : bool
        Whether it takes CSR matrices.
    several_classes : bool
        Whether it takes more than two classes.
    """

    name: str
    module: str
    sparse = True
    several_classes = True

    def is_available(self):
        """Whether it is installed."""
        return find_spec(self.module) is not None

    def supports(self, problem):
        """Whether it can learn the problem."""
        return (self.sparse or not issparse(problem.X)) and (
            self.several_classes or problem.task == "binary"
        )

    def prepare(self, X, y):
        """A chunk in the form that the learner takes. This is not timed."""
        return X, y

    @abstractmethod
    def begin(self, n_features, n_classes):
        """Create the model."""

    def learn(self, chunk):
        """Learn a chunk."""
        self.model.partial_fit(*chunk, classes=self.classes)


class OurStream(Learner):
    """`partial_fit` of this package, by default with Nesterov momentum 0.9."""

    module = "skmbsgd"

    def __init__(self, name, **settings):
        self.name = name
        self.settings = settings

    def begin(self, n_features, n_classes):
        from skmbsgd import MiniBatchSGDClassifier

        self.model = MiniBatchSGDClassifier(random_state=0, **self.settings)
        self.classes = np.arange(n_classes)


class ScikitLearnStream(Learner):
    """`partial_fit` of SGDClassifier, without momentum."""

    name = "scikit-learn SGD"
    module = "sklearn"

    def begin(self, n_features, n_classes):
        from sklearn.linear_model import SGDClassifier

        self.model = SGDClassifier(loss="log_loss", random_state=0)
        self.classes = np.arange(n_classes)


class RiverStream(Learner):
    """`learn_many` of river, with Nesterov momentum 0.9."""

    name = "river"
    module = "river"
    sparse = False
    several_classes = False

    def prepare(self, X, y):
        import pandas as pd

        names = [f"x{j}" for j in range(X.shape[1])]
        return pd.DataFrame(X, columns=names), pd.Series(y.astype(bool))

    def begin(self, n_features, n_classes):
        from river import linear_model, optim

        optimizer = optim.NesterovMomentum(1e-4, 0.9)
        self.model = linear_model.LogisticRegression(optimizer=optimizer, l2=1e-4)

    def learn(self, chunk):
        self.model.learn_many(*chunk)


class VowpalWabbitStream(Learner):
    """`learn` of Vowpal Wabbit, a line of text for each row, which it parses."""

    name = "Vowpal Wabbit"
    module = "vowpalwabbit"

    def prepare(self, X, y):
        lines = []
        labels = np.where(y > 0, 1, -1) if y.max() < 2 else y + 1
        for i, label in enumerate(labels.tolist()):
            row = X[[i]]
            columns = row.indices if issparse(X) else range(X.shape[1])
            values = row.data if issparse(X) else row[0]
            pairs = zip(list(columns), values.tolist(), strict=True)
            words = " ".join(f"{column}:{value:.7g}" for column, value in pairs)
            lines.append(f"{label} | {words}")
        return lines

    def begin(self, n_features, n_classes):
        from vowpalwabbit import Workspace

        n_outputs = 1 if n_classes == 2 else n_classes
        options = ["--quiet", "--sgd", "--loss_function=logistic"]
        options.append(
            f"--bit_precision={math.ceil(math.log2(n_outputs * (n_features + 1)))}"
        )
        if n_classes > 2:
            options.append(f"--oaa={n_classes}")
        self.model = Workspace(arg_list=options)

    def learn(self, chunk):
        for line in chunk:
            self.model.learn(line)


def chunks_of(problem, n_rows, n_chunks):
    """`n_chunks` chunks of consecutive rows, starting again after the last one."""
    starts = np.arange(n_chunks) * n_rows % (problem.X.shape[0] - n_rows + 1)
    return [(problem.X[i : i + n_rows], problem.y[i : i + n_rows]) for i in starts]


def times_of_calls(learners, chunks, problem, seconds_each):
    """Seconds of each call, interleaved: a list for each learner, by its name.

    The first chunk, with which a model is created, does not count.
    """
    n_classes = max(2, problem.n_outputs)
    prepared = {
        each.name: [each.prepare(X, y.astype(int)) for X, y in chunks]
        for each in learners
    }
    for each in learners:
        each.begin(problem.X.shape[1], n_classes)
        each.learn(prepared[each.name][0])
    times = {each.name: [] for each in learners}
    spent = dict.fromkeys(times, 0.0)
    while min(spent.values()) < seconds_each:
        number = len(times[learners[0].name])
        for each in learners:
            if spent[each.name] >= seconds_each and len(times[each.name]) >= 5:
                continue
            chunk = prepared[each.name][(number + 1) % len(chunks)]
            started = time.perf_counter()
            each.learn(chunk)
            times[each.name].append(time.perf_counter() - started)
            spent[each.name] += times[each.name][-1]
    return times
