"""Gates: between a candidate and its release stands a Great Expectations suite.

`judge` runs a suite on a manifest and reports what it saw, failing closed. `pass_through` does so for a stored candidate, writes
the outcome into the `gates` ledger and publishes what was released. `gate_check` shows the same in Dagster as asset
checks. Suites live in `quality_suites/`, one module an artifact; thresholds come from the project's spec.
"""

import importlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from datetime import date
from types import ModuleType
from typing import Any, Literal

import dagster as dg
import pandas as pd

from dataops_assets import unfinished
from dataops_assets.contracts import CONTRACTS
from dataops_assets.flow import gating
from dataops_assets.manifest import UNPARTITIONED, Manifest
from dataops_assets.outcomes import DROP_CHAIN
from dataops_assets.reports import anew, batch, brief, delivery, feedback, pages, panels, pictures, pilot, screened, screening, vendors
from dataops_assets.resources import metadata_of
from dataops_assets.room import held_while_full
from dataops_assets.spec import ProjectSpec
from dataops_assets.store import Store, now

Outcome = Literal["pass", "fail", "error", "waived"]
SHOWN_ROWS = 20
SHOWN_PICTURES = 24
GATE, WARNINGS = "gate", "warnings"
VERDICT = "verdict"  # of a note in `unfinished`


