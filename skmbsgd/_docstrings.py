"""The parts that the docstrings of both estimators share, written once."""

import re
from textwrap import indent
from typing import TypeVar

Documented = TypeVar("Documented")

PENALTY = """\
penalty : {"l2", "l1", "elasticnet"} or None, default="l2"
    Penalty on the weights; the intercept is never penalised. "l1" and "elasticnet"
    set coefficients to exactly 0.
alpha : float, default=1e-4
    Strength of the penalty, in [0, inf). Also sets the rates of
    `learning_rate="optimal"`, which needs it to be > 0.
l1_ratio : float or None, default=0.15
    Fraction of L1 in the "elasticnet" penalty, in [0, 1]. None is allowed for the other
    penalties only.
fit_intercept : bool, default=True
    Whether the intercept is learnt. If False, it stays at its initial value.
max_iter : int, default=1000
    Maximum number of epochs of `fit`, and of passes of `fit_chunks`, at least 1. The
    cycles of `learning_rate="auto"` take it into account: the last one ends there.
    Epochs that a restart of training discards do not count.
tol : float or None, default=1e-3
    Minimum progress of an epoch, in [0, inf): training stops after `n_iter_no_change`
    consecutive epochs with less progress. None always runs `max_iter` epochs. The
    training objective must fall below its best value by `tol` times the loss of the
    best constant prediction (half the variance of y, the entropy of the classes, ...;
    without an intercept, the loss of a model with all weights 0), so `tol` means the
    same for any unit of y and any frequency of a class. A validation loss has the same
    unit; any other validation score must rise by `tol` itself. With 0, an epoch that
    equals the best one counts as progress. With cycles of rates (`learning_rate="auto"`
    and `eta0="auto"`) training stops when a cycle, the third or a later one, gained
    less than 5 times `tol` of all progress so far, and the one before gained less than
    15 times `tol`.
batch_size : int or "full", default=32
    Rows per update, at least 1. 1 is classical stochastic gradient descent. "full", or
    any number >= n_samples, is batch gradient descent. The last batch of an epoch holds
    the remaining rows."""

LEARNING_RATE = """\
learning_rate : str or callable, default="auto"
    The schedule of the learning rate. The epoch e = 0, 1, ... and the update
    t = 0, 1, ... are counted over the whole life of the model.

    - "auto": with `eta0="auto"`, `fit` runs cycles of epochs in which the rate falls
      linearly to 0. Each cycle is 1.5 times as long as the one before, and training
      ends when a cycle gains too little. With `tol=None` there is one cycle over
      `max_iter` epochs. `partial_fit` uses the rate `eta0_ / sqrt(1 + t / 200)`, and
      for dense chunks and `average=False` the weights are running means that favour
      later updates: update n has the weight 4 / (n + 3). With a number for `eta0`,
      "auto" means "time";
    - "time": `eta0 / (1 + decay * e)`;
    - "step": `eta0 * drop ** floor((1 + e) / epochs_drop)`, or, if `epochs_drop` is a
      sequence, `eta0 * drop ** (number of its entries <= e)`;
    - "constant": `eta0`;
    - "exponential": `eta0 * exp(-decay * e)`;
    - "cosine": `eta0 * (1 + cos(pi * e / max_iter)) / 2`, and 0 from epoch `max_iter`
      on, so after `max_iter` calls `partial_fit` learns nothing;
    - "invscaling": `eta0 / (t + 1) ** power_t`;
    - "optimal": `1 / (alpha * (t0 + t))`, with t0 from a heuristic by Bottou [3]_;
    - "adaptive": `eta0`, divided by 5 each time training would otherwise stop, until
      it is 1e-6 or less; needs `tol`. `partial_fit` keeps the rate constant: at `eta0`
      in a new model; after `fit`, at the small rate at which it ended. A new `eta0`,
      set between calls, restarts it;
    - a callable f(e) that takes the epoch and returns the rate, a finite float >= 0;
      `eta0` is not used.
eta0 : float or "auto", default="auto"
    The initial learning rate, in [0, inf). "auto" computes it from the data by expected
    smoothness [5]_, and starts the intercepts at the best constant prediction (that of
    the first chunk in `partial_fit`) unless initial weights are passed to `fit`. If the
    objective of the first epoch is then more than twice the initial one, if that of a
    later epoch is more than 1.1 times the initial one, or if anything becomes infinite,
    `fit` restarts with a quarter of the rate. In `partial_fit` it is the smallest rate
    of all chunks so far with the same settings, and `eta0_` falls with it; a chunk with
    much longer rows than the others makes it small for good. With
    `learning_rate="auto"`, the rate of the last batch of an epoch or a chunk is reduced
    by the ratio of its size to `batch_size`. `LearningRateRangeDisplay` suggests a
    number for given data.
standardize : bool or "auto", default="auto"
    Whether to train as if each column of X had been centred (if there is an intercept)
    and divided by its standard deviation, without a copy of X. `coef_`, `intercept_`
    and the penalty refer to the original columns. Weights of constant columns do not
    change. `partial_fit` computes means and standard deviations over all rows so far.
    "auto" is True if the initial rate is found from the data (`eta0="auto"`, and a
    schedule that uses it) and X is dense. True needs a dense X.
decay : float or "auto", default=0.0
    Decay of "time" and "exponential", in [0, inf). 0.0 keeps the rate constant; "auto"
    is `eta0 / max_iter`.
decay_unit : {"epoch", "update"}, default="epoch"
    Whether `decay` counts epochs e or updates t, in "time" and "exponential". The
    argument `decay` of Keras's first optimizers counted updates.
drop : float, default=0.5
    Factor of "step", in (0, 1].
epochs_drop : float or sequence of int, default=10
    Number of epochs between two drops of "step", in (0, inf), or the epochs at which
    the rate drops."""

