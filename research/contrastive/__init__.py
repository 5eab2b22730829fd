"""Contrastive pretraining: representations of what belongs together are drawn together.

`graph` says who is compared with whom, `losses` how much it costs, `caching` how a batch of
thousands goes through a small device.
"""
