"""Skills: procedures that a model can be given, versioned, private or shared in the org."""
