"""Where tests look at operations: intervals and special values that many records share.

Nothing here is an operation; a record names one of these as its `probe`, or makes its own.
"""

from __future__ import annotations

import math

from tapejit.registry import Probe

INF, NAN = math.inf, math.nan
ANY = Probe(domain=(-3.0, 3.0), points=(0.0, -0.0, 1.0, -1.0, INF, -INF, NAN))
KINKED = Probe(domain=(0.1, 3.0), points=ANY.points)
POSITIVE = Probe(domain=(0.2, 4.0), points=(0.0, 1.0, -1.0, INF, NAN))
UNIT = Probe(domain=(-0.95, 0.95), points=(0.0, 1.0, -1.0, 2.0, NAN))
PAIRS = Probe(shapes=(((3, 1), (1, 4)), ((), (2,)), ((3,), (3,))), points=(0.0, 1.0, INF, NAN))
PAIRS_POSITIVE = Probe(domain=(0.2, 3.0), shapes=PAIRS.shapes, points=PAIRS.points)
QUOTIENTS = Probe(domain=((0.55, 0.95), (0.3, 0.5)), shapes=PAIRS.shapes)
BOTH = Probe(shapes=PAIRS.shapes, points=(0.0, 1.0, NAN))
