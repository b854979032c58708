"""Whatever the container, type or layout of the input, the model is the same.

The plain case is a C-ordered float64 array in memory. Every other kind of input that
holds the same numbers must give the same model bit for bit, except where a tolerance is
stated.
"""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_ROWS, N_FEATURES = 60, 4
NAMES = ["length", "width", "height", "weight"]
RNG = np.random.default_rng(0)
# Small integers, exact in every type of number
WHOLE = RNG.integers(0, 4, size=(N_ROWS, N_FEATURES)).astype(float)
X = WHOLE / 4
FLAGS = (WHOLE > 1).astype(float)
Y = WHOLE @ [1.0, -2.0, 3.0, 0.5]
Y2 = np.column_stack([Y, -Y, WHOLE[:, 0]])
LABELS = np.arange(N_ROWS) % 3
WEIGHTS = 1.0 + np.arange(N_ROWS) % 2

SETTINGS = {"batch_size": 7, "max_iter": 3, "tol": None, "random_state": 0}
KINDS = {"regressor": MiniBatchSGDRegressor, "classifier": MiniBatchSGDClassifier}
each_kind = pytest.mark.parametrize("kind", KINDS)


def make(kind, **settings):
    return KINDS[kind](**SETTINGS | {"momentum": 0.9} | settings)


def target_of(kind):
    return Y if kind == "regressor" else LABELS


def assert_same_model(estimator, expected):
    """Compare two estimators to the last bit."""
    assert estimator.coef_.dtype == expected.coef_.dtype
    assert_array_equal(estimator.coef_, expected.coef_)
    assert_array_equal(estimator.intercept_, expected.intercept_)
    assert estimator.loss_curve_ == expected.loss_curve_
    assert estimator.t_ == expected.t_
    assert estimator.n_features_in_ == expected.n_features_in_


def assert_same_predictions(predictions, expected):
    """Compare predictions; a product in another layout may round differently."""
    assert predictions.dtype == expected.dtype
    tolerance = 1e-5 if expected.dtype == np.float32 else 1e-13
    assert_allclose(predictions, expected, rtol=tolerance, atol=tolerance)


def fitted_by(method, kind, X, y, **others):
    """Return an estimator trained by ``fit``, or by two calls of ``partial_fit``."""
    estimator = make(kind)
    if method == "fit":
        return estimator.fit(X, y, **others)
    if kind == "classifier":
        others["classes"] = np.unique(np.asarray(y))
    return estimator.partial_fit(X, y, **others).partial_fit(X, y, **others)


# ---------------------------------------------------------------------------
# Layouts, types and containers of X
# ---------------------------------------------------------------------------


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def misaligned(array):
    memory = bytearray(array.nbytes + 1)
    memory[1:] = array.tobytes()
    return np.frombuffer(memory, array.dtype, offset=1).reshape(array.shape)


def mapped(array, mode, tmp_path):
    path = tmp_path / "array"
    array.tofile(path)
    return np.memmap(path, dtype=array.dtype, mode=mode, shape=array.shape)


def strided(array):
    """Return a view of every second row and column of a larger array."""
    larger = np.full([2 * n for n in array.shape], np.nan)
    view = larger[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def backwards(array):
    """Return a view with negative strides."""
    return array[::-1].copy()[::-1]


def in_a_record(array):
    """Return a field of a packed structured array: strided and misaligned."""
    records = np.zeros(len(array), [("flag", "i1"), ("values", "f8", array.shape[1:])])
    records["values"] = array
    return records["values"]


class Subclass(np.ndarray):
    pass


class ArrayLike:
    """Something that NumPy can make an array of."""

    def __init__(self, array):
        self.array = array
        self.shape = array.shape

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype=dtype)

    def __len__(self):
        return len(self.array)


LAYOUTS = {
    "F-ordered": np.asfortranarray,
    "transposed": lambda array: array.T.copy().T,
    "read-only": read_only,
    "misaligned": misaligned,
    "strided": strided,
    "backwards": backwards,
    "columns backwards": lambda array: array[:, ::-1].copy()[:, ::-1],
    "rows of a larger array": lambda array: np.vstack([array, array])[: len(array)],
    "columns of a larger array": lambda array: np.hstack([array, array])[
        :, : array.shape[1]
    ],
    "a field of records": in_a_record,
    "big-endian": lambda array: array.astype(">f8"),
    "little-endian": lambda array: array.astype("<f8"),
    "longdouble": lambda array: array.astype(np.longdouble),
    "objects": lambda array: array.astype(object),
    "a subclass": lambda array: array.view(Subclass),
    "an array-like": ArrayLike,
    "a list of lists": lambda array: array.tolist(),
    "a list of arrays": list,
    "a tuple of tuples": lambda array: tuple(map(tuple, array.tolist())),
}


