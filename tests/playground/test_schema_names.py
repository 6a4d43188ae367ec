"""Names of schemas in the playground's files, without a browser."""

import json
import re

from core.settings import ROOT

STATIC = ROOT / "http_api/playground/static"
NAMED = re.compile(r'(?:propertiesOf\(|data-schema=)"(\w+)"')


def test_every_schema_that_the_playground_names_is_in_the_description():
    schemas = json.loads((ROOT / "docs/openapi.json").read_text())["components"]["schemas"]
    named = {
        name for file in STATIC.iterdir() if file.suffix in {".js", ".html"} for name in NAMED.findall(file.read_text())
    }

    assert {"ProfileCreate", "Features"} <= named
    assert named <= schemas.keys()
