"""Experience-weighted chunking: W(E_ij) = f(duration(E_ij), recency(E_ij)) · P(E_ij, J_k).

dates → parsing → chunking → weights → scorers, one module a step; `month_intervals` counts.
Of dates: languages → atoms → points → dates. Of parsing: headings, job_dates, unread → parsing.
Source: the prototype's direction (4); the reading of dates and the family of f are ours.
"""
