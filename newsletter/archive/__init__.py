"""The public archive: past issues as web pages and as an Atom feed."""
