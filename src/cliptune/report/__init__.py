"""The report room: run folders in; one HTML page, a CSV and a Markdown file out. It reads nothing but the run folder.

read.py            run folder → Record
statistics.py      intervals, the paired tests, calibration
tables.py          one Record → rows;  compare.py: several Records → rows
plots.py           rows → Figure, one run;  plots_compare.py: several runs;  theme.py: how they look
one_run.py         rows and figures → the sections of a page;  several_runs.py: of a comparison
page.py            `write_report`;  card.py: the README.md of an adapter folder
"""
