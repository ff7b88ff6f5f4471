"""Everything that stands in for pre-trained models, switched on for the libraries that the program imports."""

from __future__ import annotations

from kilowait.predict.dryrun.standins.data.absent import Absent
from kilowait.predict.dryrun.standins.hooks import ImportHooks
from kilowait.predict.dryrun.standins.weights.checkpoint_files import stand_in_checkpoint_files
from kilowait.predict.dryrun.standins.weights.diffusers_models import stand_in_diffusers
from kilowait.predict.dryrun.standins.weights.other_hubs import stand_in_hubs
from kilowait.predict.dryrun.standins.weights.processors import stand_in_processors
from kilowait.predict.dryrun.standins.weights.published import Published
from kilowait.predict.dryrun.standins.weights.token_files import stand_in_token_files
from kilowait.predict.dryrun.standins.weights.tokenizers import stand_in_tokenizers
from kilowait.predict.dryrun.standins.weights.transformers_models import stand_in_transformers


def stand_in_weights(hooks: ImportHooks, absent: Absent) -> None:
    """Replace what reads models and what belongs to them."""
    published = Published(absent.recorder)
    stand_in_transformers(hooks, published)
    stand_in_tokenizers(hooks, published)
    stand_in_processors(hooks, published)
    stand_in_diffusers(hooks, published)
    stand_in_hubs(hooks, absent, published)
    stand_in_checkpoint_files(hooks, absent, published)
    stand_in_token_files(hooks, absent)
