"""Where rows come from: frames, files, datasets, and the streams of other systems."""
