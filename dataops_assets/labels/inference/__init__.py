"""From several workers' answers to one label a task.

Every method takes a frame `task, worker, label` (one row an answer) and returns a `Result`, so one can stand in for another.
The terms are crowd-kit's. What all of them do alike (repeated answers, unknown workers, ties, gold) is told in `answers`.
"""

from dataops_assets.labels.inference.answers import Result
from dataops_assets.labels.inference.choice import auto
from dataops_assets.labels.inference.coins import mace, one_coin
from dataops_assets.labels.inference.confusion import dawid_skene, ibcc
from dataops_assets.labels.inference.difficulty import glad
from dataops_assets.labels.inference.pooling import pooled
from dataops_assets.labels.inference.voting import bwa, majority_vote

__all__ = ["Result", "auto", "bwa", "dawid_skene", "glad", "ibcc", "mace", "majority_vote", "one_coin", "pooled"]
