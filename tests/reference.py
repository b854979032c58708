"""The arithmetic of the estimators as a plain NumPy loop.

It is slow and shares nothing with the package, so the tests can compare the compiled
engine with something independent. There is one function per section of the
specification, with its symbols. Targets are a matrix Y of shape (n, K), decisions a
matrix Z of the same shape; for classes, Y holds -1 and +1.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit, logsumexp

CLASSIFIER_LOSSES = (
    "log_loss",
    "hinge",
    "modified_huber",
    "squared_hinge",
    "perceptron",
    "squared_error",
    "huber",
    "epsilon_insensitive",
    "squared_epsilon_insensitive",
)
REGRESSOR_LOSSES = (
    "squared_error",
    "huber",
    "epsilon_insensitive",
    "squared_epsilon_insensitive",
)


def loss_and_gradient(loss, Y, Z, epsilon):
    """Loss of every row, summed over its outputs, and its derivative by Z.

    Returns
    -------
    value : ndarray of shape (n,)
    gradient : ndarray of shape (n, K)
    """
    if loss == "log_loss" and Z.shape[1] > 1:  # softmax over all classes at once
        true_class = Y > 0
        log_norm = logsumexp(Z, axis=1)
        return log_norm - Z[true_class], np.exp(Z - log_norm[:, None]) - true_class

    M = Y * Z  # margin, for the losses of classes
    R = Z - Y  # residual, for the losses of numbers
    A = np.abs(R)
    zero = np.zeros_like(Z)
    if loss == "log_loss":
        value = np.logaddexp(0, -M)
        gradient = -Y * expit(-M)
    elif loss == "hinge":
        value = np.where(M <= 1, 1 - M, zero)
        gradient = np.where(M <= 1, -Y, zero)
    elif loss == "perceptron":
        value = np.where(M <= 0, -M, zero)
        gradient = np.where(M <= 0, -Y, zero)
    elif loss == "squared_hinge":
        value = np.where(M < 1, (1 - M) ** 2, zero)
        gradient = np.where(M < 1, -2 * Y * (1 - M), zero)
    elif loss == "modified_huber":
        value = np.where(M >= 1, zero, np.where(M >= -1, (1 - M) ** 2, -4 * M))
        gradient = np.where(M >= 1, zero, np.where(M >= -1, -2 * Y * (1 - M), -4 * Y))
    elif loss == "squared_error":
        value = R**2 / 2
        gradient = R
    elif loss == "huber":
        value = np.where(A <= epsilon, R**2 / 2, epsilon * (A - epsilon / 2))
        gradient = np.where(A <= epsilon, R, epsilon * np.sign(R))
    elif loss == "epsilon_insensitive":
        value = np.where(A > epsilon, A - epsilon, zero)
        gradient = np.where(A > epsilon, np.sign(R), zero)
    elif loss == "squared_epsilon_insensitive":
        value = np.where(A > epsilon, (A - epsilon) ** 2, zero)
        gradient = np.where(A > epsilon, 2 * (A - epsilon) * np.sign(R), zero)
    else:
        raise ValueError(loss)
    return value.sum(axis=1), gradient


def distance_to_jump(loss, Y, Z, epsilon):
    """The relative distance of each decision from the jump of its gradient.

    Two correct programs can be on different sides of a jump that is closer than their
    rounding errors. A test can leave such data out.
    """
    if loss == "hinge":
        distance = np.abs(1 - Y * Z)
    elif loss == "perceptron":
        distance = np.abs(Z)
    elif loss == "epsilon_insensitive":
        distance = np.abs(np.abs(Z - Y) - epsilon)
    else:
        return np.full_like(Z, np.inf)
    return distance / np.maximum(1, np.abs(Z))


def learning_rate_at(e, t, settings):
    """Rate of update t in epoch e, except for "adaptive", which has a memory."""
    learning_rate, eta0 = settings["learning_rate"], settings["eta0"]
    max_iter, drop = settings["max_iter"], settings["drop"]
    decay = settings["decay"]
    if isinstance(decay, str):  # "auto"
        decay = eta0 / max_iter
    clock = t if settings["decay_unit"] == "update" else e

    if callable(learning_rate):
        return learning_rate(e)
    if learning_rate == "constant":
        return eta0
    if learning_rate == "time":
        return eta0 / (1 + decay * clock)
    if learning_rate == "exponential":
        return eta0 * np.exp(-decay * clock)
    if learning_rate == "cosine":
        return eta0 * (1 + np.cos(np.pi * e / max_iter)) / 2
    if learning_rate == "step":
        epochs_drop = settings["epochs_drop"]
        if np.ndim(epochs_drop) == 0:
            return eta0 * drop ** np.floor((1 + e) / epochs_drop)
        return eta0 * drop ** sum(entry <= e for entry in epochs_drop)
    if learning_rate == "invscaling":
        return eta0 / (t + 1) ** settings["power_t"]
    if learning_rate == "optimal":
        alpha = settings["alpha"]
        typw = np.sqrt(1 / np.sqrt(alpha))
        one, z = np.array([[1.0]]), np.array([[-typw]])
        _, dloss = loss_and_gradient(settings["loss"], one, z, settings["epsilon"])
        initial_eta0 = typw / max(1.0, dloss.item())
        t0 = 1 / (initial_eta0 * alpha)
        return 1 / (alpha * (t0 + t))
    raise ValueError(learning_rate)


def soft_threshold(Z, u):
    """S(Z, u), exactly zero where |Z| <= u."""
    return np.sign(Z) * np.maximum(np.abs(Z) - u, 0)


def updated(w, v, g, eta, mu, nesterov):
    """New weights and new velocity."""
    v_new = mu * v - eta * g
    if nesterov:
        return w + mu * v_new - eta * g, v_new
    return w + v_new, v_new


def shrinkage(eta, lam2):
    """The factor of a weight in the gradient of L2; no step goes beyond its minimum."""
    return lam2 if eta * lam2 <= 1 else 1 / eta


def loss_of_best_constant(loss, Y, s, epsilon, fit_intercept):
    """Mean loss of the best constant Z, or of Z = 0 without an intercept."""

    def total(z):
        value, gradient = loss_and_gradient(
            loss, Y, np.broadcast_to(z, Y.shape), epsilon
        )
        return float(s @ value), s @ gradient

    z = np.zeros(Y.shape[1])
    if fit_intercept and loss == "log_loss" and len(z) > 1:
        z = np.log(np.maximum(s @ (Y > 0) / s.sum(), 1e-300))
    elif fit_intercept:
        # The loss is convex, so its minimum is where its derivative changes sign.
        low, high = np.minimum(Y.min(axis=0), -40.0), np.maximum(Y.max(axis=0), 40.0)
        for _ in range(100):
            z = (low + high) / 2
            rises = total(z)[1] > 0
            low, high = np.where(rises, low, z), np.where(rises, z, high)
    return min(total(z)[0], total(0.0 * z)[0]) / len(
        Y
    )  # the perceptron's is exact at 0


class Stopping:
    """When a run ends, and whether it warns at its end.

    Parameters
    ----------
    tol, n_iter_no_change : as the estimators' parameters
    momentum : float
    n_batches : int
        Batches of an epoch.
    constant, zero : float
        Mean loss of the best constant, and of the model with all weights 0.
    """

    def __init__(self, tol, n_iter_no_change, momentum, n_batches, constant, zero):
        self.tol = tol
        self.unit = constant if constant > 0 else zero if zero > 0 else 1.0
        self.constant = constant
        n_updates = round(3 / (1 - momentum))
        self.patience = max(n_iter_no_change, int(np.ceil(n_updates / n_batches)))
        self.n_idle = 0
        self.curve = []

    def is_above_best(self, percent):
        """Whether by percent of the best, tol, and a hundredth as much of the unit."""
        excess = self.curve[-1] - min(self.curve)
        tol = max(0.0 if self.tol is None else self.tol, percent / 100 / 100)
        return excess > max(percent / 100 * min(self.curve), tol * self.unit)

    def has_had_enough(self, objective):
        """Record an epoch's objective; return whether patience is exhausted."""
        best = min(self.curve, default=np.inf)
        self.curve.append(objective)
        if self.tol is None:
            return False
        self.n_idle = self.n_idle + 1 if best - objective < self.tol * self.unit else 0
        return self.n_idle >= self.patience

    def goes_on(self):
        """Whether training continues: above the best, but below the worst."""
        return self.is_above_best(10) and self.curve[-1] != max(self.curve)

    def warns(self, objective, converged):
        """Whether a run warns at its end, given the objective over all rows."""
        limit = 1.01 * self.constant
        worse = self.constant > 0 and min(objective, self.curve[-1]) > limit
        cut_short = self.tol is not None and not converged
        return worse or self.is_above_best(20) or cut_short


