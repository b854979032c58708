"""Threads that train a model together, and how many of them pay off."""

import math
from _thread import allocate_lock, start_new_thread

from joblib import cpu_count, effective_n_jobs
from scipy.sparse import issparse

from skmbsgd._engine.epoch import run_epoch
from skmbsgd._engine.rows import cost_of_dense_row
from skmbsgd._engine.team import Member, Team

# The least work of each of two threads, in an epoch and in a batch, for which starting
# and synchronising them pays off: in units of about a nanosecond, and in rows. Products
# of several outputs take less time per weight, but exchanging their gradients does not.
LEAST_SHARE_OF_EPOCH = 500_000
LEAST_SHARE_OF_BATCH = 3_000
LEAST_ROWS = {"one output": 16, "several": 64}


def choose_n_threads(data, batch_size, n_jobs):
    """The number of threads for these data and batches; n_jobs as in joblib."""
    n_useful = n_useful_threads(data, batch_size)
    if n_useful == 1:
        return 1
    # More threads than cores would wait for each other. Some backends of joblib count
    # the workers of a cluster, so the number is limited by the cores here.
    return min(n_useful, effective_n_jobs(n_jobs), cpu_count())


def n_useful_threads(data, batch_size):
    """The largest number of threads that each make an epoch faster.

    It depends only on the shape of the data and on the batch size, so that the same
    call gives the same result bit for bit.
    """
    if issparse(data.X):
        return 1
    cost_of_row = cost_of_dense_row(data.X.shape[1], data.X.itemsize, data.n_outputs)
    least_rows = max(
        LEAST_SHARE_OF_BATCH / cost_of_row,
        LEAST_ROWS["one output" if data.n_outputs == 1 else "several"],
    )
    # Each of n threads waits for all others. So its share must be n / 2 times as large
    # as that of one of two threads.
    of_batch = int(math.sqrt(2 * batch_size / least_rows))
    of_epoch = int(cost_of_row * data.n_rows_at_once / LEAST_SHARE_OF_EPOCH)
    return max(1, min(of_batch, of_epoch))


def rows_of_threads(data, state, make_model, n_threads, *, in_blocks):
    """Rows of the data for each of `n_threads` threads that train a model together.

    The first thread trains the arrays of the state, the others train copies.
    """
    return rows_of_members(
        data, members_of_threads(state, make_model, n_threads), in_blocks=in_blocks
    )


def members_of_threads(state, make_model, n_threads):
    """A model and a place in the team for each of `n_threads` threads."""
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
    """The work of a thread other than the one that calls fit.

    It uses the interpreter's own threads and locks. The modules threading and
    concurrent.futures take locks in Python code, and an interrupt there can leave them
    locked for ever. Also, concurrent.futures starts no threads once the main thread has
    ended.
    """

    def __init__(self, function, arguments):
        self.function, self.arguments = function, arguments
        self.running = allocate_lock()
        self.running.acquire()
        self.loss = self.error = None

    def run(self):
        """Call the function, and keep its result or its error."""
        try:
            self.loss = self.function(*self.arguments)
        except BaseException as error:
            self.error = error
            self.arguments[0].member.team.give_up()
        finally:
            self.running.release()

    def result(self):
        """Wait for the end, and return the loss of its rows."""
        self.running.acquire()
        if self.error is not None:
            raise self.error
        return self.loss


def run_epoch_in_threads(rows, *arguments):
    """Have the engine run an epoch, with a thread for each of the `rows`."""
    loss, *others = run_in_threads(
        run_epoch, [(of_thread, *arguments) for of_thread in rows]
    )
    return loss + sum(others)


def run_in_threads(function, arguments):
    """Call a function of the engine in a thread for each of the tuples of arguments.

    The first argument is the rows of the thread. If one of the threads fails or is
    interrupted, the others leave the epoch by themselves, without being waited for.
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
