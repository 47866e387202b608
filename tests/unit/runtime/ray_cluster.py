"""A Ray cluster on this host: a head without engines, and nodes that are added on request.

Writes its address, then a line for each node that it was asked for by a line; ends with its input.
"""

import sys

from ray.cluster_utils import Cluster


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    say(cluster.address)
    for line in sys.stdin:
        cluster.add_node(num_cpus=int(line))
        say("added")
    cluster.shutdown()
