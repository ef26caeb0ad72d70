"""The compiled part: drivers.pyx holds every parallel loop, maths/ what each loss computes, simd/ the vectors."""

import os

from lossext._kernels import drivers

wish = os.environ.get("LOSSEXT_ISA")
if wish:
    if wish not in drivers.isa_levels():
        raise ValueError(f"LOSSEXT_ISA = {wish!r} is not one of {', '.join(map(repr, drivers.isa_levels()))}")
    drivers.set_isa(wish)
