"""The Live node with the bundled model, at whatever speed this machine has."""

import asyncio
from pathlib import Path

import pytest

from flashtalk_core.media.video.reading.measure import measure_video

pytest.importorskip("aiohttp", reason="the routes need ComfyUI's server")
from tests.nodes.live_lamp import RunningNode, sound

pytestmark = pytest.mark.e2e


def test_the_model_itself_speaks_under_comfyuis_management(pack, used_model):
    small = {"steps": 1, "chunk_frames": 13, "idle": "still", "allow_slow": True}
    given = {"model": used_model, "reference": pack.reference(), "source": "speech"}
    node = RunningNode(pack, given | small, {"unique_id": "7"})

    async def talk():
        async with node.serving() as (address, client, _):
            await client.post(f"{address}/say", data=sound(0.2))
            await node.told(lambda message: message["speaking"])
            await client.post(f"{address}/end")

    asyncio.run(asyncio.wait_for(talk(), 120))
    assert node.error is None
    assert measure_video(Path(node.output.args[0].get_stream_source())).num_frames > 0
    assert pack["comfy.model_management"].current_loaded_models