@each_kind
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_X_makes_no_difference(kind, method, layout):
    changed = LAYOUTS[layout](X)
    expected = fitted_by(method, kind, X, target_of(kind))
    estimator = fitted_by(method, kind, changed, target_of(kind))
    assert_same_model(estimator, expected)
    assert_same_predictions(estimator.predict(changed), expected.predict(X))


@each_kind
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_memory_map_makes_no_difference(kind, method, mode, dtype, tmp_path):
    plain = X.astype(dtype)
    changed = mapped(plain, mode, tmp_path)
    expected = fitted_by(method, kind, plain, target_of(kind))
    estimator = fitted_by(method, kind, changed, target_of(kind))
    assert_same_model(estimator, expected)
    assert_array_equal(estimator.predict(changed), expected.predict(plain))


# What float32 holds exactly is read in it, and all else in float64.
SMALL_TYPES = ["?", "i1", "i2", "u1", "u2", ">i2", ">u2", "f2", ">f4"]
LARGE_TYPES = ["i4", "i8", "u4", "u8", ">i4", "O"]
each_type = pytest.mark.parametrize(
    ("dtype", "read_as"),
    [(dtype, np.float32) for dtype in SMALL_TYPES]
    + [(dtype, np.float64) for dtype in LARGE_TYPES],
)
TYPED = {
    "array": lambda array, dtype: array.astype(dtype),
    "F-ordered": lambda array, dtype: np.asfortranarray(array.astype(dtype)),
    "CSR": lambda array, dtype: sparse.csr_array(array.astype(dtype)),
    "CSC": lambda array, dtype: sparse.csc_array(array.astype(dtype)),
    "pandas": lambda array, dtype: pandas_frame(array.astype(dtype)),
}


@each_kind
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("container", TYPED)
@each_type
def test_numbers_of_any_type_are_the_same_numbers(
    kind, method, container, dtype, read_as
):
    if container.startswith("CS") and (dtype[0] == ">" or dtype in ("f2", "O")):
        pytest.skip("SciPy has no sparse matrices of this type")
    numbers = FLAGS if dtype == "?" else WHOLE
    X = TYPED[container](numbers, dtype)
    plain = numbers.astype(read_as)
    if container.startswith("CS"):
        plain = sparse.csr_array(plain)
    expected = fitted_by(method, kind, plain, target_of(kind))
    estimator = fitted_by(method, kind, X, target_of(kind))
    assert estimator.coef_.dtype == read_as
    assert_same_model(estimator, expected)
    if container == "pandas":
        del estimator.feature_names_in_
        X = X.to_numpy()
    assert_same_predictions(estimator.predict(X), expected.predict(plain))


@each_kind
def test_columns_of_small_types_make_a_model_of_single_precision(kind):
    pd = pytest.importorskip("pandas")
    types = dict(zip(NAMES, ["int8", "float16", "uint16", "float32"], strict=True))
    frame = pd.DataFrame(WHOLE, columns=NAMES).astype(types)
    expected = make(kind).fit(WHOLE.astype(np.float32), target_of(kind))
    assert_same_model(make(kind).fit(frame, target_of(kind)), expected)
    frame["width"] = frame["width"].astype("int32")
    expected = make(kind).fit(WHOLE, target_of(kind))
    assert_same_model(make(kind).fit(frame, target_of(kind)), expected)


@each_kind
@pytest.mark.parametrize("dtype", [bool, np.int8])
@pytest.mark.parametrize("container", [list, np.ndarray.tolist])
def test_lists_are_read_in_double_precision(kind, dtype, container):
    # The type of an object that is not an array is unknown before it is read.
    changed = container(FLAGS.astype(dtype))
    expected = make(kind).fit(FLAGS, target_of(kind))
    assert_same_model(make(kind).fit(changed, target_of(kind)), expected)


@each_kind
@pytest.mark.parametrize(
    "layout", ["F-ordered", "read-only", "misaligned", "backwards", "a subclass"]
)
def test_single_precision_stays_single_in_any_layout(kind, layout):
    single = X.astype(np.float32)
    changed = LAYOUTS[layout](single)
    expected = make(kind).fit(single, target_of(kind))
    estimator = make(kind).fit(changed, target_of(kind))
    assert estimator.coef_.dtype == estimator.intercept_.dtype == np.float32
    assert_same_model(estimator, expected)
    double = make(kind).fit(X, target_of(kind))
    assert_allclose(estimator.coef_, double.coef_, rtol=1e-4, atol=1e-6)


@each_kind
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_misaligned_arrays_of_a_csr_matrix_make_no_difference(kind, dtype):
    matrix = sparse.csr_array(X.astype(dtype))
    changed = matrix.copy()
    for name in ("data", "indices", "indptr"):
        setattr(changed, name, misaligned(getattr(matrix, name)))
    expected = make(kind).fit(matrix, target_of(kind))
    assert_same_model(make(kind).fit(changed, target_of(kind)), expected)