@dataclass(frozen=True)
class Finding:
    """What one expectation saw. `rows` are positions in the judged frame."""

    name: str
    sentence: str
    severity: str
    outcome: Literal["pass", "fail", "error"]
    observed: str
    failed_rows: int = 0
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What a gate decided about one version, and why."""

    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    suite_digest: str = ""
    reason: str = ""
    by: str = "gate"
    frame: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def is_released(self) -> bool:
        return self.outcome in ("pass", "waived")

    @property
    def failed(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "critical" and finding.outcome != "pass"]

    @property
    def warned(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity != "critical" and finding.outcome != "pass"]

    @property
    def failed_row_count(self) -> int:
        return sum(finding.failed_rows for finding in self.failed)


def judge(candidate: Manifest, spec: ProjectSpec, inputs: Mapping[str, pd.DataFrame]) -> tuple[Verdict, Mapping[str, Any]]:
    """Run the artifact's suite on a candidate; returns the verdict (pass, fail or error) and the suite as JSON.

    Great Expectations calls an empty suite, an all-null column and an expectation that raised a success or buries
    it; here the first and last are errors and the second fails, unless the expectation's `meta` says `nullable`.
    """
    try:
        module = importlib.import_module(f"quality_suites.{candidate.asset}")
        suite, results, frame = _validate(module, candidate, spec, inputs)
        document: dict[str, Any] = suite.to_json_dict()
    except Exception as error:  # a gate that can't run is an outcome of its own, never a pass
        return Verdict("error", reason=f"{type(error).__name__}: {error}"[:2000]), {}
    findings = tuple(_finding(result) for result in results)
    if not findings:
        return Verdict("error", reason="the suite has no expectations", frame=frame), document
    broken = [finding for finding in findings if finding.outcome == "error" and finding.severity == "critical"]
    if broken:
        reason = "; ".join(f"{finding.name}: {finding.observed}" for finding in broken)[:2000]
        return Verdict("error", findings, reason=reason, frame=frame), document
    failed = [finding.name for finding in findings if finding.severity == "critical" and finding.outcome == "fail"]
    outcome: Outcome = "fail" if failed else "pass"
    return Verdict(outcome, findings, reason=", ".join(failed), frame=frame), document


def _validate(
    module: ModuleType, candidate: Manifest, spec: ProjectSpec, inputs: Mapping[str, pd.DataFrame]
) -> tuple[Any, Sequence[Any], pd.DataFrame]:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    frame = module.derive(candidate.frame, inputs) if hasattr(module, "derive") else candidate.frame
    parameters = module.parameters(candidate.frame, inputs) if hasattr(module, "parameters") else {}
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    suite = module.suite(spec)
    batch = (
        context.data_sources.add_pandas("store")
        .add_dataframe_asset(candidate.asset)
        .add_batch_definition_whole_dataframe(candidate.version)
        .get_batch({"dataframe": Judged(frame[_named_in(suite, frame)])})
    )
    result = batch.validate(suite, result_format={"result_format": "COMPLETE"}, expectation_parameters=parameters)
    return suite, result.results, frame


class Judged(pd.DataFrame):
    """A frame that finds the rows of a condition once: Great Expectations asks for them for each metric of each expectation."""

    def query(self, expr: str, *, inplace: bool = False, **options: Any) -> pd.DataFrame:  # type: ignore[override]
        found: dict[str, pd.DataFrame] = self.__dict__.setdefault("_found", {})
        if expr not in found:
            found[expr] = pd.DataFrame(self).query(expr, **options)
        return found[expr]


def _named_in(suite: Any, frame: pd.DataFrame) -> list[str]:
    """Columns that a suite may speak of: each row condition copies the frame, so the others would be copied for nothing."""
    text = json.dumps(suite.to_json_dict())
    return [column for column in frame.columns if column in text] or list(frame.columns)


def _finding(result: Any) -> Finding:
    config = result.expectation_config
    seen: dict[str, Any] = result.result or {}
    meta = config.meta or {}
    name = str(meta.get("name") or config.type)
    raised = _exceptions(result.exception_info)
    rows = tuple(int(row) for row in seen.get("unexpected_index_list") or ())
    count, missing = seen.get("element_count"), seen.get("missing_count")
    all_null = bool(count) and count == missing and not meta.get("nullable")
    outcome: Literal["pass", "fail", "error"]
    if raised:
        outcome, observed = "error", raised
    elif all_null:
        outcome, observed = "fail", f"all {count} values are missing"
        rows = rows or tuple(range(int(count or 0)))
    else:
        outcome = "pass" if result.success else "fail"
        observed = _observed(seen)
    severity = str(getattr(config.severity, "value", config.severity) or "critical")
    failed_rows = 0 if outcome == "pass" else (int(seen.get("unexpected_count") or 0) or len(rows))
    return Finding(name, str(meta.get("sentence") or config.type), severity, outcome, observed, failed_rows, rows)


def _exceptions(info: Any) -> str:
    """The first exception in what GX reports, which is a flat dict or one nested by metric; '' where none."""
    if not isinstance(info, Mapping):
        return ""
    if "raised_exception" in info:
        return str(info.get("exception_message") or "unknown exception") if info["raised_exception"] else ""
    return next((text for text in map(_exceptions, info.values()) if text), "")


def _observed(seen: Mapping[str, Any]) -> str:
    if "observed_value" in seen:
        return str(seen["observed_value"])[:200]
    unexpected, count = seen.get("unexpected_count"), seen.get("element_count")
    wrong = {value for value in seen.get("unexpected_list") or () if isinstance(value, str)}
    said = f": {wrong.pop()[:300]}" if len(wrong) == 1 and len(seen.get("unexpected_list") or ()) == unexpected else ""
    return f"{unexpected} of {count} rows{said}" if count is not None else ""


def pass_through(
    store: Store,
    spec: ProjectSpec,
    asset: str,
    partition: str,
    version: str,
    *,
    run_id: str = "",
    by: str = "gate",
) -> Verdict:
    """Judge a stored candidate, enter the outcome into the ledger and publish what was released."""
    with held_while_full(store, spec.name, partition, run_id) if asset in DROP_CHAIN else nullcontext():
        candidate = store.read(asset, spec.name, partition, version)
        verdict, document = judge(candidate, spec, gating.input_frames(store, spec, candidate))
        digest = store.put_document("suites", document)
        waiver = gating.waiver(store, spec.name, asset, partition, version, date.today()) if verdict.outcome == "fail" else None
        if waiver is not None:
            verdict = Verdict("waived", verdict.findings, digest, str(waiver["reason"]), str(waiver["by"]), verdict.frame)
        else:
            verdict = Verdict(verdict.outcome, verdict.findings, digest, verdict.reason, by, verdict.frame)
        _conclude(store, spec, candidate, verdict, run_id=run_id, until=str(waiver["until"]) if waiver is not None else None)
    return verdict


def waive(store: Store, spec: ProjectSpec, asset: str, partition: str, *, reason: str, by: str, until: date) -> Verdict:
    """Release the version that last failed, on a person's word.

    Raises:
        ValueError: when there is no failed version to waive, its gate could not run, or the date has passed.
    """
    if until < date.today():
        raise ValueError(f"--until {until} has passed")
    if not reason.strip() or not by.strip():
        raise ValueError("a waiver names who waives and why")
    last = gating.last_gate(store, spec.name, asset, partition)
    where = f"{asset} of {spec.name}/{partition}"
    if last is None:
        raise ValueError(f"{where} has not been through its gate; there is nothing to waive")
    if last["outcome"] in ("pass", "waived"):
        raise ValueError(f"{where}: version {last['version']} is released already ({last['outcome']})")
    if last["outcome"] == "error":
        raise ValueError(f"{where}: the gate could not run ({last['reason']}); mend that first, an error can't be waived")
    candidate = store.read(asset, spec.name, partition, str(last["version"]))
    judged, document = judge(candidate, spec, gating.input_frames(store, spec, candidate))
    verdict = Verdict("waived", judged.findings, store.put_document("suites", document), reason, by, judged.frame)
    _conclude(store, spec, candidate, verdict, run_id="", until=until.isoformat())
    return verdict


def _conclude(store: Store, spec: ProjectSpec, candidate: Manifest, verdict: Verdict, *, run_id: str, until: str | None) -> None:
    """Enter a verdict and show it; `catch_up` shows it where this process dies in between."""
    told = {name: getattr(verdict, name) for name in ("outcome", "suite_digest", "reason", "by")}
    findings = [{**asdict(finding), "rows": ()} for finding in verdict.findings]
    what = {"kind": VERDICT, "asset": candidate.asset, "partition": candidate.partition, "version": candidate.version}
    with unfinished.noted(store.home, spec.name, {**what, "verdict": told, "findings": findings}) as note:
        enter(store, candidate, verdict, run_id=run_id, until=until)
        note.stays = not _publish(store, spec, candidate, verdict)


def catch_up(store: Store, spec: ProjectSpec) -> list[str]:
    """Show what processes that died, or had no room, entered into a ledger and didn't show; returns a sentence for each.

    Verdicts: pages, reports, and the folders of what they released. Withdrawals and deletions: pages without the pictures.
    """

    def show(what: unfinished.What) -> bool:
        return _show_verdict(store, spec, what) if what["kind"] == VERDICT else anew.finish(store, spec, what)

    return unfinished.finish(store.home, spec.name, show)


def _show_verdict(store: Store, spec: ProjectSpec, what: unfinished.What) -> bool:
    """Show a verdict by its note, if it was entered and no later one stands in its place."""
    asset, partition, version = what["asset"], what["partition"], what["version"]
    verdict = Verdict(findings=tuple(Finding(**one) for one in what["findings"]), **what["verdict"])
    last = gating.last_gate(store, spec.name, asset, partition)
    if last is not None and (last["version"], last["outcome"]) == (version, verdict.outcome):
        return _publish(store, spec, store.read(asset, spec.name, partition, version), verdict)
    if verdict.is_released and store.released(asset, spec.name).get(partition) == version:  # a later version was held back
        held = store.read(asset, spec.name, partition, version)
        gating.publish(store, spec, held)
        return anew.outdate(store, spec, held) if asset == "cleaned_set" else True
    return True


def _publish(store: Store, spec: ProjectSpec, candidate: Manifest, verdict: Verdict) -> bool:
    """What was released goes out; the report page shows every verdict. Returns whether all could be written."""
    (gating.publish if verdict.is_released else gating.withhold)(store, spec, candidate)
    is_covered = anew.outdate(store, spec, candidate, verdict.is_released) if candidate.asset == "cleaned_set" else True
    told = {"what the gate says": _sentence(GATE, verdict), "what it advises": _sentence(WARNINGS, verdict)}
    pages.write(store, spec, candidate, told, panels.Table([_line(finding) for finding in verdict.findings]))
    written = [is_covered]
    # a delivery that was taken is screened next, and told of then
    if candidate.asset == "cleaned_set" or (candidate.asset == "raw_images" and not verdict.is_released):
        written.append(_tell("delivery", lambda: delivery.write(store, spec, candidate.partition)))
    if candidate.asset in ("brief", "label_tasks", "labeled_batches", "approved_labels") and verdict.is_released:
        written.append(_tell("brief", lambda: brief.write(store, spec)))
    if candidate.asset == "label_quality" and candidate.partition.startswith(("qualification-", "production-")):
        written.append(_tell("vendor", lambda: vendors.write(store, spec)))
    if candidate.asset == "label_quality" and candidate.partition.startswith("pilot-"):
        written.append(_tell("pilot", lambda: pilot.write(store, spec, candidate.partition)))
    if candidate.asset == "vendor_feedback" and verdict.is_released:
        written.append(_tell("feedback", lambda: feedback.write(store, spec, candidate)))
    if candidate.asset == "approved_labels" and verdict.is_released:
        written.append(_tell("feedback", lambda: feedback.rewrite(store, spec, candidate.partition)))
    if candidate.asset in ("label_quality", "approved_labels"):
        written.append(_tell("batch", lambda: batch.write(store, spec, candidate)))
    if candidate.asset == "cleaned_set":
        written.append(_tell("screening", lambda: screening.write(store, spec, candidate)))
    return all(written)


def _tell(what: str, write: Callable[[], object]) -> bool:
    """Write a report; one that can't be written never turns a verdict around. False where the disk said no: that may pass."""
    try:
        write()
    except Exception as error:
        logging.getLogger(__name__).exception("no %s report", what)
        return not isinstance(error, OSError)
    return True


