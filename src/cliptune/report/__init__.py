"""The report room: run folders in; one HTML page, a CSV and a Markdown file out. It reads nothing but the run folder.

read.py        run folder → Record
tables.py      one Record → rows;  compare.py: several Records → rows
plots.py       rows → Figure, one run;  plots_compare.py: several runs;  theme.py: how they look
verdict.py     rows → the sentence at the top, which claims no gain inside the noise
one_run.py     the sections of one run's page (faults.py, gallery.py)
several_runs.py  the sections of a comparison (several_costs.py, captions.py)
blocks.py      what sections are made of;  words.py: how numbers are written
page.py        `write_report`: sections → HTML by template.html.j2, Markdown, CSV
card.py        the README.md of an adapter folder
"""
