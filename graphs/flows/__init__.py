"""How a graph is declared, checked, compiled and run in one process."""
