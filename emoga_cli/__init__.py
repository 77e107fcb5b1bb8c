"""The shell of emoga: parses, calls one library function per verb, prints."""
