"""Many updates at once, against the update rules applied one by one.

A window of updates is called from Python here, without data. Its result for one
coordinate must equal that of a plain loop over the rules.
"""

import math

import numpy as np
import pytest

from skmbsgd._engine.catch_up import Window
from skmbsgd._engine.penalties import L1, Penalty
from skmbsgd._engine.rules import Rule

# Relative to the largest number on the way: some hundred roundings
TOLERANCE = 1e-11

PENALTIES = {
    "none": (0.0, 0.0),
    "l2": (0.3, 0.0),
    "large l2": (30.0, 0.0),
    "l1": (0.0, 0.02),
    "elastic net": (0.3, 0.02),
    "weak elastic net": (1e-4, 1e-3),
    "large elastic net": (30.0, 0.5),
}


def rates_of(kind, n, rng):
    """Learning rates of n updates."""
    eta0 = 10 ** rng.uniform(-3, 0)
    if kind == "constant":
        return np.full(n, eta0)
    if kind == "decay":
        return eta0 / (1 + rng.uniform(0, 2) * np.arange(n))
    if kind == "steep":
        return eta0 / (1.0 + np.arange(n)) ** 3
    return eta0 * rng.integers(0, 3, size=n)  # "jumps", with zeros among them


def soft_threshold(z, u):
    return math.copysign(max(abs(z) - u, 0.0), z)


def one_by_one(nesterov, mu, lam2, lam1, rates, t, z, v, g, u, r, first_averaged):
    """Position, velocity and sum of averaged weights; largest number; weights."""
    largest, weights = max(abs(z), abs(v), u), []
    for i, eta in enumerate(rates.tolist()):
        gradient = g if i == t else 0.0
        if eta > 0:
            gradient += min(lam2, 1 / eta) * soft_threshold(z, u)
        r = mu * r + eta * lam1
        u = u + mu * r + eta * lam1 if nesterov else u + r
        if i < t:
            continue
        v = mu * v - eta * gradient
        z = z + mu * v - eta * gradient if nesterov else z + v
        if i >= first_averaged:
            weights.append(soft_threshold(z, u))
        largest = max(largest, abs(z), abs(v), u)
    return (z, v, sum(weights)), max(largest, sum(map(abs, weights))), weights


@pytest.mark.parametrize("kind", ["constant", "decay", "steep", "jumps"])
@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("rule", ["classical", "nesterov"])
def test_a_window_makes_the_updates_of_the_rule(rule, penalty, averaged, kind):
    rng = np.random.default_rng(0)
    lam2, lam1 = PENALTIES[penalty]
    n_zero = 0
    for mu in np.repeat([0.0, 0.5, 0.9, 0.99], 25):
        n = int(rng.integers(1, 300))
        t = int(rng.integers(0, n + 1))
        rates = rates_of(kind, n, rng)
        z, v, g = (rng.normal(size=3) * rng.choice([0.0, 0.01, 1.0], size=3)).tolist()
        u, r = (
            (10 ** rng.uniform(-3, 0.5), 10 ** rng.uniform(-4, 0)) if lam1 else (0, 0)
        )
        first_averaged = int(rng.integers(0, n + 1)) if averaged else n
        window = Window(
            Rule(rule, mu), L1(lam1, lam2) if lam1 else Penalty(lam2), n, averaged
        )
        caught_up = window.caught_up(rates, t, z, v, g, (u, r), first_averaged)
        expected, largest, _ = one_by_one(
            rule == "nesterov", mu, lam2, lam1, rates, t, z, v, g, u, r, first_averaged
        )
        np.testing.assert_allclose(
            caught_up, expected, rtol=0, atol=TOLERANCE * max(1.0, largest)
        )
        n_zero += expected[2] == 0.0
    if averaged and lam1:
        # Weights that stay at 0, weights that do not
        assert 0 < n_zero < 100


def test_a_weight_is_found_where_it_crosses_zero_twice():
    # It falls from 1 through 0 to below -u, and the L2 penalty pulls it back to 0.
    mu, rates = 0.99, np.full(2000, 0.01)
    window = Window(Rule("classical", mu), L1(0.01, 0.5), 2000, True)
    start = (0, 1.0, -0.1, 0.0)
    caught_up = window.caught_up(rates, *start, first_averaged=0)
    expected, _, weights = one_by_one(
        False, mu, 0.5, 0.01, rates, *start, 0.0, 0.0, first_averaged=0
    )
    assert {-1.0, 0.0, 1.0} == set(np.sign(weights))
    np.testing.assert_allclose(caught_up, expected, rtol=1e-10)


def test_updates_that_do_not_fit_are_refused():
    window = Window(Rule("classical", 0.9), Penalty(), 3, False)
    for rates, t in [(np.ones(4), 0), (np.ones(2), 3), (np.ones(0), 0)]:
        with pytest.raises(ValueError, match="do not fit the window"):
            window.caught_up(rates, t, 1.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="heavy_ball"):
        Rule("heavy_ball", 0.9)
