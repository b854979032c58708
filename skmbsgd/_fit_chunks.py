"""fit_chunks: the checks and reads before its passes, and what is kept afterwards."""

import math
from functools import partial
from typing import Any

from sklearn.base import is_classifier
from sklearn.utils import check_random_state

from skmbsgd._at_once import let_appear
from skmbsgd._callbacks import begin_fit_task
from skmbsgd._chunks import ChunkedData, Source
from skmbsgd._columns import standardization_of
from skmbsgd._passes import SETTINGS, PassTrainer, checksum, fault_of_unfinished
from skmbsgd._state import TrainingState
from skmbsgd._stored import is_number_or_nan, numbers
from skmbsgd._trainer import CURVES, TRAINING_CURVES, History

REREADABLE = (
    "Or pass chunks that can be read again: a list, another iterable that restarts "
    "each time, or a function chunks(epoch) that returns a new one."
)


def fit_chunks(
    estimator, chunks, X_val, y_val, sample_weight_val, resume, classes=None
):
    """Train in passes over chunks, from the start or from where training ended.

    Call this in methods with `appears_at_once`. The results of each pass become visible
    at its end.
    """
    estimator._check_parameters()
    check_settings_of_chunks(estimator, X_val)
    data = ChunkedData(estimator, Source(chunks), estimator.batch_size)
    if resume:
        state, best_state, history = continue_passes(estimator, data)
    else:
        read_what_must_be_known(estimator, data, classes)
    _, validation = estimator._set_validation_apart(
        data, X_val, y_val, sample_weight_val, None
    )
    if resume:
        trainer = resume_training(
            estimator, state, data, best_state, history, validation
        )
    else:
        trainer = begin_passes(estimator, data)
        estimator._forget_validation()
    trainer.publish = partial(publish_pass, estimator)
    patience_before = estimator._unfinished["patience"] if resume else {}
    train_in_passes(estimator, trainer, data, validation, patience_before)


def train_in_passes(estimator, trainer, data, validation, patience_before=()):
    """Run the passes of a trainer over the data."""
    task = begin_fit_task(estimator, None, None, None, None)
    trainer.make_patience = partial(estimator._make_patience, trainer, validation)
    trainer.max_iter = estimator.max_iter
    patience = trainer.make_patience()
    vars(patience).update(patience_before)
    trainer.train(
        estimator.max_iter,
        patience,
        task,
        validation=estimator._make_validation(validation, data.classes_alone),
        verbose=estimator.verbose,
    )
    task.end()


def check_settings_of_chunks(estimator, X_val):
    """Refuse settings that need all data at once."""
    if estimator.early_stopping and X_val is None:
        raise ValueError(
            "early_stopping=True cannot hold out rows in fit_chunks. Pass validation "
            "data as X_val and y_val, or set early_stopping=False."
        )
    if isinstance(getattr(estimator, "class_weight", None), str):
        raise ValueError(
            "class_weight='balanced' needs all labels at once, but fit_chunks reads "
            "them in chunks. Compute the weights beforehand as n_samples / "
            "(n_classes * rows of the class), and pass a dict."
        )


def read_what_must_be_known(estimator, data, classes):
    """Read the first chunk, and all chunks if training needs to know them beforehand.

    This is the case if the classes are not given, if rows have weights (which are
    rescaled to a mean of 1), if the rate is computed from the data, and if columns are
    standardised. It is also the case for CSR chunks and rates that differ within a
    pass: the windows of the model are those of `fit` only if the number of batches is
    known.
    """
    is_unknown = is_classifier(estimator) and classes is None
    if data.source.is_iterator:
        check_iterator(estimator, is_unknown)
    data.look(classes)
    to_measure = estimator._finds_rate or estimator._standardizes(data.X)
    if data.source.is_iterator and (to_measure or data.weighted):
        raise ValueError(
            "chunks is an iterator, which can be read once only, but "
            + (
                "weights are rescaled to a mean of 1, so all of them must be read "
                "beforehand. "
                if data.weighted
                else "standardize=True reads them beforehand. "
            )
            + REREADABLE
        )
    sees_windows = data.is_sparse and not data.source.is_iterator
    if (
        is_unknown
        or to_measure
        or data.weighted
        or (sees_windows and has_varied_epochs(estimator))
    ):
        data.survey(with_columns=estimator._standardizes(data.X))


def has_varied_epochs(estimator):
    """Whether the updates of an epoch can differ in their rate or in averaging."""
    varied = (
        estimator._finds_rate or estimator._make_schedule(estimator.eta0).counts_updates
    )
    return varied or int(estimator.average) > 1


def check_iterator(estimator, classes_are_unknown):
    """Refuse an iterator if the parameters ask for more than one pass."""
    reasons: dict[str, bool] = {
        f"max_iter={estimator.max_iter} needs more passes (set max_iter=1)": (
            estimator.max_iter > 1
        ),
        "the classes must be known beforehand (pass classes)": classes_are_unknown,
        "eta0='auto' reads them beforehand (set a number)": estimator._finds_rate,
    }
    needed = [reason for reason, holds in reasons.items() if holds]
    if needed:
        raise ValueError(
            "chunks is an iterator, which can be read once only, but "
            f"{', and '.join(needed)}. {REREADABLE}"
        )


def begin_passes(estimator, data, make=PassTrainer):
    """A trainer before the first pass."""
    intercept_init = None
    if not estimator._starts_from():
        intercept_init = estimator._constants_to_start_from(data)
    state = estimator._initial_state(
        data, check_random_state(estimator.random_state), intercept_init=intercept_init
    )
    vars(state).update(data.columns)
    return estimator._make_trainer(state, data, make=make)