def enter(store: Store, candidate: Manifest, verdict: Verdict, *, run_id: str, until: str | None) -> None:
    """Append a verdict to the `gates` ledger."""
    row = {
        "project": candidate.project,
        "asset": candidate.asset,
        "partition": candidate.partition,
        "version": candidate.version,
        "outcome": verdict.outcome,
        "suite_digest": verdict.suite_digest,
        "failed_rows": verdict.failed_row_count,
        "failed": "|".join(finding.name for finding in verdict.failed) or None,
        "by": verdict.by,
        "reason": verdict.reason or None,
        "until": until,
        "run_id": run_id or None,
        "at": now(),
        "files": json.dumps(store.files(candidate.asset, candidate.project, candidate.partition, candidate.version), sort_keys=True),
        "inputs": json.dumps(candidate.inputs, sort_keys=True),
    }
    store.gates.append(lambda rows: [row])


# ---- in Dagster


def gate_check(spec: ProjectSpec, asset: str, partitions: dg.PartitionsDefinition[str] | None) -> dg.AssetChecksDefinition:
    """The gate of an asset as Dagster shows it: a blocking check and one, not blocking, for warnings."""
    key = dg.AssetKey([spec.name, asset])
    about = f"Great Expectations suite quality_suites/{asset}.py"
    specs = [
        dg.AssetCheckSpec(WARNINGS, asset=key, description=f"Advice: {about}, expectations that don't block.", partitions_def=partitions),
        dg.AssetCheckSpec(
            GATE, asset=key, blocking=True, description=f"Releases a version or holds it back: {about}.", partitions_def=partitions
        ),
    ]

    @dg.multi_asset_check(name=f"{spec.name}__{asset}__gate", specs=specs)
    def check(context: dg.AssetCheckExecutionContext, store: dg.ResourceParam[Store]):  # type: ignore[no-untyped-def]
        op = context.op_execution_context
        partition = op.partition_key if op.has_partition_key and partitions is not None else UNPARTITIONED
        version = _version_of_run(op, key, partition)
        verdict = pass_through(store, spec, asset, partition, version, run_id=op.run_id)
        for evaluation in evaluations(store, spec, asset, partition, version, verdict):
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=evaluation.check_name,
                passed=evaluation.passed,
                severity=evaluation.severity,
                metadata=evaluation.metadata,
                description=evaluation.description,
            )

    return check


