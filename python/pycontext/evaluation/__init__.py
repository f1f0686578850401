"""Does what an answer needs survive? Labelled evidence, plain baselines, and ours beside them."""
