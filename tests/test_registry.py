"""What is in the package agrees with itself: kernels, loss files, public names, registry, reference twins."""

import inspect
from pathlib import Path

import pytest
from cases import TARGET_DTYPES, dense, function_of, kind_of, name, parameters_of
from twins import TWINS

import lossext
from lossext import losses
from lossext._declare import parameters_of as declared_of

SOURCE = Path(__file__).parents[1] / "src" / "lossext"
from_source = pytest.mark.skipif(not SOURCE.is_dir(), reason="needs the source tree")


def test_every_dense_loss_has_a_twin():
    assert {cls.__name__ for cls in dense} <= set(TWINS)


def test_every_parameter_is_tested():
    for cls in dense:
        assert kind_of(cls) in TARGET_DTYPES
        for parameter, declared in declared_of(cls).items():
            assert declared.check.tries, f"{cls.__name__} has no values to try for {parameter}"
            assert declared.text


@from_source
def test_kernel_files_are_the_registry():
    headers = {(path.parent.name, path.stem) for path in (SOURCE / "_kernels" / "losses").glob("*/[!_]*.h")}
    facts = [cls.declaration for cls in dense]
    named = {(f.family, kernel) for f in facts for kernel in (f.kernel, f.soft_kernel, f.product_kernel) if kernel}
    assert headers == named


def test_public_names():
    public = [public for subject in losses.SUBJECTS for public in subject.__all__]
    assert sorted(public) == sorted(losses.__all__) == sorted(set(losses.__all__))
    assert not hasattr(lossext, "__all__"), "help(lossext) would repeat the help of every class"
    for cls in dense:
        assert cls.__name__ in public
        assert cls.declaration.function in public
        assert getattr(lossext, cls.__name__) is cls


@pytest.mark.parametrize("cls", dense, ids=name)
def test_declaration(cls):
    declaration = cls.declaration
    assert declaration.family in ("element", "row", "labels")
    assert declaration.ranks in (None, (2,))
    assert 0 <= declaration.value_ulp <= 9
    assert 0 <= declaration.grad_ulp <= 8


@pytest.mark.parametrize(
    ("public", "signature"),
    [
        ("multilabel_soft_margin_loss", "input, target, weight=None, reduction='mean', *, missing='error'"),
        ("MultiLabelSoftMarginLoss", "weight=None, reduction='mean', *, missing='error'"),
        ("multi_margin_loss", "input, target, p=1, margin=1.0, weight=None, reduction='mean'"),
        ("MultiMarginLoss", "p=1, margin=1.0, weight=None, reduction='mean'"),
        ("hinge_embedding_loss", "input, target, margin=1.0, reduction='mean'"),
        ("HingeEmbeddingLoss", "margin=1.0, reduction='mean'"),
        (
            "binary_cross_entropy_with_logits",
            "input, target, weight=None, pos_weight=None, reduction='mean', *, label_smoothing=0.0, missing='error'",
        ),
        (
            "BCEWithLogitsLoss",
            "*, weight=None, pos_weight=None, reduction='mean', label_smoothing=0.0, missing='error'",
        ),
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
    left_out = [(key, True) for key in ("element_weight", "sample_weight", "mask")]
    threads = [("n_threads", True)]
    assert names("__call__") == arrays + left_out + threads
    results = [("grad_output", True), ("out", True)]
    assert names("value_and_grad") == names("grad") == arrays + left_out + results + threads
    assert names("grad_and_hess") == [*arrays, ("curvature", True), *left_out, results[0], *threads]


@pytest.mark.parametrize("cls", dense, ids=name)
def test_documented(cls):
    for thing in (cls, function_of(cls)):
        doc = inspect.getdoc(thing)
        assert doc
        assert ">>>" in doc
    assert f"`{cls.__name__}`" in inspect.getdoc(function_of(cls))
    for word in (*parameters_of(cls), "input", "target", "ulp", "Raises"):
        assert word in inspect.getdoc(cls), f"{cls.__name__} does not document {word}"
