"""`edubba demo`: a walk through the rooms on pictures that ship with the package. The only module that combines rooms.

A chapter is a module of this folder. `cli.Chapter` lists them in their order. Each has

ABOUT                              what it does and for how long, in words
CREDIT                             whose data it shows
NEEDS                              chapters whose results it uses again
RUNS                               its run folders in the tour's folder; with results in all of them it is finished
chapter(folder) -> list[Section]   measures what is not finished
"""
