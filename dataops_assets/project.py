"""`LabelingProject`: one YAML file becomes the assets, gates, jobs and sensors of a project. The only wiring of a project."""

from __future__ import annotations

import dagster as dg
from pydantic import BaseModel

from dataops_assets import assets, gates, sensors
from dataops_assets.runs import jobs_of
from dataops_assets.spec import ProjectSpec


class LabelingProject(dg.Component):
    """One labelling project. The YAML's attributes are documented in `dataops_assets/spec.py`."""

    def __init__(self, spec: ProjectSpec) -> None:
        self.spec = spec

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        return ProjectSpec

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> LabelingProject:
        """Read and check the YAML's attributes.

        Raises:
            ValueError: when the project's name differs from its folder's.
        """
        assert isinstance(attributes, ProjectSpec)
        if attributes.name != context.path.name:
            raise ValueError(f"{context.path}/defs.yaml: name {attributes.name!r} differs from its folder; make them equal")
        return cls(attributes)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return project_defs(self.spec)


def project_defs(spec: ProjectSpec) -> dg.Definitions:
    """All definitions of one project, without resources."""
    keys = assets.Keys.of(spec.name)
    made = assets.build(spec, keys)
    checks = [gates.gate_check(spec, asset.key.path[-1], asset.partitions_def) for asset in made]
    jobs = jobs_of(spec, keys.batches)
    return dg.Definitions(assets=made, asset_checks=checks, jobs=list(jobs.values()), sensors=sensors.build(spec, keys, jobs))