MOMENTUM = """\
momentum : float, default=0.9
    Fraction of the velocity kept at each update, in [0, 1).
nesterov : bool, default=True
    Whether to use Nesterov's momentum.
shuffle : bool or "blocks", default=True
    Whether each epoch visits the rows in a new random order. True makes all orders
    equally likely. "blocks" visits blocks of neighbouring rows (16 KB of `X` each) in
    random order, and shuffles the rows within buckets of up to 512 KB. This is faster
    if `X` is larger than the processor's caches, and mixes the rows nearly as well.
verbose : int, default=0
    If not 0, `fit` prints a line per epoch.
epsilon : float, default=0.1
    Threshold of the losses "huber", "epsilon_insensitive" and
    "squared_epsilon_insensitive", in [0, inf).
n_jobs : int or None, default=None
    Number of threads that share the rows of each batch of a dense `X`. It is limited by
    the number of processors and by the work in a batch and an epoch: with one output
    and 100 features a second thread needs 50 to 100 rows per batch and 9,000 to 15,000
    rows in total. A CSR matrix uses one thread. None means 1 unless in a
    `joblib.parallel_config` context, -1 means all processors. The order of the rows
    does not depend on it, and the weights change only by rounding errors.
random_state : int, RandomState instance or None, default=None
    Determines the order of the rows and the held-out rows. With an int, repeated calls
    give the same model bit for bit for the same number of threads, and for any number
    of BLAS threads.
early_stopping : bool, default=False
    Whether `fit` holds out `validation_fraction` of the rows, scores the model on them
    after each epoch, and keeps the weights of the epoch with the best score (of equal
    epochs, the later one). With cycles of rates only the ends of cycles are considered.
    If you pass `X_val` to `fit`, it is scored instead and no rows are held out,
    whatever this parameter says.
scoring : str, callable or None, default="loss"
    The score on the validation data; larger is better. "loss" is minus the mean loss,
    weighted by `sample_weight` and `class_weight` and without the penalty. None is the
    method `score`: accuracy or R². A str is the name of a scikit-learn scorer. A
    callable is `scorer(estimator, X, y)`; it gets `sample_weight` too if there is one.
    A scorer gets a copy of the estimator with the weights of the epoch, and the rows as
    arrays, without names.
validation_fraction : float, default=0.1
    Fraction of the rows held out by `early_stopping`, in (0, 1).
n_iter_no_change : int, default=5
    Number of consecutive epochs without progress after which training stops, at least
    1. If these epochs have fewer than 3 / (1 - `momentum`) updates, training waits for
    as many epochs as have them. Without validation data it also continues while the
    objective is clearly above its best value but below its highest. Cycles of rates do
    not use this parameter."""

WARM_START = """\
warm_start : bool, default=False
    Whether `fit` starts from the weights of the previous fit instead of 0. The classes
    must be the same. Velocities and clocks restart in any case; `partial_fit` continues
    them.
average : bool or int, default=False
    Whether `coef_` and `intercept_` are the means of the weights over the updates. With
    an int n >= 1, averaging starts at the update that completes n samples. If you set
    `coef_` or `intercept_` between calls of `partial_fit`, training continues from
    both, and the means restart."""

