"""The custom resources as models, and the CRDs that are generated from them. Imports no other package of policyhub."""
