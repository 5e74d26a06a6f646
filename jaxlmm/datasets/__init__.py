"""Tables to try a model on: small classics with their published source, and a seeded generator.

`load_dataset` is the one door. The classics are CSV files in `data/`, listed with source, units and levels
in `classics`; `students` generates the table of the article's story. `api` re-exports `load_dataset`, and the
command line takes these names where it takes a file.
"""

from jaxlmm.datasets.load import dataset_names, describe_dataset, load_dataset
from jaxlmm.datasets.students import students

__all__ = ["dataset_names", "describe_dataset", "load_dataset", "students"]