@dataclass
class Model:
    """Everything that a stream of updates remembers.

    Attributes
    ----------
    w, v : ndarray of shape (K, n_features)
        Weights and their velocity; `b`, `c` of shape (K,) are the intercept and
        its velocity; `w_mean`, `b_mean` the means of the `n_averaged` iterates.
    Z, u, r : ndarray of shape (K, n_features), number, number
        With L1, the sum of all gradient steps, the sum of all L1 steps and its
        velocity. They belong to the weights `w_of_Z` and the `penalty` (lam1, lam2).
    zero_margin : ndarray of shape (K, n_features)
        u - |Z|, or its minimum over the averaged iterates. If it is well above
        rounding errors, `coef` is exactly zero.
    t, e, seen : int
        Updates, epochs and samples so far.
    converged : bool
        Whether `tol` ended the run.
    warns : bool
        Whether it gives a ConvergenceWarning.
    distance_to_jump : float
        The smallest `distance_to_jump` met.
    largest : float
        The largest magnitude of a weight or intercept met; the rounding errors of
        a path that ends near zero are relative to it.
    """

    w: np.ndarray
    b: np.ndarray
    v: np.ndarray
    c: np.ndarray
    w_mean: np.ndarray
    b_mean: np.ndarray
    Z: np.ndarray | None = None
    u: float = 0.0
    r: float = 0.0
    w_of_Z: np.ndarray | None = None
    penalty: tuple | None = None
    zero_margin: np.ndarray | float = -np.inf
    n_averaged: int = 0
    t: int = 0
    e: int = 0
    seen: int = 0
    loss_curve: list = field(default_factory=list)
    learning_rate_curve: list = field(default_factory=list)
    converged: bool = False
    warns: bool = False
    distance_to_jump: float = np.inf
    largest: float = 0.0

    @property
    def coef(self):
        """The expected `coef_`, always with shape (K, n_features)."""
        return self.w_mean if self.n_averaged else self.w

    @property
    def intercept(self):
        """The expected `intercept_`, of shape (K,)."""
        return self.b_mean if self.n_averaged else self.b


