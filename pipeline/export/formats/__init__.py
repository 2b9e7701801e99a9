"""Formats, one module each behind ``example.Writer``; loaded when asked for.

coco            COCO instances: coco, coco-polygon, coco-uncompressed
coco_text       COCO-Text
panoptic        COCO panoptic
yolo            YOLO detect and segment
voc             Pascal VOC with masks
cvat            CVAT for images, XML
label_studio    Label Studio tasks with brush masks
classification  folders per class, and one CSV of many labels
huggingface     Parquet for ``datasets.load_dataset``
webdataset      tar shards
"""
