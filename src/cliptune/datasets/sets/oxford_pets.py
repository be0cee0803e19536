"""Oxford-IIIT Pet: breeds of cats and dogs, 37 classes, 7,349 images (Parkhi et al., 2012).

oxford_pets/images/Abyssinian_1.jpg              cats with a capital, dogs without
oxford_pets/annotations/{trainval,test}.txt      "Abyssinian_100 1 1 1": file, class from 1, cat or dog, breed
oxford_pets/split_zhou_OxfordPets.json

Labels are the class numbers less one, which sorted file names would not give. The folder also holds three .mat files
and 41 pictures that no list names. Some .jpg are PNG or GIF inside, some say an EXIF orientation that does not exist.
"""

from cliptune.datasets.base import ImageSet, Missing
from cliptune.datasets.cutting import cut
from cliptune.datasets.published import PHOTO, Copy, Facts, Row, open_published
from cliptune.datasets.splits import inside, read_lines
from cliptune.errors import UserError

FACTS = Facts(
    title="Oxford-IIIT Pet",
    source="Parkhi et al., CVPR 2012; CC BY-SA 4.0",
    get="CoOp's DATASETS.md (github.com/KaiyangZhou/CoOp), images from www.robots.ox.ac.uk/~vgg/data/pets",
    folders=("oxford_pets", "oxford-iiit-pet"),
    images=("images",),
    classes=37,
    counts=(2944, 736, 3669),
    templates=("a photo of a {}, a type of pet.", PHOTO),
    split_file="split_zhou_OxfordPets.json",
    aliases=("pets", "oxford-iiit-pets"),
    column="OxfordPets",
)


def load(root: str | None = None, task: str = "", missing: Missing = "refuse") -> ImageSet:
    """The set below `root`; without the split file, the official test and a fifth of trainval for validation."""
    return open_published("oxford_pets", FACTS, root, missing, _from_lists)


def _from_lists(copy: Copy) -> dict[str, list[Row]]:
    return cut(_listed(copy, "trainval"), val=0.2, test=0.0) | {"test": _listed(copy, "test")}


def _listed(copy: Copy, part: str) -> list[Row]:
    return [_row(place, line) for place, line in read_lines(copy, f"annotations/{part}.txt")]


def _row(place: str, line: str) -> Row:
    fields = line.split()
    breed = fields[0].rpartition("_")[0]
    if len(fields) != 4 or not breed or not fields[1].isdecimal() or fields[1] == "0":
        raise UserError(f"{place}: '{line}' is not 'Breed_number class species breed'", f"get it again: {FACTS.get}")
    return inside(f"{fields[0]}.jpg", place), int(fields[1]) - 1, breed.lower()
