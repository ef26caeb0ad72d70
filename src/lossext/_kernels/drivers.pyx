# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True, embedsignature=True
"""The compiled part of lossext: the only parallel loops, over fixed blocks of batch rows.

Arrays come in through the buffer protocol, C-contiguous and of the types that lossext._validate has made sure of (or
small.pxi, which is the only part that knows NumPy).
"""

include "runtime.pxi"
include "buffers.pxi"
include "blocks.pxi"
include "call.pxi"
include "objective.pxi"
include "maths.pxi"
include "layer/layer.pxi"
