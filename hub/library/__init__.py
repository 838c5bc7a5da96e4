"""The functions that come with eagleray; load one with `hub.load("hub://NAME")`."""
