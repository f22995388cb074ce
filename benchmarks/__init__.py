"""
What C{make bench} runs: the node beside its peers, on one machine, in one run.

Each benchmark is a module to run from the root of a checkout: C{python -m benchmarks.shared_download}. Everything, the
clients included, runs on the loopback interface and in temporary directories. C{docs/performance.rst} says what was
found, and how to read it.
"""
