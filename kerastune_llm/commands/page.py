"""HTML pages from the templates in this folder."""

from pathlib import Path
from typing import Any

import jinja2


def render_page(template: str, **values: Any) -> str:
    """A page, all values escaped; a value that the template lacks is an error.

    Args:
        template: File name of the template, beside this file.
        values: What it shows, by the names it has for them.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)
