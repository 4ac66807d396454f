"""How each class of individuals is drawn: one function a class, from a canvas, an individual and a pose."""
