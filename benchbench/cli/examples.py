"""The examples that end each command's ``--help``, and what the protocols of ``bench measure`` measure."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "train": (
        ("the embedded model, on a CPU, in a minute or two", "bench train --method tailorpo --model shapes"),
        (
            "another reward, fewer images, two settings",
            "bench train --method tailorpo-g --reward shapes-pref --samples 96 --set train.lr=1e-3 method.beta=0.2",
        ),
        (
            "a run that was interrupted",
            "bench train --method tailorpo --model shapes --resume",
        ),
        (
            "the memory that it would need, without training",
            "bench train --method ddpo --model sd15 --reward aesthetic --prompts animals --dry-run",
        ),
    ),
    "train-spm": (("judges for SPO on the shapes world", "bench train-spm --out FOLDER"),),
    "eval": (
        (
            "a run beside the base model",
            "bench eval --model shapes --checkpoint RUN --prompts shapes-complex --rewards all",
        ),
        (
            "methods as rows, trainings of several seeds in each",
            "bench eval --model shapes --row ours=RUN,RUN,RUN --row d3po=RUN,RUN,RUN --prompts FILE.txt --rewards all",
        ),
        (
            "an interrupted run at its last checkpoint",
            "bench eval --checkpoint RUN@last --prompts shapes-simple --rewards all",
        ),
        (
            "a released checkpoint",
            "bench eval --model sd15 --checkpoint spo-sd15 --prompts pickapic --rewards pickscore",
        ),
    ),
    "compare": (
        ("two runs", "bench compare RUN_A RUN_B"),
        (
            "two methods, paired by their training seeds",
            "bench compare RUN,RUN,RUN RUN,RUN,RUN --prompts shapes-complex",
        ),
        ("a run and the base model", "bench compare RUN base --rewards shapes-clip,shapes-oracle"),
    ),
    "grid": (
        ("three models, the same prompts and noise", "bench grid RUN_A RUN_B --prompts shapes-simple --count 4"),
        (
            "prompts of your own, two seeds",
            "bench grid RUN --prompts 'a red circle' --prompts 'a blue ring' --seeds 0,1",
        ),
        ("one run over its training", "bench grid RUN --film"),
    ),
    "score": (
        (
            "a folder of pictures, a prompt for each in order",
            "bench score --images FOLDER --prompts FILE.txt --rewards all",
        ),
        ("a file for the scores", "bench score --images FOLDER --rewards jpeg_compressibility --out SCORES.csv"),
    ),
    "measure": (
        ("how far the reward of a prediction is from the mean over completions", "bench measure jensen-gap RUN"),
        ("a first look in a minute", "bench measure guidance-ratio RUN --reward shapes-aesthetic --quick"),
        ("the trained reward against the oracle", "bench measure reward-hacking RUN RUN"),
    ),
    "reproduce": (
        ("a first look: one reward, one seed", "bench reproduce tailorpo:2 --quick"),
        ("the whole table, on the embedded model", "bench reproduce tailorpo:2 --train-seeds 0,1,2"),
        ("what it would take on Stable Diffusion 1.5", "bench reproduce tailorpo:2 --track sd15 --dry-run"),
        (
            "in a cluster",
            "bench reproduce tailorpo:2 --track sd15 --on slurm --slurm partition=gpu,time=8:00:00,gres=gpu:1",
        ),
    ),
    "sweep": (
        ("the plan", "bench sweep examples/sweep.yaml --dry-run"),
        ("trainings, evaluation and report", "bench sweep examples/sweep.yaml"),
    ),
    "tune": (
        ("the search for a learning rate: what it would train", "bench tune tailorpo --model shapes --dry-run"),
        ("the search, for a method of your own", "bench tune mine --model shapes --reward shapes-colour --jobs 2"),
    ),
    "new": (
        ("a method of your own that trains at once", "bench new method mine"),
        ("a reward, in another folder", "bench new reward brightness --in ~/plugins"),
    ),
    "power": (
        ("more trainings of the same rows", "bench power REPORT --trainings 5,10,20"),
        ("twelve tests, 400 prompts", "bench power REPORT --tests 12 --prompts 400"),
    ),
    "leaderboard": (("methods that were trained on two rewards", "bench leaderboard REPORT REPORT"),),
    "report": (("a report's pages and tables, from its data", "bench report FOLDER"),),
    "list": (
        ("names to use in other commands", "bench list methods"),
        ("what was trained, and how far", "bench list runs"),
    ),
    "show": (
        ("every setting with its default and the default's source", "bench show method tailorpo"),
        ("a reward's unit, range and files", "bench show reward pickscore"),
        ("a run's settings", "bench show run RUN"),
    ),
    "status": (
        ("what the store holds", "bench status"),
        ("each job of a table, until all are done", "bench status tailorpo:2 --watch"),
    ),
    "store": (("every file of a store", "bench store verify"),),
    "check": (("a method, reward or prompt set of your own", "bench check NAME"),),
    "parity": (("our rewards beside the authors' packages", "bench parity"),),
    "doctor": (("device, disk, weights, plug-ins", "bench doctor"),),
    "fetch": (("a model, a reward and prompts", "bench fetch --models sd15 --rewards aesthetic --prompts pickapic"),),
    "study": (
        (
            "two models, ten people",
            "bench study new NAME --row ours=RUN --row base --question 'Which do you prefer?' --raters 10",
        ),
        ("serve it, and read its votes", "bench study serve NAME"),
        ("", "bench study results NAME"),
    ),
    "pairs": (
        ("pairs of the embedded model, labelled by a reward", "bench pairs make --model shapes --reward shapes-pref"),
        ("pairs of your own", "bench pairs check FOLDER"),
    ),
    "shapes": (("the embedded world, anew", "bench shapes build --out FOLDER"),),
}
"""By command: what each example does, and its line."""

PROTOCOLS = {
    "win-rate": "how often a run's image scores higher than the base model's of the same noise",
    "jensen-gap": "the reward of a predicted image against the mean reward of its completions, by step",
    "guidance-ratio": "how often a step along the reward's gradient raises the reward",
    "preference-order": "how often the order of two predictions is not that of their final images",
    "gradient-direction": "whether an update moves the denoising mean towards the preferred sample",
    "cost": "time, memory, network evaluations and reward calls of a training",
    "reward-hacking": "the trained reward against held-out rewards and the oracle, over a training",
    "editing": "what edits of drawn scenes changed as asked, and what they kept",
}


def epilog(command: str) -> str:
    """Returns the end of a command's help, which the parser must not wrap."""
    lines = ["Examples:"]
    for meaning, line in EXAMPLES.get(command, ()):
        lines += [f"  # {meaning}"] if meaning else []
        lines += [f"  {line}"]
    text = "\b\n" + "\n".join(lines)
    if command == "measure":
        rows = [f"  {name:20}{meaning}" for name, meaning in PROTOCOLS.items()]
        text = "\n".join(["\b", "Protocols:", *rows]) + "\n\n" + text
    return text
