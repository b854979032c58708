"""The examples in the pages run as doctests, where the packages they use are there."""

from importlib.util import find_spec

collect_ignore = ["conf.py"]
collect_ignore_glob = ["_build/*", "auto_examples/*", "generated/*"]

PACKAGES_OF_PAGES = {
    "coming_from/keras.rst": ["sklearn.callback"],
    "user_guide/cluster.rst": ["distributed"],
    "user_guide/monitoring.rst": ["sklearn.callback"],
    "user_guide/saving.rst": ["onnxruntime", "skl2onnx", "skops"],
}
collect_ignore += [
    page
    for page, packages in PACKAGES_OF_PAGES.items()
    if not all(map(find_spec, packages))
]
