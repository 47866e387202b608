"""Which files are opened as audio, by their content, and by whom."""

import struct
import sys

import numpy as np
import pytest
import soundfile

from flashtalk_core.errors import InvalidInputError
from flashtalk_core.media.audio.decoding.cut import is_cut_short
from flashtalk_core.media.audio.decoding.reader import AudioReader
from flashtalk_core.media.audio.probe import AnalysisStream, probe_audio
from flashtalk_core.media.container import open_container
from flashtalk_core.media.video.reading.container import open_video

pytestmark = pytest.mark.cpu

RATE_HZ = 16_000
LISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{path}\n#EXT-X-ENDLIST\n",
    "m3u8 behind a mark": "\ufeff#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{path}\n",
    "m3u8 behind a line": "\n\n#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{path}\n",
    "m3u": "#EXTM3U\n{path}\n",
    "ffconcat": "ffconcat version 1.0\nfile '{path}'\n",
    "concat": "file '{path}'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet mimeType="audio/mp4">'
    '<Representation id="1" bandwidth="9"><BaseURL>{path}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\n"
    "c=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "asx": '<asx version="3.0"><entry><ref href="{path}"/></entry></asx>',
    "pls": "[playlist]\nFile1={path}\nNumberOfEntries=1\nVersion=2\n",
    "cue": 'FILE "{path}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
    "xspf": '<?xml version="1.0"?><playlist><track><location>{path}</location></track></playlist>',
    "smil": '<smil><body><audio src="{path}"/></body></smil>',
    "ram": "file://{path}\n",
    "ffmetadata": ";FFMETADATA1\ntitle={path}\n",
    "qt link": '<?xml version="1.0"?><?quicktime type="application/x-quicktime-media-link"?>'
    '<embed src="{path}"/>',
}


@pytest.fixture
def secret(make, tmp_path):
    folder = tmp_path / "secret"
    folder.mkdir()
    return make.encode_audio(folder / "other.wav", make.voice(8_000, RATE_HZ)[None], RATE_HZ)


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("name", ["speech.wav", "clip.mp4", "x.m3u8", "x.ogg", "x.raw", "x.vox"])
def test_a_list_of_other_files_is_no_audio_whatever_it_is_called(tmp_path, secret, kind, name):
    path = tmp_path / name
    path.write_text(LISTS[kind].format(path=secret), "utf-8")
    with pytest.raises(InvalidInputError, match="are not audio"):
        AudioReader(path)
    with pytest.raises(InvalidInputError):
        open_video(path)


