"""The registered methods: name → class. A method is one file beside this one and one line here."""

METHODS: dict[str, str] = {
    "zero_shot": "cliptune.methods.zero_shot:ZeroShot",
    "linear_probe": "cliptune.methods.linear_probe:LinearProbe",
    "bitfit": "cliptune.methods.bitfit:BitFit",
    "lora": "cliptune.methods.lora:LoRA",
    "lora_xs": "cliptune.methods.lora_xs:LoRAXS",
    "dora": "cliptune.methods.dora:DoRA",
    "ast": "cliptune.methods.ast:AST",
    "decoder": "cliptune.methods.decoder:Decoder",
    "full": "cliptune.methods.full:Full",
}
