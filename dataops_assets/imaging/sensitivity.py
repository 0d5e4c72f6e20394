"""Which labels a recipe may spoil: what its transforms do to a picture, against what each attribute is sensitive to.

The table was made from albumentations 2.0.8's own documentation of its classes. A transform that isn't in it is taken to do everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from dataops_assets.ontology import Ontology, Sensitivity
from dataops_assets.spec import Augmentation, ProjectSpec, Recipe

EVERYTHING: frozenset[str] = frozenset(get_args(Sensitivity))


def _table(**groups: str) -> dict[str, frozenset[str]]:
    """transform -> what it does, from `colour_light="ColorJitter ..."`: the words before, the classes after."""
    return {name: frozenset(words.split("_")) - {"nothing"} for words, names in groups.items() for name in names.split()}


DOES: Mapping[str, frozenset[str]] = _table(
    nothing="NoOp Pad PadIfNeeded ToRGB",
    colour="ChannelShuffle FancyPCA HueSaturationValue PlanckianJitter RGBShift ToGray ToSepia ChannelDropout HEStain",
    light="CLAHE RandomBrightnessContrast RandomGamma Illumination PlasmaBrightnessContrast",
    colour_light=(
        "ColorJitter AutoContrast Equalize InvertImg Posterize Solarize RandomToneCurve FDA HistogramMatching PixelDistributionAdaptation"
    ),
    detail=(
        "AdvancedBlur Blur Defocus Downscale GaussianBlur GlassBlur MedianBlur MotionBlur ZoomBlur GaussNoise ISONoise "
        "ShotNoise SaltAndPepper ImageCompression Emboss Sharpen UnsharpMask RingingOvershoot ChromaticAberration Superpixels"
    ),
    detail_colour="AdditiveNoise MultiplicativeNoise",
    light_cover="PlasmaShadow RandomShadow RandomSunFlare",
    detail_light_cover="RandomFog RandomRain RandomSnow RandomGravel Spatter",
    cover="CoarseDropout ConstrainedCoarseDropout Erasing GridDropout MaskDropout OverlayElements TextImage XYMasking PixelDropout",
    mirror="HorizontalFlip",
    mirror_turn="VerticalFlip Transpose D4 SquareSymmetry",
    turn="RandomRotate90",
    turn_crop="Rotate SafeRotate",
    crop_turn_shape="Affine ShiftScaleRotate Perspective",
    crop=(
        "AtLeastOneBBoxRandomCrop BBoxSafeRandomCrop CenterCrop Crop CropNonEmptyMaskIfExists RandomCrop RandomCropFromBorders "
        "RandomCropNearBBox CropAndPad"
    ),
    crop_shape="RandomResizedCrop RandomSizedBBoxSafeCrop RandomSizedCrop",
    detail_shape="RandomScale Resize LongestMaxSize SmallestMaxSize Morphological",
    shape="ElasticTransform GridDistortion GridElasticDeform OpticalDistortion PiecewiseAffine ThinPlateSpline",
)  # fmt: skip


def does(recipe: Recipe) -> frozenset[str]:
    """What a recipe's transforms do together."""
    return frozenset().union(*(DOES.get(name, EVERYTHING) for step in recipe.transforms for name in step))


def broken(recipe: Recipe, ontology: Ontology) -> tuple[str, ...]:
    """Attributes whose label a variant doesn't inherit, in the ontology's order.

    Those that `breaks` names, those sensitive to what the transforms do, and those that depend on one of them.
    """
    done = does(recipe)
    hit = {attribute.name for attribute in ontology.attributes if done & set(attribute.sensitive_to)} | set(recipe.breaks)
    hit |= {name for parent in tuple(hit) for name in ontology.depends_on(parent)}
    return tuple(attribute.name for attribute in ontology.attributes if attribute.name in hit)


def completed(spec: ProjectSpec) -> Augmentation:
    """The project's recipes, each with all that it breaks."""
    recipes = (recipe.model_copy(update={"breaks": broken(recipe, spec.ontology)}) for recipe in spec.augmentation.recipes)
    return Augmentation(recipes=tuple(recipes))


def unknown(recipe: Recipe) -> list[str]:
    """Transforms that aren't in the table, so that everything sensitive counts as broken."""
    return sorted({name for step in recipe.transforms for name in step} - DOES.keys())
