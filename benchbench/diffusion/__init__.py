"""The diffusion core: schedule, policy, rollout, guidance, decoding."""
