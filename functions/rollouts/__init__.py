"""Services and their versions: releases, canaries, shadows, the way back."""
