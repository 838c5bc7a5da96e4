"""Graphs and pipelines drawn as SVG, with nothing but Python."""