def evaluations(
    store: Store, spec: ProjectSpec, asset: str, partition: str, version: str, verdict: Verdict
) -> list[dg.AssetCheckEvaluation]:
    """A verdict as the two checks' evaluations; also reported without a run when a version is gated again."""
    key = dg.AssetKey([spec.name, asset])
    common = {"version": version, "outcome": verdict.outcome, "suite": verdict.suite_digest, "by": verdict.by}
    shown = {
        WARNINGS: (not verdict.warned, dg.AssetCheckSeverity.WARN, [f for f in verdict.findings if f.severity != "critical"]),
        GATE: (verdict.is_released, dg.AssetCheckSeverity.ERROR, [f for f in verdict.findings if f.severity == "critical"]),
    }
    result = []
    for name, (passed, severity, findings) in shown.items():
        parts: dict[str, Any] = {**common, "failed_rows": sum(f.failed_rows for f in findings)}
        parts["expectations"] = panels.Table([_line(finding) for finding in findings])
        for finding in (f for f in findings if f.outcome != "pass"):
            parts |= _evidence(store, spec, asset, verdict.frame, finding)
        result.append(
            dg.AssetCheckEvaluation(
                asset_key=key,
                check_name=name,
                passed=passed,
                metadata=metadata_of(parts),
                severity=severity,
                description=_sentence(name, verdict),
                blocking=name == GATE,
                partition=None if partition == UNPARTITIONED else partition,
            )
        )
    return result


