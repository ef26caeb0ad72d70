"""What the site says of each loss and of each public name, from the registry and from the modules' `__all__`.

Directives: ``losses`` (a section for each loss of a subject), ``loss-table`` (all of them), ``loss-picture`` (one),
``subjects`` (a small picture of each subject).
"""

import importlib
import inspect
import json
import pkgutil
import re
import shutil
from pathlib import Path

import pictures
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from latex2mathml.converter import convert
from sphinx.ext.autodoc.mock import mock
from sphinx.util import logging

import lossext
from lossext._declare import parameters_of
from lossext.losses import layer

DOCS = Path(__file__).parents[1]
PICTURES = DOCS / "_pictures"
API = DOCS / "api"
TITLES = {
    "lossext.losses.binary": "Two classes",
    "lossext.losses.counts": "Counts and amounts",
    "lossext.losses.distributions": "Distributions",
    "lossext.losses.embedding": "Distances",
    "lossext.losses.layer": "Layers of many classes",
    "lossext.losses.multiclass": "One class of many",
    "lossext.losses.multilabel": "Many labels",
    "lossext.losses.regression": "Regression",
    "lossext.samplers": "Samplers",
    "lossext.sklearn": "scikit-learn",
    "lossext.boosting": "Boosting",
    "lossext.dask": "Dask",
}
PEERS = ("bound", "lossext", "torch", "scikit-learn")
log = logging.getLogger(__name__)


def subject_of(cls):
    return cls.__module__.rpartition(".")[2]


def subjects():
    """The losses of the registry, by the module that they stand in."""
    found = {}
    for module in lossext.losses.SUBJECTS:
        for cls in lossext.registry():
            if cls.__module__ == module.__name__:
                found.setdefault(subject_of(cls), []).append(cls)
    return found


def layer_losses():
    """The losses over a linear layer, which are not of the registry."""
    return [getattr(layer, name) for name in layer.__all__ if name.endswith("Loss")]


def accuracy():
    return json.loads((DOCS / "accuracy.json").read_text(encoding="utf-8"))


# ---- directives ----


class Generated(Directive):
    """A directive whose content is text made here."""

    def parse(self, text, parent):
        source = self.state_machine.document["source"]
        self.state.nested_parse(StringList(text.splitlines(), source), 0, parent)


class Losses(Generated):
    """A section for each loss of a subject."""

    required_arguments = 1

    def run(self):
        sections = []
        subject = self.arguments[0]
        for cls in layer_losses() if subject == "layer" else subjects()[subject]:
            section = nodes.section(ids=[cls.__name__.lower()], names=[cls.__name__.lower()])
            section += nodes.title("", cls.__name__)
            self.state.document.note_explicit_target(section)
            self.parse(section_of(cls), section)
            sections.append(section)
        return sections


class LossTable(Generated):
    """Every loss, by subject."""

    def run(self):
        lines = []
        for subject, losses in {**subjects(), "layer": layer_losses()}.items():
            lines += [f":doc:`/losses/{subject}`", ""]
            lines += [f"- :class:`~lossext.{cls.__name__}`: {summary_of(cls)}" for cls in losses] + [""]
        parent = nodes.Element()
        self.parse("\n".join(lines), parent)
        return parent.children


class AccuracyTable(Generated):
    """What tools/accuracy.py measured."""

    def run(self):
        lines = [".. list-table::", "   :header-rows: 1", ""]
        lines += ["   * - loss", "     - stated", *(f"     - {who}" for who in PEERS[1:])]
        measured = accuracy()["losses"]
        for cls in lossext.registry():
            name, stated = cls.__name__, (cls.declaration.value_ulp, cls.declaration.grad_ulp)
            found = measured.get(name, {"bound": stated})
            errors = [" / ".join(f"{e:.3g}" for e in found[who]) if who in found else "" for who in PEERS]
            lines += [f"   * - :class:`~lossext.{name}`", *(f"     - {error}" for error in errors)]
        parent = nodes.Element()
        self.parse("\n".join(lines), parent)
        return parent.children


