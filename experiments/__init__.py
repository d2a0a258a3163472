"""The paper's figures and tables, each measured here: records first, pictures from the records.

An experiment is a module of this package with

    QUESTION   what it asks, one sentence
    PAPER      what the paper reports, and where
    TIME       {scale: how long it takes}, in words; the scales that it knows
    run        run(scale, records, threads, seed): measures, and adds raw measurements to records
    plot       plot(records): a matplotlib Figure of what records.load returned; never measures

and, where it has them,

    FIGURE     the figure or table of the paper, for the list
    SETTINGS   {scale: dict}: its settings, grids and all; they go into the header, and other settings are another run
    finding    finding(records): one sentence: reproduced, partly, or not, and why; drawn under the figure

A run that loops over `records.pending(grid)` can be interrupted: it goes on at the first setting without a result.
"""
