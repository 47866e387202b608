"""Reference: portrait, prompts, size, and what other nodes encoded instead."""

import logging
from types import SimpleNamespace

import pytest
import torch

pytestmark = pytest.mark.cpu


def refused(text):
    return f"FlashTalk Reference, input {text}"


def conditioning(batch=1, length=5, width=64):
    generator = torch.Generator().manual_seed(3)
    return [[torch.randn(batch, length, width, generator=generator), {"pooled_output": None}]]


def vision(batch=1, tokens=257, width=64):
    generator = torch.Generator().manual_seed(3)
    return SimpleNamespace(
        penultimate_hidden_states=torch.randn(batch, tokens, width, generator=generator)
    )


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_any_kind_become_colour(pack, make, channels):
    found = pack.reference(make.portrait(48, 32, channels))
    assert (found.image.mode, found.image.size) == ("RGB", (32, 48))


@pytest.mark.parametrize(("scale", "offset", "shown"), [(255, 0, "255"), (2, -1, "-1")])
def test_an_image_in_another_scale_is_reported(pack, make, caplog, scale, offset, shown):
    image = torch.linspace(0, 1, 16 * 16 * 3).reshape(1, 16, 16, 3)
    with caplog.at_level(logging.WARNING):
        pack.reference(image)
        assert caplog.text == ""
        pack.reference(image * scale + offset)
    assert f"{shown}" in caplog.text
    assert "from 0 to 1" in caplog.text


def test_pixels_keep_their_values(pack, make):
    image = make.portrait(16, 16)
    image[0, 0, 0] = torch.tensor([0.0, 0.5, 1.0])
    image[0, 0, 1] = torch.tensor([-3.0, 7.0, 1.0])  # other nodes overshoot
    portrait = pack.reference(image).image
    assert portrait.getpixel((0, 0)) == (0, 128, 255)
    assert portrait.getpixel((1, 0)) == (0, 255, 255)


@pytest.mark.parametrize("batch", [0, 3])
def test_a_batch_of_images_is_refused(pack, make, batch):
    message = pack.error("Reference", image=make.portrait(batch=batch))
    assert message == refused(
        f"'image': image batch of {batch}: one portrait is animated; pick one, for instance with "
        "Image From Batch, or make a video of each with Rebatch Images at a batch_size of 1"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_image_that_is_no_numbers_is_refused(pack, make, value):
    image = make.portrait()
    image[0, 3, 3, 1] = value
    message = pack.error("Reference", image=image)
    assert message.startswith(refused("'image': image: it holds NaN or infinite values; use "))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"height": 1, "width": 1}, "image: 1x1 pixels; need at least 16x16"),
        ({"channels": 2}, "image: 2 channels; use 1 (grey), 3 (colour) or 4"),
    ],
)
def test_images_that_cannot_be_animated_are_refused(pack, make, options, says):
    message = pack.error("Reference", image=make.portrait(**options))
    assert message.startswith(refused(f"'image': {says}"))


def test_prompt_lines_become_changes(pack):
    found = pack.reference(prompt_changes="\n 1.5 : one: two \n\n3:She smiles\n")
    changes = [(change.start_s, change.prompt) for change in found.prompt_changes]
    assert changes == [(1.5, "one: two"), (3.0, "She smiles")]


@pytest.mark.parametrize(
    "line", ["She smiles", "soon: smile", "1.5:", "7", "-2: a", "nan: a", "a 1:2: b", "1e3: a"]
)
def test_a_line_that_is_no_change_is_quoted_with_an_example(pack, make, line):
    message = pack.error("Reference", image=make.portrait(), prompt_changes=line)
    opening = f"'prompt_changes': prompt changes: {line!r} is not a time, a colon and a prompt"
    assert message.startswith(refused(opening))
    assert "'12.5: She smiles'" in message


def test_times_may_be_minutes_and_hours_and_colons_wide(pack):
    lines = (
        "3:10 people talk\n1:05: She nods\n1:00:02.5: He sings\n4000\uff1a\u5979\u7b11\u4e86: ha"
    )
    found = pack.reference(prompt_changes=lines)
    changes = [(change.start_s, change.prompt) for change in found.prompt_changes]
    assert changes == [
        (3.0, "10 people talk"),
        (65.0, "She nods"),
        (3602.5, "He sings"),
        (4000.0, "\u5979\u7b11\u4e86: ha"),
    ]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("0: a", "change at 0.0 s: use a second after 0"),
        ("2: a\n1: b", "change at 1 s: it follows one at 2 s; list them in order of time"),
        ("2: a\n2: b", "change at 2 s: it follows one at 2 s; list them in order of time"),
    ],
)
def test_changes_out_of_order_are_refused(pack, make, lines, says):
    message = pack.error("Reference", image=make.portrait(), prompt_changes=lines)
    assert message.startswith(refused(f"'prompt_changes': prompt {says}"))


