"""Instruments: small nets that read clips of the small world, trained on renderings in minutes.

They tell the object, the scene and the motion of a clip and where its sprite is. They are no part of a
base: a base is measured with them.
"""