def publish_pass(estimator, state, history, unfinished):
    """Make the results of a pass visible, with what is needed to resume training."""
    estimator._publish(state, history)
    if unfinished is not None:
        estimator._unfinished = {
            **unfinished,
            "settings": settings_of_passes(estimator),
        }
    let_appear(estimator)


def settings_of_passes(estimator):
    """The settings that must be the same when training is resumed."""
    values = (
        estimator.batch_size,
        int(estimator.average),
        estimator.standardize,
        estimator._finds_rate,
        estimator.learning_rate == "auto",
    )
    return dict(zip(SETTINGS, values, strict=True))


def continue_passes(estimator, data):
    """State, best state and history of an unfinished fit_chunks."""
    unfinished = vars(estimator).get("_unfinished")
    check_is_unfinished(unfinished)
    estimator._check_learnt()
    n_outputs = len(estimator._resumption["intercept_velocity"])
    check_unfinished(unfinished, (n_outputs, estimator.n_features_in_))
    check_curves(estimator, of_validation=unfinished["state"] is not None)
    kept = estimator._resume(n_outputs, unfinished["is_sparse"])
    check_is_resumed(estimator, unfinished, kept)
    check_passes_left(estimator, data)
    data.continue_with(kept, unfinished)
    if unfinished["state"] is None:  # There was no validation, so all of it is public.
        return kept, None, history_of(estimator)
    has_best = math.isfinite(unfinished["best_validation_score"])
    return (
        TrainingState(**unfinished["state"]).copy(),
        kept if has_best else None,
        history_of(
            estimator,
            list(estimator.validation_scores_),
            list(estimator.validation_losses_),
            unfinished["best_validation_score"],
        ),
    )


def history_of(estimator, *of_validation):
    """The history so far, in new lists."""
    return History(
        list(estimator.loss_curve_),
        list(estimator.learning_rate_curve_),
        *of_validation,
    )


def check_curves(estimator, of_validation):
    """Refuse curves that users have changed so that passes cannot be added."""
    lengths = {}
    for name in CURVES if of_validation else TRAINING_CURVES:
        curve: Any = getattr(estimator, name, None)
        if not numbers(list, kind=is_number_or_nan)(curve):
            raise ValueError(
                f"{name} must be a list of numbers, to which fit_chunks adds one for "
                f"each pass, got {curve!r}. Load the estimator again, or start again "
                "with resume=False."
            )
        lengths[name] = len(curve)
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"{', '.join(lengths)} must be of the same length, got "
            f"{[*lengths.values()]}. Load the estimator again, or start again with "
            "resume=False."
        )


def check_is_unfinished(unfinished):
    """Refuse to resume a training that does not exist."""
    if unfinished is None:
        raise ValueError(
            "There is nothing to resume: no fit_chunks was interrupted, or its "
            "training has ended since. Start with resume=False, or continue with "
            "partial_fit."
        )


def check_unfinished(unfinished, shape):
    """Refuse to resume a training that is damaged."""
    fault = fault_of_unfinished(unfinished, shape)
    if fault is not None:
        raise ValueError(
            f"_unfinished, from which fit_chunks continues, is damaged: {fault}. "
            "Load the estimator again, or start again with resume=False."
        )


def check_is_resumed(estimator, unfinished, kept):
    """Refuse another model, or changed settings that must stay the same."""
    if (
        checksum(*kept.weights()) != unfinished["checksum"]
        or kept.n_updates != unfinished["n_updates"]
    ):
        raise ValueError(
            "The model is not the one that fit_chunks left: it has been trained or "
            "edited since. Continue from it with partial_fit, or start again with "
            "warm_start=True and resume=False."
        )
    before = unfinished["settings"]
    for name, value in settings_of_passes(estimator).items():
        if value != before[name]:
            raise ValueError(
                f"To resume, {name} must still be {before[name]!r}, but it is "
                f"{value!r}. Set it back, or start again with resume=False."
            )


def check_passes_left(estimator, data):
    """Refuse to resume a finished training, or several passes from an iterator."""
    n_done = len(estimator.loss_curve_)
    n_left = estimator.max_iter - n_done
    if n_left < 1:
        raise ValueError(
            f"There is nothing to resume: {n_done} passes are done, and "
            f"max_iter={estimator.max_iter}. Increase max_iter to continue."
        )
    if data.source.is_iterator and (n_left > 1 or estimator._finds_rate):
        raise ValueError(
            "chunks is an iterator, which can be read once only, but there are "
            f"{n_left} passes left, and more to read with eta0='auto'. {REREADABLE}"
        )


def resume_training(estimator, state, data, best_state, history, validation):
    """A trainer that continues an interrupted training."""
    unfinished = estimator._unfinished
    if (validation is not None) != (unfinished["state"] is not None):
        raise ValueError(
            "Training has begun "
            + ("without" if validation is not None else "with")
            + " validation data. Resume it in the same way, or start again with "
            "resume=False."
        )
    columns = None
    if estimator._standardizes(data.X):
        columns = standardization_of(state, estimator.fit_intercept)
    eta0 = unfinished["eta0"] if estimator._finds_rate else estimator.eta0
    loss = estimator._make_loss(data.n_outputs)
    trainer = estimator._assemble_trainer(
        PassTrainer, state, data, loss, eta0, columns, streaming=False
    )
    trainer.resume(unfinished, history, best_state)
    return trainer
