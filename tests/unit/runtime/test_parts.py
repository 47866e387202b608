"""The parts of a fleet that need no processes: environment, faults, jobs, agreement of ranks."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from flashtalk_core.cli.rendering.render_options import EXAMPLE
from flashtalk_core.engine.request import PromptChange
from flashtalk_core.engine.resolve import LocalHost, resolve
from flashtalk_core.engine.spec import PlacementSpec, RenderSpec, Speaker
from flashtalk_core.errors import InvalidInputError, NoMemoryError, WeightsError, WorkerError
from flashtalk_core.parallel.collectives import Alone
from flashtalk_core.parallel.groups import SequenceGroups
from flashtalk_core.placement.devices import check_devices, parse_devices
from flashtalk_core.runtime.environment import ROOT, local_names, worker_environment
from flashtalk_core.runtime.faults import death_error, fault_error, first_cause, hang_error
from flashtalk_core.runtime.fleets import Fleets
from flashtalk_core.runtime.job import pack_plan, pack_tensor, read_job, unpack_plan, unpack_tensor
from flashtalk_core.runtime.messages import Array, Fault, RankEnded
from flashtalk_core.runtime.processes import Processes
from flashtalk_core.runtime.shared.pages import Pages, Phase, create_pages
from flashtalk_core.runtime.worker.spread import SpreadNetworks, share
from flashtalk_core.runtime.worker.tickets import StoppedError
from tests.unit.parallel.thread_ranks import run_ranks

pytestmark = pytest.mark.cpu

DEVICES = ("cuda:0", "cuda:3")


def test_ranks_get_no_settings_of_other_programs():
    found = worker_environment(
        {"MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "x", "RANK": "5", "WORLD_SIZE": "9",
         "PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync", "HOME": "/h",
         "NCCL_SOCKET_IFNAME": "eth0", "GLOO_SOCKET_IFNAME": "eth0", "NCCL_NVLS_ENABLE": "1",
         "TORCH_SYMM_MEM_DISABLE_MULTICAST": "0", "NVSHMEM_DISABLE_NVLS": "0",
         "PYTHONUNBUFFERED": "x", "PYTHONPATH": "/mine"},
        ("cpu", "cpu"),
    )  # fmt: skip
    assert found.pop("PYTHONPATH") == f"{ROOT}:/mine"
    assert found == {
        "HOME": "/h",
        "GLOO_SOCKET_IFNAME": "lo",
        "NCCL_SOCKET_IFNAME": "lo",
        "NCCL_NVLS_ENABLE": "0",
        "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1",
        "NVSHMEM_DISABLE_NVLS": "1",
        "PYTHONUNBUFFERED": "x",
    }


@pytest.mark.parametrize(
    ("mask", "devices", "visible"),
    [
        (None, DEVICES, "0,3"),
        ("4,5,6,7", DEVICES, "4,7"),
        ("GPU-a, GPU-b,GPU-c,GPU-d", DEVICES, "GPU-a,GPU-d"),
        (None, ("cuda", "cuda:0"), "0,0"),
        (None, ("cuda:1", "cuda:1"), "1"),
        ("2", ("cpu", "cpu"), "2"),
    ],
)
def test_ranks_see_their_gpus_only_by_the_numbers_of_this_process(mask, devices, visible):
    given = {} if mask is None else {"CUDA_VISIBLE_DEVICES": mask}
    assert worker_environment(given, devices)["CUDA_VISIBLE_DEVICES"] == visible
    assert local_names(DEVICES) == ["cuda:0", "cuda:1"]
    assert local_names(("cuda:1", "cuda:1")) == ["cuda:0", "cuda:0"]
    assert local_names(("cpu", "cpu")) == ["cpu", "cpu"]


def fault(rank, kind="internal", error="RuntimeError", message="broke\nmore"):
    return Fault(
        command=1, rank=rank, kind=kind, error=error, message=message, subject="steps",
        phase="in step 2 of chunk 7",
    )  # fmt: skip


def test_the_cause_is_found_by_its_kind():
    peer, memory, bad = fault(0), fault(1, "memory"), fault(2, "input")
    assert first_cause([peer, memory]) is memory
    assert first_cause([peer, bad]) is bad
    assert first_cause([fault(1), peer]) is peer


@pytest.mark.parametrize(
    ("devices", "kinds", "is_alike"),
    [
        (("cpu", "cpu"), ("memory", "memory"), True),
        (DEVICES, ("memory", "memory"), False),
        (DEVICES, ("input", "input"), True),
        (DEVICES, ("input",), False),
    ],
)
def test_processes_of_gpus_whose_memory_ran_out_are_of_no_more_use(devices, kinds, is_alike):
    processes = object.__new__(Processes)
    processes._devices = devices
    processes._answers = {rank: fault(rank, kind) for rank, kind in enumerate(kinds)}
    assert processes._have_failed_alike is is_alike


def test_faults_are_errors_of_one_line():
    found = fault_error(fault(1), DEVICES, "/l")
    assert isinstance(found, WorkerError)
    assert str(found) == ("GPU 3 (rank 1): RuntimeError in step 2 of chunk 7: broke; log: /l")
    found = fault_error(fault(0, "memory", message="tried 2 GiB"), DEVICES, "/l", has_ended=True)
    assert isinstance(found, NoMemoryError)
    assert str(found).startswith(
        "GPU 0 (rank 0): out of memory in step 2 of chunk 7 (tried 2 GiB); all its processes"
    )
    found = fault_error(fault(0, "input", "WeightsError", "bad file"), DEVICES, "/l")
    assert (type(found), str(found), found.subject) == (WeightsError, "bad file", "steps")
    assert type(fault_error(fault(0, "input", "require"), DEVICES, "")).__name__ == "FlashTalkError"


@pytest.mark.parametrize(
    ("codes", "launcher", "seen", "says"),
    [
        ([(1, -6), (0, 1)], None, 0, "GPU 3 (rank 1) was killed (signal 6) at the start of chunk"),
        ([(0, 1), (1, -9)], None, 0, "GPU 3 (rank 1) was killed (signal 9) at the start of chunk"),
        ([(0, 3)], None, 0, "GPU 0 (rank 0) ended with exit code 3 in step 2 of chunk 7; log: /l"),
        ([], -9, None, "devices cuda:0, cuda:3: the launcher of their processes was killed (sig"),
        ([], None, 0, "GPU 0 (rank 0) ended in step 2 of chunk 7; log: /l"),
    ],
)
def test_the_rank_that_was_killed_is_named_and_not_those_that_followed(codes, launcher, seen, says):
    pages = Pages(create_pages())
    pages.row(0).enter(Phase.STEP, chunk=7, step=2)
    pages.row(1).enter(Phase.AUDIO, chunk=8)
    deaths = [RankEnded(rank=rank, code=code) for rank, code in codes]
    assert str(death_error(deaths, DEVICES, launcher, pages, "/l", seen=seen)).startswith(says)
    assert str(hang_error(DEVICES, 1, 60.0, pages, "/l")).startswith(
        "GPU 3 (rank 1): no progress for 60 s at the start of chunk 8; all processes"
    )


class Claiming:
    """A fleet that runs, as far as others see."""

    is_running = True


def test_fleets_share_no_gpu_and_are_found_again():
    fleets = Fleets()
    one, other, cpu = (fleets.get(names) for names in (DEVICES, ("cuda:3", "cuda:4"), ("cpu",) * 2))
    assert fleets.get(DEVICES) is one
    fleets.check(other)
    one._processes = Claiming
    one._peak_bytes = 5 * 10**9
    with pytest.raises(InvalidInputError) as caught:
        fleets.check(other)
    assert str(caught.value).startswith(
        "devices cuda:3, cuda:4: cuda:3 belongs to devices cuda:0, cuda:3, which hold a model"
    )
    fleets.check(one)
    fleets.check(cpu)
    one._peak_bytes = None  # its weights were freed, so its processes give way
    fleets.check(other)
    assert not one.is_running
    one._processes = None
    del one
    assert fleets.get(DEVICES)._processes is None


def test_of_two_fleets_that_start_at_once_only_one_gets_a_gpu_that_both_name():
    fleets = Fleets()
    one, other, apart = map(fleets.get, (DEVICES, ("cuda:3", "cuda:4"), ("cuda:1", "cuda:2")))
    says = r"^devices cuda:3, cuda:4: cuda:3 belongs to devices cuda:0, cuda:3, whose processes sta"
    with (
        fleets.reserve(one),
        fleets.reserve(apart),
        pytest.raises(InvalidInputError, match=says),
        fleets.reserve(other),
    ):
        pass
    with pytest.raises(KeyError), fleets.reserve(one):
        raise KeyError("a start that fails gives the devices back")
    with fleets.reserve(other):
        pass


@pytest.mark.parametrize(
    ("text", "names"),
    [("", ()), ("0,1", ("cuda:0", "cuda:1")), (" cpu , cpu ", ("cpu", "cpu")),
     ("cuda:1", ("cuda:1",)), ("0,01,", ("cuda:0", "cuda:1")), ("0,00", ("cuda:0", "cuda:0"))],
)  # fmt: skip
def test_devices_are_named_by_numbers_or_names(text, names):
    assert parse_devices(text) == names


@pytest.mark.parametrize(
    ("names", "device", "says"),
    [
        (("cpu", "cuda:0"), "auto", "devices cpu, cuda:0: several are all GPUs of NVIDIA"),
        (("mps", "mps"), "auto", "devices mps, mps: several are all GPUs of NVIDIA"),
        (("cpu", "cpu"), "cpu", "devices cpu, cpu: the device is set to 'cpu' as well"),
        (("cuda:0", "cuda:999"), "auto", "device 'cuda:"),
        (("cuda:x", "cuda:y"), "auto", "device 'cuda:x' of devices cuda:x, cuda:y: "),
    ],
)
def test_devices_that_cannot_work_together_are_refused(names, device, says):
    with pytest.raises(InvalidInputError) as caught:
        check_devices(names, device)
    assert str(caught.value).startswith(says)


@pytest.fixture(scope="module")
def plan():
    return resolve(
        RenderSpec(
            portrait=str(EXAMPLE / "portrait.png"),
            speakers=(Speaker(audio=str(EXAMPLE / "speech.wav")),),
            duration_s=0.5,
            size_px=(32, 64),
            prompt_changes=(PromptChange(0.2, "She nods"),),
            placement=PlacementSpec(devices=("cpu", "cpu")),
        ),
        LocalHost(),
    )


def test_several_devices_are_in_the_plan_and_its_fingerprint(plan):
    assert plan.placement.devices == ("cpu", "cpu")
    one = replace(plan, placement=replace(plan.placement, devices=()))
    assert one.fingerprint() != plan.fingerprint()


def test_a_plan_is_the_same_after_a_message(plan):
    context = torch.randn(3, 5).bfloat16()
    given = replace(plan.request, context=None, clip_tokens=torch.randn(1, 5, 12))
    plan = replace(plan, request=given)
    text, blobs = pack_plan(plan)
    job = read_job(text)
    found = unpack_plan(job, [bytearray(blob) for blob in blobs], torch.device("cpu"))
    assert job.fingerprint == plan.fingerprint()
    assert found.placement == replace(plan.placement, devices=())
    assert found.checkpoint.config == plan.checkpoint.config
    assert found.checkpoint.sources.identity == plan.checkpoint.sources.identity
    assert found.chunk == plan.chunk
    ours, theirs = (
        replace(each.request, image=None, clip_tokens=None, chunk=None) for each in (plan, found)
    )
    assert ours == theirs
    assert found.request.image.tobytes() == plan.request.image.tobytes()
    assert torch.equal(found.request.clip_tokens, plan.request.clip_tokens)
    array, blob = pack_tensor(context)
    assert torch.equal(unpack_tensor(array, bytearray(blob)), context)


def test_masks_of_two_speakers_are_the_same_after_a_message(plan):
    masks = [Image.new("L", plan.request.image.size) for _ in range(2)]
    for left, mask in zip((0, 20), masks, strict=True):
        mask.paste(255, (left, 0, left + 10, 10))
    speakers = tuple(replace(plan.speakers[0], mask=mask) for mask in masks)
    plan = replace(plan, speakers=speakers, sound=plan.audio, routing="regions")
    text, blobs = pack_plan(plan)
    job = read_job(text)
    found = unpack_plan(job, [bytearray(blob) for blob in blobs], torch.device("cpu"))
    assert found.routing == "regions"
    assert torch.equal(found.speaker_masks(), plan.speaker_masks())


def test_files_that_changed_meanwhile_are_refused(plan):
    text, blobs = pack_plan(plan)
    job = read_job(text)
    job = replace(job, model=replace(job.model, identity="other"))
    with pytest.raises(WeightsError, match="changed while a render was started"):
        unpack_plan(job, [bytearray(blob) for blob in blobs], torch.device("cpu"))


@pytest.mark.parametrize(
    "array", [("float32", (3,)), ("float33", (2,)), ("float32", (0,)), ("Tensor", (8,))]
)
def test_a_blob_of_another_size_is_refused(array):
    with pytest.raises(InvalidInputError, match="8 bytes came instead"):
        unpack_tensor(Array(dtype=array[0], shape=array[1]), bytearray(8))


def test_what_rank_0_makes_reaches_all():
    made = [torch.randn(4, 6).bfloat16(), torch.randn(1, 3, 2), torch.randn(0, 3)]

    def refuse():
        raise AssertionError("only rank 0 makes it")

    for shared in run_ranks(
        3, lambda group: share((lambda: made) if not group.rank else refuse, group)
    ):
        assert all(torch.equal(one, other) for one, other in zip(made, shared, strict=True))
    assert run_ranks(2, lambda group: share(list, group)) == [[], []]


def test_no_rank_waits_for_what_rank_0_cannot_make():
    def work(group):
        with pytest.raises(RuntimeError if not group.rank else StoppedError):
            share(fail, group)

    def fail():
        raise RuntimeError

    run_ranks(3, work)


class OneNetwork:
    """A residency whose network one rank cannot read."""

    def __init__(self, is_bad):
        self.is_bad, self.num_read, self.released = is_bad, 0, 0

    def acquire(self, kind):
        from contextlib import nullcontext

        if self.is_bad:
            raise MemoryError
        self.num_read += 1
        return nullcontext(kind)

    def release(self, kind):
        self.released += 1


def test_a_network_is_read_by_all_ranks_or_by_none():
    def work(group):
        networks = OneNetwork(is_bad=group.rank == 1)
        spread = SpreadNetworks(networks, SequenceGroups(group, group, Alone()), group)
        error = MemoryError if group.rank == 1 else StoppedError
        with pytest.raises(error), spread.acquire(torch.nn.Identity):
            pass
        assert networks.released == 1
        networks.is_bad = False
        for _ in range(2):
            with spread.acquire(torch.nn.Identity) as found:
                assert found is torch.nn.Identity
        return networks.num_read

    assert run_ranks(3, work) == [4, 3, 4]
