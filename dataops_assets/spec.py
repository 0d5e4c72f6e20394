"""What a project is: one YAML file, read into one frozen model with a section a stage.

Defaults live here; a project's YAML says only what differs. An unknown or misspelt key is refused, with
file and line (`projects.load_project`). No Dagster in this module: every stage takes its own section.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from dataops_assets.ontology import Attribute as Attribute
from dataops_assets.ontology import Ontology as Ontology
from dataops_assets.ontology import Section, Word

PROJECT_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
SLUG_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"

ProjectName = Annotated[str, StringConstraints(pattern=PROJECT_PATTERN)]
Slug = Annotated[str, StringConstraints(pattern=SLUG_PATTERN)]
Share = Annotated[float, Field(ge=0, le=1)]
Money = Annotated[float, Field(ge=0)]

Format = Literal["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"]
FORMATS: tuple[Format, ...] = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
Issue = Literal[
    "dark", "light", "blurry", "low_information", "odd_size", "odd_aspect_ratio", "grayscale",
    "blocky", "bordered", "collage", "screenshot", "overlaid_text", "watermark", "irrelevant", "outlier", "mislabelled",
]  # fmt: skip


class Brief(Section):
    """What the technical team asked for, how good, by when and for how much."""

    goal: str = Field(description="What the model has to recognise, in one sentence.")
    requester: str = Field(description="Who asked for it: a person or a team.")
    owners: tuple[str, ...] = Field((), description="Who answers for the project: e-mails, or team:name.")
    accuracy_target: Share = Field(0.95, description="Share of delivered labels that must be right.")
    budget: Money = Field(description="Everything the project may cost, in `currency`.")
    currency: str = Field("EUR", pattern=r"^[A-Z]{3}$")
    start: date = Field(description="First day of work.")
    deadline: date = Field(description="Day of delivery.")
    days_a_week: int = Field(5, ge=1, le=7, description="Days worked, from Monday on.")
    days_off: tuple[date, ...] = Field((), description="Holidays on which nobody works.")
    confidence: float = Field(0.95, ge=0.5, lt=1, description="How sure a statement on accuracy must be: audits and qualifications.")
    volume: dict[Word, dict[str, Annotated[int, Field(ge=0, le=10**12)]]] = Field(
        description="Images wanted: attribute -> value -> count. Not every value must be listed."
    )

    @model_validator(mode="after")
    def _dates(self) -> Brief:
        if self.deadline <= self.start:
            raise ValueError(f"deadline {self.deadline} is not after start {self.start}")
        return self

    @property
    def images_needed(self) -> int:
        """Images the volume adds up to: one image serves one value of every attribute."""
        return max((sum(counts.values()) for counts in self.volume.values()), default=0)


class IntakeLimits(Section):
    """Bounds on what a delivery may hold; beyond them it is refused, not truncated."""

    member_bytes: int = Field(512 * 2**20, gt=0)
    total_bytes: int = Field(20 * 2**30, gt=0)
    members: int = Field(200_000, gt=0, le=500_000, description="Files of a delivery; of an archive, its folders count too.")
    ratio: int = Field(100, gt=0, description="Real to packed bytes, after the first MiB.")
    pixels: int = Field(50_000_000, gt=0)


class Promise(Section):
    """What a vendor has agreed to deliver in all; delivery reports compare with it."""

    files: int | None = Field(None, ge=1, description="Accepted files wanted.")
    categories: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict, description="Accepted files wanted by category.")
    by: date | None = Field(None, description="Day by which all of it is due.")


class ImageVendor(Section):
    """A company or an own stock that delivers images."""

    name: Slug
    price_per_image: Money = Field(0.0, description="Paid for each accepted file.")
    license: str | None = Field(None, description="Licence of files whose manifest names none.")
    consent: str | None = Field(None, description="Consent reference of files whose manifest names none.")
    manifest: Literal["required", "optional"] = "optional"
    category: str | None = Field(None, description="Category of files whose manifest names none.")
    formats: tuple[Format, ...] = Field(FORMATS, min_length=1, description="Picture formats taken from this vendor.")
    limits: IntakeLimits | None = Field(None, description="Bounds for this vendor; default: those of `sources.limits`.")
    promised: Promise = Promise()


class UrlLists(Section):
    """Deliveries that are a list of addresses (`urls.csv`). Off unless `enabled`."""

    enabled: bool = False
    hosts: tuple[str, ...] = Field((), description="Hosts that may be asked; `*.example.org` stands for every name below example.org.")
    files_per_second: float = Field(5.0, gt=0, description="Most requests to one entry of `hosts`, of all runs together.")
    file_seconds: float = Field(60.0, gt=0, description="Longest time for one file.")
    run_seconds: float = Field(900.0, gt=0, description="Longest time one run asks; then the delivery is held, and another run goes on.")
    list_seconds: float = Field(
        86_400.0, gt=0, description="Longest time for a list over all its runs; then what is left counts as failing."
    )
    redirects: int = Field(3, ge=0, description="Redirects followed; each one is judged like the first address.")


class Sources(Section):
    """Where images come from and under which rules they may be used."""

    vendors: tuple[ImageVendor, ...] = Field(min_length=1)
    licenses: tuple[str, ...] = Field((), description="Licences that may be used; empty: any, even none.")
    consent: Literal["required", "optional"] = "optional"
    settle_s: float = Field(60.0, ge=0, description="A drop without marker or manifest must rest this long, seconds.")
    limits: IntakeLimits = IntakeLimits()
    urls: UrlLists = UrlLists()

    def vendor(self, name: str) -> ImageVendor | None:
        return next((vendor for vendor in self.vendors if vendor.name == name), None)

    def limits_for(self, name: str) -> IntakeLimits:
        """The vendor's own bounds, else the project's."""
        vendor = self.vendor(name)
        return vendor.limits if vendor is not None and vendor.limits is not None else self.limits


PersonalKind = Literal[
    "face", "e_mail", "phone", "iban", "card", "plate",
    "gps", "owner_name", "artist", "contact", "person_shown", "copyright", "serial_number",
]  # fmt: skip
PersonalAction = Literal["reject", "review", "redact", "keep"]
FOUND_BY: dict[str, tuple[PersonalKind, ...]] = {
    "face": ("face",), "text": ("e_mail", "phone", "iban", "card"), "plate": ("plate",),
    "metadata": ("gps", "owner_name", "artist", "contact", "person_shown", "copyright", "serial_number"),
}  # fmt: skip
MORE_OF = {"more_faces": "face", "more_text": "text", "more_metadata": "metadata"}  # there is more of it than is looked at -> of what
MoreKind = Literal["more_faces", "more_text", "more_metadata"]
PERSONAL_ACTIONS: dict[PersonalKind, PersonalAction] = {
    "face": "redact",
    "e_mail": "review",
    "phone": "review",
    "iban": "review",
    "card": "review",
    "plate": "review",
    "gps": "redact",
    "owner_name": "redact",
    "artist": "redact",
    "contact": "redact",
    "person_shown": "redact",
    "copyright": "keep",
    "serial_number": "keep",
}


class PersonalData(Section):
    """What is personal in a picture, and what becomes of it. Metadata never leaves: every picture is written anew without any."""

    look_for: tuple[Literal["face", "text", "metadata", "plate"], ...] = Field(
        ("face", "metadata"), description="What is looked for in pictures that no measure rejects. Plates are a hint only."
    )
    policy: dict[PersonalKind, PersonalAction] = Field(
        default_factory=dict, description="Kind -> reject, review (a person decides), redact (covered, the picture is kept) or keep."
    )
    cover: Literal["blur", "box"] = Field("blur", description="How what is redacted is covered.")
    phone_regions: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")], ...] = Field(
        ("DE", "FR", "GB", "US"), description="Countries whose phone numbers are known without their country code."
    )
    retention_days: int = Field(30, ge=1, description="Originals that lie apart are deleted after so many days.")

    @model_validator(mode="after")
    def _searched(self) -> PersonalData:
        for kind, action in self.policy.items():
            search = next(search for search, kinds in FOUND_BY.items() if kind in kinds)
            if action != "keep" and search not in self.look_for:
                raise ValueError(f"the policy says {action} for {kind}, which nothing looks for: add {search} to look_for")
        return self

    @property
    def actions(self) -> dict[str, str]:
        """What becomes of each kind. Where not all could be searched a person decides, unless all of it is kept or some rejected anyway."""
        actions: dict[str, str] = {**dict(PERSONAL_ACTIONS.items()), **dict(self.policy.items())}
        for more, search in MORE_OF.items():
            asked = {actions[kind] for kind in FOUND_BY[search]}
            actions[more] = "reject" if "reject" in asked else "keep" if asked == {"keep"} else "review"
        return actions


class Relevance(Section):
    """Whether pictures are what the project asked for, by their likeness to a few reference pictures. Off unless it is there."""

    references: Path = Field(
        description="Folder of reference pictures, <class>/*.jpg, ten or more of each class; a relative path begins at the project's."
    )
    wanted: tuple[str, ...] = Field((), description="Classes asked for; the others show what is not wanted. Empty: all.")
    model: Path | None = Field(None, description="An ONNX model that turns pictures into vectors; default: the built-in one.")
    mean_rgb: tuple[float, ...] = Field(
        (123.675, 116.28, 103.53), min_length=3, max_length=3, description="What the model was trained with, 0 to 255."
    )
    std_rgb: tuple[float, ...] = Field((58.395, 57.12, 57.375), min_length=3, max_length=3)
    output: str | None = Field(None, description="Name of the model's output; default: the first that is a vector.")


class Cleaning(Section):
    """What counts as a usable picture. Scores lie in [0, 1], 1 is good; below the threshold is an issue."""

    thresholds: dict[Issue, Share] = Field(
        default_factory=dict, description="Score below which an issue is raised; see docs/screening.md for defaults."
    )
    reject: tuple[Issue, ...] = ("dark", "light", "blurry", "low_information", "odd_aspect_ratio")
    review: tuple[Issue, ...] = ("odd_size", "bordered", "screenshot", "watermark")
    near_duplicate_bits: int = Field(7, ge=0, le=16, description="Hamming distance of 64-bit hashes that still counts.")
    near_duplicate_turns: bool = Field(False, description="Mirrored and turned copies count too; the search takes eight times as long.")
    personal_data: PersonalData = PersonalData()
    relevance: Relevance | None = None
    workers: int | None = Field(None, ge=1, description="Decoding processes; default: the machine's cores.")
    worker_memory_bytes: int = Field(2 * 2**30, gt=0)
    image_seconds: float = Field(20.0, gt=0, description="Longest time one image may take to decode.")
    max_side_px: int = Field(1600, ge=64, description="Longer sides are scaled down to this in the cleaned picture.")


class Recipe(Section):
    """One way to make a variant: albumentations transforms, applied in order."""

    name: Word
    copies: int = Field(1, ge=1, le=20)
    transforms: tuple[dict[str, dict[str, Any]], ...] = Field(min_length=1, description="albumentations class -> arguments")
    breaks: tuple[Word, ...] = Field(
        (), description="Attributes whose label this recipe may change, beside those that `sensitive_to` tells."
    )


class Augmentation(Section):
    recipes: tuple[Recipe, ...] = ()


class LabelVendor(Section):
    """A team that labels: a company, or `internal` people of our own."""

    name: Slug
    price_per_label: Money = Field(0.0, description="Per worker answer to one attribute of one image.")
    labels_per_day: int = Field(5000, gt=0, description="Pace on a working day.")
    days_off: tuple[date, ...] = Field((), description="Days this vendor doesn't work, beside the brief's.")
    internal: bool = False
    may_see_personal_data: bool = False
    tool: Literal["files", "label_studio"] = Field("files", description="How they get batches and return labels; see docs/label_studio.md.")
    prelabels: Literal["none", "consensus", "model"] = Field(
        "none", description="Answers that Label Studio shows at the start: what was found before of work sent back, or a model's."
    )

    @model_validator(mode="after")
    def _shown(self) -> LabelVendor:
        if self.prelabels != "none" and self.tool != "label_studio":
            raise ValueError(f"prelabels of {self.name!r} need tool: label_studio")
        return self


class Labeling(Section):
    """How labels are bought and when they are believed."""

    vendors: tuple[LabelVendor, ...] = Field(min_length=1, description="The first external one that may gets production batches.")
    overlap: int = Field(3, ge=1, le=25, description="Independent answers per image and attribute.")
    gold_share: Share = Field(0.1, description="Share of a production batch that is hidden gold.")
    batch_size: int = Field(200, ge=1, description="Source images per batch, gold not counted.")
    pilot_size: int = Field(30, ge=1, description="Images the DOps team labels itself first; they become gold.")
    pilot_overlap: int = Field(
        2, ge=1, le=25, description="Our own people who answer each pilot image. Gold wants two of them; 1 where there is one person only."
    )
    worker_accuracy: Share = Field(0.9, description="How often one answer is right, believed until gold has measured it.")
    qualification: Literal["required", "optional"] = Field(
        "optional", description="Whether a vendor must pass a qualification batch before production; optional: a warning says it hasn't."
    )
    qualification_accuracy: Share = Field(
        0.75, description="Least lower bound of a vendor's accuracy on gold, for each attribute that matters."
    )
    qualify_on: tuple[Word, ...] = Field((), description="Attributes that matter for it; empty: all.")
    ramp_start: int | None = Field(
        None,
        ge=1,
        description="Images of a vendor's first production batch; it doubles while quality holds. Left out: full batches at once.",
    )
    gold_sights: int = Field(3, ge=1, description="A person's answers to a gold picture count in the first so many batches that show it.")
    gold_exposures: int = Field(25, ge=1, description="A gold picture that one vendor was shown so often is retired.")
    shown_gold: Share = Field(
        0.25, description="Share of the gold pictures that guidelines may show with their answers; those are hidden in no batch any more."
    )
    accept_agreement: Share = Field(0.66, description="Share of our own people's answers behind the winner that accepts a question.")
    rework_rounds: int = Field(2, ge=0, description="Rework batches a question may go through before adjudication: labels bought one more.")

    @model_validator(mode="after")
    def _vendors(self) -> Labeling:
        if not any(vendor.internal for vendor in self.vendors):
            raise ValueError("no vendor is `internal: true`; pilots and adjudication need one")
        return self

    def vendor(self, name: str) -> LabelVendor | None:
        return next((vendor for vendor in self.vendors if vendor.name == name), None)

    @property
    def internal(self) -> LabelVendor:
        return next(vendor for vendor in self.vendors if vendor.internal)

    def gold_in(self, images: int) -> int:
        """How many gold pictures a production batch of so many others hides: at least one, where any are hidden."""
        return max(1, round(self.gold_share * images)) if self.gold_share and images else 0

    @property
    def is_qualified_first(self) -> bool:
        """Whether a vendor must pass a qualification batch before production."""
        return self.qualification == "required" and not self.production.internal

    @property
    def production(self) -> LabelVendor:
        return next((vendor for vendor in self.vendors if not vendor.internal), self.internal)


class Quality(Section):
    """When labels are believed, and how that is checked; see docs/label_quality.md."""

    method: Literal["auto", "pooled", "dawid_skene", "one_coin", "mace", "glad", "bwa", "ibcc", "majority_vote"] = Field(
        "auto", description="How answers to one question are weighed; auto chooses by gold, or by what foretells answers best."
    )
    least_posterior: Share = Field(0.75, description="No label is accepted below it, however sure the others are.")
    likeness: float = Field(
        0.3, ge=0, le=3, description="How alike people's errors on one question are, believed until gold shows it; 0: independent."
    )
    adjudication_price: Money | None = Field(
        None,
        description="What it costs to have our own people answer a question; default: their price_per_label, or 5 of the "
        "production vendor's.",
    )
    audit: Literal["required", "optional", "off"] = Field(
        "optional",
        description="Whether a batch is approved only once its sample is answered by our own people. optional: gold is enough, and the "
        "record says that the error wasn't measured; off: nothing is drawn. What was drawn is answered before it is paid in either case, "
        "and no batch whose sample shows too many errors is approved.",
    )
    audit_most: Share = Field(
        0.2,
        description="Largest share of a batch that is audited, where that is more than audit_floor; but no sample is too small to find out "
        "a bad batch.",
    )
    audit_floor: int | None = Field(
        None,
        ge=0,
        description="A sample of so many labels may always be drawn: with fewer, small batches that are good are refused too often. "
        "Left out: 100, or as many as batches that just reach the accuracy target need to pass nineteen times in twenty.",
    )


Undecodable = Literal["CORRUPT", "MULTI_FRAME", "TOO_LARGE", "TYPE_MISMATCH", "ZERO_BYTE", "PURGED", "NOTHING_TO_REDACT"]
Copy = Literal["exact_duplicate", "near_duplicate", "near_refused"]
LeftOut = Literal[Issue, PersonalKind, MoreKind, Copy, Undecodable]  # reasons of `cleaned_set`


class Gates(Section):
    """Thresholds of the gates. Suites in quality_suites/ turn them into expectations."""

    min_accepted_file_share: Share = Field(0.9, description="raw_images: delivered files that were accepted.")
    min_keep_share: Share = Field(0.5, description="cleaned_set: accepted images that are kept, or wait for a person.")
    max_review_share: Share = Field(0.2, description="cleaned_set: images waiting for a person (a warning).")
    max_reason_share: dict[LeftOut, Share] = Field(
        default_factory=dict, description="cleaned_set: reason -> images that may be left out or wait for it, e.g. {blurry: 0.1}."
    )
    min_accepted_row_share: Share = Field(0.95, description="labeled_batches: returned rows that were accepted.")
    min_coverage: Share = Field(1.0, description="labeled_batches: tasks that got all the answers asked for.")
    min_gold_accuracy: Share = Field(0.7, description="label_quality: lower bound (95 %) of a batch's gold accuracy.")
    min_worker_gold_accuracy: Share = Field(0.6, description="label_quality: per worker, a warning.")
    min_accept_share: Share = Field(0.5, description="label_quality: tasks accepted without rework.")
    min_posterior: Share = Field(0.5, description="approved_labels: chance that a label is right.")
    min_images_per_value: int = Field(1, ge=0, description="training_export: source images per value (a warning).")


class Export(Section):
    """How the training set is delivered."""

    formats: tuple[Literal["image_folder", "coco", "parquet"], ...] = ("image_folder", "coco", "parquet")
    splits: dict[Literal["train", "val", "test"], Share] = Field({"train": 0.8, "val": 0.1, "test": 0.1})
    salt: str = Field("1", description="Change it to draw other splits.")
    folder_attribute: Word | None = Field(None, description="Attribute that names the image folders; default: the first.")

    @model_validator(mode="after")
    def _whole(self) -> Export:
        if abs(sum(self.splits.values()) - 1) > 1e-9 or self.splits.get("train", 0) <= 0:
            raise ValueError(f"splits must add up to 1 with some in train, not {self.splits}")
        return self


class ProjectSpec(Section):
    """One labelling project."""

    name: ProjectName
    description: str = ""
    brief: Brief
    sources: Sources
    cleaning: Cleaning = Cleaning()
    augmentation: Augmentation = Augmentation()
    ontology: Ontology
    labeling: Labeling
    quality: Quality = Quality()
    gates: Gates = Gates()
    export: Export = Export()

    @model_validator(mode="after")
    def _consistent(self) -> ProjectSpec:
        known = {attribute.name: attribute for attribute in self.ontology.attributes}
        for name, counts in self.brief.volume.items():
            if name not in known:
                raise ValueError(f"brief.volume names attribute {name!r}, which the ontology lacks (it has {', '.join(known)})")
            for value in counts.keys() - known[name].values.keys():
                raise ValueError(f"brief.volume.{name} names value {value!r}, which the ontology lacks")
        for recipe in self.augmentation.recipes:
            for name in set(recipe.breaks) - known.keys():
                raise ValueError(f"augmentation recipe {recipe.name!r} breaks {name!r}, which the ontology lacks")
        for name in set(self.labeling.qualify_on) - known.keys():
            raise ValueError(f"labeling.qualify_on names attribute {name!r}, which the ontology lacks")
        for issue in () if self.cleaning.relevance else ("irrelevant", "outlier", "mislabelled"):
            if issue in (*self.cleaning.reject, *self.cleaning.review):
                raise ValueError(f"cleaning decides on {issue!r}, which is judged only where cleaning.relevance names references")
        if self.export.folder_attribute and self.export.folder_attribute not in known:
            raise ValueError(f"export.folder_attribute {self.export.folder_attribute!r} is not in the ontology")
        return self

    @property
    def price_of_settling(self) -> float:
        """What a question costs that our own people settle or audit."""
        if self.quality.adjudication_price is not None:
            return self.quality.adjudication_price
        return self.labeling.internal.price_per_label or 5 * self.labeling.production.price_per_label

    def price_of_answer(self, kind: str, vendor: LabelVendor) -> float:
        """What an answer costs in a batch of a kind: our own people's time at adjudication has a price, whoever pays them."""
        return self.price_of_settling if kind == "adjudication" else vendor.price_per_label

    @property
    def digest(self) -> str:
        """12 hex digits that change when anything in the spec does."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:12]
