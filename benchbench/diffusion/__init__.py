"""The diffusion core: base models, schedule, policy, rollout, guidance and decoding."""