def begin_dual(model, penalty):
    """Z := w and u := r := 0, if the penalty or the weights are others than before."""
    if model.penalty == penalty and np.array_equal(model.w, model.w_of_Z):
        return
    # Also for float32 data, since u grows without bound and only Z - u matters.
    model.Z = model.w.astype(np.result_type(model.w, np.float64))
    model.u = model.r = 0.0
    model.zero_margin = -np.inf
    model.penalty = penalty


def update_weights(model, g, eta, mu, nesterov, lam1):
    """Update of w and v, by way of Z, u and r if there is L1."""
    if lam1 > 0:
        model.Z, model.v = updated(model.Z, model.v, g, eta, mu, nesterov)
        # The L1 steps go up by eta * lam1, as those of a gradient of -lam1.
        model.u, model.r = updated(model.u, model.r, -lam1, eta, mu, nesterov)
        model.w = soft_threshold(model.Z, model.u).astype(model.w.dtype)
    else:
        model.w, model.v = updated(model.w, model.v, g, eta, mu, nesterov)
    model.w_of_Z = model.w.copy()


def update_zero_margin(model, lam1):
    """Record how far each weight is from leaving zero; call this after averaging."""
    margin = model.u - np.abs(model.Z) if lam1 > 0 else -np.inf
    if model.n_averaged > 1:
        margin = np.minimum(model.zero_margin, margin)
    model.zero_margin = margin


def penalty_value(w, lam1, lam2):
    """The penalty in the objective."""
    return lam2 / 2 * float(np.sum(w**2)) + lam1 * float(np.sum(np.abs(w)))


def new_model(K, n_features, dtype, coef_init, intercept_init):
    """A model at rest, at the initial weights if given, else at zero."""
    w, b = np.zeros((K, n_features), dtype), np.zeros(K, dtype)
    if coef_init is not None:
        w[:] = np.reshape(coef_init, (K, n_features))
    if intercept_init is not None:
        b[:] = np.reshape(intercept_init, K)
    zeros = np.zeros_like
    model = Model(w, b, zeros(w), zeros(b), zeros(w), zeros(b))
    model.largest = float(max(np.abs(w).max(), np.abs(b).max()))
    return model


def target_matrix(y, classes):
    """Y of shape (n, K): the numbers themselves, or -1 and +1 for classes."""
    if classes is None:
        return np.reshape(y, (len(y), -1))
    positive = classes[1:] if len(classes) == 2 else classes
    return np.where(y[:, None] == np.asarray(positive)[None, :], 1.0, -1.0)


def row_weights(y, sample_weight, class_weight, rescale):
    """s_i, with mean 1 if `rescale`."""
    s = np.ones(len(y)) if sample_weight is None else np.array(sample_weight, float)
    if class_weight is not None:
        s *= [class_weight.get(label, 1.0) for label in y.tolist()]
    return s / s.mean() if rescale else s


