"""From raw records to classified events: recognise, parse, normalise, classify, store."""
