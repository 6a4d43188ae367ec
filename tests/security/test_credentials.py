"""Signed pictures, with a certificate chain made here."""

from __future__ import annotations

import builtins
import datetime as dt
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

from core.contracts import ImageFormat
from core.errors import Misconfigured
from core.images import Recipe, encode, inspect
from core.images.credentials import ContentCredentials
from core.settings import SigningSettings

c2pa = pytest.importorskip("c2pa", reason="signing is optional: pip install c2pa-python")

RECIPE = Recipe("Tongyi-MAI/Z-Image-Turbo", "5f1c9e2", 7, 8, "2026.2", prompt="a private canary")
NOW = dt.datetime.now(dt.UTC)


def _name(text: str) -> x509.Name:
    fields = {NameOID.COUNTRY_NAME: "NL", NameOID.ORGANIZATION_NAME: "Example", NameOID.COMMON_NAME: text}
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in fields.items()])


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@dataclass(frozen=True)
class Chain:
    certificates: str
    private_key: str


def chain(days_left: int = 30) -> Chain:
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Test root", root_key, root_key, authority=True, days_left=days_left)
    leaf = _certificate("Test signer", key, root_key, authority=False, days_left=days_left)
    pems = [each.public_bytes(serialization.Encoding.PEM).decode() for each in (leaf, root)]
    return Chain("".join(pems), _pem(key))


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
    days_left: int,
) -> x509.Certificate:
    """Create a certificate as C2PA §14.5.1 requires: version 3, for signatures and e-mail, not self-signed."""
    unused = dict.fromkeys(
        [
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ],
        False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name("Test root"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - dt.timedelta(days=60))
        .not_valid_after(NOW + dt.timedelta(days=days_left))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, **unused),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
    )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(issuer, hashes.SHA256())


@pytest.fixture(scope="module")
def ours() -> Chain:
    return chain()


@pytest.fixture(scope="module")
def signer(ours: Chain) -> ContentCredentials:
    made = ContentCredentials.from_settings(
        SigningSettings(certificates=ours.certificates, private_key=ours.private_key)  # type: ignore[arg-type]  # made secret by pydantic
    )
    assert made is not None
    return made


def picture() -> Image.Image:
    return Image.linear_gradient("L").convert("RGB")


@pytest.mark.parametrize("image_format", ["webp", "png", "jpeg"])
def test_signed_picture_names_its_issuer_and_keeps_its_mark(
    signer: ContentCredentials, image_format: ImageFormat
) -> None:
    data = encode(picture(), image_format=image_format, recipe=RECIPE, signer=signer)
    said = inspect(data)
    assert (said["ai_generated"], said["content_credentials"]) == (True, True)
    assert said["recipe"]["seed"] == 7
    with c2pa.Reader(f"image/{image_format}", io.BytesIO(data)) as reader:
        store = json.loads(reader.json())
        # The root is made here, so it is not trusted. All other checks must pass, above all the picture's hash.
        assert reader.get_validation_state() == "Valid"
        assert [problem["code"] for problem in store.get("validation_status", [])] == ["signingCredential.untrusted"]
    manifest = store["manifests"][store["active_manifest"]]
    [created] = manifest["assertions"][0]["data"]["actions"]
    assert created["action"] == "c2pa.created"
    assert created["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert created["softwareAgent"] == {"name": RECIPE.model, "version": RECIPE.revision}
    assert manifest["signature_info"]["common_name"] == "Test signer"
    assert "canary" not in json.dumps(store)
    assert "thumbnail" not in manifest


def test_a_changed_byte_breaks_the_signature(signer: ContentCredentials) -> None:
    data = bytearray(encode(picture(), image_format="png", recipe=RECIPE, signer=signer))
    data[data.rfind(b"IDAT") + 40] ^= 1
    with c2pa.Reader("image/png", io.BytesIO(bytes(data))) as reader:
        assert reader.get_validation_state() == "Invalid"


def test_signer_is_thread_safe(signer: ContentCredentials) -> None:
    with ThreadPoolExecutor(4) as threads:
        signed = list(
            threads.map(lambda _: encode(picture(), image_format="jpeg", recipe=RECIPE, signer=signer), range(8))
        )
    assert all(inspect(data)["content_credentials"] for data in signed)


def test_picture_is_unsigned_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("C2PA_CERTIFICATES", raising=False)
    monkeypatch.delenv("C2PA_PRIVATE_KEY", raising=False)
    assert ContentCredentials.from_settings(SigningSettings()) is None


def test_keys_are_read_from_files_or_single_line_values(ours: Chain, tmp_path: Path) -> None:
    path = tmp_path / "chain.pem"
    path.write_text(ours.certificates)
    one_line = [pem.replace("\n", "\\n") for pem in (ours.certificates, ours.private_key)]
    for certificates, private_key in ((str(path), ours.private_key), one_line):
        settings = SigningSettings(certificates=certificates, private_key=private_key)  # type: ignore[arg-type]  # made secret by pydantic
        assert ContentCredentials.from_settings(settings) is not None
        assert "PRIVATE KEY" not in repr(settings)


WRONG = {
    "one without the other": {"private_key": None},
    "no PEM and no file": {"certificates": "/no/such/file"},
    "a key that is none": {"private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"},
    "another algorithm": {"algorithm": "ps256"},
    "another certificate's key": {"private_key": chain().private_key},
    "an expired certificate": dict(
        zip(("certificates", "private_key"), vars(chain(days_left=-1)).values(), strict=True)
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_unusable_signer_is_reported_at_start(ours: Chain, name: str) -> None:
    values = {"certificates": ours.certificates, "private_key": ours.private_key, **WRONG[name]}
    with pytest.raises(Misconfigured, match="C2PA_CERTIFICATES") as caught:
        ContentCredentials.from_settings(SigningSettings(**values))  # type: ignore[arg-type]  # pydantic checks them
    assert "BEGIN" not in caught.value.to_wire()


def test_error_for_a_missing_package_says_what_to_install(ours: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name == "c2pa":
            raise ImportError(name)
        return real_import(name, *rest, **more)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Misconfigured, match="c2pa-python"):
        ContentCredentials.from_settings(
            SigningSettings(certificates=ours.certificates, private_key=ours.private_key)  # type: ignore[arg-type]  # made secret by pydantic
        )
