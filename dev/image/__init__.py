"""The image: its content, and how to build and run it without a container engine."""