class LossPicture(Generated):
    """The picture of one loss."""

    required_arguments = 1

    def run(self):
        parent = nodes.Element()
        self.parse(picture_of(self.arguments[0].rpartition(".")[2]), parent)
        return parent.children


class Subjects(Generated):
    """A small picture for each subject, which leads to its page."""

    def run(self):
        lines = [".. container:: subjects", ""]
        for subject in (*subjects(), "layer"):
            title = TITLES[f"lossext.losses.{subject}"]
            lines += [f"   .. figure:: /_pictures/subject-{subject}.svg", f"      :target: losses/{subject}.html"]
            lines += [f"      :alt: Values of the losses of {title.lower()}", "", f"      :doc:`/losses/{subject}`", ""]
        parent = nodes.Element()
        self.parse("\n".join(lines), parent)
        return parent.children


def picture_of(name):
    lines = (
        f"   .. image:: /_pictures/{name}.svg\n      :alt: Value, slope and curvature of {name}\n      :width: 100%\n"
    )
    return f".. container:: figure-of-loss\n\n{lines}"


def summary_of(cls):
    return inspect.getdoc(cls).splitlines()[0]


def section_of(cls):
    text = inspect.getdoc(cls).partition("Parameters\n----------\n")[0]
    example = inspect.getdoc(cls).partition("Examples\n--------\n")[2]
    facts = facts_of(cls) if cls in lossext.registry() else facts_of_layer(cls)
    table = "\n".join(f":{name}: {fact}" for name, fact in facts.items())
    return f"{picture_of(cls.__name__)}\n{text}\n{example}\n\n{table}\n"


def facts_of_layer(cls):
    own = [name for name in inspect.signature(cls).parameters if name not in ("self", "reduction")]
    function = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=CE)(?=L)", "_", cls.__name__).lower()
    facts = {"class": f":class:`~lossext.{cls.__name__}`, with {', '.join(f'``{name}``' for name in own)}"}
    if function in layer.__all__:
        facts["function"] = f":func:`~lossext.{function}`"
    return facts


def facts_of(cls):
    declaration = cls.declaration
    own = [name for name, p in parameters_of(cls).items() if p.check is not None]
    facts = {
        "class": f":class:`~lossext.{cls.__name__}`, with {', '.join(f'``{name}``' for name in own)}",
        "function": f":func:`~lossext.{declaration.function}`",
        "target": "class ids" if declaration.takes_ids else declaration.target.requirement,
        "link": f"{declaration.link.name}: the mean is ``{declaration.link.formula}``" if declaration.link else "none",
        "curvatures": ", ".join(declaration.curvatures),
        "shape": f"{'convex' if declaration.convex else 'not convex'}, {'' if declaration.smooth else 'not '}smooth",
        "error": f"{declaration.value_ulp:g} ulp of a value, {declaration.grad_ulp:g} of a slope, "
        f"{declaration.hess_ulp:g} of a curvature",
        "cost": f"some {declaration.cost:g} ns a float32 element, value and gradient, on one thread with AVX-512",
    }
    if declaration.input_domain:
        facts["input"] = declaration.input_domain.requirement
    return facts


# ---- the reference ----


def public_modules(mocked=()):
    """Modules with an ``__all__`` and no underscore in their names; those of the losses give a subject."""
    for found in pkgutil.walk_packages(lossext.__path__, "lossext."):
        if "._" in found.name or found.name in ("lossext.losses", "lossext.balance", "lossext.row_sparse"):
            continue
        if found.name.count(".") > 1 and not found.name.startswith("lossext.losses."):
            continue
        if found.name.startswith("lossext.losses.layer."):
            continue
        try:
            with mock(list(mocked)):
                module = importlib.import_module(found.name)
        except ImportError as error:
            log.warning("%s is not in the reference: %s", found.name, error)
            continue
        if getattr(module, "__all__", None):
            yield module


