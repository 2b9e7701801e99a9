"""Timings and memory, measured in one run on one machine; tests never time anything.

==============  ==================================================================
arms            several ways to do the same work, in turns in one process
floor           the least time that this machine could need
figures         medians, ranges and what was lost, as they are kept
page            kept figures as a table, a plot and a part of the docs
options         what the command line asked
sam, clip, ocr  the models: libraries as people call them against ours
coco, publish   writing: files, and the review database
demo, runs      whole runs in processes of their own (overhead, memory, rerun, flows too)
==============  ==================================================================
"""
