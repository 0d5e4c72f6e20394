"""A good table of every artifact, and for each expectation a change that breaks it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from dataops_assets.contracts import ISSUES
from dataops_assets.spec import ProjectSpec
from tests.conftest import REPO, changed

Frame = pd.DataFrame
Change = Callable[[Frame], Frame]


def sha(number: int) -> str:
    return f"{number:064x}"


@dataclass(frozen=True)
class Case:
    """A table that passes with its inputs, and what makes each expectation fail: a change, or other inputs `instead`."""

    good: Frame
    inputs: dict[str, Frame]
    breaks: dict[str, Change]
    instead: dict[str, dict[str, Frame]] = field(default_factory=dict)


def put(column: str, value: object, where: Callable[[Frame], pd.Series] | None = None) -> Change:
    """Set a column's value in all rows, or in those chosen."""

    def change(frame: Frame) -> Frame:
        made = frame.copy()
        rows = where(made) if where else pd.Series(True, index=made.index)
        made[column] = made[column].astype("object")
        made.loc[rows, column] = value
        return made

    return change


def first(column: str, value: object) -> Change:
    return put(column, value, lambda frame: pd.Series(frame.index == frame.index[0], index=frame.index))


def none_left(frame: Frame) -> Frame:
    return frame.iloc[:0]


def one_less(frame: Frame) -> Frame:
    return frame.iloc[:-1]


def twice(*columns: str) -> Change:
    """Give the second row the first one's values in some columns."""

    def change(frame: Frame) -> Frame:
        made = frame.copy()
        for column in columns:
            made.loc[made.index[1], column] = made[column].iloc[0]
        return made

    return change


def cases(spec: ProjectSpec) -> dict[str, Case]:
    return {
        "brief": brief(spec),
        "guidelines": guidelines(spec),
        "raw_images": raw_images(spec),
        "cleaned_set": cleaned_set(spec),
        "augmented_set": augmented_set(spec),
        "label_tasks": label_tasks(spec),
        "labeled_batches": labeled_batches(spec),
        "label_quality": label_quality(spec),
        "vendor_feedback": vendor_feedback(spec),
        "approved_labels": approved_labels(spec),
        "training_export": training_export(spec),
        "model_feedback": model_feedback(),
        "investigation": investigation(),
        "vendor_scorecard": vendor_scorecard(spec),
        "lineage_audit": lineage_audit(),
    }


def brief(spec: ProjectSpec) -> Case:
    from dataops_assets.stages.brief import check

    over = check(changed(spec, brief={"budget": 1}))
    good = check(spec).assign(is_met=True)
    return Case(good, {}, {
        "not_empty": none_left,
        "fits_budget_and_date": lambda frame: over,
        "enough_gold": put("is_met", False, lambda frame: frame["check"] == "gold_available"),
        "advice": put("is_met", False, lambda frame: frame["check"] == "class_balance"),
    })  # fmt: skip


def guidelines(spec: ProjectSpec) -> Case:
    from dataops_assets.labels.examples import Example, dumped
    from dataops_assets.stages.guidelines import rows

    shows = {name: dumped([Example("colour", "red", image)]) for name, image in (("known", sha(1)), ("hidden", sha(2)))}
    good = rows(spec).assign(document_sha256=sha(1))
    good.loc[0, "examples"] = shows["known"]
    inputs = {"in_use": rows(spec), "stated": pd.DataFrame({"change": []}), "hidden": pd.DataFrame({"image_id": [sha(2)]})}
    return Case(good, inputs, {
        "not_empty": none_left,
        "every_value_listed": one_less,
        "values_defined": first("definition", " "),
        "hidden_gold_kept": first("examples", shows["hidden"]),
        "document_written": first("document_sha256", None),
        "changes_explained": first("definition", "Something else."),
        "questions_asked": first("question", "Colour"),
    })  # fmt: skip


