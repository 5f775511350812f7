"""Where depth comes from and how it is made steady and sharp."""
