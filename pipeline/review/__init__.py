"""Labels ⇄ FiftyOne: the only part of the house that imports fiftyone.

    publish   latest run + reviews → dataset          publish.py, projection.py, documents.py
    pull      dataset → reviews                       pull.py, changes.py
    merge     run x reviews → labels, pure            merge.py, values.py, masks.py
    log       <workspace>/reviews, append-only        log.py
    database  a mongod of the workspace's own         database.py, mongod.py, keeper.py

The run folder and the log are the truth; the dataset is a projection of both. It can be dropped at
any time: the next publish builds it again.
"""