def raw_images(spec: ProjectSpec) -> Case:
    rows = 20
    good = pd.DataFrame({
        "image_id": [sha(i) for i in range(rows)], "drop_id": "d", "vendor": spec.sources.vendors[0].name,
        "path": [f"{i}.jpg" for i in range(rows)], "sha256": [sha(i) for i in range(rows)], "size_bytes": 9, "format": "JPEG",
        "width_px": 4, "height_px": 4, "license": "CC-BY-4.0", "consent": "c-1", "status": "accepted", "reason": None,
    })  # fmt: skip

    def refuse(count: int, reason: str | None = "CORRUPT") -> Change:
        return lambda frame: frame.assign(
            status=["quarantined"] * count + ["accepted"] * (rows - count), reason=[reason] * count + [None] * (rows - count)
        )

    return Case(good, {"drops": pd.DataFrame({"files_seen": pd.array([rows], dtype="Int64")})}, {
        "not_empty": none_left,
        "nothing_lost": one_less,
        "status_known": first("status", "lost"),
        "something_accepted": refuse(rows),
        "accepted_share": refuse(3),
        "vendor_known": put("vendor", "stranger"),
        "accepted_hashed": first("image_id", "abc"),
        "accepted_not_empty": first("size_bytes", 0),
        "format_known": first("format", "EXR"),
        "width_known": first("width_px", 0),
        "height_known": first("height_px", 0),
        "refusals_explained": refuse(1, None),
        "nothing_refused": refuse(1),
        "license_allowed": first("license", "proprietary"),
        "license_given": first("license", None),
        "consent_given": first("consent", " "),
    })  # fmt: skip


def cleaned_set(spec: ProjectSpec) -> Case:
    rows = 10
    good = pd.DataFrame({
        "image_id": [sha(i) for i in range(rows)], "drop_id": "d", "status": ["kept"] * 9 + ["rejected"],
        "reason": [None] * 9 + ["blurry"], "near_duplicate_group": None, "duplicate_of": None,
        "clean_sha256": [sha(100 + i) for i in range(rows)], "decided_by": None, **{f"is_{issue}": False for issue in ISSUES},
        "faces": 0, "text_regions": 0, "open_personal_data": None,
    })  # fmt: skip
    raw = pd.DataFrame({"image_id": good["image_id"], "status": "accepted"})
    refused = {"status": ["kept"] * 4 + ["rejected"] * 6, "reason": [None] * 4 + ["blurry"] * 6}
    waiting = {"status": ["kept"] * 6 + ["review"] * 4, "reason": [None] * 6 + ["odd_size"] * 4}
    return Case(good, {"raw_images": raw}, {
        "not_empty": none_left,
        "every_input_accounted_for": one_less,
        "status_known": first("status", "lost"),
        "keep_share": lambda frame: frame.assign(**refused),  # as many may wait for a person: see review_share
        "review_share": lambda frame: frame.assign(**waiting),
        "kept_cleaned": first("clean_sha256", "abc"),
        "kept_has_file": first("clean_sha256", None),
        "left_out_explained": put("reason", None),
        "of_accepted_files": first("image_id", sha(999)),
        "kept_original": first("duplicate_of", sha(1)),
        "kept_once": twice("clean_sha256"),
        "share_of_blurry": lambda frame: frame.assign(
            status=["kept"] * 7 + ["rejected"] * 3, reason=[None] * 7 + ["blurry", "blurry|dark", "dark|blurry"]
        ),
        "share_of_near_duplicate": lambda frame: frame.assign(
            status=["kept"] * 9 + ["rejected"], reason=[None] * 9 + ["near_duplicate"]
        ),
        "personal_data_covered": first("open_personal_data", "e_mail|face"),
        "personal_data_decided": first("open_personal_data", "phone"),
        "faces_looked_for": first("faces", None),
        "nothing_refused_kept": lambda frame: frame,
        **{f"no_kept_{issue}": first(f"is_{issue}", True) for issue in spec.cleaning.reject},
    }, {"nothing_refused_kept": {"near_refused": good[["image_id"]].head(1)}})  # fmt: skip


