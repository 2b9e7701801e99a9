"""Autolabel: an image folder goes in, reviewed and training-ready labels come out.

    scan → infer → fuse → write → review → export

The map of the house, from the ground up (imports only go down):

==============  ==================================================================
records         the nouns: images, findings, labels; frozen values, no behaviour
reasons         why a file has no labels, as codes
errors          the error tree; each error knows its exit code and if a retry helps
config          the run file as strict, frozen values; ``runfile`` reads it from YAML
geometry, rle   boxes, quads, IoU, NMS; masks as COCO run lengths (pure)
pixels          bytes → upright RGB uint8, the one decoder
roots           opening files without ever leaving an image folder
decoding        the decoder in killable worker processes (``decode_worker``)
coco            labels ⇄ COCO, stable ids, conformance check
store           findings on disk: immutable Parquet parts
weights         ``models.lock``: which files, which digests, from where
engines         the machines: open_clip, segment_anything, easyocr, rapidocr, fake
scan            folders → files, each with exactly one end; ``manifest`` groups them
infer           ask every stage about every image once; resumes
fuse            findings + policy → labels (pure); ``prompts`` brings the text vectors
assemble        the findings of a run → its labels, image by image
write           labels → run folder, whole or not at all; ``summary`` counts
metrics         AP, rates with intervals, calibration, error rates of text (pure)
lease           the right to write to a workspace, checked before anything is final
labels          labels as they stand: latest run merged with what people decided
evidence        what the models had said for a finished run, out of the store
truth           COCO and COCO-Text files as truth
drawing         labels drawn into images: report, contact sheet, panels
relevance       maps of what spoke for a label, as values; ``panels`` draws them
explain, why    relevance maps of a run; the story of one label
report          a run as one HTML page
export          labels as they stand → training sets, fourteen formats, splits without leaks
evaluate        how good a run is, against truth or reviews; thresholds tuned from it
review          labels ⇄ FiftyOne dataset, the App and its plugin
synthetic       drawn scenes with ground truth known by construction
app             the composition root: puts the verbs in a row
cli             the ``autolabel`` command; ``overview``, ``scores``, ``console``, ``doctor`` …
==============  ==================================================================
"""