def test_sizes_by_name_can_all_be_rendered(pack, make):
    sizes = pack["nodes.graph.sizes"].SIZES
    for name, size_px in sizes.items():
        found = pack.run("Reference", image=make.portrait(), size=name).args[0]
        assert found.size_px == size_px
        if size_px:
            pack["flashtalk_core.geometry"].check_size(size_px)
            assert f"{size_px[1]}x{size_px[0]}" in name


def test_marked_sizes_are_those_a_model_knows(pack, model):
    sizes, config = (
        pack["nodes.graph.sizes"].SIZES,
        pack["flashtalk_core.config.avatar"].AvatarConfig(),
    )
    trained = {name: size for name, size in sizes.items() if "trained)" in name}
    assert set(trained.values()) == {config.size_px, model.checkpoint.config.size_px}


def test_a_custom_size_is_height_and_width(pack):
    found = pack.reference(**{"size": "custom", "size.width": 48, "size.height": 64})
    assert found.size_px == (64, 48)


@pytest.mark.parametrize(
    ("width", "height", "says"),
    [
        (450, 768, "size 768x450: width 450 must be a multiple of 16 from 32 to 2048; try 768x448"),
        (448, 16, "size 16x448: height 16 must be a multiple of 16 from 32 to 2048; try 32x448"),
        (
            4096,
            64,
            "size 64x4096: width 4096 must be a multiple of 16 from 32 to 2048; try 64x2048",
        ),
    ],
)
def test_bad_sizes_are_refused_with_the_nearest_good_one(pack, make, width, height, says):
    """Ranges of widgets bind what is typed, not what comes over a connection."""
    size = {"size": "custom", "width": width, "height": height}
    with pytest.raises(ValueError, match="must be a multiple") as caught:
        pack.nodes["FlashTalk_Reference"].execute(make.portrait(), "", "", "crop", size)
    assert str(caught.value) == refused(f"'size': {says}")


def test_crop_and_pad_fit_differently(pack, model, make):
    wide = torch.zeros(1, 32, 96, 3)
    wide[:, :, 32:64] = 1  # cropping leaves this part alone
    fitted = [
        pack.frames(model, reference=pack.reference(wide, fit=fit)).plan.fitted_image()
        for fit in ("crop", "pad")
    ]
    assert fitted[0].min() == 1
    assert fitted[1].min() < 0


def test_an_empty_prompt_is_the_models_own(pack, model):
    own = model.checkpoint.config.prompt
    for prompt in ("", "  \n "):
        plan = pack.frames(model, reference=pack.reference(prompt=prompt)).plan
        assert plan.request.prompt == own


@pytest.mark.parametrize("count", [0, 2])
def test_several_prompts_from_outside_are_refused(pack, make, count):
    for given in (conditioning(batch=count), conditioning() * count):
        message = pack.error("Reference", image=make.portrait(), conditioning=given)
        assert message == refused(
            f"'conditioning': conditioning of {count} prompts: one is used; connect a single CLIP "
            "Text Encode"
        )


def test_several_encoded_images_are_refused(pack, make):
    message = pack.error("Reference", image=make.portrait(), clip_vision_output=vision(batch=2))
    assert message == refused(
        "'clip_vision_output': clip vision output of 2 images: one is used; encode the portrait "
        "alone"
    )


SPARSE = torch.zeros(1, 5, 64).to_sparse()