@each_kind
def test_a_stream_keeps_the_precision_of_its_first_chunk(kind):
    y = target_of(kind)
    for first, other, precision in (
        (np.float32, np.float64, np.float32),
        (np.float64, np.float32, np.float64),
        (np.uint8, np.float64, np.float32),
        (np.float64, np.uint8, np.float64),
        (np.int64, np.float16, np.float64),
    ):
        mixed, plain = make(kind), make(kind)
        classes = {"classes": [0, 1, 2]} if kind == "classifier" else {}
        for dtype in (first, other, int, first):
            chunk = WHOLE.astype(dtype)
            mixed.partial_fit(chunk, y, **classes)
            plain.partial_fit(WHOLE.astype(precision), y, **classes)
        assert mixed.coef_.dtype == precision
        assert_same_model(mixed, plain)


@each_kind
def test_one_row_repeated_without_copies_is_many_rows(kind):
    rows = np.broadcast_to(X[3], X.shape)
    expected = make(kind).fit(np.tile(X[3], (N_ROWS, 1)), target_of(kind))
    assert_same_model(make(kind).fit(rows, target_of(kind)), expected)


# ---------------------------------------------------------------------------
# Targets, labels and weights
# ---------------------------------------------------------------------------

TARGETS = {
    "a list": lambda y: y.tolist(),
    "a tuple": lambda y: tuple(y.tolist()),
    "float32": lambda y: y.astype(np.float32),
    "float16": lambda y: y.astype(np.float16),
    "longdouble": lambda y: y.astype(np.longdouble),
    "big-endian": lambda y: y.astype(">f8"),
    "objects": lambda y: y.astype(object),
    "read-only": read_only,
    "misaligned": misaligned,
    "backwards": backwards,
    "strided": strided,
    "a subclass": lambda y: y.view(Subclass),
    "an array-like": ArrayLike,
}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("layout", TARGETS)
@pytest.mark.parametrize("y", [Y, Y2], ids=["one target", "three targets"])
def test_the_layout_of_targets_makes_no_difference(method, layout, y):
    expected = fitted_by(method, "regressor", X, y)
    changed = TARGETS[layout](y)
    assert_same_model(fitted_by(method, "regressor", X, changed), expected)


@pytest.mark.parametrize("dtype", ["i1", "i8", ">i4", "O"])
def test_targets_may_be_whole_numbers(dtype):
    expected = make("regressor").fit(X, WHOLE[:, 0])
    assert_same_model(make("regressor").fit(X, WHOLE[:, 0].astype(dtype)), expected)


def test_targets_may_be_booleans():
    expected = make("regressor").fit(X, FLAGS[:, 0])
    assert_same_model(make("regressor").fit(X, FLAGS[:, 0].astype(bool)), expected)


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda y: y[:, ::-1].copy()])
def test_several_targets_may_be_in_any_order_of_memory(layout):
    y = layout(Y2)
    expected = make("regressor").fit(X, np.array(y, order="C"))
    assert_same_model(make("regressor").fit(X, y), expected)


def test_a_column_of_targets_gives_a_row_of_weights():
    flat, column = (make("regressor").fit(X, y) for y in (Y, Y[:, None]))
    assert column.coef_.shape == (1, N_FEATURES)
    assert column.predict(X).shape == (N_ROWS, 1)
    assert_array_equal(column.coef_[0], flat.coef_)
    assert_array_equal(column.predict(X)[:, 0], flat.predict(X))


TWO = np.array(["no", "yes"])
LABEL_KINDS = {
    "integers": LABELS - 1,
    "unordered integers": np.array([7, -3, 10])[LABELS],
    "int8": LABELS.astype(np.int8),
    "unsigned": LABELS.astype(np.uint8),
    "huge integers": np.array([-(2**62), 0, 2**62 + 1])[LABELS],
    "huge unsigned": np.array([2**63, 2**63 + 1, 2**64 - 1], np.uint64)[LABELS],
    "big-endian": LABELS.astype(">i4"),
    "floats": LABELS.astype(float) - 1,
    "float32": LABELS.astype(np.float32),
    "strings": np.array(["b", "", "a longer one"])[LABELS],
    "strings as objects": np.array(["b", "", "a longer one"], object)[LABELS],
    "numbers as strings": np.array(["9", "10", "100"])[LABELS],
    "booleans": LABELS == 1,
    "two strings": TWO[(LABELS == 1).astype(int)],
    "read-only": read_only(LABELS),
    "backwards": backwards(LABELS),
    "every second": np.repeat(LABELS, 2)[::2],
    "a list of integers": LABELS.tolist(),
    "a list of strings": np.array(["b", "c", "a"])[LABELS].tolist(),
    "a list of booleans": (LABELS == 1).tolist(),
    "a tuple": tuple(LABELS.tolist()),
}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("labels", LABEL_KINDS)
def test_labels_of_any_kind_are_classes_in_their_order(method, labels):
    y = LABEL_KINDS[labels]
    classes, numbers = np.unique(np.asarray(y), return_inverse=True)
    expected = fitted_by(method, "classifier", X, numbers)
    estimator = fitted_by(method, "classifier", X, y)
    assert_same_model(estimator, expected)
    assert_array_equal(estimator.classes_, classes)
    predicted = estimator.predict(X)
    assert_array_equal(predicted, classes[expected.predict(X)])
    assert predicted.dtype == estimator.classes_.dtype == classes.dtype
    assert estimator.score(X, y) == expected.score(X, numbers)


