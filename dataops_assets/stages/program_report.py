"""All projects side by side: how far each stage is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from dataops_assets.contracts import CONTRACTS

RELEASING = ("pass", "waived")


def report(projects: Sequence[str], gates: pd.DataFrame, rows: Mapping[tuple[str, str, str], int]) -> pd.DataFrame:
    """One row per project and stage that has been through a gate.

    Args:
        projects: Names, in the order to show.
        gates: Rows of the gates ledger.
        rows: (project, asset, partition) -> rows of the released version.
    """
    made = []
    for project in projects:
        mine = gates[gates["project"] == project].drop_duplicates(["asset", "partition"], keep="last")
        for stage, group in mine.groupby("asset", sort=True):
            counted = [count for (name, asset, _), count in rows.items() if (name, asset) == (project, stage)]
            made.append(
                {
                    "name": project, "stage": stage, "partitions": len(group), "released": len(counted), "rows": sum(counted),
                    "failed_gates": int((~group["outcome"].isin(RELEASING)).sum()),
                }
            )  # fmt: skip
    return pd.DataFrame(made, columns=list(CONTRACTS["program_report"].columns))