def augmented_set(spec: ProjectSpec) -> Case:
    recipes = [recipe.name for recipe in spec.augmentation.recipes for _ in range(recipe.copies)]
    rows = []
    for number in range(2):
        rows.append({"image_id": sha(number), "source_image_id": sha(number), "kind": "source", "recipe": None, "seed": None})
        rows += [
            {"image_id": sha(100 * number + 10 + i), "source_image_id": sha(number), "kind": "variant", "recipe": recipe, "seed": i}
            for i, recipe in enumerate(recipes)
        ]
    good = pd.DataFrame(rows).assign(width_px=4, height_px=4, drop_id="d", copy=1)
    good["sha256"] = good["image_id"]
    kept = pd.DataFrame({"image_id": [sha(0), sha(1)], "status": "kept"})

    def variant(column: str, value: object) -> Change:
        return lambda frame: first_of(frame, frame["kind"] == "variant", column, value)

    return Case(good, {"cleaned_set": kept}, {
        "not_empty": none_left,
        "kind_known": variant("kind", "copy"),
        "every_input_accounted_for": lambda frame: frame[frame["source_image_id"] == sha(0)],
        "source_in_table": variant("source_image_id", sha(999)),
        "picture_stored": first("sha256", "abc"),
        "width_known": first("width_px", 0),
        "height_known": first("height_px", 0),
        "seed_known": variant("seed", None),
        "recipe_known": variant("recipe", "secret"),
        "recipe_given": variant("recipe", None),
        "variants_made": one_less,
    })  # fmt: skip


def first_of(frame: Frame, chosen: pd.Series, column: str, value: object) -> Frame:
    made = frame.copy()
    made[column] = made[column].astype("object")
    made.loc[made.index[chosen][0], column] = value
    return made


def label_tasks(spec: ProjectSpec) -> Case:
    names = "|".join(attribute.name for attribute in spec.ontology.attributes)
    good = pd.DataFrame({
        "batch_id": "production-001", "kind": "production", "task_id": [f"t{i}" for i in range(10)],
        "image_id": [sha(i) for i in range(10)], "sha256": [sha(i) for i in range(10)], "is_gold": [True] * 2 + [False] * 8,
        "vendor": spec.labeling.production.name, "overlap": 3, "attributes": names, "ontology_version": spec.ontology.version,
    })  # fmt: skip
    plans = good[["image_id"]].assign(amount=[spec.brief.budget / 2] + [0.1] * 9)
    qualified = pd.DataFrame(
        {"vendor": [spec.labeling.production.name, spec.labeling.internal.name], "is_passed": True, "sentence": "fine", "stop": ""}
    )
    return Case(good, {"batch_plans": plans, "qualified": qualified}, {
        "not_empty": none_left,
        "every_input_accounted_for": one_less,
        "pictures_unique": twice("image_id"),
        "kind_known": put("kind", "party"),
        "vendor_known": put("vendor", "stranger"),
        "own_people": put("kind", "pilot"),
        "trusted_people": put("kind", "screening"),
        "vendor_qualified": put("vendor", "stranger"),
        "answers_wanted": first("overlap", 0),
        "questions_known": first("attributes", "smell"),
        "picture_stored": first("sha256", "abc"),
        "ontology_current": put("ontology_version", "0"),
        "gold_share": put("is_gold", False),
        "within_budget": put("image_id", sha(0)),
        "vendor_not_stopped": lambda frame: frame,
    }, {"vendor_not_stopped": {"qualified": qualified.assign(stop="refused too often")}})  # fmt: skip


