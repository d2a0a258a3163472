"""What all experiments stand on: records, pictures, data, training, processes. Asks no question itself.

An experiment is a module of `paper` or `benchmarks`, or a package where it takes two files. It has, in this order,

    QUESTION   what it asks, one sentence
    FIGURE     the figure or table of the paper or talk that it repeats (in `paper` only)
    PAPER      what the paper reports, and where
    CLAIMS     the claims (keys of `frame.claims.CLAIMS`) that it measures, where there are any
    TIME       {scale: how long it takes}, in words; the scales that it knows
    SETTINGS   {scale: dict}: all that may be varied, grids included; a record of other settings is measured anew
    run        run(scale, records, threads, seed): measures, and adds raw measurements to records
    verdicts   verdicts(records): {claim: Verdict} of its CLAIMS, by stated conditions; drawn below the figure
    finding    finding(records): what was measured, in a few sentences; drawn below where there are no verdicts
    plot       plot(records): a matplotlib Figure of what records.load returned

QUESTION, FIGURE, PAPER, CLAIMS and TIME are literals, so that a list of all experiments imports none of them. What
takes records alone never measures, and importing the module never imports `slide`: whoever draws needs only the
records. A run that loops over `records.pending(grid)` can be interrupted: it goes on at the first setting without a
result. What is measured in a process of its own (see `processes`) is a generator of dicts. What two experiments share
is in this folder.
"""
