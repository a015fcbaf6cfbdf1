"""The image: what it is made of, and how it is built and run on a machine without a container engine."""
