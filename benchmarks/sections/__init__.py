"""The sections of the comparison; each writes one piece of the page."""
