"""The losses, by subject."""

from lossext.losses import binary, counts, distributions, embedding, layer, multiclass, multilabel, regression
from lossext.losses.binary import *  # noqa: F403
from lossext.losses.counts import *  # noqa: F403
from lossext.losses.distributions import *  # noqa: F403
from lossext.losses.embedding import *  # noqa: F403
from lossext.losses.layer import *  # noqa: F403
from lossext.losses.multiclass import *  # noqa: F403
from lossext.losses.multilabel import *  # noqa: F403
from lossext.losses.regression import *  # noqa: F403

__all__: list[str] = []
__all__ += regression.__all__
__all__ += counts.__all__
__all__ += distributions.__all__
__all__ += binary.__all__
__all__ += multilabel.__all__
__all__ += multiclass.__all__
__all__ += embedding.__all__
__all__ += layer.__all__

SUBJECTS = (regression, counts, distributions, binary, multilabel, multiclass, embedding, layer)  # in order of pages
