"""What Pillow's decoders raise on damaged data."""

from __future__ import annotations

import struct

from PIL import Image

# The last one guards against files made to fill the memory.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)
