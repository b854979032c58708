"""Export to ONNX: importing this module registers both estimators with skl2onnx.

skl2onnx then converts them like scikit-learn's own, alone and as parts of pipelines and
other meta-estimators. This needs ``python -m pip install "skmbsgd[onnx]"``.

A converted classifier has the same outputs as a converted
:class:`~sklearn.linear_model.SGDClassifier`: the labels and the probabilities. For
losses without ``predict_proba``, and for all losses with the option
``raw_scores=True``, the second output holds the decisions z instead; two classes give
two columns, -z and z. A converted regressor predicts an array of shape
(n_samples, n_targets), which is (n_samples, 1) for a one-dimensional y.

The graph computes in float64 if its input is declared as float64, and in float32
otherwise. It needs version 13 or newer of ONNX's operators (``target_opset``).

Examples
--------
>>> import onnxruntime
>>> import skl2onnx
>>> import skmbsgd.onnx
>>> from sklearn.datasets import load_iris
>>> from skmbsgd import MiniBatchSGDClassifier
>>> X, y = load_iris(return_X_y=True)
>>> model = MiniBatchSGDClassifier(eta0=0.1, max_iter=20, tol=None, random_state=0)
>>> model = model.fit(X, y)
>>> exported = skl2onnx.to_onnx(model, X[:1], options={"zipmap": False})
>>> session = onnxruntime.InferenceSession(exported.SerializeToString())
>>> label, probabilities = session.run(None, {"X": X})
>>> bool((label == model.predict(X)).all())
True
>>> bool(abs(probabilities - model.predict_proba(X)).max() < 1e-12)
True
"""

import numpy as np
from scipy.sparse import issparse

try:
    from onnx import TensorProto
    from skl2onnx import update_registered_converter
    from skl2onnx.algebra.onnx_ops import (
        OnnxAdd,
        OnnxArgMax,
        OnnxCast,
        OnnxConcat,
        OnnxDiv,
        OnnxEqual,
        OnnxGather,
        OnnxIdentity,
        OnnxMatMul,
        OnnxMax,
        OnnxMin,
        OnnxNeg,
        OnnxReduceSum,
        OnnxSigmoid,
        OnnxSoftmax,
        OnnxWhere,
    )
    from skl2onnx.common.data_types import guess_numpy_type
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )
    from skl2onnx.common.utils_classifier import get_label_classes
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"Export to ONNX needs {error.name}. Install everything it needs with: "
        'python -m pip install "skmbsgd[onnx]"',
        name=error.name,
    ) from error

from skmbsgd._classifier import PROBABILISTIC_LOSSES, MiniBatchSGDClassifier
from skmbsgd._regressor import MiniBatchSGDRegressor


def calculate_shapes_of_classifier(operator):
    """Set the shapes of a classifier's outputs."""
    model = operator.raw_operator
    coef, _ = model._given_weights(model.n_features_in_)
    model._check_classes(coef.shape[0])
    calculate_linear_classifier_output_shapes(operator)


def convert_classifier(scope, operator, container):
    """Add a classifier's labels and probabilities to the graph."""
    model = operator.raw_operator
    opset = {"op_version": container.target_opset}
    scores = decisions_of(operator, opset)
    if len(model.classes_) == 2:
        scores = OnnxConcat(OnnxNeg(scores, **opset), scores, axis=1, **opset)

    # The largest probability would not do: several of them can be 0 or 1.
    number = OnnxArgMax(scores, axis=1, keepdims=0, **opset)
    classes = label_constants(get_label_classes(scope, model))
    label = OnnxGather(classes, number, output_names=operator.outputs[:1], **opset)
    label.add_to(scope, container)

    options = container.get_options(model, {"raw_scores": False})
    if options["raw_scores"] or model.loss not in PROBABILISTIC_LOSSES:
        shown = scores
    elif model.loss == "modified_huber":
        shown = modified_huber_probabilities(scores, number_type(operator), opset)
    elif len(model.classes_) == 2:
        shown = OnnxSigmoid(scores, **opset)
    else:
        shown = OnnxSoftmax(scores, axis=1, **opset)
    shown = OnnxIdentity(shown, output_names=operator.outputs[1:], **opset)
    shown.add_to(scope, container)


def convert_regressor(scope, operator, container):
    """Add a regressor's predictions to the graph."""
    opset = {"op_version": container.target_opset}
    decisions = decisions_of(operator, opset)
    predictions = OnnxIdentity(decisions, output_names=operator.outputs[:1], **opset)
    predictions.add_to(scope, container)


def decisions_of(operator, opset):
    """X W^T + b, of shape (n_samples, n_outputs)."""
    model, X = operator.raw_operator, operator.inputs[0]
    dtype = number_type(operator)
    coef, intercept = model._given_weights(model.n_features_in_)
    if guess_numpy_type(X.type) != dtype:
        X = OnnxCast(X, to=TensorProto.FLOAT, **opset)
    coef = coef.toarray() if issparse(coef) else coef
    coef = np.atleast_2d(coef).astype(dtype)
    products = OnnxMatMul(X, coef.T, **opset)
    return OnnxAdd(products, intercept.astype(dtype), **opset)


def number_type(operator):
    """The type that the graph computes in."""
    is_double = guess_numpy_type(operator.inputs[0].type) == np.float64
    return np.float64 if is_double else np.float32


def label_constants(classes):
    """The classes in one of the two types that ONNX has for labels."""
    if all(isinstance(label, str) for label in classes):
        return classes.astype(str)
    numbers = classes.astype(np.int64)
    if not np.array_equal(numbers, classes):
        raise ValueError(
            "ONNX supports labels of type int64 or str, and int64 cannot hold "
            f"{classes}. Train with smaller numbers, or with y.astype(str)."
        )
    return numbers


def modified_huber_probabilities(scores, dtype, opset):
    """(clip(scores, -1, 1) + 1) / 2, made to sum to 1 for each row."""

    axes = np.array([1], np.int64)
    minus_one, zero, one, two = np.array([-1, 0, 1, 2], dtype)[:, None]
    clipped = OnnxMax(OnnxMin(scores, one, **opset), minus_one, **opset)
    positive = OnnxDiv(OnnxAdd(clipped, one, **opset), two, **opset)
    # If the probabilities of all classes are 0, all classes are equally probable.
    total = OnnxReduceSum(positive, axes, keepdims=1, **opset)
    is_ruled_out = OnnxEqual(total, zero, **opset)
    positive = OnnxWhere(is_ruled_out, one, positive, **opset)
    total = OnnxReduceSum(positive, axes, keepdims=1, **opset)
    return OnnxDiv(positive, total, **opset)


update_registered_converter(
    MiniBatchSGDClassifier,
    "SkmbsgdMiniBatchSGDClassifier",
    calculate_shapes_of_classifier,
    convert_classifier,
    options={
        "zipmap": [True, False, "columns"],
        "nocl": [True, False],
        "output_class_labels": [False, True],
        "raw_scores": [True, False],
    },
)
update_registered_converter(
    MiniBatchSGDRegressor,
    "SkmbsgdMiniBatchSGDRegressor",
    calculate_linear_regressor_output_shapes,
    convert_regressor,
)
