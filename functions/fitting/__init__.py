"""AutoML's parts: the question, the search, its run, and tables of any size."""
