"""Pictures of the losses: value, slope and curvature over the range of the prediction, from the registry."""

import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from lossext._declare import parameters_of

NUMBERS = (int, float)
LINES = ("-", "--", "-.", ":")
RANGES = {"identity": (-3, 3), "log": (-2.5, 2.5), "logit": (-6, 6), "half_logit": (-3, 3)}
TARGETS = {
    "real": (0.0,),
    "non_negative": (0.0, 1.0, 3.0),
    "positive": (0.5, 1.0, 3.0),
    "unit": (0.0, 0.5, 1.0),
    "sign": (-1.0, 1.0),
    "log_probability": (-3.0, -1.0),
}
PARTS = ("value", "slope", "curvature")


def predictions_of(loss):
    """The range worth a look, and its name."""
    declaration, domain = loss.declaration, loss._input_domain
    if domain is not None:
        return np.linspace(max(domain.low, 0) + 0.05, min(domain.high, 4) - 0.05, 401), "prediction"
    if declaration.family != "element":
        return np.linspace(-4, 4, 401), "score of the right class, others 0 and −1"
    if declaration.low_score_means == "alike":
        return np.linspace(0, 3, 401), "distance"
    if declaration.link is not None:
        name = declaration.link.name
        called = {"identity": "prediction", "log": "logarithm of the mean"}.get(name, "logit")
        return np.linspace(*RANGES[name], 401), called
    if declaration.target.kind in ("non_negative", "log_probability"):
        return np.linspace(-4, 0, 401), "log-probability"
    return np.linspace(-3, 3, 401), "score"


def curves(loss, prediction, target):
    """Value, slope and curvature at each prediction."""
    if loss.declaration.family != "element":
        x = np.column_stack([prediction, np.zeros_like(prediction), np.full_like(prediction, -1.0)])
        ids = np.zeros(len(x), np.int64)
        if loss.declaration.target.kind != "class":  # a set of classes, padded
            ids = np.column_stack([ids, np.full((len(x), 2), -1)])
        value = loss._with(reduction="none")(x, ids)
        slope, curvature = loss._with(reduction="sum").grad_and_hess(x, ids)
        return value, slope[:, 0], curvature[:, 0]
    x = prediction if loss.declaration.ranks is None else prediction[:, np.newaxis]
    y = np.full_like(x, target)
    slope, curvature = loss._with(reduction="sum").grad_and_hess(x, y)
    return loss._with(reduction="none")(x, y), slope, curvature


SCORES = np.linspace(-4, 4, 401)
DRAWN = [1, 2], np.ones((len(SCORES), 1)), np.ones(2)  # both other classes, as if each were drawn once
LAYERS = {
    "LinearSoftmaxLoss": ("temperature", [{}, {"temperature": 0.5}, {"temperature": 2.0}]),
    "LinearBCELoss": ("pos_weight", [{}, {"pos_weight": 0.5}, {"pos_weight": 2.0}]),
    "SampledSoftmaxLoss": ("", [{"num_sampled": 2, "num_classes": 3, "sampled_values": DRAWN}]),
    "NCELoss": ("", [{"num_sampled": 2, "num_classes": 3, "sampled_values": DRAWN}]),
    "InBatchSoftmaxLoss": ("temperature", [{}, {"temperature": 0.5}, {"temperature": 2.0}]),
}


def layer_curves(cls, parameters):
    """Of one row whose logits are (score, 0, -1) and whose label is the first; curvature from the slope's."""
    x = np.column_stack([SCORES, np.zeros_like(SCORES), np.full_like(SCORES, -1.0)])
    none, total = (cls(**parameters, reduction=reduction) for reduction in ("none", "sum"))
    if cls.__name__ == "InBatchSoftmaxLoss":
        batches = [np.vstack([row, np.zeros((2, 3))]) for row in x]  # the first user's items are rows of the identity
        value = np.array([none(users, np.eye(3))[0] for users in batches])
        slope = np.array([total.grad(users, np.eye(3)).users[0, 0] for users in batches])
    else:
        layer = np.eye(3), np.zeros(3), np.zeros((len(x), 1) if "BCE" in cls.__name__ else len(x), np.int64), x
        value = none(*layer)
        slope = total.value_and_grad(*layer)[1].inputs[:, 0]
    return value, slope, np.gradient(slope, SCORES)


def layer_rows(cls):
    name, tries = LAYERS[cls.__name__]
    labels = [f"{name}={next(iter(p.values())):g}" if p and name else f"{name}=1" if name else "" for p in tries]
    yield (
        cls.__name__,
        "score of the label, others 0 and −1",
        [(label, SCORES, layer_curves(cls, p)) for label, p in zip(labels, tries, strict=True)],
    )


def dense_rows(cls):
    for title, row in rows_of(cls):
        curves_of_row = []
        for label, loss, target in row:
            x, called = predictions_of(loss)
            curves_of_row.append((label, x, curves(loss, x, target)))
        yield title, called, curves_of_row


