"""What hardware counters say was done: FLOPs, bytes and busy cycles, by one formula a counter family.

    testimony   Testimony: one quantity from one source, with how far it can be trusted
    (family)    nvidia, amd, cpu, dcgm ...: counters -> testimonies

Witnesses never replace each other: a report sets them side by side with their disagreement.
"""

from flopsight.witness.hear import testimonies
from flopsight.witness.testimony import Testimony

__all__ = ["Testimony", "testimonies"]
