"""The one place to read what services tell each other: a module per speaker, envelope, words, catalogue."""
