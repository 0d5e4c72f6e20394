"""How assets hand manifests on: a candidate is written, only a released version is loaded."""

from __future__ import annotations

import dagster as dg

from dataops_assets.manifest import UNPARTITIONED, Manifest
from dataops_assets.store import NotReleased, Store


class ManifestIOManager(dg.IOManager):
    """Writes what an asset returns as a candidate; loads the released version of an input's own partition."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def handle_output(self, context: dg.OutputContext, obj: Manifest | None) -> None:
        """Keep the candidate, so that its gate can find it by the version in the materialization."""
        if obj is not None:
            self.store.write(obj)

    def load_input(self, context: dg.InputContext) -> Manifest:
        """The released version.

        Raises:
            dg.Failure: when the gate has not let one through; the text says which and what to do.
        """
        project, asset = context.asset_key.path[0], context.asset_key.path[-1]
        partition = context.asset_partition_key if context.has_asset_partitions else UNPARTITIONED
        try:
            return self.store.load(asset, project, partition)
        except NotReleased as error:
            raise dg.Failure(str(error), allow_retries=False) from error


@dg.io_manager(required_resource_keys={"store"}, description="Candidates out, released versions in.")
def manifest_io_manager(context: dg.InitResourceContext) -> ManifestIOManager:
    """The IO manager over this installation's store."""
    return ManifestIOManager(context.resources.store)
