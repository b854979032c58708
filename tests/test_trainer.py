"""The trainer alone, without an estimator."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from skmbsgd._callbacks import FitWithoutCallbacks
from skmbsgd._data import TrainingData
from skmbsgd._engine.losses import SquaredError
from skmbsgd._engine.penalties import L1, Penalty
from skmbsgd._schedules import EpochSchedule, constant, time_based
from skmbsgd._state import TrainingState
from skmbsgd._trainer import Patience, Trainer

SETTINGS = {
    "batch_size": 4,
    "momentum": 0.0,
    "nesterov": False,
    "fit_intercept": False,
    "shuffle": False,
    "average": False,
    "n_jobs": None,
}
# One column of ones, and targets of 1: an update with rate r takes the distance of the
# weight to 1 times (1 - r).
DATA = TrainingData.of_numbers(np.ones((10, 1)), np.ones((10, 1)), None)
N_BATCHES = 3


def trainer(rate=0.5, make_schedule=None, data=DATA, penalty=None, **settings):
    """A trainer of a weight that is 0, so far 1 away from the optimum."""
    averaged = bool(settings.get("average"))
    return Trainer(
        TrainingState.start(np.zeros((1, 1)), np.zeros(1), seed=0, averaged=averaged),
        data,
        SquaredError(),
        penalty or Penalty(),
        make_schedule or (lambda eta0: EpochSchedule(constant, {"eta0": eta0})),
        rate,
        **{**SETTINGS, **settings},
    )


def test_an_epoch_moves_weights_and_clocks():
    training = trainer()
    # Distances 1, 1/2 and 1/4 in batches of 4, 4 and 2 rows
    objective = (4 * 1 + 4 / 4 + 2 / 16) / 2 / 10
    assert_allclose(training.run_epoch(), objective, rtol=1e-14)
    training.store()
    state = training.state
    assert_allclose(state.coef, [[1 - 0.5**N_BATCHES]], rtol=1e-14)
    assert (state.n_epochs, state.n_updates, state.n_samples) == (1, N_BATCHES, 10)
    assert state.last_rate == 0.5


def test_an_update_takes_the_rows_and_the_rate_that_it_is_given():
    training = trainer(rate=0.0)
    assert training.update(np.array([7]), 0.75) == 0.5
    assert training.update(np.array([0, 1, 2, 3, 4, 5]), 0.5) == 0.03125
    training.store()
    assert_allclose(training.state.coef, [[1 - 0.25 * 0.5]], rtol=1e-14)
    assert training.state.n_samples == 7


def test_training_keeps_the_weights_of_the_best_epoch():
    training = trainer(rate=0.25, average=False)
    scores = iter([1.0, 3.0, 2.0, 3.0])

    def validation(state, _):
        return next(scores), state.coef[0, 0]

    validation.loss_of = lambda constants: 1.0
    state = training.train(
        4, Patience(None, 1), FitWithoutCallbacks(), validation=validation
    )
    # Of two equally good epochs, the later one is kept.
    weights = [1 - 0.75 ** (epoch * N_BATCHES) for epoch in range(1, 5)]
    assert_allclose(state.coef, [weights[3:]], rtol=1e-14)
    assert_allclose(training.history.validation_losses, weights, rtol=1e-14)
    assert state.n_epochs == 4
    assert training.history.validation_scores == [1.0, 3.0, 2.0, 3.0]
    assert training.history.best_validation_score == 3.0
    assert len(training.history.loss_curve) == 4


def test_rates_are_asked_for_at_the_clock_of_the_state():
    def make_schedule(eta0):
        return EpochSchedule(time_based, {"eta0": eta0, "decay": 0.5})

    training = trainer(rate=0.6, make_schedule=make_schedule)
    training.train(3, Patience(None, 1), FitWithoutCallbacks())
    assert_allclose(training.history.learning_rate_curve, [0.6, 0.4, 0.3], rtol=1e-14)


def test_a_snapshot_does_not_move_with_the_training():
    training = trainer(average=True)
    training.run_epoch()
    state, _ = training.snapshot()
    kept = state.copy()
    training.run_epoch()
    training.store()
    for name in ("coef", "intercept", "velocity", "average_coef"):
        assert_array_equal(getattr(state, name), getattr(kept, name))
    assert state.n_epochs == 1
    assert training.state.coef != state.coef


@pytest.mark.parametrize(
    "run", [Trainer.run_epoch, partial(Trainer.update, rows=np.arange(4), rate=1e200)]
)
def test_divergence_names_the_epoch_and_a_remedy(run):
    training = trainer(rate=1e200)
    with pytest.raises(ValueError, match=r"in epoch [12]: .* eta0=1e\+200"):
        for _ in range(2):
            run(training)


@pytest.mark.parametrize(
    "tol, n_iter_no_change, objectives, n_epochs",
    [
        (0.0, 1, [3, 2, 2, 2.5], 4),
        (0.5, 1, [3, 2, 1.8], 3),
        (0.5, 2, [3, 2, 1.8, 1.0, 0.9, 0.8], 6),
        (None, 1, [3, 4, 5, 6], None),
    ],
)
def test_patience_ends_with_the_epochs_without_progress(
    tol, n_iter_no_change, objectives, n_epochs
):
    patience = Patience(tol, n_iter_no_change)
    ends = [patience.is_exhausted_by(objective) for objective in objectives]
    assert ends == [epoch == n_epochs for epoch in range(1, len(objectives) + 1)]


@pytest.mark.parametrize("averaged", [False, True])
def test_a_copy_of_a_state_shares_no_memory_with_it(averaged):
    state = TrainingState.start(np.ones((2, 3)), np.ones(2), 0, averaged)
    state.continue_under(L1(0.1))
    arrays = {name: a for name, a in vars(state).items() if isinstance(a, np.ndarray)}
    assert len(arrays) == (10 if averaged else 8)
    for name, array in arrays.items():
        copy = getattr(state.copy(), name)
        assert not np.shares_memory(copy, array)
        assert_array_equal(copy, array)


@pytest.mark.parametrize("layout", [np.asarray, csr_array])
@pytest.mark.parametrize("penalty", [Penalty(5.0), L1(5.0, 5.0)])
def test_no_penalty_acts_on_an_intercept_and_a_mean_is_of_all_updates(layout, penalty):
    data = TrainingData.of_numbers(layout(np.zeros((8, 1))), np.ones((8, 1)), None)
    settings = {"batch_size": 2, "average": 3, "fit_intercept": True}
    training = trainer(0.1, data=data, penalty=penalty, **settings)
    for _ in range(3):
        training.run_epoch()
    training.store()
    # Each update goes a tenth of the way to 1; from the second on they are averaged.
    intercepts = 1.0 - 0.9 ** np.arange(1, 13)
    assert_allclose(training.state.intercept, intercepts[-1:], rtol=1e-12)
    assert_allclose(
        training.state.average_intercept, [intercepts[1:].mean()], rtol=1e-12
    )


@pytest.mark.parametrize("layout", [np.asarray, csr_array])
def test_a_running_mean_is_that_of_the_weights(layout):
    data = TrainingData.of_numbers(layout(np.ones((8, 1))), np.ones((8, 1)), None)
    training = trainer(0.1, data=data, batch_size=2, average=3)
    for _ in range(3):
        training.run_epoch()
    training.store()
    weights = 1.0 - 0.9 ** np.arange(1, 13)
    assert_allclose(training.state.average_coef, [[weights[1:].mean()]], rtol=1e-12)
