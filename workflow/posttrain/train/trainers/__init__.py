"""TRL 1.16's trainers, with gates, whole global batches, and token means over all of one.

Private methods of TRL are overridden here and nowhere else; its exact version is pinned.
"""

from posttrain.train.trainers.experimental import CPOTrainer, ORPOTrainer
from posttrain.train.trainers.preference import DPOTrainer, KTOTrainer
from posttrain.train.trainers.reward import RewardTrainer
from posttrain.train.trainers.text import SFTTrainer

__all__ = ["CPOTrainer", "DPOTrainer", "KTOTrainer", "ORPOTrainer", "RewardTrainer", "SFTTrainer"]
