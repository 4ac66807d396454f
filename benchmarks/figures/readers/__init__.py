"""Readers: small nets that read clips of the world of individuals, trained on renderings in minutes.

They tell the class, the scene and the motion of a clip and where its individual is. They are no part of a
base: a base is measured with them. Who an individual is, they don't tell: that is told by pixels alone
(`engine.evaluation.identification`).
"""
