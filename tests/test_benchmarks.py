"""The benchmarks: their measurements on known cases, and a tiny run of each."""

import csv
import importlib
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, mean_squared_error

pytest.importorskip("matplotlib")
pytest.importorskip("threadpoolctl")

from benchmarks import timing
from benchmarks.__main__ import SECTIONS, main
from benchmarks.effort import Effort
from benchmarks.objective import find_optimum, gradient_norm, objective
from benchmarks.peers import MiniBatchSGD, Peer, ScikitLearnSGD, all_peers
from benchmarks.problems import dense_problem, sparse_problem
from benchmarks.real_data import REAL_PROBLEMS, digits
from benchmarks.report import Report, circumstances
from benchmarks.sections import dense, memory, scaling, sparse, streams
from benchmarks.streams import ScikitLearnStream
from benchmarks.tables import TABLES

TINY = Effort(
    "tiny", repeats=1, seconds_each=0.01, seconds_to_search=0.05, largest_input=200_000
)
RESTRICTIONS = {
    "front_page": {"source": REAL_PROBLEMS["digits"]},
    "no_tuning": {"tables": [t for t in TABLES if t.package == "sklearn"][1:5:3]},
    "dense": {"peers": [MiniBatchSGD(), ScikitLearnSGD()]},
    "sparse": {"peers": [MiniBatchSGD(), ScikitLearnSGD()]},
    "quality": {"names": ["digits"]},
    "scaling": {"axes": [scaling.AXES[0]]},
    "memory": {"peers": [MiniBatchSGD()]},
    "cluster": {},
    "streams": {"learners": [streams.OURS, ScikitLearnStream()]},
}


class FixedCosts(Peer):
    """A peer that only advances a clock: 5 seconds, and 0.01 for each row and epoch."""

    name = "fixed costs"
    module = distribution = "numpy"
    settings = strength = ""

    def __init__(self, clock):
        self.clock = clock

    def prepare(self, problem):
        def run(n_epochs):
            self.clock.now += 5.0 + 0.01 * n_epochs * len(problem.X)

        return run


class Allocation(FixedCosts):
    """A peer that needs 50 MB."""

    def __init__(self):
        pass

    def prepare(self, problem):
        n_bytes = 50_000_000 if len(problem.X) > 1000 else 0
        return lambda n_epochs: np.ones(n_bytes, dtype=np.int8).sum()


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    fake = SimpleNamespace(perf_counter=lambda: clock.now)
    monkeypatch.setattr(timing, "time", fake)
    return clock


@pytest.mark.parametrize(("seconds_each", "scale"), [(1000.0, 1.0), (9.0, 10.0)])
def test_seconds_per_epoch_leave_out_what_is_done_once(clock, seconds_each, scale):
    plan = timing.plan_measurement(
        FixedCosts(clock), dense_problem(3000, 2), seconds_each
    )
    assert plan.scale == pytest.approx(scale)
    assert plan.seconds_per_epoch() == pytest.approx(30.0)


def test_seconds_between_epochs_leave_out_what_is_done_once(clock):
    class Estimator:
        """5 seconds before the first epoch, 2 for each, 7 after the last."""

        def __init__(self, learning_rate, max_iter, tol):
            self.learning_rate, self.max_iter = learning_rate, max_iter
            assert tol is None

        def fit(self, X, y):
            clock.now += 5.0
            for epoch in range(self.max_iter):
                assert self.learning_rate(epoch) == 0.3
                clock.now += 2.0
            clock.now += 7.0

    assert timing.seconds_between_epochs(Estimator, None, None, 0.3) == 2.0


def test_measurements_take_turns():
    calls = []
    measurements = {name: lambda name=name: calls.append(name) or 1.0 for name in "ab"}
    medians = timing.interleaved(measurements, repeats=2)
    assert calls == ["a", "b", "a", "b"]
    assert medians == {"a": 1.0, "b": 1.0}


def test_exponent():
    sizes = np.array([1, 10, 300])
    assert scaling.exponent(sizes, 0.2 * sizes**1.5) == pytest.approx(1.5)


