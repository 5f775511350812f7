"""The dashboard: a Streamlit app over the manifest of an output place; only here streamlit and duckdb are imported."""
