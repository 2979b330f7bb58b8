"""Stage: trains the pipeline's text tower contrastively on captions; it is frozen afterwards.

The image side is the feature network, which is not shipped. Linear heads on the text side make sure that the summary
contains every attribute that the caption states.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel

from benchbench.shapes.attributes import ATTRIBUTES, VALUES
from benchbench.shapes.captions import stated_attributes
from benchbench.shapes_build import features, tokenizer
from benchbench.shapes_build.data import batches, captions_of, pool, schedule
from benchbench.shapes_build.stage import Facts, Stage


def config(vocabulary: int, **more: int) -> CLIPTextConfig:
    """Returns a config of 2 layers of width 96. The last two of `vocabulary` tokens mark start and end."""
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.LENGTH,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
        **more,
    )


def stated_labels(captions: list[str]) -> Tensor:
    """Returns [N, 5]: the index of each attribute's value, or -100 where the caption does not state it."""
    rows = []
    for caption in captions:
        stated = stated_attributes(caption)
        rows.append([VALUES[name].index(stated[name]) if name in stated else -100 for name in ATTRIBUTES])
    return torch.tensor(rows)


def contrastive(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Returns CLIP's loss (arXiv:2103.00020), which matches pictures with captions within the batch; a scalar."""
    logits = scale.exp().clamp(max=100) * F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T
    target = torch.arange(len(logits))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def load(stage: Stage) -> CLIPTextModel:
    """Returns the trained text tower, frozen."""
    return CLIPTextModel.from_pretrained(stage.of("text") / "text_encoder").requires_grad_(False).eval()


def run(stage: Stage) -> Facts:
    """Trains the text tower, saves it with its tokenizer and returns the facts for the record."""
    clip_tokenizer = tokenizer.make()
    data = pool(stage.scale(10000, 600), stage.seed)
    with torch.no_grad():
        feature_net = features.load(stage)
        summaries = torch.cat([feature_net.summarise(p.float() / 255) for p in data.images.split(500)])
    captions = captions_of(data.scenes, stage.seed)
    tokens, labels = tokenizer.encode(clip_tokenizer, captions), stated_labels(captions)

    tower = CLIPTextModel(config(len(clip_tokenizer)))
    image_side, text_side = nn.Linear(128, 64), nn.Linear(96, 64)
    heads = nn.ModuleList([nn.Linear(96, len(VALUES[name])) for name in ATTRIBUTES])
    scale = nn.Parameter(torch.tensor(2.5))
    parameters = [*tower.parameters(), *image_side.parameters(), *text_side.parameters(), *heads.parameters(), scale]
    steps = stage.scale(1500, 20)
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01)
    rate_schedule = schedule(optimizer, steps)
    for step, index in enumerate(batches(len(captions) - 500, 96, steps), 1):
        summary = tower(tokens[index]).pooler_output
        pairing = contrastive(image_side(summaries[index]), text_side(summary), scale)
        naming = sum(F.cross_entropy(head(summary), labels[index, i]) for i, head in enumerate(heads)) / len(heads)
        loss = pairing + naming
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate_schedule.step()
        stage.report_step(step, steps, loss=loss.item(), pairing=pairing.item())

    accuracy = {}
    with torch.no_grad():
        summary = tower.eval()(tokens[-500:]).pooler_output
        for i, name in enumerate(ATTRIBUTES):
            stated = labels[-500:, i] >= 0
            accuracy[name] = (heads[i](summary).argmax(1) == labels[-500:, i])[stated].float().mean().item()
    tower.save_pretrained(stage.folder / "text_encoder")
    clip_tokenizer.save_pretrained(stage.folder / "tokenizer")
    return {"steps": steps, "loss": loss.item(), "tokens": len(clip_tokenizer), "held_out_accuracy": accuracy}
