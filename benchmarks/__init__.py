"""What TaskForge costs and how fast it is, measured: `python -m benchmarks NAME`.

Figures count the CPU of every process that takes part, PostgreSQL's included. No test asserts on
them.
"""
