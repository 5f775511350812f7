"""Made right views held against true ones: material, methods, protocol, rows, tables."""
