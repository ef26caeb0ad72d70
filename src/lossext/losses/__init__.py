"""The losses, by subject."""

from lossext.losses import binary, embedding, layer, multiclass, multilabel
from lossext.losses.binary import *  # noqa: F403
from lossext.losses.embedding import *  # noqa: F403
from lossext.losses.layer import *  # noqa: F403
from lossext.losses.multiclass import *  # noqa: F403
from lossext.losses.multilabel import *  # noqa: F403

__all__ = [*binary.__all__, *embedding.__all__, *layer.__all__, *multiclass.__all__, *multilabel.__all__]
