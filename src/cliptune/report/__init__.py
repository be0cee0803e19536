"""The report room: run folders in; one HTML page, a CSV and a Markdown file out. It reads nothing but the run folder.

read.py        run folder → Record (a run that classifies), a RunFolder (of any task)
tables.py      one Record → rows, and rows → CSV, Markdown, LaTeX;  training.py: what it tells of its training
compare.py     several runs → rows (compare_tests.py: their further tests);  pairs.py: differences between them;
               ties.py: who cannot be told from the best;  papers.py: the papers' values
plots.py       rows → Figure, one run;  plots_compare.py: several runs;  theme.py: how they look
plots_*.py     a figure of the papers each, with its numbers: loss curves (loss), what AST picked (selection), accuracy
               against a setting (ablation), t-SNE (features, with features.py)
verdict.py     rows → the sentence at the top, which claims no gain inside the noise
one_run.py     the sections of one run's page (faults.py, features.py, gallery.py)
several_runs.py  the sections of a comparison; several_parts.py, several_costs.py, captions.py: what every task's share
segment_*.py   the same of runs that segment: folder → SegmentRecord (read), rows (tables, compare), pages (one,
               several, gallery), words; their plots: plots_segment.py
blocks.py      what sections are made of;  words.py: how numbers are written
page.py        `write_report`: the page of the runs' task → HTML by template.html.j2, Markdown, CSV, LaTeX, figures
card*.py       the README.md of an adapter folder, by task
"""
