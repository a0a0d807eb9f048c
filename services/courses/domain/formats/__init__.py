"""The formats in which catalogues come in and the network's runs go out."""
