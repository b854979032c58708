"""The examples in the pages run as doctests, wherever their packages are installed."""

collect_ignore = ["conf.py"]
collect_ignore_glob = ["_build/*", "auto_examples/*", "generated/*"]