def test_a_column_of_labels_is_read_with_a_warning():
    from sklearn.exceptions import DataConversionWarning

    expected = make("classifier").fit(X, LABELS)
    with pytest.warns(DataConversionWarning, match="column-vector"):
        estimator = make("classifier").fit(X, LABELS[:, None])
    assert_same_model(estimator, expected)


def test_classes_of_a_stream_may_be_given_in_any_order_and_kind():
    expected = make("classifier").partial_fit(X, LABELS, classes=np.arange(3))
    for classes in ([2, 0, 1], (0, 1, 2), range(3), np.array([1, 1, 2, 0])):
        estimator = make("classifier").partial_fit(X, LABELS, classes=classes)
        assert_same_model(estimator, expected)
        estimator.partial_fit(X, LABELS, classes=[1, 2, 0]).partial_fit(X, LABELS)


WEIGHT_KINDS = {
    "a list": lambda w: w.tolist(),
    "a tuple": lambda w: tuple(w.tolist()),
    "integers": lambda w: w.astype(int),
    "float32": lambda w: w.astype(np.float32),
    "float16": lambda w: w.astype(np.float16),
    "big-endian": lambda w: w.astype(">f8"),
    "objects": lambda w: w.astype(object),
    "read-only": read_only,
    "misaligned": misaligned,
    "backwards": backwards,
    "strided": strided,
}


@each_kind
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("layout", WEIGHT_KINDS)
def test_the_layout_of_weights_makes_no_difference(kind, method, layout):
    y = target_of(kind)
    expected = fitted_by(method, kind, X, y, sample_weight=WEIGHTS)
    weights = WEIGHT_KINDS[layout](WEIGHTS)
    assert_same_model(fitted_by(method, kind, X, y, sample_weight=weights), expected)


@each_kind
def test_boolean_weights_choose_rows(kind):
    y = target_of(kind)
    chosen = FLAGS[:, 0].astype(bool)
    expected = make(kind).fit(X, y, sample_weight=FLAGS[:, 0])
    assert_same_model(make(kind).fit(X, y, sample_weight=chosen), expected)


@each_kind
@pytest.mark.parametrize("weight", [1, 0.25, np.float32(3)])
def test_a_single_weight_stands_for_equal_weights(kind, weight):
    y = target_of(kind)
    expected = make(kind).fit(X, y)
    assert_same_model(make(kind).fit(X, y, sample_weight=weight), expected)


INITIAL_KINDS = {
    "a list": lambda w: w.tolist(),
    "float32": lambda w: w.astype(np.float32),
    "integers": lambda w: w.astype(int),
    "big-endian": lambda w: w.astype(">f8"),
    "F-ordered": np.asfortranarray,
    "read-only": read_only,
    "misaligned": misaligned,
    "backwards": backwards,
}


@pytest.mark.parametrize("layout", INITIAL_KINDS)
def test_the_layout_of_initial_weights_makes_no_difference(layout):
    coef, intercept = np.arange(12.0).reshape(3, 4), np.array([1.0, -2.0, 3.0])
    change = INITIAL_KINDS[layout]
    for kind, y in (("regressor", Y2), ("classifier", LABELS)):
        expected = make(kind).fit(X, y, coef_init=coef, intercept_init=intercept)
        estimator = make(kind).fit(
            X, y, coef_init=change(coef), intercept_init=change(intercept)
        )
        assert_same_model(estimator, expected)


@pytest.mark.parametrize(("kind", "y"), [("regressor", Y), ("classifier", LABELS > 0)])
def test_initial_weights_of_one_output_may_be_flat_or_a_row(kind, y):
    coef, intercept = np.arange(4.0), np.array([1.0])
    expected = make(kind).fit(X, y, coef_init=coef, intercept_init=intercept)
    row = make(kind).fit(X, y, coef_init=coef[None], intercept_init=intercept)
    assert_same_model(row, expected)


