"""What diffusers (pinned in the dev extra) says of a config: names, shapes and traced matmul FLOPs, on meta."""

import inspect
import logging
import warnings

import torch
from torch.utils.flop_counter import FlopCounterMode

logging.getLogger("diffusers").setLevel(logging.ERROR)


def build(raw):
    """The model of a config dict, on the meta device, in eval mode."""
    import diffusers

    raw = dict(raw)
    cls = getattr(diffusers, raw.pop("_class_name"))
    known = inspect.signature(cls.__init__).parameters
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.device("meta"):
            model = cls(**{k: v for k, v in raw.items() if k in known})
    return model.eval()


def parameters(model):
    """{name: shape}."""
    return {name: tuple(p.shape) for name, p in model.named_parameters()}


def buffers(model):
    """{name: shape} of persistent buffers, which a checkpoint holds."""
    state = set(model.state_dict())
    return {name: tuple(b.shape) for name, b in model.named_buffers() if name in state}


def flops(model, latent, prompt, batch=1):
    """Matmul and convolution FLOPs of one denoising step on latents (frames, height, width); by op too."""
    inputs = INPUTS[type(model).__name__](model.config, latent, prompt, batch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(**inputs)
    by_op = {str(op).split(".")[-1]: n for op, n in counter.get_flop_counts().get("Global", {}).items()}
    return counter.get_total_flops(), by_op


def _empty(*shape):
    return torch.empty(*shape, device="meta")


def _image(config, latent, batch):
    return _empty(batch, config.in_channels, *latent[1:])


def _steps(batch):
    return torch.zeros(batch, dtype=torch.long, device="meta")


def _dit(config, latent, prompt, batch):
    return {"hidden_states": _image(config, latent, batch), "timestep": _steps(batch), "class_labels": _steps(batch)}


def _sd3(config, latent, prompt, batch):
    return {
        "hidden_states": _image(config, latent, batch),
        "encoder_hidden_states": _empty(batch, prompt, config.joint_attention_dim),
        "pooled_projections": _empty(batch, config.pooled_projection_dim),
        "timestep": _steps(batch),
    }


def _flux(config, latent, prompt, batch):
    tokens = (latent[1] // 2) * (latent[2] // 2)
    return {
        "hidden_states": _empty(batch, tokens, config.in_channels),
        "encoder_hidden_states": _empty(batch, prompt, config.joint_attention_dim),
        "pooled_projections": _empty(batch, config.pooled_projection_dim),
        "timestep": _empty(batch),
        "img_ids": _empty(tokens, 3),
        "txt_ids": _empty(prompt, 3),
        "guidance": _empty(batch) if config.guidance_embeds else None,
    }


def _qwen(config, latent, prompt, batch):
    high, wide = latent[1] // 2, latent[2] // 2
    return {
        "hidden_states": _empty(batch, high * wide, config.in_channels),
        "encoder_hidden_states": _empty(batch, prompt, config.joint_attention_dim),
        "timestep": _empty(batch),
        "img_shapes": [(1, high, wide)] * batch,
        "encoder_hidden_states_mask": torch.ones(batch, prompt, dtype=torch.bool, device="meta"),
    }


def _aura(config, latent, prompt, batch):
    return {
        "hidden_states": _image(config, latent, batch),
        "encoder_hidden_states": _empty(batch, prompt, config.joint_attention_dim),
        "timestep": _empty(batch),
    }


def _pixart(config, latent, prompt, batch):
    width = config.caption_channels or config.cross_attention_dim
    sizes = {"resolution": _empty(batch, 2), "aspect_ratio": _empty(batch, 1)}
    wanted = config.use_additional_conditions
    wanted = config.sample_size == 128 if wanted is None else wanted
    return {
        "hidden_states": _image(config, latent, batch),
        "encoder_hidden_states": _empty(batch, prompt, width),
        "timestep": _steps(batch),
        "added_cond_kwargs": sizes if wanted else {"resolution": None, "aspect_ratio": None},
    }


def _sana(config, latent, prompt, batch):
    return {
        "hidden_states": _image(config, latent, batch),
        "encoder_hidden_states": _empty(batch, prompt, config.caption_channels),
        "timestep": _steps(batch),
        "guidance": _empty(batch) if config.guidance_embeds else None,
    }


def _hunyuan_dit(config, latent, prompt, batch):
    one, two = config.text_len, config.text_len_t5
    return {
        "hidden_states": _image(config, latent, batch),
        "timestep": _empty(batch),
        "encoder_hidden_states": _empty(batch, one, config.cross_attention_dim),
        "text_embedding_mask": _empty(batch, one),
        "encoder_hidden_states_t5": _empty(batch, two, config.cross_attention_dim_t5),
        "text_embedding_mask_t5": _empty(batch, two),
        "image_meta_size": _empty(batch, 6),
        "style": _steps(batch),
    }


def _clip(config, latent, batch):
    return _empty(batch, config.in_channels, *latent)


def _wan(config, latent, prompt, batch):
    inputs = {
        "hidden_states": _clip(config, latent, batch),
        "timestep": _steps(batch),
        "encoder_hidden_states": _empty(batch, prompt, config.text_dim),
    }
    if config.image_dim:
        shape = (2 * batch, 257) if config.pos_embed_seq_len else (batch, 257)
        inputs["encoder_hidden_states_image"] = _empty(*shape, config.image_dim)
    return inputs


def _hunyuan_video(config, latent, prompt, batch):
    return {
        "hidden_states": _clip(config, latent, batch),
        "timestep": _steps(batch),
        "encoder_hidden_states": _empty(batch, prompt, config.text_embed_dim),
        "encoder_attention_mask": torch.ones(batch, prompt, dtype=torch.long, device="meta"),
        "pooled_projections": _empty(batch, config.pooled_projection_dim),
        "guidance": _empty(batch) if config.guidance_embeds else None,
    }


def _cogvideox(config, latent, prompt, batch):
    frames, high, wide = latent
    return {
        "hidden_states": _empty(batch, frames, config.in_channels, high, wide),
        "encoder_hidden_states": _empty(batch, prompt, config.text_embed_dim),
        "timestep": _steps(batch),
        "ofs": _empty(1) if config.ofs_embed_dim else None,
    }


def _ltx(config, latent, prompt, batch):
    frames, high, wide = latent
    return {
        "hidden_states": _empty(batch, frames * high * wide, config.in_channels),
        "encoder_hidden_states": _empty(batch, prompt, config.caption_channels),
        "timestep": _empty(batch, 1),
        "encoder_attention_mask": torch.ones(batch, prompt, device="meta"),
        "num_frames": frames,
        "height": high,
        "width": wide,
    }


INPUTS = {
    "DiTTransformer2DModel": _dit,
    "SD3Transformer2DModel": _sd3,
    "FluxTransformer2DModel": _flux,
    "QwenImageTransformer2DModel": _qwen,
    "AuraFlowTransformer2DModel": _aura,
    "PixArtTransformer2DModel": _pixart,
    "SanaTransformer2DModel": _sana,
    "HunyuanDiT2DModel": _hunyuan_dit,
    "WanTransformer3DModel": _wan,
    "HunyuanVideoTransformer3DModel": _hunyuan_video,
    "CogVideoXTransformer3DModel": _cogvideox,
    "LTXVideoTransformer3DModel": _ltx,
}
