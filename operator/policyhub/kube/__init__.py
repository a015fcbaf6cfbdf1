"""Lists, watches and decodes objects of Kubernetes API servers.

A `Reflector` keeps a `Sink` equal to one resource. The package knows nothing of reports, findings and AWS; it imports
`api`, `settings` and layers below them.
"""