@pytest.mark.parametrize(("kind", "y"), [("regressor", Y), ("classifier", LABELS > 0)])
def test_a_single_initial_intercept_may_be_a_number(kind, y):
    # As for the SGD estimators of scikit-learn
    expected = make(kind).fit(X, y, intercept_init=[1.5])
    assert_same_model(make(kind).fit(X, y, intercept_init=1.5), expected)


@each_kind
@pytest.mark.parametrize("layout", ["F-ordered", "strided", "big-endian", "half"])
def test_the_layout_of_validation_data_makes_no_difference(kind, layout):
    layouts = {**LAYOUTS, "half": lambda array: array.astype(np.float16)}
    y = target_of(kind)
    expected = make(kind).fit(X, y, X_val=X, y_val=y, sample_weight_val=WEIGHTS)
    estimator = make(kind).fit(
        X,
        y,
        X_val=layouts[layout](X),
        y_val=y.tolist(),
        sample_weight_val=WEIGHTS.tolist(),
    )
    assert_same_model(estimator, expected)
    assert estimator.validation_scores_ == expected.validation_scores_


# ---------------------------------------------------------------------------
# Data frames
# ---------------------------------------------------------------------------


def pandas_frame(array, dtype=None, **options):
    pd = pytest.importorskip("pandas")
    return pd.DataFrame(array, columns=NAMES, **options).astype(dtype or array.dtype)


def pandas_mixture(array):
    """Return columns of different types."""
    pd = pytest.importorskip("pandas")
    types = dict(zip(NAMES, ["int8", "float32", "Int64", "Float64"], strict=True))
    return pd.DataFrame(array, columns=NAMES).astype(types)


def polars_frame(array, dtype=None):
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(array, schema=NAMES)
    return frame if dtype is None else frame.cast(getattr(pl, dtype))


FRAMES = {
    "pandas": pandas_frame,
    "pandas, other index": lambda array: pandas_frame(
        array, index=np.arange(N_ROWS)[::-1] * 7
    ),
    "pandas, int64": lambda array: pandas_frame(array, "int64"),
    "pandas, Float64": lambda array: pandas_frame(array, "Float64"),
    "pandas, Int8": lambda array: pandas_frame(array, "Int8"),
    "pandas, UInt16": lambda array: pandas_frame(array, "UInt16"),
    "pandas, object": lambda array: pandas_frame(array, object),
    "pandas, category": lambda array: pandas_frame(array, "category"),
    "pandas, mixed": pandas_mixture,
    "polars": polars_frame,
    "polars, Int32": lambda array: polars_frame(array, "Int32"),
    "polars, UInt8": lambda array: polars_frame(array, "UInt8"),
}


@each_kind
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("library", FRAMES)
def test_a_data_frame_gives_the_same_model_and_its_names(kind, method, library):
    frame = FRAMES[library](WHOLE)
    expected = fitted_by(method, kind, WHOLE, target_of(kind))
    estimator = fitted_by(method, kind, frame, target_of(kind))
    assert_same_model(estimator, expected)
    assert not hasattr(expected, "feature_names_in_")
    assert estimator.feature_names_in_.tolist() == NAMES
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same_predictions(estimator.predict(frame), expected.predict(WHOLE))


@each_kind
def test_a_data_frame_of_single_precision_stays_single(kind):
    single = X.astype(np.float32)
    expected = make(kind).fit(single, target_of(kind))
    assert_same_model(make(kind).fit(pandas_frame(single), target_of(kind)), expected)


@each_kind
def test_a_polars_frame_is_read_in_double_precision(kind):
    # scikit-learn's validation keeps the single precision of pandas only.
    estimator = make(kind).fit(polars_frame(X, "Float32"), target_of(kind))
    assert_same_model(estimator, make(kind).fit(X, target_of(kind)))


@each_kind
def test_booleans_that_know_missing_values_are_zeros_and_ones(kind):
    frame = pandas_frame(FLAGS.astype(bool), "boolean")
    expected = make(kind).fit(FLAGS, target_of(kind))
    assert_same_model(make(kind).fit(frame, target_of(kind)), expected)


@each_kind
@pytest.mark.parametrize("dtype", ["Float64", "Int64", "object", "float64"])
def test_missing_values_in_a_data_frame_are_refused(kind, dtype):
    pd = pytest.importorskip("pandas")
    frame = pandas_frame(WHOLE, dtype)
    frame.iloc[5, 2] = np.nan if dtype in ("float64", "object") else pd.NA
    with pytest.raises(ValueError, match="X contains NaN"):
        make(kind).fit(frame, target_of(kind))


