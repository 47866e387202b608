"""The pack's folder and routes are there on every ComfyUI, and once."""

import asyncio

import pytest

pytestmark = pytest.mark.cpu


@pytest.fixture
def registered(pack, monkeypatch):
    """What an extension registers, in order."""
    calls = []
    module = pack["nodes.extension"]
    monkeypatch.setattr(module, "register_model_folder", lambda: calls.append("folder"))
    monkeypatch.setattr(module, "register_stream_routes", lambda: calls.append("routes"))
    monkeypatch.setattr(module, "register_session_routes", lambda: calls.append("sessions"))
    monkeypatch.setattr(module, "register_thumbnail_route", lambda: calls.append("thumbnails"))
    return calls


@pytest.mark.parametrize("is_called", [True, False])
def test_preparation_happens_once_whether_or_not_comfyui_calls_on_load(pack, registered, is_called):
    """ComfyUI before 0.14 asks for the nodes only."""
    extension = asyncio.run(pack["nodes.extension"].comfy_entrypoint())
    if is_called:
        asyncio.run(extension.on_load())
    assert len(asyncio.run(extension.get_node_list())) == 14
    assert registered == ["folder", "routes", "sessions", "thumbnails"]


def test_nothing_is_registered_before_loading(pack, registered):
    asyncio.run(pack["nodes.extension"].comfy_entrypoint())
    assert registered == []