def at_top(mocked):
    """Public names of the package itself that no subject has."""
    elsewhere = {name for module in public_modules(mocked) if ".losses." in module.__name__ for name in module.__all__}
    return [
        name
        for name in dir(lossext)
        if not name.startswith("_") and name not in elsewhere and not inspect.ismodule(getattr(lossext, name))
    ]


def reference(name, title, text, names):
    own = "lossext" if ".losses." in name or name == "lossext" else name
    listed = "\n".join(f"   {public}" for public in sorted(names))
    return (
        f"{title}\n{'=' * len(title)}\n\n{text}\n\n.. currentmodule:: {own}\n\n.. autosummary::\n"
        f"   :toctree: generated\n\n{listed}\n"
    )


def write_reference(mocked):
    shutil.rmtree(API, ignore_errors=True)
    API.mkdir()
    pages = [("lossext", "The package itself", "", at_top(mocked))]
    for module in public_modules(mocked):
        title = TITLES.get(module.__name__, module.__name__)
        pages.append((module.__name__, title, inspect.getdoc(module) or "", module.__all__))
    for name, title, text, names in pages:
        (API / f"{name}.rst").write_text(reference(name, title, text, names), encoding="utf-8")
    toctree = "\n".join(f"   {name}" for name, *_ in pages)
    (API / "index.rst").write_text(
        "Reference\n=========\n\nEvery public name. What holds for all losses is on one page: :doc:`/every_loss`.\n\n"
        f".. toctree::\n   :maxdepth: 1\n\n   /every_loss\n{toctree}\n",
        encoding="utf-8",
    )


# ---- what happens when ----


def write_pages(app, config):
    PICTURES.mkdir(exist_ok=True)
    for cls in (*lossext.registry(), *layer_losses()):
        pictures.draw(cls, PICTURES / f"{cls.__name__}.svg")
    for subject, losses in {**subjects(), "layer": layer_losses()}.items():
        pictures.draw_subject(subject, losses, PICTURES / f"subject-{subject}.svg")
    pictures.draw_accuracy(accuracy()["losses"], PICTURES / "accuracy.svg")
    config.autosummary_context = {"losses": [cls.__name__ for cls in lossext.registry()]}
    missing = [subject for subject in subjects() if not (DOCS / "losses" / f"{subject}.md").exists()]
    if missing:
        log.warning("no page docs/losses/<subject>.md for %s", ", ".join(missing))
    write_reference(config.autodoc_mock_imports)


def only_our_members(app, what, name, obj, skip, options):
    """Leave out what an estimator inherits from another library."""
    module = getattr(obj, "__module__", None) or getattr(getattr(obj, "fget", None), "__module__", None)
    return True if module and not module.startswith("lossext") else None


WORD = re.compile(r"\\text\{[^}]*\}|(?<![\\A-Za-z])(?<!_\{)[A-Za-z]{2,}(?:\\_[a-z]+)?")


def mathml(formula, display="inline"):
    """A formula, whose words (names of parameters) are set upright, with room around names of functions."""

    def upright(found):
        word = found[0]
        return word if word.startswith("\\") else "\\text{" + word.replace("\\_", "_") + "}"

    room = '<mspace width="0.17em" />'
    return re.sub(r"<mi>(?:log|exp)</mi>", rf"{room}\g<0>{room}", convert(WORD.sub(upright, formula), display=display))


def visit_math(self, node):
    self.body.append(f'<span class="math">{mathml(node.astext())}</span>')
    raise nodes.SkipNode


def visit_math_block(self, node):
    self.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app):
    app.add_directive("losses", Losses)
    app.add_directive("loss-table", LossTable)
    app.add_directive("subjects", Subjects)
    app.add_directive("loss-picture", LossPicture)
    app.add_directive("accuracy-table", AccuracyTable)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.connect("config-inited", write_pages)
    app.connect("autodoc-skip-member", only_our_members)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
