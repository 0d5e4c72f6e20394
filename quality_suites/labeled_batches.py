"""Gate of `labeled_batches`: what came back is complete, in the ontology, and names no person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dataops_assets.labels import changes, dependent
from dataops_assets.labels.questions import SCREENING
from dataops_assets.manifest import is_true
from dataops_assets.spec import ProjectSpec
from dataops_assets.stages.labeled_batches import UNNAMED_PREFIX
from quality_suites.expectations import WARNING, among, between, filled, in_ontology, matching, not_empty, suite_of, true

ACCEPTED = 'status == "accepted"'


def derive(frame: pd.DataFrame, inputs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Adds `any_accepted`, and `coverage`: the share of the batch's questions that have all the answers asked for.

    A question that a worker was right not to answer, because another answer rules it out or it may be left open, counts as answered.
    Rows that another answer of the same worker stands for are no fault of a return: a correction would be held back for what it corrects.
    """
    tasks = inputs["label_tasks"]
    wanted = tasks.assign(attribute=tasks["attributes"].str.split("|")).explode("attribute")[["task_id", "attribute", "overlap"]]
    accepted = frame[frame["status"] == "accepted"]
    workers = dependent.with_implied(accepted).groupby(["task_id", "attribute"])["worker_id"].nunique().rename("n").reset_index()
    held = wanted.merge(workers, on=["task_id", "attribute"], how="left")
    coverage = float((held["n"].fillna(0) >= held["overlap"]).mean()) if len(held) else 0.0
    return frame.assign(any_accepted=bool(len(accepted)), coverage=coverage, is_superseded=is_true(frame["is_superseded"]))


def suite(spec: ProjectSpec) -> Any:
    share, covered = spec.gates.min_accepted_row_share, spec.gates.min_coverage
    names = [SCREENING.name, *(attribute.name for attribute in spec.ontology.attributes)]
    rules = [
        not_empty("A return", "row"),
        among("status", ("accepted", "rejected"), "status_known", "A returned row is accepted or rejected"),
        true("any_accepted", "something_accepted", "A return must hold at least one row that can be used"),
        filled("reason", "rejections_explained", "Every rejected row must say why", where='status == "rejected"'),
        among(
            "status",
            ("accepted",),
            "accepted_share",
            f"At least {share:.0%} of the returned rows must be usable, not counting those that the same worker corrected or repeated",
            where="is_superseded == False",
            mostly=share,
        ),
        between("coverage", "coverage", f"At least {covered:.0%} of the questions must have all the answers asked for", low=covered),
        matching("worker_id", "^w-[0-9a-f]{16}$", "workers_pseudonymous", "Workers must be pseudonyms", where=ACCEPTED),
        matching(
            "worker_id",
            f"^(?!{UNNAMED_PREFIX})",
            "workers_named",
            "Answers whose format names no annotator count as one person's: return them in folders `annotator=<name>`",
            where=ACCEPTED,
            severity=WARNING,
        ),
        filled("worker_id", "workers_known", "Every accepted answer must have a worker", where=ACCEPTED),
        filled("task_id", "tasks_known", "Every accepted answer must belong to a task", where=ACCEPTED),
        among("attribute", names, "questions_known", "Every accepted answer must be to a question of the ontology", where=ACCEPTED),
        filled("label", "answers_given", "Every accepted answer must have a label", where=ACCEPTED),
        *(
            in_ontology(attribute, where=ACCEPTED, former=changes.former(spec.ontology, attribute.name))
            for attribute in (SCREENING, *spec.ontology.attributes)
        ),
    ]
    return suite_of("labeled_batches", *rules)
