"""The losses of the engine, against decimal arithmetic of many digits."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmbsgd import MiniBatchSGDClassifier
from skmbsgd._engine.losses import Logistic

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# A few units in the last place of float64
RTOL = 1e-15


def exact_logistic(margin):
    """log(1 + exp(-margin)) and 1 / (1 + exp(margin)), rounded once."""
    with localcontext() as context:
        context.prec = 60
        odds = Decimal(-margin).exp()
        # 60 digits of 1 + odds do not hold the smallest odds; a series does.
        loss = (1 + odds).ln() if odds > Decimal("1e-25") else odds - odds**2 / 2
        return float(loss), float(odds / (1 + odds))


def margins():
    """Margins of all sizes, with both signs, and those where the formula changes."""
    rng = np.random.default_rng(0)
    sizes = 10.0 ** rng.uniform(-20, math.log10(700), 1000)
    special = [0.0, 1e-300, 707.9, 35.0, 37.0, math.log(2), 0.5 * math.log(2)]
    sizes = np.concatenate([sizes, rng.uniform(0, 40, 1000), special])
    return np.concatenate([sizes, -sizes])


@pytest.mark.parametrize("y", [-1.0, 1.0])
def test_logistic_loss_and_derivative(y):
    loss = Logistic()
    values, slopes = zip(*(exact_logistic(m) for m in margins().tolist()), strict=True)
    decisions = y * margins()
    assert_allclose([loss.value(y, z) for z in decisions], values, rtol=RTOL)
    derivatives = [loss.derivative(y, z) for z in decisions]
    assert_allclose(derivatives, -y * np.array(slopes), rtol=RTOL)


def test_logistic_loss_far_out():
    loss = Logistic()
    # Below the normal numbers it is 0.
    assert loss.value(1.0, 1e5) == 0.0
    assert loss.derivative(1.0, 1e5) == 0.0
    assert loss.value(1.0, -1e300) == 1e300
    assert loss.derivative(1.0, -1e300) == -1.0
    assert loss.value(1.0, -math.inf) == math.inf
    assert math.isnan(loss.value(1.0, math.nan))
    assert math.isnan(loss.derivative(1.0, math.nan))


@pytest.mark.parametrize("n_rows", [2, 7, 8, 64, 1001])
def test_logistic_loss_of_many_rows(n_rows):
    """Several rows at a time have the same losses as each by itself."""
    decisions = np.resize(margins()[::7], n_rows)
    y = np.arange(n_rows) % 2
    model = MiniBatchSGDClassifier(
        eta0=0.0, alpha=0.0, batch_size="full", max_iter=1, tol=None
    )
    model.fit(decisions[:, None], y, coef_init=np.ones((1, 1)))
    loss = Logistic()
    expected = [loss.value(*pair) for pair in zip(2.0 * y - 1, decisions, strict=True)]
    assert_allclose(model.loss_curve_, math.fsum(expected) / n_rows, rtol=RTOL)


@pytest.mark.filterwarnings("ignore:The number of unique classes:UserWarning")
@pytest.mark.parametrize("n_classes", [3, 4, 9, 50])
def test_softmax_loss_and_gradient(n_classes):
    rng = np.random.default_rng(n_classes)
    decisions = rng.normal(scale=20, size=n_classes)
    X, y = np.zeros((n_classes, 1)), np.arange(n_classes)
    model = MiniBatchSGDClassifier(
        eta0=1.0, momentum=0.0, alpha=0.0, batch_size="full", max_iter=1, tol=None
    )
    model.fit(X, y, intercept_init=decisions)
    with localcontext() as context:
        context.prec = 60
        powers = [Decimal(z).exp() for z in decisions.tolist()]
        total = sum(powers)
        losses = [(total / power).ln() for power in powers]
        # Each class is that of one of the n_classes rows.
        steps = [1 / Decimal(n_classes) - power / total for power in powers]
        moved = [
            float(Decimal(z) + step)
            for z, step in zip(decisions.tolist(), steps, strict=True)
        ]
        mean = float(sum(losses) / n_classes)
    assert_allclose(model.loss_curve_, mean, rtol=RTOL)
    assert_allclose(model.intercept_, moved, rtol=RTOL)
