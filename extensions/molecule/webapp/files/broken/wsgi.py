"""A service whose code does not import."""

import nothing_of_that_name  # noqa: F401
