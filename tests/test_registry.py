"""What is in the package agrees with itself: kernels, loss files, public names, registry, reference twins."""

import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest
from cases import TARGET_DTYPES, dense, function_of, kind_of, name, parameters_of
from twins import EXTENDED, TWINS, sigmoid, softplus

import lossext

SOURCE = Path(__file__).parents[1] / "src" / "lossext"
from_source = pytest.mark.skipif(not SOURCE.is_dir(), reason="needs the source tree")


def stem(cls):
    return cls.__module__.rpartition(".")[2]


def test_every_dense_loss_has_a_twin():
    assert {cls.__name__ for cls in dense} == set(TWINS)


def test_every_parameter_is_tested():
    for cls in dense:
        assert set(parameters_of(cls)) <= {*PARAMETERS, *cls.declaration.weights}
        assert kind_of(cls) in TARGET_DTYPES


@from_source
def test_kernel_files_are_the_registry():
    families = {cls.declaration.family for cls in dense}
    headers = {(path.parent.name, path.stem) for path in (SOURCE / "_kernels" / "maths").glob("*/*.h")}
    assert {header for header in headers if header[0] in families} == {
        (cls.declaration.family, cls.declaration.kernel) for cls in dense
    }


@from_source
def test_loss_files_are_public():
    stems = {path.stem for path in (SOURCE / "losses").glob("*.py") if not path.stem.startswith("_")}
    assert {stem(cls) for cls in dense} <= stems
    for module in stems:
        public = vars(importlib.import_module(f"lossext.losses.{module}"))
        classes = [thing for key, thing in public.items() if inspect.isclass(thing) and key.endswith("Loss")]
        own = [thing for thing in classes if thing.__module__ == f"lossext.losses.{module}"]
        assert own, f"losses/{module}.py defines no loss"
        for cls in own:
            assert cls.__name__ in lossext.__all__
            assert (cls in dense) == hasattr(cls, "declaration")


def test_public_names():
    assert len(lossext.__all__) == len(set(lossext.__all__))
    for public in lossext.__all__:
        assert hasattr(lossext, public)
    for cls in dense:
        assert cls.__name__ in lossext.__all__
        assert cls.declaration.function in lossext.__all__
        assert getattr(lossext, cls.__name__) is cls


@pytest.mark.parametrize("cls", dense, ids=name)
def test_declaration(cls):
    declaration = cls.declaration
    assert declaration.family in ("elementwise", "rowwise")
    assert declaration.ranks in (None, (2,))
    assert 0 < declaration.value_ulp <= 4
    assert 0 <= declaration.grad_ulp <= 4


@pytest.mark.parametrize(
    ("public", "signature"),
    [
        ("multilabel_soft_margin_loss", "input, target, weight=None, reduction='mean'"),
        ("MultiLabelSoftMarginLoss", "weight=None, reduction='mean'"),
        ("multi_margin_loss", "input, target, p=1, margin=1.0, weight=None, reduction='mean'"),
        ("MultiMarginLoss", "p=1, margin=1.0, weight=None, reduction='mean'"),
        ("hinge_embedding_loss", "input, target, margin=1.0, reduction='mean'"),
        ("HingeEmbeddingLoss", "margin=1.0, reduction='mean'"),
        (
            "binary_cross_entropy_with_logits",
            "input, target, weight=None, pos_weight=None, reduction='mean'",
        ),
        ("BCEWithLogitsLoss", "*, weight=None, pos_weight=None, reduction='mean'"),
    ],
)
def test_signatures(public, signature):
    parameters = inspect.signature(getattr(lossext, public)).parameters.values()
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
    assert str(inspect.Signature(bare)) == f"({signature})"


@pytest.mark.parametrize("cls", dense, ids=name)
def test_method_signatures(cls):
    def names(method):
        return [
            (p.name, p.kind is p.KEYWORD_ONLY) for p in inspect.signature(getattr(cls, method)).parameters.values()
        ][1:]

    arrays = [("input", False), ("target", False)]
    assert names("__call__") == [*arrays, ("sample_weight", True), ("n_threads", True)]
    keywords = [(key, True) for key in ("sample_weight", "grad_output", "out", "n_threads")]
    assert names("value_and_grad") == names("grad") == arrays + keywords
    assert names("grad_and_hess") == arrays + [pair for pair in keywords if pair[0] != "out"]


@pytest.mark.parametrize("cls", dense, ids=name)
def test_documented(cls):
    for thing in (cls, function_of(cls)):
        doc = inspect.getdoc(thing)
        assert doc
        assert ">>>" in doc
    assert f"`{cls.__name__}`" in inspect.getdoc(function_of(cls))
    for word in (*parameters_of(cls), "input", "target", "ulp", "Raises"):
        assert word in inspect.getdoc(cls), f"{cls.__name__} does not document {word}"


@pytest.mark.skipif(not EXTENDED, reason="long double is double")
def test_twins_functions_against_mpmath():
    """The references' own functions are right to far more digits than they are used for."""
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(-60, 60, 100), [0, 1e-300, -1e-300, 745, -745, 1e4, -1e4]])
    with mpmath.workdps(40):
        for x in points.astype(np.longdouble):
            exact = mpmath.mpf(float(x))
            for ours, theirs in (
                (softplus(x), mpmath.log1p(mpmath.exp(exact))),
                (sigmoid(x), 1 / (1 + mpmath.exp(-exact))),
            ):
                high = float(ours)
                ours = mpmath.mpf(high) + mpmath.mpf(float(ours - np.longdouble(high)))
                assert abs(ours - theirs) <= theirs * mpmath.mpf(2) ** -61 + mpmath.mpf(2) ** -1074
