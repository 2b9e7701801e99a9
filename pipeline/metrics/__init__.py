"""How good labels are. Pure: values in, numbers out.

intervals     rates with confidence intervals
matching      who is whom: found labels and truth, one to one
places        which lines of text mean the same place, in pieces or joined too
cocoeval      AP and AR by pycocotools, and a second opinion
calibration   whether a score of 0.8 means right in 8 of 10
tagging       average precision of tags
reading       character and word error rates
"""
