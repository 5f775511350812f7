"""From a library of flat video to clips worth training on: cutting, sizes, filters, duplicates, split."""
