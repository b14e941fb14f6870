"""Write a checkpoint as ONNX, plain and fused, in the environment of the server that reads it.

python export_onnx.py WEIGHTS PLAIN FUSED

The library is named: left to guess, optimum exports a sentence-transformers graph whose outputs have other names, and
the server then pools the wrong tensor. Fusing is what the server would do itself, if this optimum still had the option
that it asks for; it finds what is fused already.
"""

import sys

from optimum.exporters.onnx import main_export
from optimum.onnxruntime import ORTModelForFeatureExtraction, ORTOptimizer
from optimum.onnxruntime.configuration import OptimizationConfig


def main(weights: str, plain: str, fused: str) -> None:
    """Export, then fuse attention, GELU and layer norms."""
    main_export(
        weights,
        output=plain,
        task="feature-extraction",
        library_name="transformers",
        device="cpu",
    )
    model = ORTModelForFeatureExtraction.from_pretrained(plain, file_name="model.onnx")
    ORTOptimizer.from_pretrained(model).optimize(
        optimization_config=OptimizationConfig(optimization_level=99), save_dir=fused
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
