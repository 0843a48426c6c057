"""One folder per product: `<vendor>_<product>`; the registry finds them by themselves."""
