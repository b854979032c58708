"""The type hints agree with the checks at run time; mypy checks their use."""

import inspect
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

import pytest
from sklearn.utils._param_validation import StrOptions

import skmbsgd
from skmbsgd import MiniBatchSGDClassifier, MiniBatchSGDRegressor

PUBLIC_CLASSES = [
    name
    for name in skmbsgd.__all__
    if inspect.isclass(getattr(skmbsgd, name)) and not name.endswith("Error")
]


def alternatives(hint):
    """Return the members of a union, or the hint alone."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


@pytest.mark.parametrize("cls", [MiniBatchSGDClassifier, MiniBatchSGDRegressor])
def test_hints_of_parameters_agree_with_their_constraints(cls):
    hints = get_type_hints(cls.__init__)
    assert hints.pop("return") is NoneType
    assert hints.keys() == cls._parameter_constraints.keys()
    for name, constraints in cls._parameter_constraints.items():
        kinds = alternatives(hints[name])
        hinted = {
            s for kind in kinds if get_origin(kind) is Literal for s in get_args(kind)
        }
        options = [c.options for c in constraints if isinstance(c, StrOptions)]
        if str in kinds:  # too many names to be listed
            assert options and not hinted
            continue
        assert hinted == set().union(*options), name
        may_be_none = None in constraints or "random_state" in constraints
        assert (NoneType in kinds) == may_be_none, name
        may_be_called = any(get_origin(kind) is Callable for kind in kinds)
        assert may_be_called == (callable in constraints), name


def test_the_documentation_groups_each_parameter_once():
    page = Path(__file__).parents[1] / "docs" / "parameters.inc"
    named = re.findall(r"`(\w+)`", page.read_text())
    assert sorted(named) == sorted(MiniBatchSGDClassifier._parameter_constraints)
    others = MiniBatchSGDRegressor._parameter_constraints.keys()
    assert set(named) - others == {"class_weight"}


def own_methods(cls):
    """Return the public methods that are ours, by name, with the constructor."""
    for name, method in inspect.getmembers(cls, inspect.isroutine):
        function = inspect.unwrap(getattr(method, "__func__", method))
        ours = str(getattr(function, "__module__", None)).startswith("skmbsgd")
        if ours and (name == "__init__" or not name.startswith("_")):
            yield name, function


@pytest.mark.parametrize("name", PUBLIC_CLASSES)
def test_every_argument_and_result_has_a_hint(name):
    methods = dict(own_methods(getattr(skmbsgd, name)))
    expected = {"fit", "predict"} if name.startswith("Mini") else {"from_estimator"}
    assert expected | {"__init__"} <= methods.keys()
    for method, function in methods.items():
        signature = inspect.signature(function)
        assert signature.return_annotation is not inspect.Signature.empty, method
        _, *arguments = signature.parameters.values()
        for argument in arguments:
            assert argument.annotation is not inspect.Parameter.empty, (
                f"{method}({argument.name})"
            )


def test_functions_have_hints():
    hints = get_type_hints(skmbsgd.row_chunks)
    assert hints.keys() == {*inspect.signature(skmbsgd.row_chunks).parameters, "return"}


def test_type_checkers_are_told_of_the_hints():
    assert files("skmbsgd").joinpath("py.typed").is_file()
