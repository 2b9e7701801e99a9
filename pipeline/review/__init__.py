"""Labels ⇄ FiftyOne: the only part of the house that imports fiftyone.

    publish   latest run + reviews → dataset          publish.py, projection.py, documents.py
    pull      dataset → reviews                       pull.py, changes.py
    database  a mongod of the workspace's own         database.py, mongod.py, keeper.py

The labels as they stand (``pipeline.labels``: run folder and log) are the truth; the
dataset is a projection of them. It can be dropped at any time: the next publish builds it again.
"""