@pytest.mark.parametrize(
    "given",
    [
        5, "text", {}, [None], [[]], [[None, {}]], [5], [["text", {}]], [{}],
        [[torch.zeros(5, 64), {}]], [[torch.zeros(1, 0, 64), {}]], [[torch.zeros(()), {}]],
        [[torch.zeros(1, 5, 64, dtype=torch.int64), {}]], [[SPARSE, {}]],
        [[torch.zeros(1, 5, 64, dtype=torch.complex64), {}]],
        [[torch.zeros(1, 5, 64, device="meta"), {}]],
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_what_is_no_conditioning_is_refused(pack, make, given):
    message = pack.error("Reference", image=make.portrait(), conditioning=given)
    assert message.startswith(refused("'conditioning': conditioning"))
    assert message.endswith("connect a single CLIP Text Encode")
    assert len(message) < 300


def test_the_one_prompt_may_follow_an_empty_batch(pack):
    (one,) = conditioning()
    found = pack.reference(conditioning=[[torch.zeros(0, 5, 64), {}], one])
    assert torch.equal(found.context, one[0][0])


@pytest.mark.parametrize("given", [[], ()])
def test_an_empty_conditioning_is_refused(pack, make, given):
    message = pack.error("Reference", image=make.portrait(), conditioning=given)
    assert "conditioning of 0 prompts: one is used" in message


@pytest.mark.parametrize(
    "tokens",
    [
        None, "text", [[0.0]], torch.zeros(257, 64), torch.zeros(1, 0, 64), SPARSE,
        torch.zeros(1, 5, 64, dtype=torch.int8), torch.zeros(1, 5, 64, device="meta"),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_what_is_no_encoded_image_is_refused(pack, make, tokens):
    given = SimpleNamespace(penultimate_hidden_states=tokens)
    message = pack.error("Reference", image=make.portrait(), clip_vision_output=given)
    assert message.startswith(refused("'clip_vision_output': clip vision output"))
    assert message.endswith("connect CLIP Vision Encode")
    assert pack.error("Reference", image=make.portrait(), clip_vision_output={"a": 5})


@pytest.mark.parametrize("prompt", ["caf\udce9", "\ud83d"])
def test_prompts_that_are_no_text_are_refused(pack, prompt):
    message = pack.error("Reference", image=torch.zeros(1, 32, 32, 3),
                         prompt_changes=f"1: {prompt}")  # fmt: skip
    assert "that are no text; type it again, in UTF-8" in message
    assert message.isprintable()


def test_changes_need_a_prompt_in_words(pack, make):
    given = {"conditioning": conditioning(), "prompt_changes": "1: a"}
    message = pack.error("Reference", image=make.portrait(), **given)
    assert message.startswith(refused("'prompt_changes': prompt changes (1): the prompt comes enc"))
    assert "leave the changes out" in message


@pytest.fixture
def encoded(pack):
    """A reference whose prompt and image were encoded by other nodes."""
    return pack.reference(conditioning=conditioning(), clip_vision_output=vision())


def test_what_others_encoded_takes_the_place_of_the_encoders(pack, encoded):
    bare = pack.run("ModelLoader", text_encoder="none", clip_vision="none").args[0]
    assert bare.checkpoint.text_plan is None
    assert bare.checkpoint.clip_plan is None
    path = pack.preview(pack.frames(bare, pack.speech(0.16), encoded))
    assert path.is_file()


def test_what_others_encoded_decides_the_image(pack, model, encoded):
    keys = {
        pack.frames(model, reference=reference).plan.fingerprint()
        for reference in (
            pack.reference(),
            encoded,
            pack.reference(conditioning=conditioning(), clip_vision_output=None),
            pack.reference(conditioning=conditioning(length=6)),
        )
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"conditioning": conditioning(width=7)},
            "encoded prompt of 5 tokens, 7 wide: FlashTalk-tiny takes 1 to 32, 64 wide; encode "
            "it with the model's text encoder (umT5)",
        ),
        (
            {"conditioning": conditioning(length=33)},
            "encoded prompt of 33 tokens, 64 wide: FlashTalk-tiny takes 1 to 32, 64 wide; "
            "encode it with the model's text encoder (umT5)",
        ),
        (
            {"clip_vision_output": vision(tokens=50)},
            "encoded image of 50 tokens, 64 wide: FlashTalk-tiny takes 257, 64 wide; use the "
            "model's vision tower (CLIP ViT-H)",
        ),
    ],
)
def test_what_was_encoded_for_another_model_is_refused(pack, model, given, says):
    given = {"model": model, "speech": pack.speech(), "reference": pack.reference(**given)}
    message = pack.error("ChunkSampler", **given)
    assert message == f"FlashTalk Chunk Sampler, input 'reference': {says}"


def test_a_face_is_found_and_the_sampler_shows_its_frame(pack, model):
    pytest.importorskip("cv2")
    image = pack.run("Example").args[0]
    reference = pack.reference(
        torch.nn.functional.pad(image, (0, 0, 400, 0), value=0.5), fit="face"
    )
    (face,) = reference.faces
    assert abs(face.centre[0] - 656) < 30
    output = pack.run("ChunkSampler", model=model, speech=pack.speech(), reference=reference)
    left, _, right, _ = output.args[0].plan.request.face.frame
    assert left > 380
    assert right <= 912
    assert output.ui is not None


def test_an_image_without_a_face_is_refused_where_one_is_to_be_framed(pack, make):
    pytest.importorskip("cv2")
    message = pack.error("Reference", image=make.portrait(64, 64) * 0, fit="face")
    assert message.startswith(refused("'fit': face crop: no face found"))


def test_a_mask_is_the_transparency_of_the_image(pack, make):
    image, mask = make.portrait(32, 32), torch.zeros(1, 32, 32)
    mask[:, :, 16:] = 1
    found = pack.run("Reference", image=image, mask=mask).args[0].image
    alike = torch.cat([image, 1 - mask[..., None]], dim=-1)
    assert found.tobytes() == pack.run("Reference", image=alike).args[0].image.tobytes()
    assert found.crop((16, 0, 32, 32)).getcolors() == [(16 * 32, (128, 128, 128))]


def test_the_empty_mask_of_an_opaque_image_changes_nothing(pack, make):
    image = make.portrait()
    found = pack.run("Reference", image=image, mask=torch.zeros(1, 64, 64)).args[0].image
    assert found.tobytes() == pack.run("Reference", image=image).args[0].image.tobytes()


def test_a_mask_of_another_image_is_refused(pack, make):
    message = pack.error("Reference", image=make.portrait(), mask=torch.ones(1, 8, 8))
    assert message == (
        "FlashTalk Reference, input 'mask': mask of shape (1, 8, 8): the image is of (1, 40, 32); "
        "use the mask of its own Load Image"
    )