def shown_parameter(cls):
    """The first parameter that is a number, its default and up to two others."""
    for name, p in parameters_of(cls).items():
        default = p.default
        if name in cls.declaration.kernel_parameters and not isinstance(default, bool):
            tries = [v for v in p.check.tries if isinstance(v, NUMBERS) and not isinstance(v, bool)]
            others = [v for v in tries if v != default and math.isfinite(v)][:2]
            if others:
                values = ([] if default is None else [default]) + others
                return name, sorted(values)
    return None


def rows_of(cls):
    """For each row of axes its title and its curves: (label, loss, target)."""
    loss = cls()
    targets = (0.0,) if loss.declaration.family != "element" else TARGETS[loss._target.kind]
    labels = [f"target {t:g}" for t in targets] if len(targets) > 1 else [""]
    yield repr_of(loss), [(label, loss, t) for label, t in zip(labels, targets, strict=True)]
    if found := shown_parameter(cls):
        name, values = found
        at = f"at target {targets[-1]:g}" if loss.declaration.family == "element" else "for the right class's score"
        yield f"{name}, {at}", [(f"{name}={v:g}", cls(**{name: v}), targets[-1]) for v in values]


def repr_of(loss):
    own = {k: v for k, v in loss._parameters.items() if k in loss.declaration.kernel_parameters}
    return f"{type(loss).__name__}({', '.join(f'{k}={v:g}' for k, v in own.items() if isinstance(v, NUMBERS))})"


MARKERS = {"bound": "k|", "torch": "C1s", "scikit-learn": "C2^", "lossext": "C0o"}
AXIS = 0.1, 200.0  # ulp; an error beyond has its size beside it


def draw_accuracy(losses, path: Path) -> None:
    """The greatest errors that tools/accuracy.py measured."""
    with mpl.rc_context({"svg.hashsalt": "accuracy", "font.size": 9}):
        figure = Figure(figsize=(9.6, 0.24 * len(losses) + 1), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        places = dict(zip(losses, range(len(losses), 0, -1), strict=True))
        for axis, part, called in zip(axes, (0, 1), ("value", "slope"), strict=True):
            for who, marker in MARKERS.items():
                known = {name: found[who][part] for name, found in losses.items() if who in found}
                where = [places[name] for name in known]
                axis.plot(
                    np.clip(list(known.values()), *AXIS),
                    where,
                    marker,
                    label=who,
                    markersize=9 if who == "bound" else 5,
                )
                for name, error in known.items():
                    if error > AXIS[1]:
                        axis.annotate(
                            f"{error:.0e}", (AXIS[1], places[name]), (-28, -3), textcoords="offset points", fontsize=7
                        )
            axis.set(xscale="log", xlabel="greatest error, ulp", title=called, xlim=(0.07, 300))
            axis.grid(alpha=0.3)
        axes[0].set_yticks(list(places.values()), list(places))
        axes[0].set_ylim(0, len(losses) + 1)
        axes[1].legend(loc="lower right")
        figure.savefig(path, metadata={"Date": None})


def draw(cls, path: Path) -> None:
    """A row of axes for each target or parameter: value, slope and curvature."""
    rows = list(layer_rows(cls) if cls.__name__ in LAYERS else dense_rows(cls))
    with mpl.rc_context({"svg.hashsalt": cls.__name__, "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(9.6, 2.5 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), 3, squeeze=False, sharex="col")
        for line, (title, _, row) in zip(axes, rows, strict=True):
            for (label, x, ys), style in zip(row, LINES, strict=False):
                for axis, y in zip(line, ys, strict=True):
                    axis.plot(x, y, style, label=label)
            for axis, part in zip(line, PARTS, strict=True):
                axis.set_title(part)
            line[0].set_ylabel(title, fontsize=8)
            if any(label for label, *_ in row):
                line[0].legend(fontsize=8)
        for axis in axes[-1]:
            axis.set_xlabel(rows[-1][1])
        figure.savefig(path, metadata={"Date": None})


def draw_subject(name, classes, path: Path) -> None:
    """The values of a subject's losses, at a glance: a small picture that leads to its page."""
    with mpl.rc_context({"svg.hashsalt": name, "font.size": 8}):
        figure = Figure(figsize=(2.4, 1.6), layout="constrained")
        axis = figure.subplots()
        for cls in classes:
            _, _, row = next(iter(layer_rows(cls) if cls.__name__ in LAYERS else dense_rows(cls)))
            for _, x, (value, *_) in row if len(classes) == 1 else row[-1:]:
                axis.plot(x, value, linewidth=1.2)
        axis.set(xticks=[], yticks=[])
        axis.spines[["top", "right"]].set_visible(False)
        if len(classes) > 1:
            axis.set_ylim(top=min(axis.get_ylim()[1], 6))
        figure.savefig(path, metadata={"Date": None}, transparent=True)
