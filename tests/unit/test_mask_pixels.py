"""Images and masks resized and varied together; episodes of segmentation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from cliptune.datasets.base import Augment
from cliptune.datasets.mask_episode import items_of, kind_of, mask_episode
from cliptune.datasets.mask_pixels import MaskPixels
from cliptune.datasets.segmentation import MaskItem, MaskSet
from cliptune.errors import UserError
from cliptune.models.preprocess import Preprocess

SQUARE = Preprocess(32, 32, "bilinear", (0.5,) * 3, (0.5,) * 3, squash=True)
PROMPTS = (("p0", ("",)), ("p1", ("blob",)), ("p2", ("a blob", "one blob")))


def blob(number: int) -> np.ndarray:
    """A disc, 60 × 40 pixels of 0 and 1, somewhere else for each number."""
    y, x = np.mgrid[:40, :60]
    return ((x - 12 - 7 * number) ** 2 + (y - 18) ** 2 < 64).astype(np.uint8)


def read_mask(item: MaskItem) -> np.ndarray:
    return blob(int(item.image))


def read_image(item: MaskItem) -> Image.Image:
    """The mask in white, so that an image says where its mask is."""
    return Image.fromarray(np.repeat(255 * read_mask(item)[..., None], 3, 2))


def blobs(count: int = 6, prompts: tuple = PROMPTS) -> MaskSet:
    items = tuple(MaskItem(str(number), (str(number),), prompts) for number in range(count))
    kinds = tuple(kind for kind, _ in prompts)
    return MaskSet("blobs", read_image, read_mask, kinds, train=items, val=items[:2], test=items[2:])


def pixels(**changed: object) -> MaskPixels:
    found = blobs()
    return MaskPixels(found, found.train, SQUARE, **{"prompt": "p1", **changed})  # type: ignore[arg-type]


def test_images_and_masks_are_resized_to_a_square() -> None:
    batch = pixels().plain([0, 3])
    assert batch.pixels.shape == (2, 3, 32, 32)
    assert batch.masks.shape == (2, 32, 32)
    assert set(batch.masks.unique().tolist()) == {0.0, 1.0}
    assert batch.prompts == ["blob", "blob"]
    expected = np.asarray(Image.fromarray(blob(3)).resize((32, 32), Image.Resampling.NEAREST))
    assert (batch.masks[1].numpy() == expected).all()
    assert pixels().truth(3).shape == (40, 60), "the truth keeps its own size"


@pytest.mark.parametrize("kind", ["affine", "photo"])
def test_an_image_and_its_mask_are_varied_alike(kind: str) -> None:
    varied = pixels(augment=Augment(kind=kind, crop=(0.3, 1.0)))
    batch = varied.varied(range(6), torch.Generator().manual_seed(1))
    plain = varied.plain(range(6))
    assert not torch.equal(batch.masks, plain.masks)
    # The image is its own mask in white: where the mask is, the image is bright.
    agree = ((batch.pixels.mean(1) > 0.5).float() == batch.masks).float().mean()
    assert agree > 0.97


def test_a_part_of_a_batch_is_varied_as_in_the_whole() -> None:
    varied = pixels(augment=Augment(kind="affine"), prompt="p2")
    whole = varied.varied([4, 1, 2, 0], torch.Generator().manual_seed(3))
    part = varied.varied([4, 1, 2, 0], torch.Generator().manual_seed(3), slice(1, 3))
    torch.testing.assert_close(part.pixels, whole.pixels[1:3])
    torch.testing.assert_close(part.masks, whole.masks[1:3])
    assert part.prompts == whole.prompts[1:3]


def test_prompts_with_several_texts_are_drawn_anew_in_training_and_alike_in_tests() -> None:
    varied = pixels(prompt="p2")
    drawn = {text for step in range(8) for text in varied.varied([0], torch.Generator().manual_seed(step)).prompts}
    assert drawn == {"a blob", "one blob"}
    assert varied.plain(range(6)).prompts == varied.plain(range(6)).prompts
    assert set(pixels(prompt="random").texts()) == {"", "blob", "a blob", "one blob"}


def test_what_is_cached_changes_nothing() -> None:
    small = pixels(cache_bytes=5000)
    for _ in range(2):
        torch.testing.assert_close(small.plain(range(6)).masks, pixels().plain(range(6)).masks)


def test_an_image_of_another_size_than_its_mask_is_refused() -> None:
    wrong = replace(blobs(), read_mask=lambda item: np.zeros((40, 61), np.uint8))
    with pytest.raises(UserError, match="60 × 40, its mask 61 × 40") as caught:
        MaskPixels(wrong, wrong.train, SQUARE, "p1").plain([0])
    assert "same size" in caught.value.fix
    assert "--set data.missing=skip" in caught.value.fix


def test_an_episode_draws_images_in_all_and_keeps_the_rest() -> None:
    whole, few = mask_episode(blobs(), "auto", None, 1), mask_episode(blobs(), "p1", 3, 1)
    assert (whole.protocol, whole.shots, len(whole.train)) == ("full-data", None, 6)
    assert (few.protocol, few.shots, len(few.train)) == ("few-shot", 3, 3)
    assert few.train == mask_episode(blobs(), "p1", 3, 1).train
    assert few.train != mask_episode(blobs(), "p1", 3, 2).train
    assert few.test == whole.test
    assert whole.prompt == "p1"
    hashes = {each.sha256 for each in (whole, few, mask_episode(blobs(), "p2", None, 1))}
    assert len(hashes) == 3, "images and prompts both count"


def test_an_episode_is_read_back(tmp_path: object) -> None:
    import json
    from pathlib import Path

    place = Path(str(tmp_path)) / "episode.json"
    episode = mask_episode(blobs(), "p2", None, 1)
    episode.save(place)
    told = json.loads(place.read_text("utf-8"))
    assert told["sha256"] == episode.sha256
    kept = tuple(replace(item, prompts=PROMPTS[2:]) for item in episode.test)
    assert items_of(told["test"]) == kept


def test_wrong_requests_are_refused() -> None:
    with pytest.raises(UserError, match="6 training images"):
        mask_episode(blobs(), "auto", 7, 1)
    with pytest.raises(UserError, match="no test images"):
        mask_episode(replace(blobs(), test=()), "auto", None, 1)
    with pytest.raises(UserError, match="p9"):
        kind_of(blobs(), "p9")
    assert kind_of(blobs(prompts=(("p0", ("",)),)), "auto") == "p0"


def test_drawn_images_in_which_nothing_is_marked_are_refused() -> None:
    maskset = replace(blobs(), read_mask=lambda item: np.zeros((8, 8), np.uint8))
    with pytest.raises(UserError, match=r"nothing is marked in the 2 training images of .* that seed 1 draws"):
        mask_episode(maskset, "p1", 2, 1)
    one = blobs().train[3]
    marked = replace(maskset, read_mask=lambda item: np.full((8, 8), item == one, np.uint8))
    assert len(mask_episode(marked, "p1", 6, 1).train) == 6
