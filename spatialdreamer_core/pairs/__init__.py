"""The dataset side of make-pairs: what a sample looks like in a shard, plan, shards, commits, manifest."""
