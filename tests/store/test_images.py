"""An image knows what it is; one that is not what it says is named, deleted and never used."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchbench.errors import CorruptError
from benchbench.noise import Sample
from benchbench.store.image_index import FILE, read_index
from benchbench.store.images import DESCRIPTION, ImageStore, blank
from benchbench.store.keys import GenerationKey

KEY = GenerationKey("m", None, {"steps": 20}, "fp32", "set", "p", 3)
CAT, DOG = Sample("a cat “ça”\n<b>", 0, 0), Sample("a dog", 1, 7)


@pytest.fixture
def images(tmp_path: Path) -> ImageStore:
    made = ImageStore(tmp_path, KEY)
    made.begin({"device": "cpu"})
    rng = np.random.default_rng(0)
    for item in (CAT, DOG):
        made.write(item, rng.integers(0, 256, (32, 24, 3), dtype=np.uint8))
    return made


def test_pixels_come_back_exactly(images: ImageStore) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    images.write(DOG, pixels)
    assert (np.asarray(images.read(DOG)) == pixels).all()


def test_a_file_says_what_it_shows(images: ImageStore, tmp_path: Path) -> None:
    assert images.path(DOG) == tmp_path / "images" / KEY.id / "00007-01.webp"
    says = json.loads(Image.open(images.path(CAT)).getexif()[DESCRIPTION])
    assert says.pop("sha256") == images.scan([CAT], print)[CAT].sha256
    assert says == {"prompt": CAT.prompt, "index": 0, "sample": 0, "seed": 3}
    record = json.loads((images.folder / "record.json").read_text())
    assert record["key"]["eval_seed"] == 3 and record["made_on"] == {"device": "cpu"}


def test_a_record_that_was_damaged_is_written_again(images: ImageStore) -> None:
    (images.folder / "record.json").write_text("{")
    images.begin({"device": "here"})
    assert json.loads((images.folder / "record.json").read_text())["made_on"] == {"device": "here"}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_pixels(path: Path) -> None:
    exif = Image.open(path).getexif()
    Image.new("RGB", (24, 32), "red").save(path, "WEBP", lossless=True, exif=exif)


def no_metadata(path: Path) -> None:
    Image.open(path).save(path, "WEBP", lossless=True, exif=b"")


def text(path: Path) -> None:
    path.write_text("not an image")


@pytest.mark.parametrize("damage", [cut, empty, other_pixels, no_metadata, text])
def test_a_damaged_image_is_named_and_deleted(images: ImageStore, damage: object) -> None:
    images.scan([CAT, DOG], print)
    damage(images.path(CAT))  # type: ignore[operator]
    with pytest.raises(CorruptError, match=r"00000-00.webp"):
        images.read(CAT)
    said: list[str] = []
    assert set(images.scan([CAT, DOG], said.append)) == {DOG}
    assert len(said) == 1 and str(images.path(CAT)) in said[0]
    assert not images.path(CAT).exists() and images.path(DOG).exists()


def test_an_image_of_another_prompt_in_its_place_is_damaged(images: ImageStore) -> None:
    images.path(CAT).write_bytes(images.path(DOG).read_bytes())
    assert set(images.scan([CAT, DOG], lambda _: None)) == {DOG}


def test_what_did_not_change_is_not_read_again(images: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = images.scan([CAT, DOG], print)
    monkeypatch.setattr(ImageStore, "_check", lambda *_: pytest.fail("read again"))
    assert images.scan([DOG, CAT], print) == first


def test_the_index_is_only_a_cache(images: ImageStore) -> None:
    first, index = images.scan([CAT, DOG], print), images.folder / FILE
    assert set(read_index(images.folder)) == {"00000-00.webp", "00007-01.webp"}
    other = pa.table({"name": ["00000-00.webp"], "size": [1]})
    for damage in (lambda: index.write_text("{"), lambda: pq.write_table(other, index), index.unlink):
        damage()
        assert read_index(images.folder) == {} and images.scan([CAT, DOG], print) == first
        assert set(read_index(images.folder)) == {"00000-00.webp", "00007-01.webp"}


def test_a_changed_inode_is_checked_again(images: ImageStore) -> None:
    """A copy with the times of the original is another file."""
    first, path = images.scan([CAT, DOG], print), images.path(CAT)
    before = read_index(images.folder)[path.name][0]
    path.unlink()
    images.write(CAT, np.zeros((32, 24, 3), np.uint8))
    assert images.scan([CAT, DOG], print)[CAT] != first[CAT]
    assert read_index(images.folder)[path.name][0] != before


def test_a_link_is_checked_each_time(images: ImageStore, tmp_path: Path) -> None:
    """Whoever owns the picture outside may change it, so the index does not hold it."""
    first, outside = images.scan([CAT, DOG], print), tmp_path / "elsewhere.webp"
    images.path(CAT).rename(outside)
    images.path(CAT).symlink_to(outside)
    assert images.scan([CAT, DOG], print) == first
    checked: list[Sample] = []
    check = images._try
    images._try = lambda sample: checked.append(sample) or check(sample)  # type: ignore[method-assign, func-returns-value]
    assert images.scan([CAT, DOG], print) == first and checked == [CAT]


def test_processes_that_write_at_once_lose_no_row(images: ImageStore) -> None:
    """Each adds what it made to the rows of the others."""
    for sample in (CAT, DOG):
        one = ImageStore(images.folder.parent.parent, KEY)
        one.write(sample, np.zeros((32, 24, 3), np.uint8))
        one.scan([sample], print)
    assert set(read_index(images.folder)) == {"00000-00.webp", "00007-01.webp"}


def test_blank_images() -> None:
    noisy = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    grey = np.full((8, 8, 3), 99, np.uint8)
    assert [blank(noisy), blank(grey), blank(grey * 0 + 3)] == ["", "constant", "black"]