def labeled_batches(spec: ProjectSpec) -> Case:
    tasks = [("t1", attribute) for attribute in spec.ontology.attributes]
    good = pd.DataFrame([
        {
            "row_id": f"f:{worker}:{attribute.name}", "task_id": task, "image_id": sha(1), "attribute": attribute.name,
            "worker_id": f"w-{worker + 1:x}{0:015x}", "label": next(iter(attribute.values)),
        }
        for worker in range(3) for task, attribute in tasks
    ]).assign(batch_id="b", object_id="", vendor="v", status="accepted", reason=None)  # fmt: skip
    asked = "|".join(attribute.name for attribute in spec.ontology.attributes)

    def reject(share: float, reason: str | None = "UNKNOWN_LABEL") -> Change:
        def change(frame: Frame) -> Frame:
            extra = frame.head(max(1, int(share * len(frame)))).copy()
            extra = extra.assign(row_id="x" + extra["row_id"], status="rejected", reason=reason)
            return pd.concat([frame, extra], ignore_index=True)

        return change

    in_ontology = {
        f"{attribute.name}_in_ontology": put("label", "martian", lambda frame, name=attribute.name: frame["attribute"] == name)
        for attribute in spec.ontology.attributes
    }
    return Case(good, {"label_tasks": pd.DataFrame({"task_id": ["t1"], "attributes": asked, "overlap": 3})}, {
        "not_empty": none_left,
        "status_known": first("status", "lost"),
        "something_accepted": put("status", "rejected"),
        "rejections_explained": reject(0.02, None),
        "accepted_share": reject(0.5),
        "coverage": one_less,
        "workers_pseudonymous": first("worker_id", "jane"),
        "workers_named": first("worker_id", "w-0000000012345678"),
        "workers_known": first("worker_id", None),
        "tasks_known": first("task_id", None),
        "questions_known": first("attribute", "smell"),
        "answers_given": first("label", None),
        "screening_in_ontology": first("attribute", "screening"),
        **in_ontology,
    })  # fmt: skip


def label_quality(spec: ProjectSpec) -> Case:
    names = [attribute.name for attribute in spec.ontology.attributes]
    good = pd.DataFrame([
        {"task_id": task, "attribute": name, "image_id": sha(number), "is_gold": number == 0}
        for number, task in enumerate(("t1", "t2", "t3")) for name in names
    ]).assign(
        batch_id="b", kind="production", object_id="", label="red", posterior=1.0, gold_lower=0.95, decision="accept", reason=None,
    )  # fmt: skip
    good.loc[0, "label"] = None  # gold that measures nobody here needs none
    tasks = pd.DataFrame({"task_id": ["t1", "t2", "t3"], "attributes": "|".join(names)})
    mostly_rework = ["accept"] * len(names) + ["rework"] * (2 * len(names))
    return Case(good, {"label_tasks": tasks}, {
        "not_empty": none_left,
        "every_input_accounted_for": one_less,
        "decision_known": first("decision", "maybe"),
        "accepted_labelled": put("label", None, lambda frame: ~frame["is_gold"].astype(bool)),
        "posterior_is_share": first("posterior", 1.5),
        "gold_accuracy": put("gold_lower", 0.1),
        "accept_share": lambda frame: frame.assign(decision=mostly_rework, reason="disagreement"),
        "gold_measured": put("gold_lower", None),
        "others_explained": lambda frame: frame.assign(decision=["rework"] + ["accept"] * (len(frame) - 1)),
    })  # fmt: skip


def vendor_feedback(spec: ProjectSpec) -> Case:
    good = pd.DataFrame({
        "batch_id": "b", "vendor": "v", "worker_id": [f"w-{i:016x}" for i in range(2)], "attribute": "colour", "n_labels": 5,
        "gold_accuracy": 0.9, "advice": "Keep it up.", "right_share": 0.9, "alpha": 0.6, "needs_look": False,
        "flags": ["", "too_fast"], "evidence": ["[]", '[{"signal": "too_fast", "sentence": "30 of 30 pictures ..."}]'],
    })  # fmt: skip
    twice = '[{"signal": "too_fast", "sentence": "x"}, {"signal": "same_answer", "sentence": "y"}]'
    return Case(good, {}, {
        "right_share_is_share": first("right_share", 1.5),
        "alpha_possible": first("alpha", -2.0),
        "signs_known": put("flags", "whistles"),
        "signs_explained": put("evidence", "[]"),
        "looks_seen_twice": put("needs_look", True),
        "nobody_to_look_at": lambda frame: frame.assign(flags="too_fast|same_answer", evidence=twice, needs_look=True),
        "not_empty": none_left,
        "workers_pseudonymous": first("worker_id", "jane"),
        "answers_counted": first("n_labels", 0),
        "advice_given": first("advice", None),
        "workers_accurate": first("gold_accuracy", 0.1),
    })  # fmt: skip


