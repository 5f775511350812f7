"""The steps of an evaluation, without Prefect: the flow and the plain command take the same ones."""

import hashlib
from collections.abc import Callable

from flows.evaluate_config import EvaluateRunConfig
from flows.weights import weights_provider
from infra.threads import wait_quietly
from spatialdreamer_core.errors import WeightsError
from spatialdreamer_core.evaluate.material import find_material
from spatialdreamer_core.evaluate.measure import Networks
from spatialdreamer_core.evaluate.run import Evaluation, Perceptual, Progress, Report
from spatialdreamer_core.flow.learned import LEARNED, create_learned_flow
from spatialdreamer_core.store.lock import exclusive_run
from spatialdreamer_core.store.place import Place


def prepare_evaluation(config: EvaluateRunConfig, on_progress: Callable[[Progress], None]) -> Evaluation:
    """List the material, load the weights, prove that the output can be written.

    Raises:
        MaterialError: If there is none, or it is unclear.
        WeightsError: If weights are missing.
        StoreError: If the output cannot be written.
    """
    clips = find_material(config.material, config.layout)
    perceptual = load_networks(config)
    place = Place(config.output)
    place.prepare()
    return Evaluation(config.evaluate, clips, place, perceptual, on_progress)


def load_networks(config: EvaluateRunConfig) -> Perceptual:
    """Load what LPIPS, FVD and networks of optical flow need.

    Raises:
        WeightsError: If weights or torch are missing.
    """
    wanted = config.evaluate
    learned = sorted({wanted.flow, wanted.matcher} & set(LEARNED))
    if not wanted.lpips and not wanted.fvd and not learned:
        return Perceptual()
    wait_quietly()
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise WeightsError(
            "LPIPS, FVD and networks of optical flow need torch; pip install 'spatialdreamer[metrics]', or give "
            "--lpips none, --flow dis-medium and --matcher sgm"
        ) from error
    from spatialdreamer_core.metrics.i3d import I3d, read_state_dict
    from spatialdreamer_core.metrics.lpips import Lpips

    provider, networks = weights_provider(config.weights), Networks()
    digests: dict[str, str] = {}
    for name in wanted.lpips:
        networks.lpips[name] = Lpips(name, provider.load(f"lpips-{name}"))
        digests[name] = provider.entry(f"lpips-{name}").sha256
    i3d_digest = None
    if wanted.fvd and config.i3d is not None:
        networks.i3d = I3d(read_state_dict(config.i3d))
        i3d_digest = hashlib.sha256(config.i3d.read_bytes()).hexdigest()
    elif wanted.fvd:
        networks.i3d = I3d(provider.load("i3d-kinetics400"))
        i3d_digest = provider.entry("i3d-kinetics400").sha256
    flows = {name: create_learned_flow(name, provider.load(name)) for name in learned}
    networks.flow, networks.matcher = flows.get(wanted.flow), flows.get(wanted.matcher)
    return Perceptual(networks, digests, i3d_digest, {name: provider.entry(name).sha256 for name in learned})


def run_evaluate(config: EvaluateRunConfig, on_progress: Callable[[Progress], None]) -> Report:
    """Do a whole evaluation without Prefect."""
    evaluation = prepare_evaluation(config, on_progress)
    with exclusive_run(evaluation.place):
        return evaluation.run()
