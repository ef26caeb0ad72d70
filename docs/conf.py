"""The site: ``pip install '.[docs]' && sphinx-build -W docs site``; nothing is fetched."""

import importlib.util
import os
import sys
import warnings
from pathlib import Path

# Examples are small: threads of BLAS and OpenMP that wait for each other would make a build of minutes out of seconds.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import matplotlib as mpl

import lossext

mpl.use("Agg")
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

project = "lossext"
author = "the lossext developers"
project_copyright = f"2026, {author}"
version = release = lossext.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "loss_pages",
]
templates_path = ["_templates"]
exclude_patterns = ["_ext", "_templates"]
default_role = "py:obj"
suppress_warnings = ["config.cache"]

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
autodoc_mock_imports = [
    library for library in ("catboost", "xgboost", "dask", "distributed") if not importlib.util.find_spec(library)
]

sphinx_gallery_conf = {
    "examples_dirs": ["../examples/gallery"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"/plot_",
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "min_reported_time": 5,
    "write_computation_times": False,  # its page would fetch scripts from elsewhere
    "matplotlib_animations": False,
    "plot_gallery": "True",
    "reset_modules": ("matplotlib",),
}

html_title = "lossext"
html_theme = "pydata_sphinx_theme"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}