@each_kind
def test_missing_targets_are_refused(kind):
    pd = pytest.importorskip("pandas")
    for dtype in ("Float64", "Int64"):
        y = pd.Series(LABELS).astype(dtype)
        y[5] = pd.NA
        with pytest.raises(ValueError, match="y contains NaN"):
            make(kind).fit(X, y)


@each_kind
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_later_chunk_must_have_the_same_columns_in_the_same_order(kind, library):
    frame = FRAMES[library](WHOLE)
    estimator = fitted_by("partial_fit", kind, frame, target_of(kind))
    before = pickle.dumps(vars(estimator))
    for columns in (NAMES[::-1], NAMES[:3]):
        with pytest.raises(ValueError, match="feature names"):
            estimator.partial_fit(frame[columns], target_of(kind))
        with pytest.raises(ValueError, match="feature names"):
            estimator.predict(frame[columns])
        assert pickle.dumps(vars(estimator)) == before


@each_kind
def test_validation_data_must_have_the_columns_of_the_training_data(kind):
    frame, y = pandas_frame(X), target_of(kind)
    expected = make(kind).fit(X, y, X_val=X, y_val=y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", category=UserWarning, message="max_iter")
        estimator = make(kind).fit(frame, y, X_val=frame, y_val=y)
    assert_same_model(estimator, expected)
    estimator = make(kind)
    with pytest.raises(ValueError, match="feature names"):
        estimator.fit(frame, y, X_val=frame[NAMES[::-1]], y_val=y)
    assert set(vars(estimator)) == set(estimator.get_params())


@each_kind
def test_names_are_forgotten_by_a_fit_without_names(kind):
    y = target_of(kind)
    estimator = make(kind).fit(pandas_frame(X), y).fit(X, y)
    assert not hasattr(estimator, "feature_names_in_")
    estimator.fit(pandas_frame(X).rename(columns=dict(enumerate(NAMES))), y)
    assert estimator.feature_names_in_.tolist() == NAMES


@each_kind
def test_names_that_are_not_all_strings_are_refused_or_ignored(kind):
    pd = pytest.importorskip("pandas")
    y = target_of(kind)
    estimator = make(kind)
    with pytest.raises(TypeError, match="string"):
        estimator.fit(pd.DataFrame(X, columns=["a", 1, "b", 2]), y)
    assert set(vars(estimator)) == set(estimator.get_params())
    estimator.fit(pd.DataFrame(X, columns=[3, 1, 4, 5]), y)
    assert not hasattr(estimator, "feature_names_in_")
    assert_same_model(estimator, make(kind).fit(X, y))


def pandas_series(values, dtype=None):
    pd = pytest.importorskip("pandas")
    return pd.Series(values, index=np.arange(len(values))[::-1], dtype=dtype)


def polars_series(values):
    return pytest.importorskip("polars").Series(values)


@pytest.mark.parametrize(
    "series",
    [
        pandas_series,
        lambda y: pandas_series(y, "Float64"),
        lambda y: pandas_series(y, object),
        polars_series,
        lambda y: pandas_series(y, "float32"),
    ],
    ids=["pandas", "Float64", "objects", "polars", "float32"],
)
def test_a_series_of_targets_gives_the_same_model(series):
    expected = make("regressor").fit(X, Y, sample_weight=WEIGHTS)
    estimator = make("regressor").fit(X, series(Y), sample_weight=series(WEIGHTS))
    assert_same_model(estimator, expected)
    assert estimator.coef_.shape == (N_FEATURES,)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_of_targets_gives_the_same_model(library):
    frame = pytest.importorskip(library).DataFrame(Y2)
    assert_same_model(make("regressor").fit(X, frame), make("regressor").fit(X, Y2))


THREE = np.array(["b", "c", "a"])[LABELS]
LABEL_SERIES = {
    "pandas integers": lambda: (LABELS, pandas_series(LABELS)),
    "pandas strings": lambda: (THREE, pandas_series(THREE)),
    "pandas objects": lambda: (THREE, pandas_series(THREE, object)),
    "pandas string": lambda: (THREE, pandas_series(THREE, "string")),
    "pandas category": lambda: (THREE, pandas_series(THREE, "category")),
    "pandas integer category": lambda: (LABELS, pandas_series(LABELS, "category")),
    "pandas booleans": lambda: (LABELS > 0, pandas_series(LABELS > 0)),
    "pandas Int64": lambda: (LABELS, pandas_series(LABELS, "Int64")),
    "pandas boolean": lambda: (LABELS > 0, pandas_series(LABELS > 0, "boolean")),
    "polars integers": lambda: (LABELS, polars_series(LABELS)),
    "polars strings": lambda: (THREE, polars_series(THREE.tolist())),
    "polars booleans": lambda: (LABELS > 0, polars_series(LABELS > 0)),
}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("series", LABEL_SERIES)
def test_a_series_of_labels_gives_the_same_model(method, series):
    labels, changed = LABEL_SERIES[series]()
    expected = fitted_by(method, "classifier", X, labels)
    estimator = fitted_by(method, "classifier", X, changed)
    assert_same_model(estimator, expected)
    assert_array_equal(estimator.predict(X), expected.predict(X))
    assert estimator.score(X, changed) == expected.score(X, labels)


# ---------------------------------------------------------------------------
# Unusual sizes and settings
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_single_row_is_enough_for_a_regression(method):
    # w = eta0 * (1 - 0) * x after the first of these updates
    estimator = MiniBatchSGDRegressor(
        penalty=None, eta0=0.25, momentum=0.0, max_iter=1, tol=None
    )
    getattr(estimator, method)([[2.0, -4.0]], [1.0])
    assert_array_equal(estimator.coef_, [0.5, -1.0])
    assert_array_equal(estimator.intercept_, [0.25])
    assert estimator.t_ == estimator.n_iter_ == 1


def test_a_single_row_is_enough_for_a_chunk_of_a_classification():
    estimator = make("classifier").partial_fit(X[:1], [1], classes=[0, 1, 2])
    for row in range(1, 10):
        estimator.partial_fit(X[row : row + 1], LABELS[row : row + 1])
    assert (estimator.n_iter_, estimator.t_) == (10, 10)


@each_kind
def test_a_single_column_is_enough(kind):
    y = target_of(kind)
    expected = make(kind).fit(X[:, :1].copy(), y)
    assert_same_model(make(kind).fit(X[:, :1], y), expected)
    assert expected.coef_.shape[-1] == 1
    assert expected.predict(X[:, :1]).shape == (N_ROWS,)


@each_kind
@pytest.mark.parametrize("batch_size", [N_ROWS, N_ROWS + 1, 10**6, 10**30])
def test_a_batch_larger_than_the_data_is_a_full_batch(kind, batch_size):
    y = target_of(kind)
    expected = make(kind, batch_size="full").fit(X, y)
    assert_same_model(make(kind, batch_size=batch_size).fit(X, y), expected)
    assert expected.t_ == expected.n_iter_


@each_kind
@pytest.mark.parametrize("batch_size", [7, N_ROWS - 1, 59, 31])
def test_the_last_batch_takes_the_rows_that_are_left(kind, batch_size):
    # An epoch in order is the same as its batches, one by one, as chunks.
    y = target_of(kind)
    whole = make(kind, eta0=0.01, batch_size=batch_size, shuffle=False)
    parts = make(kind, eta0=0.01, batch_size="full", shuffle=False)
    classes = {"classes": [0, 1, 2]} if kind == "classifier" else {}
    whole.partial_fit(X, y, **classes)
    for first in range(0, N_ROWS, batch_size):
        rows = slice(first, first + batch_size)
        parts.partial_fit(X[rows], y[rows], **classes)
    assert whole.t_ == parts.t_ == -(-N_ROWS // batch_size)
    assert_allclose(whole.coef_, parts.coef_, rtol=1e-12, atol=1e-15)


@each_kind
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_chunk_of_a_larger_array_is_read_in_place(kind, dtype):
    # Its rows begin anywhere in memory, and the rows beyond it are not touched.
    larger = np.full((3 * N_ROWS, N_FEATURES), np.nan, dtype)
    larger[N_ROWS : 2 * N_ROWS] = X
    chunk = larger[N_ROWS : 2 * N_ROWS]
    expected = make(kind).fit(X.astype(dtype), target_of(kind))
    assert_same_model(make(kind).fit(chunk, target_of(kind)), expected)


def test_two_hundred_classes_are_learnt_in_one_pass():
    n_classes = 200
    rows = np.repeat(np.eye(n_classes), 3, axis=0)
    labels = np.repeat(np.arange(n_classes)[::-1] * 10, 3)
    for loss in ("log_loss", "hinge", "squared_hinge", "modified_huber"):
        estimator = MiniBatchSGDClassifier(
            loss, eta0=1.0, max_iter=30, tol=None, alpha=0.0, random_state=0
        )
        assert estimator.fit(rows, labels).score(rows, labels) == 1.0
        assert estimator.coef_.shape == (n_classes, n_classes)


@pytest.mark.parametrize("value", [0.0, 5.0, -1e-3])
def test_a_constant_target_is_learnt_by_the_intercept(value):
    estimator = MiniBatchSGDRegressor(eta0=0.1, max_iter=2000, tol=None, alpha=0.0)
    estimator.fit(X - X.mean(axis=0), np.full(N_ROWS, value))
    assert_allclose(estimator.intercept_, value, rtol=1e-9)
    assert_allclose(estimator.coef_, 0.0, atol=1e-9)


@each_kind
def test_a_constant_column_does_no_harm(kind):
    y = target_of(kind)
    expected = make(kind).fit(X, y)
    estimator = make(kind).fit(np.c_[X, np.zeros(N_ROWS)], y)
    assert_allclose(estimator.coef_[..., :-1], expected.coef_, rtol=1e-12)
    assert_array_equal(estimator.coef_[..., -1], 0.0)


@each_kind
@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": "constant"},
        {"learning_rate": "adaptive", "tol": 0.0, "n_iter_no_change": 1},
        {"penalty": "l1", "nesterov": True},
        {"average": True},
        {"decay": "auto"},
    ],
    ids=lambda settings: " ".join(settings),
)
def test_a_learning_rate_of_zero_moves_nothing(kind, settings):
    coef = np.arange(12.0).reshape(3, 4)
    y = Y2 if kind == "regressor" else LABELS
    estimator = make(kind, eta0=0.0, **settings).fit(X, y, coef_init=coef)
    assert_array_equal(estimator.coef_, coef)
    assert_array_equal(estimator.intercept_, 0.0)


