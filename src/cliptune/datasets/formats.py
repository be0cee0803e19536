"""What bytes are that are no image we read: other kinds of pictures, archives, texts, failed downloads."""

from PIL import features

_PAGE = "a web page, as failed downloads leave"
_HEIF = ("ftypheic", "ftypheix", "ftyphevc", "ftypheim", "ftypheis")
_NEEDS = "AVIF, which this Pillow does not read: `pip install -U pillow`"
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%!PS", "PostScript (EPS)"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript (EPS)"),
    (0, b"%PDF", "a PDF"),
    (0, b"8BPS", "a Photoshop file"),
    *((4, name.encode(), "HEIC") for name in _HEIF),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    *((4, name, "AVIF of a rare kind" if features.check("avif") else _NEEDS) for name in (b"ftypavif", b"ftypavis")),
    (4, b"ftypcrx ", "a camera's raw picture"),
    (4, b"ftyp", "a film"),
    (4, b"JXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML or SVG"),
    (0, b"<!doctype", _PAGE),
    (0, b"<html", _PAGE),
    (0, b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with `git lfs pull`"),
    (0, b"/annex/objects/", "a git-annex pointer: fetch the file itself with `git annex get`"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\x89HDF", "HDF5"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"DDS ", "DDS"),
    (0, b"qoif", "QOI"),
    (0, b"\0\0\1\0", "an icon (ICO)"),
    (128, b"DICM", "DICOM"),
    (344, b"n+1\0", "NIfTI"),
    (8, b"AVI ", "a film"),
    (0, b"\x1aE\xdf\xa3", "a film"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (8, b"CR\2\0", "a camera's raw picture"),
)
"""(offset, bytes, what a file that has them there is), for files that are not read"""
_OURS = (
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"RIFF", "WebP"),
)
_SHOWN = 40
"""characters of a text that a message repeats"""


def not_read(data: bytes) -> str:
    """What is wrong with bytes that Pillow takes for no image of ours: 'is HEIC, which is not read'."""
    if not data:
        return "is empty"
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip() if data[:1].isspace() or data[:1] == b"\xef" else data
    for offset, signature, kind in _SIGNATURES:
        there = start[offset : offset + len(signature)]
        if there == signature or (signature.startswith(b"<") and there.lower() == signature):
            return f"is {kind}" if "`" in kind else f"is {kind}, which is not read"
    if kind := next((kind for signature, kind in _OURS if data.startswith(signature)), ""):
        rare = (
            " or of a kind that is not read, as float colours, 64 bits and most files of several bands are"
            if kind == "TIFF"
            else ""
        )
        odd = f"that is broken{rare}"
        return f"is a {kind} {odd} ({len(data):,} bytes)"
    if not data.strip(b"\0"):
        return f"holds nothing but zeros ({len(data):,} bytes), as interrupted copies do"
    text = data[:_SHOWN].decode("utf-8", "ignore")
    if text.isprintable() and len(text.encode()) >= min(len(data), _SHOWN) - 3:
        return f"is not an image but text: '{text}'"
    return f"is not an image ({len(data):,} bytes)"
