"""The compiled part: drivers.pyx holds every parallel loop, maths/ what each loss computes, simd/ the vectors."""

import os

from lossext._kernels import drivers

if os.environ.get("LOSSEXT_ISA"):
    drivers.set_isa(os.environ["LOSSEXT_ISA"])