def train(
    X,
    y,
    *,
    loss,
    classes=None,
    penalty="l2",
    alpha=1e-4,
    l1_ratio=0.15,
    fit_intercept=True,
    max_iter=1000,
    tol=None,
    batch_size=32,
    learning_rate="time",
    eta0=0.01,
    decay=0.0,
    decay_unit="epoch",
    drop=0.5,
    epochs_drop=10,
    power_t=0.25,
    momentum=0.0,
    nesterov=False,
    epsilon=0.1,
    n_iter_no_change=5,
    class_weight=None,
    average=False,
    coef_init=None,
    intercept_init=None,
    sample_weight=None,
    orders=None,
    partial=False,
    model=None,
    dtype=None,
):
    """Train as `fit` does, or with `partial` as one call of `partial_fit`.

    The parameters have the estimators' names and meaning, except:

    Parameters
    ----------
    classes : sequence or None
        Sorted labels of a classifier; None trains a regressor.
    orders : list of index arrays or None
        Order of the rows in every epoch; None keeps the natural one.
    partial : bool
        Train one epoch, with the weights as given and without `tol`.
    model : Model or None
        The stream to continue (changed in place); only with `partial`.
    dtype : dtype or None
        Precision to work in: float32 if X has it, else float64, unless given.

    Returns
    -------
    Model
    """
    settings = dict(locals())
    X = np.asarray(X)
    if dtype is None:
        dtype = np.float32 if X.dtype == np.float32 else np.float64
    X = X.astype(dtype)
    Y = target_matrix(np.asarray(y), classes).astype(dtype)
    s = row_weights(np.asarray(y), sample_weight, class_weight, rescale=not partial)
    s = s.astype(dtype)
    n, K = Y.shape
    if model is None:
        model = new_model(K, X.shape[1], dtype, coef_init, intercept_init)

    m = n if batch_size == "full" else batch_size
    lam = 0.0 if penalty is None else alpha
    rho = {None: 0.0, "l2": 0.0, "l1": 1.0, "elasticnet": l1_ratio}[penalty]
    lam1, lam2 = lam * rho, lam * (1 - rho)
    begin_dual(model, (lam1, lam2))

    adaptive_eta = eta0
    stopping = Stopping(
        tol,
        n_iter_no_change,
        momentum,
        -(-n // m),
        loss_of_best_constant(loss, Y, s, epsilon, fit_intercept),
        loss_of_best_constant(loss, Y, s, epsilon, fit_intercept=False),
    )
    for epoch in range(1 if partial else max_iter):
        order = np.arange(n) if orders is None else orders[epoch]
        data_loss = 0.0
        for start in range(0, n, m):
            B = order[start : start + m]

            eta = adaptive_eta
            if learning_rate != "adaptive":
                # A NumPy scalar would raise float32 arrays to float64.
                eta = float(learning_rate_at(model.e, model.t, settings))
            if start == 0:
                model.learning_rate_curve.append(eta)

            Z = X[B] @ model.w.T + model.b
            value, D = loss_and_gradient(loss, Y[B], Z, epsilon)
            data_loss += float(np.sum(s[B] * value))
            # Decisions of a new model are exactly zero, with no rounding error.
            if model.t > 0 or model.w.any() or model.b.any():
                gap = distance_to_jump(loss, Y[B], Z, epsilon).min()
                model.distance_to_jump = min(model.distance_to_jump, float(gap))

            D = s[B][:, None] * D
            g = D.T @ X[B] / len(B) + shrinkage(eta, lam2) * model.w
            update_weights(model, g, eta, momentum, nesterov, lam1)
            if fit_intercept:
                g = D.sum(axis=0) / len(B)
                model.b, model.c = updated(model.b, model.c, g, eta, momentum, nesterov)

            sizes = [np.abs(each).max() for each in (model.w, model.b)]
            model.largest = float(max(model.largest, *sizes))
            model.t += 1
            model.seen += len(B)
            if average and model.seen >= int(average):  # True is 1
                model.n_averaged += 1
                model.w_mean += (model.w - model.w_mean) / model.n_averaged
                model.b_mean += (model.b - model.b_mean) / model.n_averaged
            update_zero_margin(model, lam1)

        model.e += 1
        objective = data_loss / n + penalty_value(model.w, lam1, lam2)
        model.loss_curve.append(objective)

        if not stopping.has_had_enough(objective) or partial:
            continue
        if learning_rate == "adaptive" and adaptive_eta > 1e-6:
            adaptive_eta /= 5
            stopping.n_idle = 0
        elif not stopping.goes_on():
            model.converged = True
            break
    Z = X @ model.coef.T + model.intercept
    value, _ = loss_and_gradient(loss, Y, Z, epsilon)
    objective = float(s @ value) / n + penalty_value(model.coef, lam1, lam2)
    model.warns = stopping.warns(objective, model.converged)
    return model
