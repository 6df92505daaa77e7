"""Samplers: draws from a log density written in NumPy, by NUTS here or through nutpie.

    samples = tj.samplers.nuts(logp, {"mu": 0.0, "tau": 1.0}, constraints={"tau": positive})

`chains` runs several chains of `tree`, the compiled inner loop; `density` makes a C function of a
log density and its gradient, with the parameters of `layout` under `constraints`; `diagnostics` has
R-hat and effective sample sizes; `nutpie_bridge` hands the same C function to nutpie.
"""

from tapejit.samplers.chains import Samples, nuts
from tapejit.samplers.constraints import interval, ordered, positive, real, simplex
from tapejit.samplers.density import Density, density, written
from tapejit.samplers.diagnostics import ess_bulk, ess_tail, rhat, summary
from tapejit.samplers.nutpie_bridge import nutpie_model

__all__ = [
    "Density",
    "Samples",
    "density",
    "ess_bulk",
    "ess_tail",
    "interval",
    "nutpie_model",
    "nuts",
    "ordered",
    "positive",
    "real",
    "rhat",
    "simplex",
    "summary",
    "written",
]
