"""Programs behind ``make bench``: ratios measured in one run on one machine. Not part of the package."""
