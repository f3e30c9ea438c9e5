"""Random inputs for every reader of foreign data: an answer or a refusal, within a limit of time.

    python -m tests.fuzz                        a million inputs over all targets; writes the table in README.md
    python -m tests.fuzz --inputs 5000 urls     this many inputs for some targets
    python -m tests.fuzz --seed S --inputs 1 urls   one input again, by the seed that a failure printed

An input depends on its seed alone. `pytest tests/fuzz/test_fuzz.py` runs a short selection, from another seed each
time.
"""
