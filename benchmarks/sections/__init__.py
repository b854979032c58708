"""The sections of the comparison. Each writes one part of the page."""
