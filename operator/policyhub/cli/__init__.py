"""The command line: one module for each command, with its flags and exit codes.

A command's work and output are in the package that it is about (`doctor`, `render` …). Heavy modules are imported when
the arguments are valid, so that `--help` and `render` load no network library. Nothing but `__main__` imports it.
"""
