"""Autolabel: an image folder goes in, reviewed and training-ready labels come out.

    scan → infer → fuse → write → review → export

The map of the house, from the ground up (imports only go down):

==============  ==================================================================
records         the nouns: images, findings, labels; frozen values, no behaviour
errors          the error tree; each error knows its exit code and if a retry helps
config          the run file as strict, frozen values; ``runfile`` reads it from YAML
geometry, rle   boxes, quads, IoU, NMS; masks as COCO run lengths (pure)
pixels          file → upright RGB uint8, the one decoder; ``decoding`` runs it in
                killable worker processes
coco            labels ⇄ COCO, stable ids, conformance check
store           findings on disk: immutable Parquet parts
weights         ``models.lock``: which files, which digests, from where
engines         the machines: open_clip, segment_anything, easyocr, rapidocr, fake
scan            folders → manifest; every file gets exactly one end
infer           ask every stage about every image once; resumes
fuse            findings + policy → labels (pure)
write           labels → run folder, whole or not at all
synthetic       drawn scenes with ground truth known by construction
app, cli        the composition root and the ``autolabel`` command
==============  ==================================================================
"""
