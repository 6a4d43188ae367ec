"""Every picture has a standard, deterministic mark that a model generated it."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from core.errors import BadPicture, TooLarge
from core.images import CONTENT_TYPES, ImageFormat, Recipe, encode, inspect, open_picture, shrink_to_fit
from core.images.__main__ import main

RECIPE = Recipe("Tongyi-MAI/Z-Image-Turbo", "5f1c9e2", 2**53 - 1, 8, "2026.2", prompt=None)
FORMATS: list[ImageFormat] = ["webp", "png", "jpeg"]
TERM = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def picture(size: tuple[int, int] = (96, 64)) -> Image.Image:
    image = Image.linear_gradient("L").resize(size)
    return Image.merge("RGB", (image, image.rotate(90).resize(size), image.rotate(180)))


@pytest.mark.parametrize("image_format", FORMATS)
def test_the_mark_and_the_recipe_are_read_back(image_format: ImageFormat) -> None:
    said = inspect(encode(picture(), image_format=image_format, recipe=RECIPE))
    assert said == {
        "format": image_format,
        "width": 96,
        "height": 64,
        "ai_generated": True,
        "digital_source_type": TERM,
        "recipe": {
            "model": "Tongyi-MAI/Z-Image-Turbo",
            "revision": "5f1c9e2",
            "seed": 2**53 - 1,
            "steps": 8,
            "policy_version": "2026.2",
        },
        "content_credentials": False,
    }


@pytest.mark.parametrize("image_format", FORMATS)
def test_the_mark_is_at_the_standard_place_of_the_format(image_format: ImageFormat) -> None:
    data = encode(picture(), image_format=image_format, recipe=RECIPE)
    place = {
        "webp": b"XMP ",
        "png": b"iTXtXML:com.adobe.xmp\x00\x00\x00\x00\x00",
        "jpeg": b"http://ns.adobe.com/xap/1.0/\x00",
    }
    assert place[image_format] in data
    assert f'Iptc4xmpExt:DigitalSourceType="{TERM}"'.encode() in data
    assert b'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"' in data


@pytest.mark.parametrize("image_format", FORMATS)
def test_same_pixels_and_recipe_give_the_same_bytes(image_format: ImageFormat) -> None:
    first, second = (encode(picture(), image_format=image_format, recipe=RECIPE) for _ in range(2))
    assert first == second
    other = dataclasses.replace(RECIPE, seed=1)
    assert encode(picture(), image_format=image_format, recipe=other) != first


@pytest.mark.parametrize("image_format", FORMATS)
def test_prompt_is_embedded_only_if_given(image_format: ImageFormat) -> None:
    silent = encode(picture(), image_format=image_format, recipe=RECIPE)
    assert b"AIPromptInformation" not in silent
    with_prompt = dataclasses.replace(RECIPE, prompt="A portrait of a woman in a red coat")
    assert (
        inspect(encode(picture(), image_format=image_format, recipe=with_prompt))["recipe"]["prompt"]
        == with_prompt.prompt
    )


@settings(max_examples=60, deadline=None)
@given(prompt=st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=300))
def test_any_prompt_round_trips(prompt: str) -> None:
    recipe = dataclasses.replace(RECIPE, prompt=prompt)
    assert inspect(encode(picture((32, 32)), image_format="png", recipe=recipe))["recipe"]["prompt"] == prompt


@settings(max_examples=60, deadline=None)
@given(prompt=st.text(st.characters(codec=None), max_size=100), image_format=st.sampled_from(FORMATS))
def test_characters_invalid_in_xml_do_not_fail_the_encoding(prompt: str, image_format: ImageFormat) -> None:
    recipe = dataclasses.replace(RECIPE, prompt=f"\x00{prompt}\ud800\x1b\ufffe")
    said = inspect(encode(picture((32, 32)), image_format=image_format, recipe=recipe))
    assert said["ai_generated"] is True


@pytest.mark.parametrize("image_format", FORMATS)
def test_the_longest_prompt_fits(image_format: ImageFormat) -> None:
    # 4,000 of the characters with the longest XML escapes, and the same number for a constraint in front.
    recipe = dataclasses.replace(RECIPE, prompt='"' * 8_000)
    assert inspect(encode(picture(), image_format=image_format, recipe=recipe))["recipe"]["prompt"] == recipe.prompt


@pytest.mark.parametrize("image_format", FORMATS)
def test_metadata_of_the_input_is_not_written(image_format: ImageFormat) -> None:
    image = picture()
    image.info = {
        "comment": b"canary",
        "exif": b"Exif\x00\x00canary",
        "xmp": b"canary",
        "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    }
    data = encode(image, image_format=image_format, recipe=RECIPE)
    assert b"canary" not in data
    assert data == encode(picture(), image_format=image_format, recipe=RECIPE)


@pytest.mark.parametrize(("image_format", "mean_error"), [("png", 0), ("webp", 2), ("jpeg", 1)])
def test_png_is_lossless_and_the_others_are_close(image_format: ImageFormat, mean_error: float) -> None:
    seen = open_picture(encode(picture(), image_format=image_format, recipe=RECIPE)).image.tobytes()
    drawn = picture().tobytes()
    assert sum(abs(a - b) for a, b in zip(seen, drawn, strict=True)) / len(drawn) <= mean_error


def test_every_format_has_its_content_type() -> None:
    assert CONTENT_TYPES == {"webp": "image/webp", "png": "image/png", "jpeg": "image/jpeg"}


def test_a_picture_too_large_is_encoded_again_with_its_mark_and_its_size() -> None:
    image = Image.merge("RGB", [Image.effect_noise((256, 256), 90) for _ in range(3)])
    full = encode(image, image_format="png", recipe=RECIPE)
    data, image_format = shrink_to_fit(image, max_bytes=30_000, recipe=RECIPE)
    assert len(full) > 30_000 >= len(data)
    said = inspect(data)
    assert (said["format"], said["width"], said["height"], said["ai_generated"]) == (image_format, 256, 256, True)


def test_quality_is_reduced_no_further_than_needed() -> None:
    image = Image.merge("RGB", [Image.effect_noise((256, 256), 90) for _ in range(3)])
    best = encode(image, image_format="webp", recipe=RECIPE)
    assert shrink_to_fit(image, max_bytes=len(best), recipe=RECIPE) == (best, "webp")
    smaller, _ = shrink_to_fit(image, max_bytes=len(best) - 1, recipe=RECIPE)
    assert len(best) / 2 < len(smaller) < len(best)


def test_a_picture_that_cannot_fit_is_too_large() -> None:
    with pytest.raises(TooLarge, match="storage"):
        shrink_to_fit(picture(), max_bytes=100, recipe=RECIPE)


class _Stamp:
    def sign(self, data: bytes, *, content_type: str, recipe: Recipe) -> bytes:
        return data + f"{content_type}:{recipe.seed}".encode()


@pytest.mark.parametrize("image_format", FORMATS)
def test_picture_is_signed_last_and_the_signature_counts_against_the_limit(image_format: ImageFormat) -> None:
    plain = encode(picture(), image_format=image_format, recipe=RECIPE)
    signed = encode(picture(), image_format=image_format, recipe=RECIPE, signer=_Stamp())
    assert signed == plain + f"image/{image_format}:{RECIPE.seed}".encode()
    webp = encode(picture(), image_format="webp", recipe=RECIPE)
    fitted, _ = shrink_to_fit(picture(), max_bytes=len(webp), recipe=RECIPE, signer=_Stamp())
    assert len(fitted) <= len(webp)
    assert fitted.endswith(b"image/webp:9007199254740991")


def with_foreign_xmp(xmp: str) -> bytes:
    with io.BytesIO() as file:
        picture().save(file, format="JPEG", xmp=xmp.encode())
        return file.getvalue()


RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
EXT = 'xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'


def test_mark_written_as_an_xml_element_is_read() -> None:
    body = f"<e:DigitalSourceType>{TERM}</e:DigitalSourceType><e:AISystemUsed>another</e:AISystemUsed>"
    described = f"<rdf:Description {EXT}>{body}</rdf:Description>"
    said = inspect(
        with_foreign_xmp(f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>{described}</rdf:RDF></x:xmpmeta>')
    )
    assert said["ai_generated"] is True
    assert said["recipe"] == {"model": "another"}


@pytest.mark.parametrize(
    "xmp",
    [
        "",
        "no xml",
        "<x:xmpmeta",
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>',
        f'<r {RDF} {EXT}><rdf:Description e:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"/></r>',
    ],
)
def test_picture_without_the_mark_is_not_reported_as_generated(xmp: str) -> None:
    said = inspect(with_foreign_xmp(xmp))
    assert said["ai_generated"] is False
    assert said["recipe"] is None


def test_entities_of_an_untrusted_xmp_packet_are_not_expanded() -> None:
    document_type = f'<!DOCTYPE r [<!ENTITY t "{TERM}">]>'
    said = inspect(with_foreign_xmp(f'{document_type}<r {RDF} {EXT}><rdf:Description e:DigitalSourceType="&t;"/></r>'))
    assert said["ai_generated"] is False


def test_seed_that_is_not_a_number_is_shown_unchanged() -> None:
    said = inspect(
        with_foreign_xmp(f'<r {RDF} xmlns:o="urn:img-pod:recipe:1"><rdf:Description o:seed="{"9" * 5_000}"/></r>')
    )
    assert said["recipe"] == {"seed": "9" * 5_000}


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x00\x00\x00WEBP"])
def test_bytes_that_are_not_a_picture_are_refused(data: bytes) -> None:
    with pytest.raises(BadPicture):
        inspect(data)


def test_the_command_prints_the_marks_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a picture.webp"
    path.write_bytes(encode(picture(), image_format="webp", recipe=RECIPE))
    assert main(["inspect", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"]["seed"] == RECIPE.seed


def test_command_names_an_unreadable_file_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    assert main(["inspect", str(text), str(tmp_path / "none.png")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "notes.txt: The file is not a PNG" in said.err
    assert "none.png: No such file" in said.err


def test_the_command_runs_as_a_module(tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    path.write_bytes(encode(picture(), image_format="png", recipe=RECIPE))
    done = subprocess.run(
        [sys.executable, "-m", "core.images", "inspect", str(path)], capture_output=True, check=True, text=True
    )
    assert json.loads(done.stdout)["ai_generated"] is True
