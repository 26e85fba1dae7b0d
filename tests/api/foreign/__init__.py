"""Schemas in the manner of other tools, in words of our own, filled with rows: POSTGRES and SQLITE (None: it makes none
there), and NEW, what a person would send to add a row of each table."""
