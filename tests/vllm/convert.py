"""Run by the Python that has vLLM: `convert.py <model.gguf> <folder>` writes plain safetensors.

vLLM reads no GGUF file by itself, so the built-in model is dequantised, whole or not at all.
"""

import os
import shutil
import sys
from pathlib import Path


def main(gguf: Path, target: Path) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, file = str(gguf.parent), gguf.name
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.bfloat16)
    model.config.__dict__.pop("quantization_config", None)
    model.hf_quantizer = None
    unfinished = target.with_name(f".{target.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_pretrained(unfinished)
    AutoTokenizer.from_pretrained(folder, gguf_file=file).save_pretrained(unfinished)
    unfinished.rename(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
