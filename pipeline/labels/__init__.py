"""Labels as they stand: what the latest run said, with all that people decided. Knows no FiftyOne.

runs     a finished run folder, image by image
log      <workspace>/reviews, append-only: what people decided
merge    run x reviews → labels, pure: no field a person touched ever changes
current  both of a workspace, merged: what review shows and export writes
"""

from pipeline.labels.current import CurrentImage, CurrentLabels
from pipeline.labels.values import Content, Kind, MergedLabel, Status

__all__ = ["Content", "CurrentImage", "CurrentLabels", "Kind", "MergedLabel", "Status"]