@pytest.mark.parametrize("name", ["s.raw", "s.vox", "s.gsm", "s.au", "s.snd", "s.ul", "s.pcm"])
def test_bytes_without_a_head_are_no_audio(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(np.random.default_rng(0).bytes(9_000))
    with pytest.raises(InvalidInputError):
        AudioReader(path)


def test_a_movie_that_refers_to_another_file_does_not_open_it(make, tmp_path, secret):
    import av

    source = make.encode_audio(
        tmp_path / "s.mov", np.zeros((1, 8_000), np.float32), RATE_HZ, "pcm_s16le"
    )
    data = source.read_bytes()
    # What refers to data in the file itself is made to refer to another file, by its path.
    at = data.index(b"url ", data.index(b"dref")) - 4
    size = struct.unpack(">I", data[at : at + 4])[0]
    name = str(secret).encode()
    other = struct.pack(">I4sI", 12 + len(name) + 1, b"url ", 0) + name + b"\0"
    grown = len(other) - size
    changed = bytearray(data[:at] + other + data[at + size :])
    for kind in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        start = changed.rindex(kind, 0, at) - 4
        old = struct.unpack(">I", changed[start : start + 4])[0]
        changed[start : start + 4] = struct.pack(">I", old + grown)
    (tmp_path / "t.mov").write_bytes(changed)
    try:
        with AudioReader(tmp_path / "t.mov") as reader:
            assert all(not block.any() for block in reader.blocks())
    except InvalidInputError:
        pass
    with open_container(source) as container:
        assert isinstance(container, av.container.InputContainer)


BETTER = [
    ("WAV", "PCM_16", "BIG"), ("WAV", "PCM_24", "BIG"), ("WAV", "FLOAT", "BIG"),
    ("WAV", "ULAW", "BIG"), ("WAV", "G721_32", "FILE"), ("AU", "G721_32", "FILE"),
    ("AU", "G723_24", "FILE"), ("AU", "G723_40", "FILE"), ("AU", "PCM_16", "LITTLE"),
    ("AIFF", "PCM_24", "LITTLE"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "subtype", "order"), BETTER)
def test_what_ffmpeg_misreads_goes_to_libsndfile(make, tmp_path, form, subtype, order):
    voice = make.voice(RATE_HZ, RATE_HZ)
    voice = np.convolve(voice, np.ones(8) / 8, "same")
    soundfile.write(tmp_path / "s.wav", voice, RATE_HZ, subtype, order, form)
    with AudioReader(tmp_path / "s.wav") as reader:
        found = np.concatenate(list(reader.blocks()), axis=1)
    assert found.shape[1] - RATE_HZ in range(120)  # they hold whole groups of samples
    found = found[:, :RATE_HZ]
    assert np.corrcoef(found[0], voice)[0, 1] > 0.97
    assert found.std() == pytest.approx(voice.std(), rel=0.1)


@pytest.mark.parametrize(("form", "subtype", "order"), BETTER[:8])
def test_without_libsndfile_it_is_refused_and_not_played_as_noise(
    tmp_path, monkeypatch, form, subtype, order
):
    soundfile.write(tmp_path / "s.wav", np.zeros(999), RATE_HZ, subtype, order, form)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    monkeypatch.setattr("flashtalk_core.media.audio.decoding.opening.find_spec", lambda name: None)
    with pytest.raises(InvalidInputError, match="plays as noise; package soundfile is not inst"):
        AudioReader(tmp_path / "s.wav")


@pytest.mark.parametrize(
    "form", ["MAT4", "MAT5", "PAF", "PVF", "NIST", "IRCAM", "AVR", "HTK", "SVX", "XI"]
)
def test_formats_that_only_libsndfile_knows_are_read_under_any_name(tmp_path, form):
    subtype = "DPCM_16" if form == "XI" else "PCM_16"
    soundfile.write(tmp_path / "s.raw", np.linspace(-0.5, 0.5, 900), RATE_HZ, subtype, format=form)
    with AudioReader(tmp_path / "s.raw") as reader:
        assert sum(block.shape[1] for block in reader.blocks()) == 900


def test_an_mp4_whose_recording_was_never_closed_is_reported(make, tmp_path):
    path = make.encode_audio(tmp_path / "s.m4a", make.voice(RATE_HZ, RATE_HZ)[None], RATE_HZ, "aac")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    with pytest.raises(InvalidInputError, match=r"\(moov\) is missing: its recording was never"):
        AudioReader(path)


def faults(path, caplog):
    info = probe_audio(path)
    with AnalysisStream(info) as stream:
        stream.read(0, 2_000)
    return [record.message.split(": ", 1)[1] for record in caplog.records]


def test_a_wav_whose_header_states_less_is_reported_once(make, tmp_path, caplog):
    path = make.write_wav(tmp_path / "s.wav", make.voice(2 * RATE_HZ, RATE_HZ)[None], RATE_HZ)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", 4 * RATE_HZ // 2)
    path.write_bytes(data)
    assert faults(path, caplog) == [
        "its header states 0.500 s, but 1.500 s more are there, which are not read; let its "
        "recorder close it, or export it again"
    ]


def test_a_wav_of_two_pieces_is_reported_once(make, tmp_path, caplog):
    path = make.write_wav(tmp_path / "s.wav", make.voice(RATE_HZ, RATE_HZ)[None], RATE_HZ)
    data = path.read_bytes()
    piece = data[data.index(b"data") :]
    path.write_bytes(data[:4] + struct.pack("<I", len(data) + len(piece) - 8) + data[8:] + piece)
    assert faults(path, caplog) == [
        "its audio is in 2 data chunks, of which one is read; export it again"
    ]


@pytest.mark.parametrize("behind", [b"LIST\x1a\0\0\0INFOISFT\x0e\0\0\0some recorder\0",
                                    b"id3 \x04\0\0\0abcd", b"ID3\x03abc", b"\0" * 40])  # fmt: skip
def test_what_else_follows_the_audio_of_a_wav_is_not_reported(make, tmp_path, caplog, behind):
    path = make.write_wav(tmp_path / "s.wav", make.voice(RATE_HZ, RATE_HZ)[None], RATE_HZ)
    path.write_bytes(path.read_bytes() + behind)
    assert faults(path, caplog) == []


@pytest.mark.parametrize("name", ["s.ogg", "s.opus", "s.webm", "s.mka", "s.mp3"])
@pytest.mark.parametrize("is_cut", [True, False])
def test_a_file_that_lacks_its_end_is_reported_once(make, tmp_path, caplog, name, is_cut):
    path, voice = tmp_path / name, make.voice(3 * 48_000, 48_000)
    if name == "s.ogg":
        soundfile.write(path, voice, 48_000, "VORBIS")
    else:
        codec = {"s.mp3": "libmp3lame", "s.mka": "aac"}.get(name, "libopus")
        make.encode_audio(path, voice[None], 48_000, codec)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10] if is_cut else data)
    notes = [note for note in faults(path, caplog) if "cut short" in note]
    assert len(notes) == is_cut


@pytest.mark.parametrize("size", range(186, 200))
def test_a_name_at_the_end_of_the_first_frame_is_no_table(tmp_path, size):
    (tmp_path / "s.mp3").write_bytes((b"\xff\xfb" + bytes(size))[: size - 4] + b"Xing")
    assert not is_cut_short(tmp_path / "s.mp3")
