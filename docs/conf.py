"""The guide as a site, which opens from disk and fetches nothing: `make guide` builds it into site/."""

project = "posttrain"
extensions = ["myst_parser"]
myst_heading_anchors = 3
myst_disable_syntax = ["myst_line_comment"]  # a line may begin with "% of", and is text where the sources are read
highlight_language = "none"
html_theme = "furo"
html_title = "posttrain"
html_static_path = ["_static"]
html_css_files = ["guide.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
