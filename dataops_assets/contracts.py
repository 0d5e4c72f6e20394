"""The tables' contracts: columns, types and keys. What a stage makes must fit here, and what a query finds is documented here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

Type = Literal["string", "int64", "float64", "bool", "timestamp"]

ARROW: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
PANDAS: dict[str, str] = {
    "string": "object",
    "int64": "Int64",
    "float64": "float64",
    "bool": "boolean",
    "timestamp": "datetime64[us, UTC]",
}


@dataclass(frozen=True)
class Contract:
    """Columns and key of one table.

    Attributes:
        name: The asset's or ledger's name.
        columns: Column -> type, in the order shown. `project`, `partition` and `version` are added by the store.
        key: Columns that name a row within a partition; none null, together unique. Rows are sorted by them.
        volatile: Columns that don't enter the version: run ids, receipt times.
    """

    name: str
    columns: Mapping[str, Type]
    key: tuple[str, ...]
    volatile: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(name, ARROW[kind]) for name, kind in self.columns.items()])


COMPOSITION_ISSUES = ("blocky", "bordered", "collage", "screenshot", "overlaid_text")
QUALITY_ISSUES = (
    "dark", "light", "blurry", "low_information", "odd_size", "odd_aspect_ratio", "grayscale", *COMPOSITION_ISSUES, "watermark",
)  # fmt: skip
RELEVANCE_ISSUES = ("irrelevant", "outlier", "mislabelled")
DECIDED = ["decided_by", "decided_at", "answered_by", "answered_at"]  # who took responsibility for a decision, who gave it, and when
ISSUES = (*QUALITY_ISSUES, *RELEVANCE_ISSUES)
_BOX: dict[str, Type] = {"object_id": "string", "x": "float64", "y": "float64", "w": "float64", "h": "float64"}
_CHAIN: dict[str, Type] = {"seq": "int64", "prev_hash": "string", "row_hash": "string"}

_CONTRACTS = (
    Contract(
        "brief",
        {"check": "string", "value": "float64", "limit": "float64", "unit": "string", "is_met": "bool", "sentence": "string"},
        ("check",),
    ),
    Contract(
        "guidelines",
        {
            "attribute": "string",
            "value": "string",
            "kind": "string",
            "question": "string",
            "definition": "string",
            "ontology_version": "string",
            "document_sha256": "string",  # the page as the YAML has it, without pictures and without what is new
            "edition": "int64",  # counted on whenever what is told or shown changes; the same in all rows, as is `changes`
            "changes": "string",  # JSON: sentences, what is new since the edition before
            "applies_when": "string",  # attribute=a|b, joined by &; null: always asked
            "is_required": "bool",
            "synonyms": "string",  # joined by |
            "edge_cases": "string",  # JSON: sentences, of the value and of its question
            "sensitive_to": "string",  # joined by |
            "examples": "string",  # JSON: what `labels.examples.Example` holds, a list each; the pictures are drawn when they are shown
        },
        ("attribute", "value"),
    ),
    Contract(
        "raw_images",
        {
            "image_id": "string",  # sha256 of the bytes as delivered; null where they were never read
            "drop_id": "string",
            "vendor": "string",
            "path": "string",
            "sha256": "string",
            "size_bytes": "int64",
            "format": "string",
            "width_px": "int64",
            "height_px": "int64",
            "category": "string",
            "license": "string",
            "consent": "string",
            "captured_at": "string",  # the vendor's word, as given
            "price": "float64",
            "group_id": "string",
            "status": "string",  # accepted, duplicate, ignored, quarantined, held
            "reason": "string",
            "warnings": "string",
        },
        ("drop_id", "path"),
    ),
    Contract(
        "cleaned_set",
        {
            "image_id": "string",
            "drop_id": "string",
            "vendor": "string",
            "path": "string",
            "status": "string",  # kept, rejected, review
            "reason": "string",  # issue names joined by |, or exact_duplicate, near_duplicate, near_refused, a decoding reason code
            "duplicate_of": "string",
            "near_duplicate_group": "string",
            "phash": "string",  # 16 hex digits
            "colour_grid": "string",  # 64 hex digits: a*, b* of 4 x 4 cells
            "faces": "int64",
            "text_regions": "int64",
            "personal_data": "string",  # kinds found in picture or metadata, joined by |
            "open_personal_data": "string",  # those that the cleaned picture still shows
            "regions": "string",  # JSON, a list of [kind, x, y, w, h, score, is_covered], px of the cleaned picture
            "width_px": "int64",
            "height_px": "int64",
            "clean_sha256": "string",
            "category": "string",
            "nearest_category": "string",  # the class of reference pictures it is most like
            "suggested_category": "string",  # where its neighbours disagree with the vendor's
            "group_id": "string",
            "decided_by": "string",  # who took responsibility for people's decision on a doubtful picture
            "decided_at": "timestamp",
            "answered_by": "string",  # pseudonyms of those who gave that answer, joined by |
            "answered_at": "timestamp",  # when the last of them did
            **{f"{issue}_score": "float64" for issue in ISSUES},
            **{f"is_{issue}": "bool" for issue in ISSUES},
        },
        ("image_id",),
        volatile=("decided_at",),
    ),
    Contract(
        "augmented_set",
        {
            "image_id": "string",
            "source_image_id": "string",
            "kind": "string",  # source, variant
            "recipe": "string",
            "copy": "int64",
            "seed": "int64",
            "sha256": "string",  # the picture to use: the cleaned one, or the variant
            "width_px": "int64",
            "height_px": "int64",
            "breaks": "string",  # attributes not inherited, joined by |
            "drop_id": "string",
            "vendor": "string",
            "category": "string",
            "group_id": "string",
            "near_duplicate_group": "string",
        },
        ("image_id",),
    ),
    Contract(
        "batch_plans",
        {
            "batch_id": "string",
            "kind": "string",
            "image_id": "string",
            "sha256": "string",
            "is_gold": "bool",
            "vendor": "string",
            "overlap": "int64",
            "attributes": "string",  # joined by |
            "round": "int64",
            "parent_batch_id": "string",
            "amount": "float64",
            "currency": "string",
        },
        ("batch_id", "image_id"),
    ),
    Contract(
        "label_tasks",
        {
            "batch_id": "string",
            "kind": "string",
            "task_id": "string",
            "image_id": "string",
            "sha256": "string",
            "file": "string",
            "is_gold": "bool",
            "vendor": "string",
            "overlap": "int64",
            "attributes": "string",
            "round": "int64",
            "parent_batch_id": "string",
            "width_px": "int64",
            "height_px": "int64",
            "ontology_version": "string",
        },
        ("batch_id", "task_id"),
    ),
    Contract(
        "labeled_batches",
        {
            "batch_id": "string",
            "row_id": "string",  # <12 hex digits of the file's content, and of what its path says>:<row, from 1>:<part>
            "file": "string",
            "file_sha256": "string",
            "item_id": "string",  # as returned
            "task_id": "string",
            "image_id": "string",
            "attribute": "string",
            "worker_id": "string",
            "vendor": "string",
            "label": "string",
            **_BOX,
            "submitted_at": "timestamp",
            "seconds": "float64",  # for this answer; questions of a picture that a tool timed as a whole have equal shares of it
            "ontology_version": "string",
            "status": "string",  # accepted, rejected
            "reason": "string",
            "given": "string",  # the label as returned, where it was a synonym of the value it is taken for
            "leaves_out": "string",  # questions that this worker was right not to answer of this picture, joined by |; on one row
            "is_superseded": "bool",  # rejected for a later answer of this worker, or for the same one: no fault of the return
        },
        ("batch_id", "row_id"),
    ),
    Contract(
        "label_quality",
        {
            "batch_id": "string",
            "kind": "string",
            "task_id": "string",
            "image_id": "string",
            "attribute": "string",
            **_BOX,
            "label": "string",
            "posterior": "float64",  # chance that the label is right; of gold, how it was before gold was seen
            "n_labels": "int64",
            "n_wanted": "int64",
            "agreement": "float64",  # share of agreeing pairs of answers
            "is_gold": "bool",
            "gold_label": "string",
            "gold_correct": "int64",  # answers equal to gold
            "gold_accuracy": "float64",  # of the attribute in this batch
            "gold_lower": "float64",  # its bounds, 95 %: answers to one picture err alike, so they count for fewer
            "gold_upper": "float64",
            "vendor": "string",
            "round": "int64",
            "decision": "string",  # accept, rework (one more label), adjudicate
            "reason": "string",
            "needed": "float64",  # posterior that accepts
            "expected_gain": "float64",  # what the next label is expected to save, before its price; in the brief's currency
            "price": "float64",  # of the next label
            "n_more": "int64",  # labels to buy next; 0 unless reworked
            "is_audit": "bool",  # accepted, and drawn for our own people to answer without knowing it
            "inspection": "string",  # normal, tightened, reduced: the sampling plan of the batch
            "most_wrong": "int64",  # audited labels that may be wrong for the batch to be accepted
            "method": "string",  # how answers were weighed
            "notes": "string",  # what was met in the answers that were weighed, those of earlier batches included; joined by "; "
            "likeness": "float64",  # how alike errors on one question are taken to be
            "n_missed": "int64",  # of gold boxes: objects that answers lack, all answers together, at IoU 0.5
            "n_extra": "int64",  # of gold boxes: boxes in answers that are no object, at IoU 0.5
            "gold_correct_75": "int64",  # of gold boxes: answers equal to gold at IoU 0.75
            "n_missed_75": "int64",  # n_missed and n_extra at IoU 0.75
            "n_extra_75": "int64",
        },
        ("batch_id", "task_id", "attribute", "object_id"),
    ),
    Contract(
        "vendor_feedback",
        {
            "batch_id": "string",
            "vendor": "string",
            "worker_id": "string",
            "attribute": "string",
            "n_labels": "int64",
            "n_judged": "int64",  # answers, not to gold, that could be compared with the batch's winner
            "agreement": "float64",  # share of these that are equal to it
            "n_gold": "int64",
            "gold_correct": "int64",
            "gold_accuracy": "float64",
            "gold_lower": "float64",
            "gold_upper": "float64",
            "n_worn": "int64",  # answers to gold that the worker had seen too often: they count nowhere
            "median_seconds": "float64",  # an answer
            "confused": "string",  # most frequent mistakes, "true>given xN", joined by |
            "missed": "string",  # classes not recognised, "class k/n", joined by |
            "falsely": "string",  # classes given where they weren't right, likewise
            "advice": "string",
            "right_share": "float64",  # of all judged answers, gold or not
            "trend": "string",  # that of up to five batches before and of this one, joined by |
            "change": "float64",  # right_share less that of all batches before
            "change_lower": "float64",  # its bounds, 95 %
            "change_upper": "float64",
            "raw_agreement": "float64",  # of the vendor's answers to the attribute in this batch, with each other
            "alpha": "float64",  # Krippendorff's, likewise
            "alpha_lower": "float64",
            "alpha_upper": "float64",
            "flags": "string",  # signs of behaviour of the worker, joined by |; a sign decides nothing
            "needs_look": "bool",  # signs of two kinds: a person should look
            "evidence": "string",  # JSON: a list of the signs with counts, bounds and examples
        },
        ("batch_id", "vendor", "worker_id", "attribute"),
    ),
    Contract(
        "approved_labels",
        {
            "image_id": "string",
            "attribute": "string",
            **_BOX,
            "label": "string",
            "posterior": "float64",
            "n_labels": "int64",
            "batch_id": "string",
            "kind": "string",
            "task_id": "string",
            "decided_by": "string",  # posterior, majority_vote (our own people), adjudication
            "approved_by": "string",
            "audit": "string",  # how many of the batch's labels accepted by themselves were found wrong by then, or that nobody knows
            "ontology_version": "string",
        },
        ("image_id", "attribute", "object_id"),
    ),
    Contract(
        "training_export",
        {
            "release": "string",
            "image_id": "string",
            "source_image_id": "string",
            "kind": "string",
            "split": "string",
            "labels": "string",  # JSON: attribute -> value, list of values, or list of boxes
            "file": "string",
            "sha256": "string",
            "width_px": "int64",
            "height_px": "int64",
            "split_group": "string",
            "drop_id": "string",
            "vendor": "string",
            "batch_ids": "string",
            "ontology_version": "string",
            "unlabelled": "string",  # JSON: attribute -> cant_tell or not_applicable, the answers that are no labels
        },
        ("release", "image_id"),
    ),
    Contract(
        "model_feedback",
        {
            "release": "string",
            "model": "string",
            "image_id": "string",
            "attribute": "string",
            "split": "string",
            "label": "string",
            "predicted": "string",
            "confidence": "float64",
            "is_correct": "bool",
            "status": "string",
            "reason": "string",
            "row_id": "string",
        },
        ("release", "row_id"),
    ),
    Contract(
        "investigation",
        {
            "release": "string",
            "attribute": "string",
            "label": "string",
            "n_predictions": "int64",
            "n_wrong": "int64",
            "error_rate": "float64",
            "most_predicted": "string",
            "n_train": "int64",
            "mean_posterior": "float64",
            "cause": "string",
            "evidence": "string",
        },
        ("release", "attribute", "label"),
    ),
    Contract(
        "vendor_scorecard",
        {
            "vendor": "string",
            "role": "string",  # images, labels
            "delivered": "int64",  # files or accepted answers
            "accepted": "int64",  # pictures kept, or questions accepted in production and rework
            "yield_share": "float64",  # kept of delivered files; of labels the first-pass yield: accepted of those asked, before any rework
            "rework_share": "float64",  # of the questions asked first, sent back
            "approved": "int64",  # labels of the vendor's batches
            "looked_at_again": "int64",  # of these, by our own people
            "escaped": "int64",  # approved labels in whose place another one stands now
            "escape_share": "float64",  # of those looked at again, wrong
            "escape_lower": "float64",  # its Wilson bounds, 95 %
            "escape_upper": "float64",
            "n_gold": "int64",  # answers
            "gold_accuracy": "float64",
            "gold_lower": "float64",
            "gold_upper": "float64",
            "agreement": "float64",  # mean over questions of the share of agreeing pairs of answers
            "workers": "int64",
            "workers_flagged": "int64",  # with a sign of behaviour in some batch, or over all together
            "workers_to_look_at": "int64",  # with signs of two kinds there
            "signs": "string",  # JSON: a list of the signs over all batches together
            "answers_a_day": "float64",  # a day on which some were submitted
            "batches": "int64",  # sent and back
            "turnaround_p50_h": "float64",  # from sending a batch to its released labels
            "turnaround_p95_h": "float64",
            "on_time_share": "float64",  # batches back by the day that `labels_per_day` leads to; of images: promised ones there in time
            "disputes": "int64",  # of gold the vendor was measured with
            "disputes_upheld": "int64",  # settled to another answer
            "promised": "int64",  # files
            "mix_gap": "float64",  # share of kept pictures that would have to be of another class for the mix promised
            "by_reason": "string",  # JSON: why files were left out -> how many
            "by_attribute": "string",  # JSON: attribute -> agreement, alpha, gold, with bounds
            "by_class": "string",  # JSON: attribute -> class -> errors on gold with bounds; of images: class -> promised, accepted, kept
            "amount": "float64",  # invoice
            "amount_work": "float64",  # of it
            "amount_rework": "float64",
            "amount_gold": "float64",  # hidden gold and qualification
            "amount_review": "float64",  # adjudication by our own people, beside the invoice
            "amount_per_accepted": "float64",  # invoice and review
            "currency": "string",
        },
        ("role", "vendor"),
    ),
    Contract(
        "lineage_audit",
        {
            "release": "string",
            "image_id": "string",
            "source_image_id": "string",
            "vendor": "string",
            "drop_id": "string",
            "path": "string",
            "batch_ids": "string",
            "gates": "int64",
            "waivers": "int64",
            "is_complete": "bool",
            "missing": "string",
        },
        ("release", "image_id"),
    ),
    Contract(
        "program_report",
        {
            "name": "string",
            "stage": "string",
            "partitions": "int64",
            "released": "int64",
            "rows": "int64",
            "failed_gates": "int64",
        },
        ("name", "stage"),
    ),
    # ledgers: append-only, hash-chained
    Contract(
        "gates",
        {
            "project": "string",
            "asset": "string",
            "partition": "string",
            "version": "string",
            "outcome": "string",  # pass, fail, error, waived
            "suite_digest": "string",
            "failed_rows": "int64",
            "failed": "string",  # names of failed critical expectations, joined by |
            "by": "string",
            "reason": "string",
            "until": "string",  # of a waiver, ISO date
            "run_id": "string",
            "at": "timestamp",
            "files": "string",  # JSON: data file -> sha256
            "inputs": "string",  # JSON
            **_CHAIN,
        },
        ("seq",),
    ),
    Contract(
        "costs",
        {
            "project": "string",
            "kind": "string",
            "vendor": "string",
            "ref": "string",
            "quantity": "float64",
            "amount": "float64",
            "currency": "string",
            "at": "timestamp",
            **_CHAIN,
        },
        ("seq",),
    ),
    Contract(
        "drops",
        {
            "project": "string",
            "vendor": "string",
            "drop_id": "string",
            "name": "string",
            "status": "string",  # accepted, partial, held, rejected, parked
            "reason": "string",
            "files_seen": "int64",
            "bytes_seen": "int64",
            "received_at": "timestamp",
            "attempt": "int64",
            "supersedes": "string",
            "fingerprint": "string",  # of the listing: paths, sizes, times
            "content_sha256": "string",
            "listing": "string",  # of paths and sizes alone; null in rows of earlier versions
            "number": "int64",  # order of first screening; null until then
            "run_id": "string",
            "detail": "string",  # the reason in a sentence that quotes what the vendor wrote; null where the reason says it all
            "asked_by": "string",  # who had it tried again, and why
            "asked_why": "string",
            **_CHAIN,
        },
        ("seq",),
    ),
    Contract(
        "withdrawals",
        {
            "project": "string",
            "drop_id": "string",
            "image_id": "string",
            "reason": "string",
            "by": "string",
            "at": "timestamp",
            **_CHAIN,
        },
        ("seq",),
    ),
    Contract(
        "gold",
        {
            "project": "string",
            "image_id": "string",
            "attribute": "string",  # null: all of the picture
            "action": "string",  # dispute, settle, retire; show, practise: people outside see it with its answers
            "label": "string",  # what a dispute was settled to
            "reason": "string",
            "by": "string",
            "at": "timestamp",
            **_CHAIN,
        },
        ("seq",),
    ),
)
CONTRACTS: dict[str, Contract] = {contract.name: contract for contract in _CONTRACTS}
LEDGERS = tuple(name for name, contract in CONTRACTS.items() if contract.columns.keys() >= _CHAIN.keys())
