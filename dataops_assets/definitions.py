"""The code location: every project under `defs/`, and what spans projects."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import dagster as dg

from dataops_assets import program, sensors
from dataops_assets.io import manifest_io_manager
from dataops_assets.projects import defs_root
from dataops_assets.resources import store_resource

ROOT = Path(__file__).resolve().parent


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that `workspace.yaml` serves."""
    return build_defs()


def build_defs() -> dg.Definitions:
    """All projects' definitions with the store they share."""
    tree = dg.ComponentTree.from_module(defs_module=_projects(), project_root=ROOT.parent)
    shared = dg.Definitions(
        assets=program.assets,
        sensors=[sensors.run_failure, *program.sensors],
        schedules=program.schedules,
        jobs=program.jobs,
        resources={"store": store_resource, "manifests": manifest_io_manager},
    )
    return dg.Definitions.merge(tree.build_defs(), shared)


def _projects() -> ModuleType:
    """`dataops_assets.defs`, or the folder of YAML files that DATAOPS_DEFS names."""
    folder = defs_root()
    if folder == ROOT / "defs":
        return importlib.import_module("dataops_assets.defs")
    spec = importlib.util.spec_from_loader("dataops_projects", loader=None, is_package=True)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__path__ = [os.fspath(folder)]
    sys.modules["dataops_projects"] = module
    return module
