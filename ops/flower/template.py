"""Finds a template among ours first, then among Flower's: ours extend Flower's, and replace some."""

from pathlib import Path
from typing import Final

from tornado.template import Loader, Template

OURS: Final = Path(__file__).with_name("templates")


class Templates(Loader):
    """Loads templates of two folders."""

    def _create_template(self, name: str) -> Template:
        ours = OURS / name
        if not ours.is_file():
            return super()._create_template(name)
        return Template(ours.read_bytes(), name=name, loader=self)
