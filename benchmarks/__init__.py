"""Benchmarks of speed, time to a given quality, growth and memory.

``python -m benchmarks`` compares with other packages and writes the results into
docs/performance/. ``python -m benchmarks.dense``, ``.threads``, ``.sparse`` and
``.memory`` print, in less time, the ratios by which a change of the engine is to be
judged, and ``.floor`` what it takes only to read the data.
"""
