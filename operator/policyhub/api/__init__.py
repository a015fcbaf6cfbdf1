"""The custom resources as models, and the CRDs that are generated from them. Imports nothing else of policyhub but
clocks.
"""
