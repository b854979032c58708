"""Threads that train a model together, and how many of them are worth it."""

import math
from _thread import allocate_lock, start_new_thread

from joblib import cpu_count, effective_n_jobs
from scipy.sparse import issparse

from skmbsgd._engine.epoch import run_epoch
from skmbsgd._engine.rows import cost_of_dense_row
from skmbsgd._engine.team import Member, Team

# What each of two threads must have to do for its start and for their rounds to be
# worth it, in an epoch and in a batch: work in units of about a nanosecond, and rows.
# Products of several outputs take less time per weight; to exchange their gradients
# takes as much.
LEAST_SHARE_OF_EPOCH = 500_000
LEAST_SHARE_OF_BATCH = 3_000
LEAST_ROWS = {"one output": 16, "several": 64}


def choose_n_threads(data, batch_size, n_jobs):
    """The number of threads for these data and batches, n_jobs as in joblib."""
    n_useful = n_useful_threads(data, batch_size)
    if n_useful == 1:
        return 1
    # More threads than cores would wait for each other, and some backends of joblib
    # count the workers of a cluster.
    return min(n_useful, effective_n_jobs(n_jobs), cpu_count())


def n_useful_threads(data, batch_size):
    """The largest number of threads that each make an epoch faster.

    It depends on the shape of the data and the batch alone, so that the same call gives
    the same bits.
    """
    if issparse(data.X):
        return 1
    cost_of_row = cost_of_dense_row(data.X.shape[1], data.X.itemsize, data.n_outputs)
    least_rows = max(
        LEAST_SHARE_OF_BATCH / cost_of_row,
        LEAST_ROWS["one output" if data.n_outputs == 1 else "several"],
    )
    # Each of n threads hears of all others: its share must be n / 2 times as large as
    # that of one of two.
    of_batch = int(math.sqrt(2 * batch_size / least_rows))
    of_epoch = int(cost_of_row * data.n_rows_at_once / LEAST_SHARE_OF_EPOCH)
    return max(1, min(of_batch, of_epoch))


def rows_of_threads(data, state, make_model, n_threads, *, in_blocks):
    """Rows of the data for each of so many threads that train a model together.

    The first one moves the arrays of the state, the others copies of these.
    """
    return rows_of_members(
        data, members_of_threads(state, make_model, n_threads), in_blocks=in_blocks
    )


def members_of_threads(state, make_model, n_threads):
    """A model for each of so many threads, and what makes a team of them."""
    if n_threads == 1:
        return [(make_model(state), None)]
    models = [make_model(state if i == 0 else state.copy()) for i in range(n_threads)]
    team = Team(n_threads, models[0].gradients.nbytes)
    return [(model, Member(team, i, model.gradients)) for i, model in enumerate(models)]


def rows_of_members(data, members, *, in_blocks):
    """Rows of the data for each of the models of a team."""
    order = data.order(in_blocks=in_blocks)
    return [data.rows_for(model, order, member) for model, member in members]


class Follower:
    """What a thread runs that follows the one that calls fit.

    Made of the interpreter's own threads and locks: those of threading and of
    concurrent.futures take locks in Python code, in the middle of which an interrupt
    may leave them held for ever, and the latter start no thread any more once the main
    thread has ended.
    """

    def __init__(self, function, arguments):
        self.function, self.arguments = function, arguments
        self.running = allocate_lock()
        self.running.acquire()
        self.loss = self.error = None

    def run(self):
        """Call the function, and keep what comes of it."""
        try:
            self.loss = self.function(*self.arguments)
        except BaseException as error:
            self.error = error
            self.arguments[0].member.team.give_up()
        finally:
            self.running.release()

    def result(self):
        """The loss of its rows, once it has come to the end."""
        self.running.acquire()
        if self.error is not None:
            raise self.error
        return self.loss


def run_epoch_in_threads(rows, *arguments):
    """Have the engine run an epoch, in a thread for each of the `rows`."""
    loss, *others = run_in_threads(
        run_epoch, [(of_thread, *arguments) for of_thread in rows]
    )
    return loss + sum(others)


def run_in_threads(function, arguments):
    """Call a function of the engine in a thread for each of the tuples of arguments.

    The first of each are the rows of the thread. If one of the threads fails or is
    interrupted, the others leave the epoch by themselves; nobody waits for them.
    """
    leader, *others = arguments
    followers = [Follower(function, of_thread) for of_thread in others]
    try:
        for follower in followers:
            start_new_thread(follower.run, ())
        loss = function(*leader)
        return [loss, *(follower.result() for follower in followers)]
    except BaseException:
        leader[0].member.team.give_up()
        raise
