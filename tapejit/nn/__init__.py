"""PyTorch's `nn` namespace, as far as functions go: `functional` is the table of contents.

linear activations normalization dropout attention losses margins distances
convolution pooling embedding resampling
                    the functions, by what they are for
windows             how convolutions, pooling and resampling see an image
calling             arrays in kind, `inplace=`, `reduction=`
"""

from tapejit.nn import functional

__all__ = ["functional"]