@each_kind
def test_a_tolerance_of_zero_asks_for_any_improvement(kind):
    y = target_of(kind)
    settings = {
        "max_iter": 8,
        "eta0": 0.001,
        "momentum": 0.0,
        "n_iter_no_change": 3,
        "batch_size": "full",
    }
    patient = make(kind, tol=0.0, **settings).fit(X, y)
    assert (np.diff(patient.loss_curve_) < 0).all()
    assert_same_model(patient, make(kind, tol=None, **settings).fit(X, y))
    assert make(kind, tol=1e3, **settings).fit(X, y).n_iter_ == 4


@each_kind
def test_a_momentum_close_to_one_stays_finite(kind):
    settings = {"momentum": 0.999, "nesterov": True, "max_iter": 200, "eta0": 1e-4}
    estimator = make(kind, **settings).fit(X, target_of(kind))
    assert np.isfinite(estimator.coef_).all()
    assert estimator.loss_curve_[-1] < estimator.loss_curve_[0]


@each_kind
def test_one_epoch_of_fit_is_one_chunk_of_a_stream(kind):
    y = target_of(kind)
    classes = {"classes": [0, 1, 2]} if kind == "classifier" else {}
    settings = {"eta0": 0.01, "max_iter": 1}
    once = make(kind, **settings).fit(X, y)
    assert_same_model(make(kind, **settings).partial_fit(X, y, **classes), once)
    assert (once.n_iter_, once.t_) == (1, -(-N_ROWS // 7))


@each_kind
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_subnormal_numbers_are_numbers(kind, dtype):
    tiny = float(np.finfo(dtype).smallest_subnormal)
    rows = (WHOLE * tiny).astype(dtype)
    estimator = make(kind).fit(rows, target_of(kind))
    assert np.isfinite(estimator.coef_).all()
    assert np.isfinite(estimator.intercept_).all()


@each_kind
def test_numbers_of_numpy_serve_as_parameters(kind):
    y = target_of(kind)
    plain = make(
        kind, eta0=0.5, alpha=0.25, average=3, epochs_drop=2, nesterov=False
    ).fit(X, y)
    estimator = make(
        kind,
        eta0=np.float32(0.5),
        alpha=np.float64(0.25),
        average=np.int16(3),
        epochs_drop=np.array(2),
        batch_size=np.int64(7),
        max_iter=np.uint8(3),
        nesterov=np.False_,
        shuffle=np.True_,
        random_state=np.int32(0),
    )
    assert_same_model(clone(estimator).fit(X, y), plain)


@each_kind
@pytest.mark.parametrize(
    "epochs", [[1, 2], (1, 2), np.array([1, 2]), range(1, 3), [1.0, 2.0], [2, 1]]
)
def test_epochs_of_drops_may_be_any_sequence(kind, epochs):
    y = target_of(kind)
    settings = {"learning_rate": "step", "eta0": 0.04}
    estimator = make(kind, epochs_drop=epochs, **settings).fit(X, y)
    assert estimator.learning_rate_curve_ == [0.04, 0.02, 0.01]
    assert make(kind, epochs_drop=[], **settings).fit(X, y).learning_rate_curve_ == (
        [0.04] * 3
    )


@each_kind
@pytest.mark.parametrize("number", [int, float, np.float32, np.int64, "Fraction"])
def test_a_schedule_may_return_any_kind_of_number(kind, number):
    if number == "Fraction":
        from fractions import Fraction as number
    estimator = make(kind, learning_rate=lambda epoch: number(epoch > 0))
    estimator.fit(X / 10, target_of(kind))
    assert estimator.learning_rate_curve_ == [0.0, 1.0, 1.0]
