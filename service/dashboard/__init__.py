"""The page people watch: one HTML file that reads `/metrics`, with nothing from elsewhere."""

from importlib.resources import files


def page() -> bytes:
    """Return the page, UTF-8."""
    return files(__name__).joinpath("page.html").read_bytes()
