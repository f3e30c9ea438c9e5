"""Inputs that nobody would write, for every reader of what comes from outside: an answer or a refusal, soon.

    python -m tests.fuzz                        a million inputs over all targets; writes the table of tests/README.md
    python -m tests.fuzz --inputs 5000 urls     so many for some of them
    python -m tests.fuzz --seed S --inputs 1 urls   one input again, by the seed that a failure was told with

An input is made from its seed alone. `pytest tests/fuzz/test_fuzz.py` runs a short one, from another seed each time.
"""
