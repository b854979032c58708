"""
==================================================
Text larger than memory: which package is it from?
==================================================

This example predicts which package a piece of source code comes from. The pieces are
hashed to 2^20 columns. The matrices are stored in chunks and read one after the other,
as if they did not all fit into memory.
:meth:`~skmbsgd.MiniBatchSGDClassifier.fit_chunks` makes three passes over them. For
comparison, :class:`~sklearn.linear_model.SGDClassifier` and river learn the same
documents with their methods for streams.

The data are the source files of installed packages. river is left out if it is not
installed (``pip install river``).
"""

# Authors: The skmbsgd developers
# SPDX-License-Identifier: BSD-3-Clause

from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
import sklearn
from scipy.sparse import load_npz, save_npz
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier

from skmbsgd import MiniBatchSGDClassifier

# %%
# Files
# -----
# A document has 25 lines, without the names of the packages. 240 files of each package
# are drawn at random, and every tenth of them is held out for the test.

site_packages = Path(sklearn.__file__).parents[1]
packages = [
    name
    for name in ("matplotlib", "numpy", "pandas", "scipy", "sklearn")
    if (site_packages / name).is_dir()
]
rng = np.random.default_rng(0)
files = []
for package in packages:
    paths = sorted((site_packages / package).rglob("*.py"))
    files += [(paths[i], package) for i in rng.permutation(len(paths))[:240]]
files = [files[i] for i in rng.permutation(len(files))]
test_files, train_files = files[::10], np.delete(files, np.s_[::10], axis=0)


def documents(files):
    """Pieces of 25 lines of each file, and the package it is from."""
    for path, label in files:
        text = path.read_text(errors="ignore")
        for package in packages:
            text = text.replace(package, " ")
        lines = [line for line in text.splitlines() if line.strip()]
        for first in range(0, len(lines), 25):
            yield " ".join(lines[first : first + 25]), label


# %%
# Chunks
# ------
# A chunk has the documents of 60 files. Hashing words takes longer than learning from
# them, so it is done once, and the matrices are stored. ``chunks`` takes the number of
# the pass, and reads the matrices in a different order in each pass.

vectorizer = HashingVectorizer(
    n_features=2**20, alternate_sign=False, dtype=np.float32, token_pattern=r"\w+"
)
folder = TemporaryDirectory()
start = perf_counter()
n_chunks = n_documents = n_bytes = 0
for first in range(0, len(train_files), 60):
    texts, labels = zip(*documents(train_files[first : first + 60]), strict=True)
    X = vectorizer.transform(texts)
    save_npz(f"{folder.name}/{n_chunks}.npz", X, compressed=False)
    np.save(f"{folder.name}/{n_chunks}.npy", labels)
    n_chunks += 1
    n_documents += X.shape[0]
    n_bytes += X.data.nbytes + X.indices.nbytes
seconds_to_hash = perf_counter() - start


def chunks(epoch):
    for number in np.random.default_rng(epoch).permutation(n_chunks):
        path = f"{folder.name}/{number}"
        yield load_npz(path + ".npz"), np.load(path + ".npy")


texts_test, y_test = zip(*documents(test_files), strict=True)
X_test = vectorizer.transform(texts_test)
start = perf_counter()
list(map(len, chunks(0)))
print(f"documents to learn from         {n_documents:>8,}")
print(f"documents to test with          {X_test.shape[0]:>8,}")
print(f"different words in a document   {X_test.nnz / X_test.shape[0]:>8.1f}")
print(f"MB of matrices                  {n_bytes / 1e6:>8.1f}")
print(f"seconds to hash and store them  {seconds_to_hash:>8.1f}")
print(f"seconds to read them            {perf_counter() - start:>8.2f}")

# %%
# Training
# --------
# The models train for three passes. :class:`~skmbsgd.MiniBatchSGDClassifier` has
# default parameters, apart from the penalty and the number of passes. It finds the rate
# in two passes that only read, and lowers it to 0 over the three training passes,
# update by update. The test data are passed as validation data, so they are scored
# after each pass. The time is taken before the scoring, and includes all reading and
# the earlier scorings.

EPOCHS = 3
curves: dict[str, tuple] = {}
times: list[float] = []
start = perf_counter()


def accuracy(model, X, y):
    times.append(perf_counter() - start)
    return model.score(X, y)


model = MiniBatchSGDClassifier(
    alpha=1e-6, max_iter=EPOCHS, tol=None, scoring=accuracy, random_state=0
)
model.fit_chunks(chunks, classes=packages, X_val=X_test, y_val=y_test)
curves["skmbsgd"] = times, model.validation_scores_

# %%
# scikit-learn's ``partial_fit`` makes one pass over each chunk for each package. It
# updates the weights after each document, with a rate that falls from document to
# document.

model = SGDClassifier(loss="log_loss", alpha=1e-6, random_state=0)
seconds, times, scores = 0.0, [], []
for epoch in range(EPOCHS):
    start = perf_counter()
    for X, y in chunks(epoch):
        model.partial_fit(X, y, classes=packages)
    seconds += perf_counter() - start
    times.append(seconds)
    scores.append(model.score(X_test, y_test))
curves["SGDClassifier"] = times, scores

# %%
# river learns document by document, from dicts of words. It gets a quarter of the files
# once, which keeps the example short.

if find_spec("river"):
    from river.linear_model import SoftmaxRegression
    from river.optim import SGD

    def bags(documents):
        for text, label in documents:
            words, counts = np.unique(text.split(), return_counts=True)
            counts = counts / np.linalg.norm(counts)
            yield dict(zip(words.tolist(), counts.tolist(), strict=True)), label

    online = SoftmaxRegression(SGD(1.0))
    start = perf_counter()
    for words, label in bags(documents(train_files[::4])):
        online.learn_one(words, label)
    seconds = perf_counter() - start
    right = [
        online.predict_one(words) == label
        for words, label in bags(documents(test_files[::4]))
    ]
    curves["river, a quarter of a pass"] = [seconds], [np.mean(right)]

# %%
# Accuracy over seconds
# ---------------------

print(f"\n{'':28}{'pass':>4}{'seconds':>9}{'test accuracy':>15}")
for name, (times, scores) in curves.items():
    for number, (seconds, score) in enumerate(zip(times, scores, strict=True), start=1):
        print(f"{name:28}{number:4}{seconds:9.1f}{score:15.3f}")

figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
for name, (times, scores) in curves.items():
    axes.plot(times, scores, "o-", label=name)
axes.set(xlabel="seconds, reading included", ylabel="test accuracy", ylim=(0, 1))
axes.set_xlim(left=0.0)
axes.grid(alpha=0.3)
axes.legend()
plt.show()
folder.cleanup()

# %%
# Finding the rate takes a large part of the time before the end of the first pass. In
# return, no rate had to be chosen, and the rate ends at 0. A rate that stays too high
# gives too much weight to the last chunk.
