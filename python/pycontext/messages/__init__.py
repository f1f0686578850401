"""Chat formats of providers, to blocks and back without loss: one module a provider."""
