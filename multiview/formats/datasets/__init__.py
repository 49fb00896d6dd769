"""Training datasets: a layout a module, converters of origins, units and orders in it alone."""

from multiview.formats.datasets.store import (
    LAYOUTS,
    Dataset,
    join,
    load_dataset,
    open_dataset,
    save_dataset,
)

__all__ = ["LAYOUTS", "Dataset", "join", "load_dataset", "open_dataset", "save_dataset"]
