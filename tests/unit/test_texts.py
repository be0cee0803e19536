"""Texts that people write are read as meant, and what cannot be is refused by line."""

from pathlib import Path

import pytest

from cliptune.errors import UserError
from cliptune.texts import decode_text, read_table, read_text

TEXT = "a line\nkäse\nend"


def table(tmp_path: Path, text: str | bytes) -> list[tuple[int, str, str, str]]:
    path = tmp_path / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    rows = read_table(path, ("image", "label"), ("split",))
    return [(row.line, row.fields["image"], row.fields["label"], row.fields["split"]) for row in rows]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_and_line_ends(encoding: str, end: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(TEXT.replace("\n", end).encode(encoding))
    assert read_text(tmp_path / "text.txt") == TEXT


def test_what_is_no_text_is_refused_by_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"names\.txt:2: not UTF-8 text \(byte 0xe4\)"):
        decode_text(TEXT.encode("latin-1"), "names.txt")
    with pytest.raises(UserError, match="is not a text file"):
        decode_text(b"PK\0\0", "x.csv")
    with pytest.raises(UserError, match="a spreadsheet or an archive"):
        decode_text(b"PK\3\4\0", "labels.csv")
    assert decode_text(b"an end of DOS\n\x1a", "x.csv") == "an end of DOS\n"
    with pytest.raises(UserError, match="cannot be opened"):
        read_text(tmp_path / "gone.txt")


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_separators(mark: str, tmp_path: Path) -> None:
    text = f'Image {mark} LABEL\n1.png{mark}"bear{mark} brown"\n\n{mark}\n2.png{mark}cat\n'
    assert table(tmp_path, text) == [(2, "1.png", f"bear{mark} brown", ""), (5, "2.png", "cat", "")]


def test_a_spreadsheets_hint_and_further_columns(tmp_path: Path) -> None:
    text = "sep=;\r\nimage;width;label;split;\r\n1.png;20;cat; train ;\r\n"
    assert table(tmp_path, text) == [(3, "1.png", "cat", "train")]


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("image,label\na.jpg,bear, brown\n", "list.csv:2 has 3 fields, the first line 2", '"bear, brown"'),
        ("image,label\na.jpg,bear,\nb.jpg\n", "list.csv:3 has 1 field, the first line 2", "2 fields"),
        ("image,label\na.jpg,b\nc.jpg,\"d\n", "list.csv:3: double quotes are not closed", "on that line"),
        ('image,label\n"a.jpg,b\nc.jpg,d\ne.jpg,f\n', "list.csv:2: double quotes are not closed", "on that line"),
        ("image,label\na.jpg,\"b\nc\"\n", "a field goes over several lines", "close the double quotes"),
        ("image,label,label\na.jpg,b,c\n", "two columns 'label'", "keep one"),
        ("a.jpg,cat\n", "no column 'image'", "put a line above it that names the columns, as image,label"),
        ("0;img/a.jpg;cat\n", "no column 'image'", "as image;label;split"),
        ("filename,class\na.jpg,b\n", "no column 'image'", "call 'filename' image and 'class' label"),
        ("image,cat,dog\na.jpg,0,1\n", "no column 'label'", "columns of 0 and 1 per class are not read"),
        ("a,cat\nb,dog\n", "no column 'image'", "if that is data, put image,label above it"),
        ("img/a,cat\nimg/b,dog\n", "no column 'image'", "as image,label"),
        ("bild;klasse\na.jpg;cat\n", "no column 'image'", "put image;label above it"),
        ("a.jpg 0\nb.jpg 1\n", "no column 'image'", "with commas, and begin it with the line image,label"),
        ("a.jpg\nb.jpg\n", "no column 'image'", "the line image,label, and add the rest"),
        ("# mine\nimage,label\na.jpg,cat\n", "no column 'image'", "remove the comment"),
        ('"image,label"\n"a.jpg,cat"\n', "no column 'image'", "remove the double quotes"),
        ("", "list.csv is empty", "image,label,split"),
    ],
)  # fmt: skip
def test_lines_that_do_not_fit(text: str, what: str, fix: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        table(tmp_path, text)
    assert what in refused.value.what
    assert fix in refused.value.fix
