"""Decoding and encoding: ffmpeg, video files, contact sheets, and the notes inside them."""