def _sentence(check: str, verdict: Verdict) -> str:
    if check == WARNINGS:
        return "; ".join(f"{f.sentence} ({f.observed})" for f in verdict.warned) or "Nothing to advise."
    if verdict.outcome == "pass":
        return "Released."
    if verdict.outcome == "waived":
        return f"Released on {verdict.by}'s word: {verdict.reason}"
    if verdict.outcome == "error":
        return f"The gate could not run: {verdict.reason}"
    return "Held back. " + "; ".join(f"{f.sentence} ({f.observed})" for f in verdict.failed)


def _line(finding: Finding) -> dict[str, Any]:
    return {
        "expectation": finding.name,
        "outcome": finding.outcome,
        "severity": finding.severity,
        "failed rows": finding.failed_rows,
        "observed": finding.observed,
        "meaning": finding.sentence,
    }


def _evidence(store: Store, spec: ProjectSpec, asset: str, frame: pd.DataFrame, finding: Finding) -> dict[str, Any]:
    """The rows an expectation found wanting, and their pictures."""
    rows = frame.iloc[[row for row in finding.rows if row < len(frame)]]
    if rows.empty:
        return {}
    columns = [
        *CONTRACTS[asset].key,
        *(name for name in ("status", "reason", "label", "split", "gold_lower", "qualification") if name in rows),
    ]
    parts: dict[str, Any] = {f"{finding.name}: rows": panels.table_of(rows[columns].head(SHOWN_ROWS))}
    shown = rows.head(SHOWN_PICTURES)
    if asset == "cleaned_set":
        sheet = screened.evidence(shown, pictures.drawn(store, spec, shown))
    elif asset == "raw_images":
        sheet = panels.sheet(store.apart(spec.name), pictures.as_taken(store, spec.name, shown), is_screened=False)
    else:
        seen = pictures.in_use(store, spec.name, shown)
        seen = seen if "image_id" not in seen else pictures.as_sent(store, spec.name, seen)
        sheet = panels.sheet(store.blobs, seen)
    return parts | ({f"{finding.name}: pictures": sheet} if sheet else {})


def _version_of_run(op: dg.OpExecutionContext, key: dg.AssetKey, partition: str) -> str:
    """The candidate that this run's materialization names; in a run of checks alone, the newest one."""
    wanted = None if partition == UNPARTITIONED else [partition]
    events = op.instance.fetch_materializations(dg.AssetRecordsFilter(key, asset_partitions=wanted), limit=20).records
    mine = [event for event in events if event.run_id == op.run_id] or list(events)
    if not mine or mine[0].asset_materialization is None:
        raise dg.Failure(f"{key.to_user_string()} {partition} has never been materialized: nothing to gate.")
    version = mine[0].asset_materialization.metadata["version"].value
    return str(version)
