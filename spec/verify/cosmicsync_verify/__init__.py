"""An implementation of spec/ in Python that shares no code with the product.

It exists to show that the pages are enough: whatever it needs to know stands in spec/*.md.
"""
