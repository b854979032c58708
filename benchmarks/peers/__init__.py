"""Everything that the benchmarks compare, one module for each package."""

from benchmarks.peers.base import Peer
from benchmarks.peers.keras_jax import Keras
from benchmarks.peers.mini_batch_sgd import MiniBatchSGD
from benchmarks.peers.numpy_loop import NumpyLoop
from benchmarks.peers.product import Product
from benchmarks.peers.pytorch import PyTorch, PyTorchSparse
from benchmarks.peers.river_batches import River
from benchmarks.peers.scikit_learn import ScikitLearnMLP, ScikitLearnSGD
from benchmarks.peers.vowpal_wabbit import VowpalWabbit

__all__ = [
    "Keras",
    "MiniBatchSGD",
    "NumpyLoop",
    "Peer",
    "Product",
    "PyTorch",
    "PyTorchSparse",
    "River",
    "ScikitLearnMLP",
    "ScikitLearnSGD",
    "VowpalWabbit",
    "all_peers",
]


def all_peers():
    """One object of each class, ours first."""
    return [
        MiniBatchSGD(),
        ScikitLearnSGD(),
        ScikitLearnMLP(),
        NumpyLoop(),
        PyTorch(),
        PyTorchSparse(sparse_gradients=True),
        PyTorchSparse(sparse_gradients=False),
        Keras(),
        River(),
        VowpalWabbit(),
    ]