HISTORY_ATTRIBUTES = """\
n_iter_ : int
    Number of epochs done.
t_ : int
    Number of updates done.
eta0_ : float
    The initial learning rate, as given or as found from the data. For "optimal" and a
    callable, the rate of the first update.
loss_curve_ : list of float
    Training objective of each epoch: the weighted mean of the losses, each computed
    before the update of its batch, plus the penalty at the end of the epoch.
learning_rate_curve_ : list of float
    Learning rate of the first update of each epoch.
validation_scores_ : list of float
    Score of each epoch of the last `fit` on the validation data, as defined by
    `scoring`. Only with validation.
validation_losses_ : list of float
    Mean loss of each of these epochs on the validation data, for any `scoring`. Only
    with validation.
best_validation_score_ : float
    The score of the weights that `fit` kept: the best of all epochs or, with cycles of
    rates, of the ends of cycles. `partial_fit` does not change it. Only with
    validation.
n_features_in_ : int
    Number of features seen in `fit`.
feature_names_in_ : ndarray of shape (`n_features_in_`,)
    Names of the features, if X had string names."""

UPDATE_RULE = r"""
A batch B of rows gives the gradient

.. math::
    g = \frac{1}{|B|} \sum_{i \in B} s_i \nabla_w \ell(y_i, z_i) + \lambda_2 w

with weights :math:`s_i`, decisions :math:`z_i = w \cdot x_i + b` and
:math:`\lambda_2 = \alpha (1 - \rho)`, where :math:`\rho` is the fraction of L1: 0 for
"l2", 1 for "l1", `l1_ratio` for "elasticnet". With rate :math:`\eta`, momentum
:math:`\mu` and velocity v, the update is that of Keras's SGD [1]_, [4]_:

.. code-block:: text

    v' = mu * v - eta * g
    w' = w + v'                        nesterov=False
    w' = w + mu * v' - eta * g         nesterov=True

If :math:`\eta \lambda_2 > 1`, :math:`1 / \eta` replaces :math:`\lambda_2`.

With :math:`\lambda_1 = \alpha \rho > 0`, L1 acts in the dual [2]_. The rule moves
positions Z instead of the weights, and a threshold u with a velocity r. The weights are
the soft-thresholded positions S(Z, u):

.. code-block:: text

    r' = mu * r + eta * lambda_1
    u' = u + r'                            nesterov=False
    u' = u + mu * r' + eta * lambda_1      nesterov=True
    w' = S(Z', u')

With `standardize`, m the means of the columns and p the inverses of their variances,
the gradient of column j is

.. code-block:: text

    p_j * (g_j - m_j * g_b + lambda_2 * w_j) / (1 + eta * lambda_2 * p_j)

where :math:`g_b` is the gradient of the intercept, and the threshold of its weight is
:math:`p_j u`. These are the rules above for standardised columns, written for the
weights of the original columns, with an implicit step for L2.

With `batch_size=1`, `momentum=0`, `shuffle=False`, `standardize=False` and dense data,
the weights are those of scikit-learn's SGD estimators.
"""

CALLBACKS = """\
With scikit-learn 1.9 or newer, `fit` supports the callbacks of `sklearn.callback`. Set
them with `set_callbacks`, for example `set_callbacks(ProgressBar())` (which needs the
extra "progress") or `set_callbacks(ScoringMonitor(scoring="accuracy"))`. Their task is
"fit", with a subtask "epoch" for each epoch. A hook may ask for

- `fitted_estimator`, a copy that predicts and continues with `partial_fit` as if
  training had ended there. Its `loss_curve_`, and with validation its
  `validation_scores_` and `validation_losses_`, hold the epochs so far. With validation
  its weights are those of this epoch, even if an earlier one was better. It carries no
  callbacks, so it can be pickled even if the callback itself cannot;
- `X` and `y`, the training rows, without those that `early_stopping` holds out;
- `metadata`, which is None or has the "sample_weight" of these rows.

If `on_fit_task_end` of an epoch returns True, training ends there as if it had
converged. If a callback fails, the estimator is as it was before `fit`. `fit_chunks`
does the same with its passes, and passes None for `X` and `y`. `partial_fit` calls no
callbacks.
"""

REFERENCES = """\
.. [1] `Keras API reference, SGD <https://keras.io/api/optimizers/sgd/>`_.
.. [2] L. Xiao, "Dual Averaging Methods for Regularized Stochastic Learning and Online
   Optimization", Journal of Machine Learning Research 11, 2010.
.. [3] L. Bottou, "Stochastic Gradient Descent Tricks", in Neural Networks: Tricks of
   the Trade, 2012.
.. [4] I. Sutskever, J. Martens, G. Dahl and G. Hinton, "On the importance of
   initialization and momentum in deep learning", ICML 2013.
.. [5] R. M. Gower, N. Loizou, X. Qian, A. Sailanbayev, E. Shulgin and P. Richtarik,
   "SGD: General Analysis and Improved Rates", ICML 2019."""

