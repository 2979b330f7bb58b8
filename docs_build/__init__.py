"""The documentation site: pages that are made when it is built, and how links lead from page to page."""
