"""Assemblies of parts that many families share: attention blocks, MLPs, experts, whole decoders."""
