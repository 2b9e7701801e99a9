"""Labels as they stand → training sets, for the trainers of the field.

example     what formats are given: images with labels, the plan, the writer's protocol
select      which images and labels go out, and what stays behind
near        near duplicates, which must not be torn apart
splits      who trains and who is tested with, for ever; ``memory`` remembers
pictures    upright image files
outline     masks as polygons
folder      there whole or not at all, with a manifest
formats/    one module per format; ``registry`` knows them
exporter    puts an export together
"""

from pipeline.export.example import Choice, ExportReport, ExportRequest
from pipeline.export.exporter import export
from pipeline.export.registry import FORMATS

__all__ = ["FORMATS", "Choice", "ExportReport", "ExportRequest", "export"]
