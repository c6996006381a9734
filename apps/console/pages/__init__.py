"""The pages, one module for each place of the navigation. Each calls what the API calls."""