def approved_labels(spec: ProjectSpec) -> Case:
    good = pd.DataFrame([
        {"image_id": sha(1), "attribute": attribute.name, "label": next(iter(attribute.values))} for attribute in spec.ontology.attributes
    ] + [
        {"image_id": sha(2), "attribute": spec.ontology.attributes[0].name, "label": next(iter(spec.ontology.attributes[0].values))}
    ]).assign(object_id="", posterior=1.0, batch_id="b", kind="production", decided_by="majority_vote", approved_by="ann")  # fmt: skip
    quality = good[["image_id", "attribute", "object_id", "label"]].assign(
        decision="accept", is_gold=False, batch_id="b", task_id="t" + good["image_id"].str[:4], kind="production", x=None,
        is_audit=True, inspection="normal", most_wrong=0,
    )  # fmt: skip
    answers = quality.assign(batch_id="adjudication-001", kind="adjudication", is_audit=False)
    instead = {
        "sample_passed": {"audits": answers.assign(label=["other", *answers["label"][1:]])},
        "sample_answered": {"audits": answers.iloc[1:]},
        "measured": {"audits": answers.head(0)},
    }
    in_ontology = {
        f"{attribute.name}_in_ontology": put("label", "martian", lambda frame, name=attribute.name: frame["attribute"] == name)
        for attribute in spec.ontology.attributes
    }
    return Case(good, {"label_quality": quality, "audits": answers}, {
        "not_empty": none_left,
        "every_input_accounted_for": one_less,
        "sample_passed": lambda frame: frame,
        "sample_answered": lambda frame: frame,
        "measured": lambda frame: frame,
        "only_accepted": first("image_id", sha(9)),
        "approved_by_someone": put("approved_by", " "),
        "decided": first("decided_by", "a coin"),
        "labels_given": first("label", None),
        "posterior": first("posterior", 0.1),
        "screening_in_ontology": first("attribute", "screening"),
        **in_ontology,
    }, instead)  # fmt: skip


def training_export(spec: ProjectSpec) -> Case:
    labels = json.dumps({"colour": "red", "style": "casual"})
    good = pd.DataFrame({
        "release": "r", "image_id": [sha(i) for i in range(4)], "source_image_id": [sha(0), sha(0), sha(2), sha(3)],
        "kind": ["source", "variant", "source", "source"], "split": ["train", "train", "val", "test"], "labels": labels,
        "sha256": [sha(10 + i) for i in range(4)], "split_group": [sha(0), sha(0), sha(2), sha(3)], "drop_id": "d", "batch_ids": "b",
    })  # fmt: skip
    sources = good.loc[good["kind"] == "source", "image_id"]
    policy = pd.DataFrame({"drop_id": "d", "image_id": sources, "is_searched": True, "is_allowed": True})
    elsewhere = policy.assign(drop_id="other")  # says nothing of this drop's pictures
    inputs = {
        "augmented_set": good[["image_id", "source_image_id", "kind", "sha256", "drop_id"]],
        "cleaned_set": pd.DataFrame({"drop_id": "d", "image_id": sources, "status": "kept", "clean_sha256": good["sha256"][sources.index]}),
        "policy": pd.concat([elsewhere.assign(is_searched=False, is_allowed=False), policy]), "sight": good[["sha256"]],
    }  # fmt: skip
    rare = json.dumps({"colour": "blue", "style": "casual"})
    bare = json.dumps({"colour": "red"})
    return Case(good, inputs, {
        "not_empty": none_left,
        "split_known": first("split", "holdout"),
        "groups_together": first("split", "val"),
        "variants_in_train": put("split", "val", lambda frame: frame["kind"] == "variant"),
        "train_not_empty": put("split", "val"),
        "labelled": first("labels", None),
        "labels_not_empty": first("labels", "{}"),
        "picture_stored": first("sha256", "abc"),
        "batches_known": first("batch_ids", None),
        "drop_known": first("drop_id", None),
        "style_casual_in_train": put("labels", bare, lambda frame: frame["split"] == "train"),
        "classes_large_enough": put("labels", rare, lambda frame: frame["kind"] == "variant"),
        "searched": lambda frame: frame,
        "personal_data_allowed": lambda frame: frame,
        "cleaned": first("sha256", sha(0)),  # the original
        "in_common_sight": lambda frame: frame,
    }, {
        "searched": {"policy": pd.concat([elsewhere, first("is_searched", False)(policy)])},
        "personal_data_allowed": {"policy": pd.concat([elsewhere, first("is_allowed", False)(policy)])},
        "in_common_sight": {"sight": good[["sha256"]].iloc[1:]},
    })  # fmt: skip


