"""The operator's own resources: pydantic models, and the CRDs generated from them."""
