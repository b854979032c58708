"""scikit-learn's estimators trained by SGD."""

from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.peers.base import Peer


class ScikitLearnSGD(Peer):
    """SGDRegressor and SGDClassifier."""

    name = "scikit-learn SGD"
    module = "sklearn"
    distribution = "scikit-learn"
    settings = (
        "``SGDRegressor``, ``SGDClassifier`` at a constant rate: an update after each "
        "row, L2, no momentum; one pass per class, one-vs-all"
    )
    strength = "it has no momentum to compute, and no minibatch to gather"
    frugality = "it keeps one number for each weight, and no velocity"
    sparse = True
    tasks = frozenset({"regression", "binary", "multiclass"})
    has_batches = False

    def prepare(self, problem):
        """Fits with ``max_iter``."""
        if problem.task == "regression":
            estimator, loss = SGDRegressor, "squared_error"
        else:
            estimator, loss = SGDClassifier, "log_loss"

        def run(n_epochs):
            estimator(
                loss=loss,
                learning_rate="constant",
                eta0=1e-5,
                max_iter=n_epochs,
                tol=None,
                random_state=0,
            ).fit(problem.X, problem.y)

        return run


class ScikitLearnMLP(Peer):
    """MLPRegressor and MLPClassifier without hidden layers."""

    name = "scikit-learn MLP"
    module = "sklearn"
    distribution = "scikit-learn"
    settings = (
        "``MLPRegressor``, ``MLPClassifier`` with ``hidden_layer_sizes=()``, "
        '``solver="sgd"``: Nesterov momentum 0.9, L2'
    )
    strength = "its products go to BLAS, whose blocks suit large batches"
    # It takes CSR matrices, and updates all coordinates densely.
    sparse = False

    def prepare(self, problem):
        """Fits with ``max_iter``."""
        is_regression = problem.task in ("regression", "multioutput")
        estimator = MLPRegressor if is_regression else MLPClassifier
        batch_size = min(problem.batch_size, problem.X.shape[0])

        def run(n_epochs):
            estimator(
                hidden_layer_sizes=(),
                solver="sgd",
                batch_size=batch_size,
                learning_rate_init=1e-4,
                momentum=0.9,
                nesterovs_momentum=True,
                max_iter=n_epochs,
                tol=0.0,
                n_iter_no_change=n_epochs + 1,
                random_state=0,
            ).fit(problem.X, problem.y)

        return run
