"""TensorFlow, as a tf.function, for the two losses that it has."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from benchmarks.cases import Case, arrays


def version() -> str:
    return str(tf.__version__)


def call(case: Case) -> Callable[[], Any] | None:
    if "bce" not in case.loss:
        return None
    a = arrays(case)
    x, y = tf.constant(a.x), tf.constant(a.y)

    def loss(x: Any) -> Any:
        if a.w is None:
            return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=x))
        return tf.reduce_mean(a.w * tf.nn.weighted_cross_entropy_with_logits(labels=y, logits=x, pos_weight=a.q))

    def value_and_grad(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(x)
        return value, tape.gradient(value, x)

    compiled = tf.function(loss if case.what == "value" else value_and_grad)
    return lambda: compiled(x)
