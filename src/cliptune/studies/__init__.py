"""The study room: a grid of runs that ends in a table or figure, with a paper's numbers beside ours.

study.py      strict TOML → Study, Job;  shipped/*.toml: one per table or figure of the source papers, and the controls
pool.py       where run folders lie, what state they are in, one run done
local.py      the engine on this machine;  on_ray.py: on a Ray cluster
conduct.py    the grid → what is left to do → runs, with the time left
estimate.py   seconds and bytes beforehand;  work.py: what a run that marks images has to do
outcome.py    run folders → the table and the figures
"""
