"""A service whose code does not import."""

import nothing_of_that_name

application = nothing_of_that_name.application