def model_feedback() -> Case:
    good = pd.DataFrame({
        "release": "r", "row_id": [f"f:{i}" for i in range(40)], "status": "accepted", "reason": None, "confidence": 0.9,
        "label": "red", "is_correct": True,
    })  # fmt: skip
    return Case(good, {}, {
        "not_empty": none_left,
        "status_known": first("status", "lost"),
        "accepted_share": lambda frame: frame.assign(status="rejected", reason="UNKNOWN_ITEM"),
        "rejections_explained": first("status", "rejected"),
        "accepted_judged": first("is_correct", None),
        "accepted_compared": first("label", None),
        "confidence_is_share": first("confidence", 7.0),
    })  # fmt: skip


def investigation() -> Case:
    good = pd.DataFrame({
        "release": "r", "attribute": "colour", "label": ["red", "blue"], "n_predictions": 5, "n_wrong": 0, "error_rate": 0.0,
        "cause": "none", "evidence": "nothing wrong",
    })  # fmt: skip
    return Case(good, {}, {
        "not_empty": none_left,
        "rate_is_share": first("error_rate", 2.0),
        "rests_on_predictions": first("n_predictions", 0),
        "cause_named": first("cause", None),
        "evidence_given": first("evidence", None),
    })  # fmt: skip


def vendor_scorecard(spec: ProjectSpec) -> Case:
    good = pd.DataFrame(
        {"vendor": [spec.sources.vendors[0].name, spec.labeling.vendors[0].name], "role": ["images", "labels"], "yield_share": 0.5}
    ).assign(
        rework_share=0.1, escape_share=0.0, gold_accuracy=0.9, gold_lower=0.8, gold_upper=0.95, on_time_share=1.0, mix_gap=0.2, accepted=5,
        amount=[9.0, 3.0], amount_work=[None, 2.0], amount_rework=[None, 0.5], amount_gold=[None, 0.5],
    )  # fmt: skip
    return Case(good, {}, {
        "not_empty": none_left,
        "role_known": first("role", "lunch"),
        "vendor_known": first("vendor", "stranger"),
        "yield_is_share": first("yield_share", 3.0),
        "rework_is_share": first("rework_share", 3.0),
        "escape_is_share": first("escape_share", 3.0),
        "gold_is_share": first("gold_accuracy", 3.0),
        "on_time_is_share": first("on_time_share", 3.0),
        "mix_gap_is_share": first("mix_gap", 3.0),
        "gold_bounded": put("gold_lower", 0.95),
        "invoice_adds_up": put("amount", 7.0),
        "vendors_accurate": put("gold_lower", 0.1),
    })  # fmt: skip


def lineage_audit() -> Case:
    good = pd.DataFrame({"release": "r", "image_id": [sha(0), sha(1)], "is_complete": True, "path": "a.jpg", "drop_id": "d", "waivers": 0})
    return Case(good, {"training_export": good[["release", "image_id"]]}, {
        "not_empty": none_left,
        "every_input_accounted_for": one_less,
        "chain_complete": first("is_complete", False),
        "file_known": first("path", None),
        "drop_known": first("drop_id", None),
        "nothing_waived": first("waivers", 1),
    })  # fmt: skip


def project() -> ProjectSpec:
    from dataops_assets.projects import load_project

    spec = load_project(REPO / "dataops_assets/defs/dresses/defs.yaml")
    gates = {"min_images_per_value": 2, "max_reason_share": {"blurry": 0.2, "near_duplicate": 0.05}}
    return changed(spec, brief={"volume": {"style": {"casual": 40}}}, gates=gates)