@pytest.mark.skipif(not memory.CLEAR.exists(), reason="needs Linux's peak of memory")
def test_peak_of_memory():
    measured = memory.in_new_process(memory.measure, Allocation(), "dense", 2000)
    assert measured == pytest.approx(50e6, rel=0.05)


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_objective_and_its_optimum(task):
    alpha, n_outputs = 0.03, 3 if task == "multiclass" else 1
    problem = dense_problem(200, 4, task=task, n_outputs=n_outputs)
    rng = np.random.default_rng(0)
    model = find_optimum(problem, alpha)
    optimum = objective(problem, alpha, model)
    assert gradient_norm(problem, alpha, model) < 1e-9

    other = SimpleNamespace(
        coef_=rng.standard_normal((n_outputs, 4)),
        intercept_=rng.standard_normal(n_outputs),
    )
    penalty = alpha / 2 * np.sum(other.coef_**2)
    Z = problem.X @ other.coef_.T + other.intercept_
    if task == "regression":
        loss = mean_squared_error(problem.y, Z[:, 0]) / 2
    else:
        known = LogisticRegression().fit(problem.X, problem.y)
        known.coef_, known.intercept_ = other.coef_, other.intercept_
        loss = log_loss(problem.y, known.predict_proba(problem.X))
    assert objective(problem, alpha, other) == pytest.approx(loss + penalty, rel=1e-12)
    assert optimum < loss + penalty


def test_gradient_norm():
    problem = digits(100)

    def model(parameters):
        parameters = parameters.reshape(10, 65)
        return SimpleNamespace(coef_=parameters[:, :64], intercept_=parameters[:, 64])

    parameters = 0.1 * np.random.default_rng(0).standard_normal(650)
    gradient = approx_fprime(parameters, lambda p: objective(problem, 0.1, model(p)))
    norm = gradient_norm(problem, 0.1, model(parameters))
    assert norm == pytest.approx(np.linalg.norm(gradient), rel=1e-6)


def test_head_keeps_every_class():
    problem = dense_problem(300, 2, task="multiclass", n_outputs=50)
    assert set(problem.head(60).y) == set(range(50))
    assert problem.head(60).X.shape == (60, 2)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("peer", all_peers(), ids=lambda peer: peer.name)
def test_peers_train(peer):
    if not peer.is_available():
        pytest.skip(f"{peer.module} is not installed")
    problems = [
        *(dense_problem(200, 3, task=task) for task in ("regression", "binary")),
        dense_problem(200, 3, task="multiclass", n_outputs=3),
        dense_problem(200, 3, task="multioutput", n_outputs=3),
        sparse_problem(200, 30, 5),
        sparse_problem(200, 30, 5, "multiclass", n_outputs=3),
    ]
    supported = [problem for problem in problems if peer.supports(problem)]
    assert supported
    for problem in supported:
        peer.prepare(problem)(2)


@pytest.mark.parametrize("name", SECTIONS)
@pytest.mark.filterwarnings("ignore")
def test_sections(name, tmp_path, monkeypatch):
    if name == "cluster":
        pytest.importorskip("distributed")
    monkeypatch.setattr(dense, "PROBLEMS", dense.PROBLEMS[::6])
    monkeypatch.setattr(sparse, "POWERS", [8])
    monkeypatch.setattr(sparse, "POWER", 10)
    monkeypatch.setattr(scaling, "N_EPOCHS", 1)
    monkeypatch.setattr(streams, "CHUNK_SIZES", [1, 32])
    report = Report(tmp_path, name)
    section = importlib.import_module(f"benchmarks.sections.{name}")
    if name == "cluster":
        monkeypatch.setattr(section, "SHARDS", (2,))
        monkeypatch.setattr(section, "RATES", (0.1,))
        monkeypatch.setattr(section, "N_EPOCHS", 2)
        monkeypatch.setattr(section, "ROUNDS", (1,))
    section.run(report, TINY, **RESTRICTIONS[name])
    report.write()

    text = (tmp_path / f"{name}.inc").read_text()
    assert "csv-table" in text
    assert "Measured on" in text
    for line in text.splitlines():
        if line.startswith(".. image:: "):
            assert (tmp_path / line.rpartition("/")[2]).stat().st_size > 1000
    with (tmp_path / f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = {row.get("peer") or row["solver"] for row in rows}
    assert any(name.startswith("skmbsgd") for name in names)


def test_absent_peers_are_listed(monkeypatch):
    monkeypatch.setattr(ScikitLearnSGD, "module", "not_a_module")
    text = circumstances(TINY, [MiniBatchSGD(), ScikitLearnSGD()])
    assert "left out: scikit-learn SGD." in text


def test_unknown_section(capsys):
    with pytest.raises(SystemExit):
        main(["densest"])
    assert "densest" in capsys.readouterr().err
