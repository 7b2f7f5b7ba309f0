"""TensorFlow: one persistent tape around the phase."""

import keras
import tensorflow as tf


def gradients(model, phase, groups):
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    with tf.GradientTape(persistent=len(groups) > 1) as tape:
        scalars = phase()
        # Keras optimizers sum the gradients over the replicas, but each loss is a mean over the share of its replica.
        losses = {key: scalars[key] / replicas for key in groups} if replicas > 1 else scalars
    # The tape watches the value of a Keras variable.
    return scalars, {key: tape.gradient(losses[key], [v.value for v in group]) for key, group in groups.items()}


def input_gradient(fn, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(fn(x))
    return tape.gradient(total, x)


class SeedGenerator(keras.random.SeedGenerator):
    def next(self, ordered=True):
        seed = super().next(ordered)
        # All replicas hold the same state, and would draw the same numbers for their different samples.
        replica = tf.distribute.get_replica_context()  # None outside a replica
        return seed if replica is None else seed + [replica.replica_id_in_sync_group, 0]


class TrainStep:
    def train_step(self, data):
        return self.update(data)

    def test_step(self, data):
        return self.assess(data)
