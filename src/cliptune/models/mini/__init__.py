"""The mini CLIP that travels with the package: 1.25 million numbers, 32×32 images, trained on the drawn world.

    model.py      its form: tokenizer, configuration, initial values
    exam.py       what it knows, zero-shot
    pretrain.py   makes it again from nothing: python -m cliptune.models.mini.pretrain --out DIR
    segmenter/    a CLIPSeg decoder on it, which marks what a prompt names
    pretrain_decoder.py   makes that again: python -m cliptune.models.mini.pretrain_decoder --out DIR

The files beside them are the trained checkpoint as transformers writes it, its weights in float16; mini.json tells how
it was made and what it knows. See docs/mini-model.md.
"""
