"""The paper's figures and tables, each measured here: records first, pictures from the records.

An experiment is a module of this package with

    QUESTION   what it asks, one sentence
    PAPER      what the paper reports, and where
    TIME       {scale: how long it takes}, in words; the scales that it knows
    run        run(scale, records, threads, seed): measures, and adds raw measurements to records
    plot       plot(records): a matplotlib Figure of what records.load returned; never measures
"""