CHUNKS_SUMMARY = """\
A pass over all chunks is one epoch for the schedule, `n_iter_`, `tol`, patience,
histories, validation, callbacks and `verbose`. There are at most `max_iter` passes.
Batches do not cross the ends of chunks. Rows are shuffled within a chunk; you choose
the order of the chunks (`row_chunks` gives a random one). With ``shuffle=False`` and
chunks whose lengths (except the last) are multiples of `batch_size`, the model equals
that of `fit` on all rows bit for bit."""

CHUNKS = """\
chunks : iterable of tuples, or callable
    An iterable of tuples (X, y) or (X, y, sample_weight) that restarts each time, such
    as a list or a DataLoader of NumPy arrays. Or a function ``chunks(epoch)``,
    epoch = 0, 1, ..., that returns such an iterable for a pass, for example a generator
    function. X and y are as in `fit`; all X must be dense or all sparse, and they are
    converted to the precision of the first chunk. Chunks can have any length, those
    without rows are skipped, and passes can differ. An iterator that can be read only
    once is enough for ``max_iter=1`` if no additional pass is needed."""

CHUNKS_VALIDATION = """\
X_val : array-like of shape (n_validation_samples, n_features), default=None
    Validation data, as in `fit`. They must fit into memory. `early_stopping=True` needs
    them, because no rows are held out.
y_val : array-like, default=None
    Target values of `X_val`, required with it.
sample_weight_val : array-like of shape (n_validation_samples,), default=None
    Weights of the rows of `X_val` in the score.
resume : bool, default=False
    Whether to continue a training that was ended by an interrupt, an error, a callback
    or `max_iter`. The next pass is the one that was not completed. The estimator may
    have been pickled in the meantime, and the result equals that of an uninterrupted
    training bit for bit. Changed parameters act on the remaining passes, so a larger
    `max_iter` adds passes (with sparse chunks of float32, or averages, up to rounding
    errors). `batch_size`, `average`, `standardize`, and whether `eta0` and
    `learning_rate` are "auto", must not change."""

CHUNKS_NOTES = """\
Returns
-------
self : object
    The fitted estimator.

Raises
------
ValueError
    If a parameter or a chunk is invalid (the message has the number of the chunk), or
    if there is nothing to resume.
TypeError
    If `chunks` or one of its items has the wrong type.
DivergenceError
    If training diverges. After any error and after an interrupt, the estimator is as it
    was at the end of the last complete pass, histories included; in the first pass, as
    it was before the call.
RuntimeError
    If the estimator is already being trained.

Warns
-----
ConvergenceWarning
    As `fit` does.
UserWarning
    If `X_val` seems to lack a transformation that the first chunk has had.

See Also
--------
skmbsgd.row_chunks : Cuts an array or a memory map into chunks.
partial_fit : Trains on an endless stream, where each chunk is an epoch.

Notes
-----
Additional passes read all chunks of pass 0 without training:

- before training, if the classes are not given, or if rows have weights, which are
  rescaled to a mean of 1 over all rows;
- before training, for the columns with `standardize`, and for the initial rate with
  `eta0="auto"`;
- with `learning_rate="auto"` and `eta0="auto"`, at the end of each cycle of rates, and
  sometimes to check whether more can be gained;
- at the end, if the model seems worse than a constant prediction.

What is computed from pass 0 (mean of the weights, classes, columns, initial rate, the
unit of `tol`) holds for all passes, even if the chunks change from pass to pass. With
`batch_size="full"` each chunk is a batch.

While pass 0 is read, its targets are kept in the memory: 8 bytes each for a regression,
1 for up to 256 classes, and 8 for each weight.

Callbacks get None for X and y."""

SHARED = {
    "CHUNKS_SUMMARY": CHUNKS_SUMMARY,
    "CHUNKS": CHUNKS,
    "CHUNKS_VALIDATION": CHUNKS_VALIDATION,
    "CHUNKS_NOTES": CHUNKS_NOTES,
    "PENALTY": PENALTY,
    "LEARNING_RATE": LEARNING_RATE,
    "MOMENTUM": MOMENTUM,
    "WARM_START": WARM_START,
    "HISTORY_ATTRIBUTES": HISTORY_ATTRIBUTES,
    "UPDATE_RULE": UPDATE_RULE,
    "CALLBACKS": CALLBACKS,
    "REFERENCES": REFERENCES,
}


def with_shared_parts(cls: Documented) -> Documented:
    """Put the shared parts in place of their <NAME>s in a docstring.

    Each part is indented like its <NAME>, because Python 3.13 and newer remove the
    indentation that all lines share, and older versions keep it.
    """
    if cls.__doc__ is not None:  # python -OO
        cls.__doc__ = re.sub(
            "^( *)<([A-Z_]+)>$",
            lambda place: indent(SHARED[place[2]], place[1]),
            cls.__doc__,
            flags=re.MULTILINE,
        )
    return cls
